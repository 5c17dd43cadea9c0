"""MotionNet against a whole forward pass written in NumPy, and its contract."""

import keras
import numpy as np
import pytest
from checks import to_numpy
from keras import ops
from numpy.lib.stride_tricks import sliding_window_view

from h2s_keras.errors import UserError
from h2s_keras.models import MotionNet
from h2s_keras.models.motion_net_variants import VARIANTS

pytestmark = pytest.mark.usefixtures("no_gradients")

# === Reference: convolutions in plain NumPy ===


def convolve(images, kernel, bias, stride, pad):
    """Correlation of (n, h, w, c) after padding ((before, after)) on both axes."""
    padded = np.pad(images, ((0, 0), pad, pad, (0, 0)))
    windows = sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))
    windows = windows[:, ::stride, ::stride]  # n h w c kh kw
    return np.einsum("nhwcij,ijco->nhwo", windows, kernel, optimize=True) + bias


def deconvolve(images, kernel, bias):
    """4x4 stride 2 pad 1: every pixel adds its kernel at (2y - 1, 2x - 1)."""
    n, height, width, _ = images.shape
    whole = np.zeros((n, 2 * height + 2, 2 * width + 2, kernel.shape[2]))
    for y in range(4):
        for x in range(4):
            added = np.einsum("nhwc,oc->nhwo", images, kernel[y, x])
            whole[:, y : y + 2 * height : 2, x : x + 2 * width : 2] += added
    return whole[:, 1:-1, 1:-1] + bias


def leaky(values):
    return np.where(values > 0, values, 0.1 * values)


def reference(model, clips, stride_2_pad=None):
    """Flows of the tiny variant; `stride_2_pad` overrides the padding of 3x3 stride 2."""
    weights = {
        "/".join(v.path.split("/")[-2:]): np.asarray(ops.convert_to_numpy(v), "float64")
        for v in model.weights
    }

    def layer(name):
        return weights[f"{name}/kernel"], weights[f"{name}/bias"]

    values = (clips.astype("float64") - (123.0, 117.0, 104.0)) / 255
    hidden = np.concatenate(list(values.transpose(1, 0, 2, 3, 4)), axis=-1)
    features = []
    for name, kernel, stride in (
        ("conv1", 7, 1),
        ("conv2", 5, 2),
        ("conv3", 3, 2),
        ("conv4", 3, 2),
    ):
        pad = (kernel // 2, kernel // 2)
        if stride_2_pad and kernel == 3:
            pad = stride_2_pad
        hidden = leaky(convolve(hidden, *layer(name), stride, pad))
        features.append(hidden)
    raw = convolve(hidden, *layer("flow4"), 1, (1, 1))
    found = {"flow4": raw * 2.5}
    for level, scale in ((3, 5.0), (2, 10.0)):
        up = deconvolve(raw, *layer(f"upsample_flow{level + 1}to{level}"))
        deep = leaky(deconvolve(hidden, *layer(f"deconv{level}")))
        joined = np.concatenate([features[level - 1], deep, up], axis=-1)
        hidden = convolve(joined, *layer(f"xconv{level}"), 1, (1, 1))
        raw = convolve(hidden, *layer(f"flow{level}"), 1, (1, 1))
        found[f"flow{level}"] = raw * scale
    return {
        name: np.stack(np.split(value, value.shape[-1] // 2, axis=-1), axis=1)
        for name, value in found.items()
    }


def test_tiny_equals_a_forward_pass_in_numpy(golden):
    model, clips = golden.motion_net(), golden.clips(1, 3, (16, 24))
    expected = reference(model, clips)
    flows = model(clips)
    assert sorted(flows) == sorted(expected)
    for name, flow in flows.items():
        size = np.abs(expected[name]).mean()
        actual = ops.convert_to_numpy(flow)
        np.testing.assert_allclose(actual, expected[name], atol=1e-4 * size, err_msg=name)


def test_padding_on_one_side_only_would_be_seen(golden):
    model, clips = golden.motion_net(), golden.clips(1, 3, (16, 24))
    wrong = reference(model, clips, stride_2_pad=(0, 1))["flow2"]
    size = np.abs(wrong).mean()
    actual = ops.convert_to_numpy(model(clips)["flow2"])
    assert np.abs(actual - wrong).mean() > 0.02 * size


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_stride_2_convolution_is_centred(kernel):
    """An impulse at an even pixel answers symmetrically about its half-size pixel."""
    model = MotionNet(num_frames=2, variant="tiny")
    model.build((None, 2, 32, 32, 3))
    encoder = {layer.name: layer for layer in model.convolutions}
    for layer in model.convolutions:
        weights = np.zeros(layer.kernel.shape, "float32")
        middle = layer.kernel_size[0] // 2
        weights[middle, middle, 0, 0] = 1.0
        layer.set_weights([weights, np.zeros(layer.bias.shape, "float32")])
    changed = encoder["conv3" if kernel == 3 else "conv2"]
    weights = np.zeros(changed.kernel.shape, "float32")
    weights[:, :, 0, 0] = 1.0
    changed.set_weights([weights, np.zeros(changed.bias.shape, "float32")])
    level, step = (1, 4) if kernel == 3 else (0, 2)
    found = []
    for x in range(10, 23):
        clips = np.zeros((1, 2, 32, 32, 3), "float32")
        clips[:] = (123, 117, 104)
        clips[0, 0, 16, x] += 100
        response = np.asarray(model.encode(clips)[level])[0, 16 // step, :, 0]
        if response.max() > 0:
            places = np.flatnonzero(response > 0)
            found.append(x / step - places.mean())
    # Caffe's padding: the mean over all shifts is centred, not half a pixel off.
    assert abs(np.mean(found)) < 0.05


# === Parameters and contract ===


@pytest.mark.parametrize(
    ("variant", "expected"),
    [("motionnet", 42_319_860), ("tiny", 1_950_308), ("small", 251_276)],
)
def test_parameter_counts_for_eleven_frames(variant, expected):
    model = MotionNet(variant=variant)
    model.build((None, 11, None, None, 3))
    assert model.count_params() == expected


def expected_parameters(variant, frames):
    """Counted from the published table, layer by layer."""
    table, flow = VARIANTS[variant], 2 * (frames - 1)
    channels, total, levels = 3 * frames, 0, []
    for _, kernel, _, filters, is_level in table["encoder"]:
        total += kernel**2 * channels * filters + filters
        channels = filters
        if is_level:
            levels.append(filters)
    total += 9 * channels * flow + flow
    for encoder, filters in zip(reversed(levels[:-1]), table["decoder"], strict=True):
        total += 16 * channels * filters + filters + 16 * flow * flow + flow
        total += 9 * (encoder + filters + flow) * filters + filters
        total += 9 * filters * flow + flow
        channels = filters
    return total


@pytest.mark.parametrize("frames", [2, 5])
@pytest.mark.parametrize("variant", ["motionnet", "tiny", "small"])
def test_parameter_counts_for_any_frames(variant, frames):
    model = MotionNet(frames, variant)
    model.build((None, frames, None, None, 3))
    assert model.count_params() == expected_parameters(variant, frames)
    bare = MotionNet(frames, variant, intermediate_convolution=False)
    bare.build((None, frames, None, None, 3))
    names = [v.path for v in bare.weights]
    assert not any("smooth_conv" in name or "xconv" in name for name in names)
    assert bare.count_params() != model.count_params()


@pytest.mark.parametrize("frames", [2, 4])
def test_first_filters_of_small_see_no_brightness(frames):
    model = MotionNet(frames, "small")
    model.build((None, frames, None, None, 3))
    kernel = ops.convert_to_numpy(model.convolutions[0].kernel)
    kernel = kernel.reshape(5, 5, frames, 3, 32)
    assert kernel.std() > 0.05
    # Even ones: mean zero in every colour of every frame, but not blind.
    np.testing.assert_allclose(kernel[..., ::2].sum(axis=(0, 1)), 0.0, atol=1e-5)
    # Odd ones: two neighbouring frames with opposite signs, and all pairs in turn.
    change, pairs = kernel[..., 1::2], set()
    np.testing.assert_allclose(change.sum(axis=2), 0.0, atol=1e-6)
    for number in range(16):
        seen = np.flatnonzero(np.abs(change[..., number]).max(axis=(0, 1, 3)))
        assert len(seen) == 2 and seen[1] == seen[0] + 1
        pairs.add(int(seen[0]))
    assert pairs == set(range(frames - 1))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_outputs_are_float32_flows_under_every_policy(golden, policy):
    keras.config.set_dtype_policy(policy)
    model = golden.motion_net()
    flows = model(golden.clips(2, 3, (32, 48)))
    shapes = {name: tuple(flow.shape) for name, flow in flows.items()}
    assert shapes == {
        "flow2": (2, 2, 16, 24, 2),
        "flow3": (2, 2, 8, 12, 2),
        "flow4": (2, 2, 4, 6, 2),
    }
    assert all("float32" in str(flow.dtype) for flow in flows.values())
    spec = model.compute_output_spec(keras.KerasTensor((2, 3, 32, 48, 3), dtype="uint8"))
    assert {name: one.shape for name, one in spec.items()} == shapes
    keras.config.set_dtype_policy("float32")
    exact = golden.motion_net()(golden.clips(2, 3, (32, 48)))
    for name, flow in flows.items():
        expected = to_numpy(exact[name])
        error = np.abs(to_numpy(flow) - expected).mean() / np.abs(expected).mean()
        assert error < {"float32": 1e-6, "mixed_float16": 0.02}.get(policy, 0.1)


def test_motionnet_has_five_levels():
    flows = MotionNet(2, "motionnet")(np.zeros((1, 2, 64, 32, 3), "uint8"))
    assert {name: tuple(flow.shape) for name, flow in flows.items()} == {
        f"flow{level}": (1, 1, 64 >> level - 1, 32 >> level - 1, 2) for level in range(2, 7)
    }


def test_flow_of_a_level_is_in_pixels_of_its_own_grid(golden):
    """A raw output of 1 everywhere means 20 pixels at full resolution on every level."""
    model = golden.motion_net()
    for variable in model.head.trainable_variables:
        variable.assign(ops.zeros(variable.shape))
    for layer in model.head.flow_convolutions:
        layer.bias.assign(ops.ones(layer.bias.shape))
    flows = model(golden.clips(1, 3, (16, 16)))
    for name, ratio in (("flow2", 2), ("flow3", 4), ("flow4", 8)):
        np.testing.assert_allclose(ops.convert_to_numpy(flows[name]) * ratio, 20.0)
    full = model.estimate_flow(golden.clips(1, 3, (16, 16)))
    np.testing.assert_allclose(full, 20.0, rtol=1e-6)


@pytest.mark.parametrize("frames", [2, 3, 4, 7])
def test_any_number_of_frames(frames):
    clips = np.zeros((1, frames, 16, 16, 3), "uint8")
    flow = MotionNet(frames, "tiny").estimate_flow(clips)
    assert flow.shape == (1, frames - 1, 16, 16, 2) and flow.dtype == np.float32


def test_odd_sizes_are_padded_by_the_border_and_cropped(golden):
    model, clips = golden.motion_net(), golden.clips(3, 3, (61, 83))
    flow = model.estimate_flow(clips, batch_size=2)
    assert flow.shape == (3, 2, 61, 83, 2) and flow.dtype == np.float32
    rows, columns = np.minimum(range(64), 60), np.minimum(range(88), 82)
    padded = clips[:, :, rows][:, :, :, columns]
    expected = model.estimate_flow(padded)[:, :, :61, :83]
    np.testing.assert_allclose(flow, expected, atol=1e-3)
    zeros = np.pad(clips, ((0, 0), (0, 0), (0, 3), (0, 5), (0, 0)))
    other = model.estimate_flow(zeros)[:, :, :61, :83]
    assert np.abs(flow - other).max() > 0.1  # so the border was repeated, not zero
    # A size that fits already is not padded at all.
    direct = keras.layers.UpSampling2D(2, interpolation="bilinear")(
        ops.reshape(model(padded[:1])["flow2"], (2, 32, 44, 2)) * 2.0
    )
    np.testing.assert_allclose(model.estimate_flow(padded[:1])[0], direct, atol=1e-3)


def test_no_clips_give_no_flow(golden):
    assert golden.motion_net().estimate_flow(
        np.zeros((0, 3, 20, 30, 3), "uint8")
    ).shape == (0, 2, 20, 30, 2)


def test_clips_of_a_batch_do_not_meet(golden):
    model, clips = golden.motion_net(), golden.clips(3, 3, (32, 32))
    whole = to_numpy(model(clips)["flow2"])
    for index in range(3):
        alone = to_numpy(model(clips[index : index + 1])["flow2"])
        np.testing.assert_allclose(whole[index], alone[0], rtol=1e-4, atol=1e-3)
    assert np.abs(whole[0] - whole[1]).max() > 1  # else equality would say nothing


def test_integers_and_floats_are_the_same_clip(golden):
    model, clips = golden.motion_net(), golden.clips(1, 3, (16, 16))
    flows = [model(clips.astype(kind))["flow2"] for kind in ("uint8", "int32", "float32")]
    np.testing.assert_array_equal(flows[0], flows[1])
    np.testing.assert_array_equal(flows[0], flows[2])


def test_an_untrained_net_starts_near_zero_flow():
    flow = MotionNet(3, "tiny").estimate_flow(
        np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32, 3)).astype("uint8")
    )
    assert np.abs(flow).mean() < 1.0
    assert np.abs(flow).mean() > 0.0


# === Golden tensors, saving, serving ===


def test_golden_tensors(golden):
    stored = np.load(golden.FOLDER / "motion_net_tiny.npz")
    flows = golden.motion_net()(golden.clips(2, 3, (32, 32)))
    assert sorted(stored) == sorted(flows)
    for name in stored:
        size = np.abs(stored[name]).mean()
        np.testing.assert_allclose(flows[name], stored[name], atol=1e-3 * size)
        other = np.asarray(
            golden.fill(golden.motion_net(), 5)(golden.clips(2, 3, (32, 32)))[name]
        )
        assert np.abs(other - stored[name]).mean() > 0.1 * size


def test_keras_file_round_trip(golden, tmp_path):
    model = golden.motion_net(intermediate_convolution=False, name="mine")
    path = tmp_path / "motion.keras"
    model.save(path)
    for again in (keras.saving.load_model(path), MotionNet.from_preset(str(path))):
        assert isinstance(again, MotionNet)
        assert again.get_config() == model.get_config()
        clips = golden.clips(1, 3, (16, 24))
        np.testing.assert_array_equal(again(clips)["flow2"], model(clips)["flow2"])
    assert model.get_config()["intermediate_convolution"] is False


def test_from_preset_takes_the_motion_net_of_a_whole_model(golden, tmp_path):
    whole = golden.two_stream()
    whole.save(tmp_path / "whole.keras")
    motion = MotionNet.from_preset(tmp_path / "whole.keras")
    clips = golden.clips(1, 3, (32, 32))
    np.testing.assert_array_equal(motion(clips)["flow2"], whole.motion(clips)["flow2"])


def test_served_at_other_batch_sizes(golden, tmp_path):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("SavedModel is written with TensorFlow")
    model = golden.motion_net()
    function = tf.function(
        lambda clips: model(clips, training=False),
        input_signature=[tf.TensorSpec((None, 3, None, None, 3), tf.uint8)],
    )
    module = tf.Module()
    module.model, module.serve = model, function
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=function)
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    for count, size in ((1, (32, 32)), (3, (32, 32)), (2, (48, 16))):
        clips = golden.clips(count, 3, size)
        expected = model(clips)
        for found in (function(clips), served(tf.constant(clips))):
            assert sorted(found) == sorted(expected)
            for name in expected:
                assert found[name].shape == expected[name].shape
                np.testing.assert_allclose(found[name], expected[name], atol=1e-3)


# === Errors ===


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"variant": "huge"}, r"one of \['motionnet', 'small', 'tiny'\]; received"),
        ({"num_frames": 1}, "at least 2 frames; received num_frames=1"),
        ({"num_frames": 2.5}, "num_frames=2.5"),
    ],
)
def test_wrong_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        MotionNet(**options)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 3, 32, 32, 3), r"\(batch, 2, height, width, 3\)"),
        ((2, 32, 32, 3), "received shape"),
        ((1, 2, 32, 32, 1), "received shape"),
        ((1, 2, 36, 32, 3), "height must be a multiple of 8"),
        ((1, 2, 32, 36, 3), "width must be a multiple of 8"),
    ],
)
def test_clips_that_do_not_fit(shape, text):
    model = MotionNet(2, "tiny")
    with pytest.raises(ValueError, match=text):
        model.encode(np.zeros(shape, "uint8"))


def test_errors_of_users_are_user_errors(tmp_path):
    with pytest.raises(UserError, match=r"takes clips \(batch, 2, height"):
        MotionNet(2, "tiny").estimate_flow(np.zeros((1, 3, 8, 8, 3), "uint8"))
    with pytest.raises(UserError, match="none.keras: no such model file"):
        MotionNet.from_preset(tmp_path / "none.keras")
    (tmp_path / "bad.keras").write_bytes(b"not a zip")
    with pytest.raises(UserError, match="bad.keras: cannot be loaded"):
        MotionNet.from_preset(tmp_path / "bad.keras")
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match="holds a Functional, not a MotionNet"):
        MotionNet.from_preset(tmp_path / "other.keras")
