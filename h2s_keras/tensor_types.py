"""Names for annotations: Keras gives tensors and shapes of its backends no common type."""

from typing import Any, TypeAlias

# A tensor of the backend, a KerasTensor or a NumPy array; docstrings say shape and dtype.
Tensor: TypeAlias = Any
# What Keras passes as the shape of one input; an unknown side is None.
Shape: TypeAlias = tuple[int | None, ...]
# Flow of each pyramid level by its name, "flow2" to "flow6", or outputs that hold these.
Flows: TypeAlias = dict[str, Tensor]
