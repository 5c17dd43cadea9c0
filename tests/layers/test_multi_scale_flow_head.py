import keras
import numpy as np
import pytest
import reference
from checks import (
    POLICIES,
    assert_close,
    assert_survives_config,
    assert_survives_file,
    dtype_of,
    only_tensorflow,
    served,
    to_numpy,
)
from gradient import gradient
from keras import ops

from h2s_keras.layers import MultiScaleFlowHead

RANDOM = np.random.default_rng(15)
SMALL = {"num_pairs": 2, "filters": (4, 3), "scales": (2.5, 5.0, 10.0)}


def features(height=4, width=8, count=2):
    sizes = [(height // 2**i, width // 2**i, 3 + i) for i in range(3)]
    return [RANDOM.normal(size=(count, *size)).astype("float32") for size in sizes]


def loud_head(**kwargs):
    """A head whose flow is not nearly zero at the start."""
    settings = SMALL | {"flow_initializer": "he_normal"} | kwargs
    return MultiScaleFlowHead(**settings)


def functional(head, height=None, width=None):
    sizes = [height and (height // 2**i, width // 2**i) for i in range(3)]
    inputs = [keras.Input((*(size or (None, None)), 3 + i)) for i, size in enumerate(sizes)]
    return keras.Model(inputs, head(inputs))


def expected_flows(head, maps, smooth=True):
    """The head rebuilt in NumPy from its own weights, found by name."""
    weights = {w.path.split("/", 1)[-1]: to_numpy(w.value) for w in head.weights}

    def of(name):
        return weights[f"{name}/kernel"], weights[f"{name}/bias"]

    fine_to_coarse = [one.astype(float) for one in maps]
    hidden = fine_to_coarse[2]
    raw = {4: reference.convolution(hidden, *of("flow4"))}
    for level in (3, 2):
        deconvolved = reference.deconvolution(hidden, *of(f"deconv{level}"))
        upsampled = reference.deconvolution(
            raw[level + 1], *of(f"upsample_flow{level + 1}to{level}")
        )
        encoder = fine_to_coarse[level - 2]
        hidden = np.concatenate(
            [encoder, reference.leaky_relu(deconvolved), upsampled], axis=-1
        )
        if smooth:
            hidden = reference.convolution(hidden, *of(f"smooth_conv{level}"))
        raw[level] = reference.convolution(hidden, *of(f"flow{level}"))
    flows = {}
    for level, scale in ((4, 2.5), (3, 5.0), (2, 10.0)):
        count, height, width, _ = raw[level].shape
        pairs = [raw[level][..., 2 * p : 2 * p + 2] for p in range(2)]
        flows[f"flow{level}"] = scale * np.stack(pairs, axis=1)
        assert flows[f"flow{level}"].shape == (count, 2, height, width, 2)
    return flows


@pytest.mark.parametrize("smooth", [True, False])
def test_against_the_reference(smooth):
    head, maps = loud_head(intermediate_convolution=smooth), features()
    head(maps)
    for weight in head.weights:  # biases that count
        weight.assign(weight + 0.1)
    actual = to_numpy(head(maps))
    expected = expected_flows(head, maps, smooth)
    assert list(actual) == ["flow4", "flow3", "flow2"]
    for name, flow in expected.items():
        assert np.abs(flow).max() > 1
        assert_close(actual[name], flow, rtol=1e-4, atol=1e-3)


def test_published_layers_by_name():
    head = MultiScaleFlowHead(10)
    head.build([(None, None, None, width) for width in (128, 256, 512, 512, 1024)])
    names = {weight.path.split("/")[-2] for weight in head.weights}
    assert names == {
        *(f"flow{level}" for level in range(2, 7)),
        *(f"deconv{level}" for level in range(2, 6)),
        *(f"smooth_conv{level}" for level in range(2, 6)),
        *(f"upsample_flow{level + 1}to{level}" for level in range(2, 6)),
    }
    shapes = {w.path.split("/", 1)[-1]: tuple(w.shape) for w in head.weights}
    assert shapes["deconv5/kernel"] == (4, 4, 512, 1024)
    assert shapes["smooth_conv5/kernel"] == (3, 3, 512 + 512 + 20, 512)
    assert shapes["smooth_conv2/kernel"] == (3, 3, 128 + 64 + 20, 64)
    assert shapes["upsample_flow3to2/kernel"] == (4, 4, 20, 20)
    assert shapes["flow2/kernel"] == (3, 3, 64, 20)


def test_tiny_joins_404_and_212_channels():
    head = MultiScaleFlowHead(10, (128, 64), (2.5, 5.0, 10.0), smooth_prefix="xconv")
    head.build([(None, None, None, width) for width in (128, 256, 128)])
    shapes = {w.path.split("/", 1)[-1]: tuple(w.shape) for w in head.weights}
    assert shapes["xconv3/kernel"] == (3, 3, 404, 128)
    assert shapes["xconv2/kernel"] == (3, 3, 212, 64)


def test_the_first_flow_is_small_but_not_zero():
    flows = to_numpy(MultiScaleFlowHead(**SMALL)(features()))
    for flow in flows.values():
        assert 0 < np.abs(flow).max() < 1


def test_every_level_draws_its_own_weights():
    head = MultiScaleFlowHead(2, filters=(3,), scales=(1, 1))
    head.build([(None, 4, 4, 3), (None, 2, 2, 3)])
    one, two = (to_numpy(layer.kernel.value) for layer in head.flow_convolutions)
    assert one.shape == two.shape and np.abs(one - two).max() > 0


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"intermediate_convolution": False, "finest_level": 3, "smooth_prefix": "xconv"}],
)
def test_config(kwargs):
    head, maps = loud_head(**kwargs), features()
    head.build([one.shape for one in maps])
    assert_survives_config(head, maps)


def test_saved_in_a_model(tmp_path):
    loaded = assert_survives_file(functional(loud_head()), features(), tmp_path)
    assert set(loaded(features())) == {"flow2", "flow3", "flow4"}


@pytest.mark.parametrize("policy", POLICIES)
def test_flow_is_float32_under_every_policy(policy):
    head, maps = loud_head(dtype=policy), features()
    flows = head(maps)
    assert {dtype_of(flow) for flow in flows.values()} == {"float32"}
    exact = loud_head()
    exact.build([one.shape for one in maps])
    exact.set_weights(head.get_weights())
    for name, flow in to_numpy(exact(maps)).items():
        assert np.isfinite(flow).all()
        away = np.abs(to_numpy(flows[name]) - flow).max() / np.abs(flow).max()
        assert (
            away < {"float32": 1e-6, "mixed_float16": 0.01, "mixed_bfloat16": 0.05}[policy]
        )
        assert policy == "float32" or away > 1e-6  # convolved in half precision


@pytest.mark.parametrize("policy", POLICIES)
def test_symbolic_outputs_are_what_comes_out(policy):
    head = loud_head(dtype=policy)
    model = functional(head, 4, 8)
    real = head(features())
    for name, symbolic in model.output.items():
        assert symbolic.shape == (None, *real[name].shape[1:])
        assert dtype_of(symbolic) == dtype_of(real[name]) == "float32"


def test_any_batch_height_and_width():
    head = loud_head()
    model = functional(head)
    for height, width, count in ((4, 8, 1), (12, 4, 3)):
        maps = features(height, width, count)
        flows = model(maps)
        assert flows["flow2"].shape == (count, 2, height, width, 2)
        assert flows["flow4"].shape == (count, 2, height // 4, width // 4, 2)


def test_gradient_reaches_every_weight():
    head, maps = loud_head(), features()
    head.build([one.shape for one in maps])
    arrays = [to_numpy(weight.value) for weight in head.trainable_variables]

    def total(*weights):
        flows, _ = head.stateless_call(list(weights), [], maps)
        return sum(ops.sum(ops.square(flow)) for flow in flows.values())

    for weight, slope in zip(head.weights, gradient(total, *arrays), strict=True):
        assert np.isfinite(slope).all() and np.abs(slope).max() > 0, weight.path


def test_errors():
    with pytest.raises(ValueError, match="received 3 scales and 4 filters"):
        MultiScaleFlowHead(10, scales=(1, 2, 3))
    with pytest.raises(ValueError, match="3 levels and takes as many.*received 2"):
        MultiScaleFlowHead(**SMALL)(features()[:2])


@only_tensorflow
def test_served_at_a_second_batch_size(tmp_path):
    model = functional(loud_head(), 4, 8)
    serve = served(model, tmp_path)
    maps = features()
    for count in (1, 2):
        inputs = [one[:count] for one in maps]
        assert_close(dict(serve(inputs)), model(inputs), rtol=1e-4, atol=1e-4)
