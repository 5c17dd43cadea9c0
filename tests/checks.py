"""Checks that many tests share; all of them run on every backend unless marked."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")

only_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="tf.function, tf.data and SavedModel belong to the TensorFlow backend",
)


def to_numpy(tensors):
    """Tensors of any float type, nested as they come, as float32 NumPy arrays."""
    return keras.tree.map_structure(
        lambda tensor: ops.convert_to_numpy(ops.cast(tensor, "float32")), tensors
    )


def dtype_of(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def assert_close(actual, expected, rtol=1e-5, atol=1e-5):
    """Equal within tolerance, for one array or for equal structures of arrays."""
    actual, expected = to_numpy(actual), to_numpy(expected)
    keras.tree.assert_same_structure(actual, expected)
    pairs = zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True)
    for one, other in pairs:
        assert one.shape == other.shape, f"shapes {one.shape} and {other.shape}"
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def assert_differs(actual, expected, by=1e-2):
    """The negative control of `assert_close`."""
    assert np.abs(to_numpy(actual) - to_numpy(expected)).max() > by


def init_arguments(cls):
    parameters = inspect.signature(cls.__init__).parameters.values()
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [item.name for item in parameters if item.kind in plain and item.name != "self"]


def assert_survives_config(layer, *inputs):
    """Every `__init__` argument is in the config and a revived layer acts the same.

    A layer with weights comes built.
    """
    expected = jitted(layer)(*inputs)
    config = layer.get_config()
    missing = [name for name in init_arguments(type(layer)) if name not in config]
    assert not missing, f"{type(layer).__name__}.get_config() leaves out {missing}"
    revived = type(layer).from_config(config)
    assert revived.get_config() == config
    if layer.weights:
        revived.build(layer.get_build_config()["input_shape"])
        revived.set_weights(layer.get_weights())
    assert_close(jitted(revived)(*inputs), expected, rtol=0, atol=0)


def assert_survives_file(model, inputs, folder):
    """A model saved as .keras and loaded again gives equal outputs."""
    path = str(folder / "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    assert_close(jitted(loaded)(inputs), jitted(model)(inputs), rtol=1e-6, atol=1e-6)
    return loaded


def jitted(function):
    """`function`, compiled as a whole on JAX, where op by op every new shape is slow."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    return jax.jit(function, compiler_options=quick)


def compiled(function, *shapes, xla=False, dtype="float32"):
    """`function` as a tf.function with the given, possibly unknown, input shapes."""
    import tensorflow as tf

    signature = [tf.TensorSpec(shape, dtype) for shape in shapes]
    return tf.function(function, input_signature=signature, jit_compile=xla)


def served(model, folder):
    """A model exported as SavedModel and loaded without Keras, as a function."""
    import tensorflow as tf

    model.export(str(folder / "served"), format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(str(folder / "served"))
    return lambda inputs: loaded.serve(inputs)  # keeps `loaded` and its variables alive
