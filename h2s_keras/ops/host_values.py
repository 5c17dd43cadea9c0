"""The values of a tensor where Python can look at them without a cost."""

import sys
from typing import Any

import keras
import numpy as np

from h2s_keras.tensor_types import Tensor


def host_values(tensor: Tensor) -> Any:
    """NumPy values of an array or eager tensor, or None.

    Checks on values use it: they cost nothing inside a compiled graph, where there are no
    values yet, and do not make an accelerator wait.

    Args:
        tensor: array, tensor of the backend, symbolic tensor or nested list.

    Returns:
        NumPy array, or None for a tensor that is traced, symbolic, or under PyTorch on an
        accelerator.

    Example:
        >>> host_values(keras.ops.ones((2,)))
        array([1., 1.], dtype=float32)
        >>> host_values(keras.Input((2,))) is None
        True
    """
    if isinstance(tensor, (np.ndarray, np.generic, int, float, list, tuple)):
        return np.asarray(tensor)
    if not keras.ops.is_tensor(tensor) or isinstance(tensor, keras.KerasTensor):
        return None
    backend, kind = keras.backend.backend(), type(tensor)
    if backend == "tensorflow" and not hasattr(tensor, "numpy"):
        return None
    if backend == "jax":
        traced = any(parent.__name__ == "Tracer" for parent in kind.__mro__)
        if traced or not tensor.is_fully_addressable:
            return None
    if backend == "torch":
        # Tensors that torch.export and the meta device make up are of other classes.
        plain = kind.__name__ in ("Tensor", "Parameter") and tensor.device.type == "cpu"
        if not plain or sys.modules["torch"].compiler.is_compiling():
            return None
    return keras.ops.convert_to_numpy(tensor)
