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

from h2s_keras.layers import BackwardWarp

RANDOM = np.random.default_rng(10)
IMAGE = RANDOM.normal(size=(2, 5, 6, 3)).astype("float32")
FLOW = RANDOM.uniform(-2, 2, (2, 5, 6, 2)).astype("float32")


def functional(**kwargs):
    inputs = [keras.Input((None, None, 3)), keras.Input((None, None, 2))]
    return keras.Model(inputs, BackwardWarp(**kwargs)(inputs))


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_acts_as_the_reference(padding):
    actual = BackwardWarp(padding)([IMAGE, FLOW])
    assert_close(actual, reference.warp(IMAGE, FLOW, padding), atol=2e-5)


@pytest.mark.parametrize("kwargs", [{}, {"padding": "border", "return_mask": True}])
def test_config(kwargs):
    assert_survives_config(BackwardWarp(**kwargs), [IMAGE, FLOW])


def test_saved_in_a_model(tmp_path):
    loaded = assert_survives_file(functional(padding="border"), [IMAGE, FLOW], tmp_path)
    assert any(layer.get_config().get("padding") == "border" for layer in loaded.layers)


@pytest.mark.parametrize("policy", POLICIES)
def test_coordinates_are_float32_under_every_policy(policy):
    image = np.arange(512, dtype="float32")[None, None, :, None]
    flow = np.broadcast_to(np.array([300.3, 0], "float32"), (1, 1, 512, 2))
    warped = to_numpy(BackwardWarp(dtype=policy)([image, flow]))
    assert abs(warped[0, 0, 0, 0] - 300.3) < 1e-3  # float16 would give 300.25
    inside = to_numpy(functional(dtype=policy)([image, flow]))
    assert abs(inside[0, 0, 0, 0] - 300.3) < 1e-3


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype_is_that_of_the_image(policy, dtype):
    layer = BackwardWarp(return_mask=True, dtype=policy)
    image, flow = ops.cast(IMAGE, dtype), ops.convert_to_tensor(FLOW)
    warped, mask = layer([image, flow])
    assert (dtype_of(warped), dtype_of(mask)) == (dtype, "float32")
    assert np.isfinite(to_numpy(warped)).all()
    assert_close(warped, reference.warp(to_numpy(image), FLOW), rtol=0.01, atol=0.02)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("return_mask", [False, True])
def test_symbolic_outputs_are_what_comes_out(policy, return_mask):
    layer = BackwardWarp(return_mask=return_mask, dtype=policy)
    dtype = "uint8" if return_mask else "float32"
    image, flow = keras.Input((5, None, 3), dtype=dtype), keras.Input((5, None, 2))
    symbolic = keras.tree.flatten(layer([image, flow]))
    real = keras.tree.flatten(layer([ops.cast(IMAGE, dtype), FLOW]))
    assert [dtype_of(one) for one in symbolic] == [dtype_of(one) for one in real]
    assert symbolic[0].shape == (None, 5, None, 3)
    assert not return_mask or symbolic[1].shape == (None, 5, None, 1)


def test_any_batch_height_and_width():
    model = functional()
    for shape in ((1, 5, 6), (2, 3, 9)):
        image = RANDOM.normal(size=(*shape, 3)).astype("float32")
        assert_close(model([image, np.zeros((*shape, 2), "float32")]), image, 0, 0)


def test_gradients_are_finite_and_not_zero():
    layer = BackwardWarp()
    slopes = gradient(lambda i, f: ops.sum(ops.square(layer([i, f]))), IMAGE, FLOW)
    for slope in slopes:
        assert np.isfinite(slope).all() and np.abs(slope).max() > 0.1


def test_errors():
    with pytest.raises(ValueError, match="padding must be one of .*received 'reflect'"):
        BackwardWarp("reflect")
    with pytest.raises(ValueError, match=r"BackwardWarp\(\)\(\[image, flow\]\)"):
        BackwardWarp()(IMAGE)
    with pytest.raises(ValueError, match="takes a list .*received KerasTensor"):
        BackwardWarp()(keras.Input((5, 6, 3)))
    with pytest.raises(ValueError, match="their height differs"):
        BackwardWarp()([IMAGE, FLOW[:, :4]])


@only_tensorflow
def test_served_at_a_second_batch_size(tmp_path):
    model = functional()
    serve = served(model, tmp_path)
    for count in (1, 2):
        inputs = [IMAGE[:count], FLOW[:count]]
        assert_close(serve(inputs), model(inputs))


def test_a_model_that_could_never_run_is_not_built():
    image, flow = keras.Input((8, 8, 3)), keras.Input((4, 8, 2))
    with pytest.raises(ValueError, match="must lie on one grid; their height differs"):
        BackwardWarp()([image, flow])
