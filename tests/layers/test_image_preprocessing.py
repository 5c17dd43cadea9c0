import keras
import numpy as np
import pytest
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

from h2s_keras.layers import ImagePreprocessing

RANDOM = np.random.default_rng(11)
CLIPS = RANDOM.integers(0, 256, (2, 3, 4, 5, 3), dtype="uint8")
MODES = ("unit", "caffe", "tf", "torch", "none")


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_against_keras_applications(mode):
    expected = keras.applications.imagenet_utils.preprocess_input(
        CLIPS[0].astype("float32"), data_format="channels_last", mode=mode
    )
    assert_close(ImagePreprocessing(mode)(CLIPS[0]), expected, atol=1e-3)


def test_unit_is_the_released_mean_over_255():
    expected = (CLIPS[..., ::-1] - np.array([104.0, 117.0, 123.0]))[..., ::-1] / 255
    actual = ImagePreprocessing()(CLIPS)
    assert_close(actual, expected, atol=1e-6)
    assert np.abs(to_numpy(actual) - expected[..., ::-1]).max() > 0.01


def test_none_changes_only_the_dtype():
    actual = ImagePreprocessing("none")(CLIPS)
    assert dtype_of(actual) == "float32"
    assert_close(actual, CLIPS, rtol=0, atol=0)


@pytest.mark.parametrize("mode", MODES)
def test_config(mode):
    assert_survives_config(ImagePreprocessing(mode), CLIPS)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("mode", MODES)
def test_policies(policy, mode):
    layer = ImagePreprocessing(mode, dtype=policy)
    actual = layer(CLIPS)
    assert dtype_of(actual) == layer.compute_dtype
    # float32 until the very end: one rounding, not two.
    exact = ImagePreprocessing(mode)(CLIPS)
    assert_close(actual, ops.cast(exact, layer.compute_dtype), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32"])
def test_any_dtype_in(dtype):
    layer = ImagePreprocessing("torch")
    assert_close(layer(ops.cast(CLIPS, dtype)), layer(CLIPS), rtol=0, atol=0)


def test_symbolic_output_is_what_comes_out():
    layer = ImagePreprocessing(dtype="mixed_float16")
    symbolic = layer(keras.Input((None, None, None, 3), dtype="uint8"))
    assert symbolic.shape == (None,) * 4 + (3,) and dtype_of(symbolic) == "float16"


def test_saved_in_a_model(tmp_path):
    inputs = keras.Input((3, None, None, 3), dtype="uint8")
    model = keras.Model(inputs, ImagePreprocessing("caffe")(inputs))
    loaded = assert_survives_file(model, CLIPS, tmp_path)
    assert loaded(CLIPS[:1, :, :3]).shape == (1, 3, 3, 5, 3)


def test_gradient():
    layer = ImagePreprocessing("unit")
    (slope,) = gradient(lambda x: ops.sum(layer(x)), CLIPS)
    assert_close(slope, np.full(CLIPS.shape, 1 / 255))


def test_errors():
    with pytest.raises(ValueError, match="mode must be one of .*'unit'.*received 'keras'"):
        ImagePreprocessing("keras")


@only_tensorflow
def test_served_at_a_second_batch_size(tmp_path):
    inputs = keras.Input((3, None, None, 3), dtype="uint8")
    model = keras.Model(inputs, ImagePreprocessing()(inputs))
    serve = served(model, tmp_path)
    for count in (1, 2):
        assert_close(serve(CLIPS[:count]), model(CLIPS[:count]))
