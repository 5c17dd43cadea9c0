"""One warning for clips that are plainly not 0..255."""

import contextlib
import threading
import warnings
from collections.abc import Iterator

import keras
import numpy as np

from h2s_keras.errors import UserFacingWarning
from h2s_keras.ops.host_values import host_values
from h2s_keras.tensor_types import Tensor

_FIRST = 16  # clips looked at
_warned: set[str] = set()
_inside = threading.local()


class ClipRangeWarning(UserFacingWarning):
    """Clips look scaled to 0..1; the networks take 0..255."""


def is_unit_range(clips: Tensor) -> bool:
    """Whether float clips hold something, and nothing above 1: scaled already.

    Args:
        clips: array or tensor of any shape.

    Returns:
        bool; False for integers, for clips that are all zero or not finite, and where the
        values cannot be seen (inside a compiled graph).
    """
    if not hasattr(clips, "shape") or "float" not in str(getattr(clips, "dtype", "")):
        return False
    if isinstance(clips, keras.KerasTensor):  # Holds no values.
        return False
    if clips.shape[-1] == 2:  # Flow, which a temporal stream takes as well.
        return False
    values = host_values(clips[:_FIRST])
    if values is None or not values.size:
        return False
    values = values.astype("float32")  # NumPy cannot compute with bfloat16.
    highest = float(np.max(values))
    return highest <= 1.0 and (highest > 0.0 or float(np.min(values)) < 0.0)


def warn_unit_range(clips: Tensor, entrance: str) -> None:
    """Warns once per process and entrance of clips that are scaled already.

    Args:
        clips: array or tensor (batch, ...).
        entrance: what took them, for the text.
    """
    if entrance in _warned or getattr(_inside, "entrance", False):
        return
    if is_unit_range(clips):
        report_unit_range(entrance)


def report_unit_range(entrance: str) -> None:
    """The warning itself, for callers that have looked at the values."""
    if entrance in _warned:
        return
    _warned.add(entrance)
    warnings.warn(
        f"{entrance}: these clips are floats of at most 1, and this library takes RGB "
        "0..255 (the networks scale by themselves): give uint8, or multiply by 255.",
        ClipRangeWarning,
        stacklevel=3,
    )


@contextlib.contextmanager
def looked_at() -> Iterator[None]:
    """Within it nothing is looked at again: an entrance that calls others."""
    before = getattr(_inside, "entrance", False)
    _inside.entrance = True
    try:
        yield
    finally:
        _inside.entrance = before
