"""I3D against its published table, and against the 2D network it is inflated from."""

import keras
import numpy as np
import pytest
from checks import (
    assert_close,
    assert_differs,
    assert_survives_file,
    dtype_of,
    jitted,
    only_tensorflow,
    to_numpy,
)

from h2s_keras import VideoClassifier
from h2s_keras.layers.flow_volume import FlowVolume
from h2s_keras.models import HiddenTwoStreamBuilder, load_model
from h2s_keras.models.backbones import build_backbone
from h2s_keras.models.cross_modality import copy_named_weights, inflate_kernel
from h2s_keras.models.i3d import FLOW_SCALE, i3d, inception_v1

# Szegedy et al. 2015, table 1: block, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pooling's
# projection, depth; I3D has 3x3 instead of 5x5.
PUBLISHED = """
    3b   64   96  128   16   32   32  256
    3c  128  128  192   32   96   64  480
    4b  192   96  208   16   48   64  512
    4c  160  112  224   24   64   64  512
    4d  128  128  256   24   64   64  512
    4e  112  144  288   32   64   64  528
    4f  256  160  320   32  128  128  832
    5b  256  160  320   32  128  128  832
    5c  384  192  384   48  128  128 1024
"""
WIDTH = 0.125


def published(channels, dimensions):
    """Parameters: kernels, and shift, mean and variance of batch normalisation."""
    rows = [(7, channels, 64), (1, 64, 64), (3, 64, 192)]
    depth = 192
    for line in PUBLISHED.split("\n")[1:-1]:
        one, reduce3, three, reduce5, five, projection, after = map(int, line.split()[1:])
        rows += [(1, depth, one), (1, depth, reduce3), (3, reduce3, three)]
        rows += [(1, depth, reduce5), (3, reduce5, five), (1, depth, projection)]
        assert one + three + five + projection == after
        depth = after
    return sum(side**dimensions * a * b + 3 * b for side, a, b in rows)


def still(size=(64, 64), seed=0):
    """A picture in -1..1."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (1, *size, 3)).astype("float32")


def settle(model, seed=1):
    """Statistics as after training: random, so that normalisation acts everywhere."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shift, mean, variance = layer.get_weights()
            layer.set_weights(
                [
                    rng.normal(0, 0.3, shift.shape),
                    rng.normal(0, 0.1, mean.shape),
                    rng.uniform(0.2, 1.0, variance.shape),
                ]
            )
    return model


@pytest.fixture(scope="module")
def parent():
    keras.utils.set_random_seed(1)
    return settle(inception_v1((None, None, 3), width=WIDTH))


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(2)
    return settle(i3d((None, None, None, 3), width=WIDTH))


@pytest.mark.parametrize(("shape", "channels"), [((8, 32, 32, 3), 3), ((32, 32, 20), 2)])
def test_parameters_are_the_published_ones(shape, channels):
    model = i3d(shape)
    assert model.count_params() == published(channels, 3)
    assert model.output_shape == (None, {3: 1, 2: 2}[channels], 1, 1, 1024)
    if channels == 3:
        assert model.count_params() == 12_294_544  # what the docstring says
        assert round(model.count_params() / 1e6, 1) == 12.3


def test_the_parent_has_the_published_parameters_and_the_same_layers(network, parent):
    assert inception_v1((32, 32, 3)).count_params() == published(3, 2)
    mine, theirs = (
        [layer.name for layer in model.layers if layer.weights]
        for model in (network, parent)
    )
    assert mine == theirs and len(mine) == 2 * 57


@pytest.mark.parametrize(
    ("clip", "maps"),
    [((1, 32, 32), (1, 1, 1)), ((9, 40, 70), (2, 2, 3)), ((16, 64, 32), (2, 2, 1))],
)
def test_any_length_and_size(network, clip, maps):
    inputs = np.random.default_rng(0).uniform(-1, 1, (2, *clip, 3)).astype("float32")
    outputs = to_numpy(jitted(network)(inputs))
    assert outputs.shape == (2, *maps, 128) and np.isfinite(outputs).all()
    assert outputs.std() > 0


@pytest.mark.parametrize("time", [1, 3, 7])
def test_inflated_kernels_answer_a_still_clip_as_the_image(time):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 4, 5))
    wide = inflate_kernel(kernel, time)
    assert wide.shape == (time, 3, 3, 4, 5)
    patch = rng.normal(size=(3, 3, 4, 1))
    image = (patch * kernel).sum(axis=(0, 1, 2))
    np.testing.assert_allclose((patch * wide).sum(axis=(0, 1, 2, 3)), image)
    moving = rng.normal(size=(time, 3, 3, 4, 1))
    assert time == 1 or np.abs((moving * wide).sum(axis=(0, 1, 2, 3)) - image).max() > 0.1


@pytest.mark.parametrize(("shape", "time"), [((3, 3), 3), ((3, 3, 3, 4, 5), 3)])
def test_kernels_that_cannot_be_inflated(shape, time):
    with pytest.raises(ValueError, match="inflate_kernel takes a kernel"):
        inflate_kernel(np.zeros(shape), time)
    with pytest.raises(ValueError, match="time >= 1; received .* and 0"):
        inflate_kernel(np.zeros((3, 3, 4, 5)), 0)


def inflated(parent):
    """I3D bootstrapped from `parent`, layer by layer."""
    model = i3d((None, None, None, 3), width=WIDTH)
    for layer in model.layers:
        if layer.weights:
            values = parent.get_layer(layer.name).get_weights()
            if values[0].ndim == 4:
                values[0] = inflate_kernel(values[0], layer.kernel.shape[0])
            layer.set_weights(values)
    return model


def test_bootstrapped_on_a_still_clip_it_is_the_2d_network(parent):
    """Where the zeros before and after the clip do not reach.

    Their reach is 3 frames of the first convolution at stride 2, and in turn one step of
    each of 19 more convolutions and poolings: 64 steps of the last maps at most.
    """
    picture = still((32, 32))
    expected = to_numpy(jitted(parent)(picture))
    model = jitted(inflated(parent))
    clip = np.repeat(picture[:, None], 200, axis=1)
    maps = to_numpy(model(clip))
    assert maps.shape == (1, 25, 1, 1, 128)
    assert np.abs(expected).max() > 0.1
    assert_close(maps[:, 12], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    # At the ends the padding shows, and a clip that moves is no still.
    assert_differs(maps[:, 0], expected)
    clip[:, ::2] *= -1
    assert_differs(model(clip)[:, 12], expected)


@pytest.mark.long
def test_a_weights_file_of_the_parent_is_inflated(tmp_path):
    """`build_backbone` inflates a file of the 2D network and widens RGB to u and v."""
    path = str(tmp_path / "parent.weights.h5")
    keras.utils.set_random_seed(4)
    parent = inception_v1((32, 32, 3))
    parent.save_weights(path)
    model = build_backbone("i3d", (32, 32, 4), 3, weights=path)
    body = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    kernel = parent.get_layer("Conv_1a_7x7").get_weights()[0]
    first = body.get_layer("Conv_1a_7x7").get_weights()[0]
    assert first.shape == (7, 7, 7, 2, 64)
    for time in range(7):
        for channel in range(2):
            one = first[time, :, :, channel]
            np.testing.assert_allclose(one, kernel.mean(axis=2) / 7, atol=1e-7)
    name = "Mixed_4b_Branch_1_0b_3x3"
    inner = inflate_kernel(parent.get_layer(name).get_weights()[0], 3)
    np.testing.assert_array_equal(body.get_layer(name).get_weights()[0], inner)
    with pytest.raises(ValueError, match="no ImageNet weights of i3d"):
        copy_named_weights([i3d], body, "imagenet")
    with pytest.raises(ValueError, match="do not fit inception_v1"):
        copy_named_weights([i3d], parent, path)


def test_stacked_flow_is_read_as_a_volume_in_time():
    keras.utils.set_random_seed(5)
    stacked = settle(i3d((32, 32, 20), width=WIDTH))
    first = stacked.get_layer("Conv_1a_7x7")
    assert first.kernel.shape[:4] == (7, 7, 7, 2)
    volume_net = keras.Model(first.input, stacked.output)
    flow = np.random.default_rng(0).uniform(-128, 127, (2, 32, 32, 20)).astype("float32")
    maps = to_numpy(jitted(stacked)(flow))
    # Channel 2t is u of pair t, channel 2t + 1 its v.
    volume = np.stack(
        [np.stack([flow[..., 2 * t], flow[..., 2 * t + 1]], axis=-1) for t in range(10)],
        axis=1,
    )
    assert_close(jitted(volume_net)(volume / 128), maps, rtol=1e-4, atol=1e-4)
    assert_close(FlowVolume(FLOW_SCALE)(flow), volume / 128, rtol=1e-6, atol=0)
    size = 0.01 * np.abs(maps).max()
    backwards = volume[:, ::-1] / 128
    assert_differs(jitted(volume_net)(backwards.copy()), maps, by=size)
    swapped = volume[..., ::-1] / 128
    assert_differs(jitted(volume_net)(swapped.copy()), maps, by=size)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_near_float32(network, policy):
    keras.config.set_dtype_policy(policy)
    half = i3d((8, 32, 32, 3), width=WIDTH)
    half.set_weights(network.get_weights())
    clip = np.random.default_rng(0).uniform(-1, 1, (2, 8, 32, 32, 3)).astype("float32")
    maps, expected = jitted(half)(clip), to_numpy(jitted(network)(clip))
    assert dtype_of(maps) == policy.removeprefix("mixed_")
    error = np.abs(to_numpy(maps) - expected).max() / np.abs(expected).max()
    assert error < (0.02 if policy == "mixed_float16" else 0.2), error


@pytest.mark.parametrize("partial", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_training_step(partial):
    """All kernels learn; under partial normalisation only the first statistics move."""
    keras.utils.set_random_seed(3)
    model = i3d((32, 32, 16), WIDTH, partial_batch_normalization=partial)
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    layers = [layer for layer in model.layers if layer.weights]
    before = [layer.get_weights() for layer in layers]
    rng = np.random.default_rng(4)
    flow = rng.uniform(-128, 127, (6, 32, 32, 16)).astype("float32")
    targets = rng.normal(size=(6, *model.output_shape[1:])).astype("float32")
    assert np.isfinite(model.train_on_batch(flow, targets))
    normalisations = 0
    for layer, old in zip(layers, before, strict=True):
        new = layer.get_weights()
        assert all(np.isfinite(value).all() for value in new), layer.name
        assert_differs(new[0], old[0], by=0)
        if len(new) == 3:
            moved = [np.abs(new[i] - old[i]).max() > 0 for i in (1, 2)]
            expected = not partial or normalisations == 0
            assert moved == [expected, expected], layer.name
            normalisations += 1
    assert normalisations == 57


def test_keras_file_round_trip(tmp_path):
    model = settle(i3d((32, 32, 4), WIDTH, partial_batch_normalization=True))
    flow = np.random.default_rng(0).uniform(-9, 9, (2, 32, 32, 4)).astype("float32")
    loaded = assert_survives_file(model, flow, tmp_path)
    frozen = [la.frozen for la in loaded.layers if hasattr(la, "frozen")]
    assert frozen == [False] + [True] * 56


@pytest.mark.parametrize(
    ("shape", "text"),
    [((32, 32), "i3d takes clips"), ((32, 32, 5), r"channels u0 v0.*\(None, 32, 32, 5\)")],
)
def test_inputs_that_do_not_fit(shape, text):
    with pytest.raises(ValueError, match=text):
        i3d(shape)


@pytest.fixture(scope="module")
def two_stream():
    keras.utils.set_random_seed(6)
    builder = HiddenTwoStreamBuilder(["a", "b", "c"], 4, (32, 32)).motion("tiny")
    return builder.temporal("i3d").spatial("i3d", dropout=0.0).build()


@pytest.mark.long
def test_both_streams_of_a_two_stream_model(two_stream, golden, tmp_path):
    model, clips = two_stream, golden.clips(2, 4, (32, 32))
    assert model.spatial.input_shape == (None, 4, 32, 32, 3)
    assert model.temporal.input_shape == (None, 32, 32, 6)
    assert model.spatial_preprocessing.mode == "tf"
    images = to_numpy(model.spatial_images(clips))
    np.testing.assert_allclose(images, clips / 127.5 - 1, atol=1e-6)
    outputs = model(clips)
    spec = model.compute_output_spec(keras.KerasTensor(clips.shape, dtype="uint8"))
    assert {key: tuple(value.shape) for key, value in spec.items()} == {
        key: tuple(value.shape) for key, value in outputs.items()
    }
    for frame in range(4):
        other = clips.copy()
        other[:, frame] = 255 - other[:, frame]
        assert_differs(
            model.run_streams(other, ["spatial"])["spatial_logits"],
            outputs["spatial_logits"],
            by=1e-5,
        )
    model.save(tmp_path / "model.keras")
    assert_close(load_model(tmp_path / "model.keras")(clips), outputs, atol=1e-5)


@only_tensorflow
def test_its_video_classifier(two_stream, golden, monkeypatch):
    clips = golden.clips(2, 4, (32, 32))
    classifier = VideoClassifier(two_stream)
    monkeypatch.setattr(
        classifier, "_batches", lambda video: iter([(clips, np.array([0.5, 0.5]))])
    )
    best = classifier.predict("video.mp4", top_k=2)
    assert len(best) == 2 and best[0]["score"] >= best[1]["score"]
    scores = classifier.scores("video.mp4")
    assert scores.shape == (3,) and abs(scores.sum() - 1) < 1e-5
