"""Gradients on whichever backend runs, and finite differences to hold them against."""

import keras
import numpy as np
from checks import jitted
from keras import ops


def gradient(function, *arrays):
    """d function(*tensors) / d each array, as a list of NumPy arrays.

    `function` takes float32 tensors of the backend and returns a scalar tensor. What the
    result does not depend on has a gradient of zeros.
    """
    arrays = [np.asarray(array, "float32") for array in arrays]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tensors = [tf.constant(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        gradients = tape.gradient(
            value, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
    elif backend == "jax":
        import jax

        gradients = jitted(jax.grad(function, tuple(range(len(arrays)))))(*arrays)
    else:
        import torch

        tensors = [ops.convert_to_tensor(array).requires_grad_() for array in arrays]
        gradients = torch.autograd.grad(
            function(*tensors), tensors, allow_unused=True, materialize_grads=True
        )
    return [ops.convert_to_numpy(ops.convert_to_tensor(one)) for one in gradients]


def finite_difference(function, array, step=1e-5):
    """Central differences of a float64 NumPy function with a scalar result."""
    array = np.asarray(array, "float64")
    result = np.zeros_like(array)
    for index in np.ndindex(*array.shape):
        up, down = array.copy(), array.copy()
        up[index] += step
        down[index] -= step
        result[index] = (function(up) - function(down)) / (2 * step)
    return result


def directional_difference(function, array, direction, step=1e-5):
    """Slope of a float64 NumPy function along one direction, for costly functions."""
    array = np.asarray(array, "float64")
    return (function(array + step * direction) - function(array - step * direction)) / (
        2 * step
    )
