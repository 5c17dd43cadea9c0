"""Axes of charts: where a value lies, and round numbers to write beside it."""

import math
from typing import NamedTuple


class Axis(NamedTuple):
    """The range of an axis and its ticks."""

    low: float
    high: float
    ticks: list
    logarithmic: bool = False

    def fraction(self, value):
        """Position of a value along the axis, 0 at `low` and 1 at `high`."""
        if self.logarithmic:
            value, low, high = (math.log10(v) for v in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        return (value - low) / (high - low)


def round_ticks(low, high, count=5):
    """Round numbers (1, 2 or 5 times a power of ten apart) that enclose an interval.

    Args:
        low, high: finite numbers, low <= high; an interval of no width is widened.
        count: about how many steps to make.

    Returns:
        Ascending list of at least two floats, the first <= low, the last >= high.

    Example:
        >>> round_ticks(0.3, 9.2)
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]

    Source: Heckbert, "Nice numbers for graph labels", Graphics Gems, 1990.
    """
    size = max(abs(low), abs(high))
    # Not only equal ends: steps near the last digit of float64 cannot be told apart.
    if high - low <= size * 1e-9:
        widening = size * 0.1 or 1.0
        low, high = low - widening, high + widening
    rough = (high - low) / count
    power = math.floor(math.log10(rough))
    step = next(m * 10.0**power for m in (1, 2, 5, 10) if m * 10.0**power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 1 - power)
    return [round(k * step, digits) for k in range(first, last + 1)]


def log_ticks(low, high):
    """1, 2 and 5 times powers of ten that enclose an interval; powers over many decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 2:
        every = math.ceil((last - first) / 6)
        return [10.0**power for power in range(first, last + every, every)]
    ticks = [m * 10.0**power for power in range(first, last + 1) for m in (1, 2, 5)]
    start = max(index for index, tick in enumerate(ticks) if tick <= low * (1 + 1e-9))
    end = min(index for index, tick in enumerate(ticks) if tick >= high * (1 - 1e-9))
    return ticks[start : max(end, start + 1) + 1]
