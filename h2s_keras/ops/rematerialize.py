"""Activations computed again in the backward pass instead of being kept."""

from collections.abc import Callable
from typing import Any

import keras


def rematerialize(function: Callable[..., Any], layers: Any, *inputs: Any) -> Any:
    """`function(*inputs)`, whose inner activations the backward pass computes again.

    Every variable goes in and out as a tensor: TensorFlow gives no gradient to what a
    recomputed function merely captures, JAX lets no new value of a moving mean out of it
    otherwise, and on TensorFlow and PyTorch the second run would update it twice.

    Args:
        function: of tensors, to a tensor or a list of tensors; whatever variables it uses
            belong to `layers`.
        layers: built layers.
        *inputs: float tensors.

    Returns:
        What `function` returns.

    Example:
        >>> dense = keras.layers.Dense(3)
        >>> dense.build((None, 2))
        >>> rematerialize(dense, [dense], keras.ops.ones((4, 2))).shape
        (4, 3)
    """
    variables = [variable for layer in layers for variable in layer.variables]
    states = [variable for variable in variables if not variable.trainable]
    shape = {}

    def pure(*arguments):
        tensors, values = arguments[: len(inputs)], arguments[len(inputs) :]
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = function(*tensors)
        shape["outputs"] = outputs
        after = [scope.get_current_value(variable) for variable in states]
        return (*keras.tree.flatten(outputs), *after)

    # Copies: PyTorch assigns in place, below the eyes of the run to come.
    values = [
        keras.ops.convert_to_tensor(variable)
        if variable.trainable
        else keras.ops.copy(variable)
        for variable in variables
    ]
    flat = keras.remat(pure)(*inputs, *values)
    count = len(flat) - len(states)
    for state, value in zip(states, flat[count:], strict=True):
        state.assign(value)
    return keras.tree.pack_sequence_as(shape["outputs"], list(flat[:count]))
