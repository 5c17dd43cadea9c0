"""The values of a tensor where Python can look at them without a cost."""

import keras
import numpy as np


def host_values(tensor):
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
    backend = keras.backend.backend()
    if backend == "tensorflow" and not hasattr(tensor, "numpy"):
        return None
    if backend == "jax":
        import jax

        if isinstance(tensor, jax.core.Tracer) or not tensor.is_fully_addressable:
            return None
    if backend == "torch":
        import torch

        traced = torch.compiler.is_compiling() or type(tensor) not in (
            torch.Tensor,
            torch.nn.Parameter,
        )
        if traced or tensor.device.type != "cpu":
            return None
    return keras.ops.convert_to_numpy(tensor)
