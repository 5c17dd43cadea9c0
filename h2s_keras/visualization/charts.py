"""Charts as inline SVG and HTML, drawn without any plotting library.

Text and axes take the colour of the surrounding page, so a chart reads on a dark page and
on a light one. All text from the caller is escaped.
"""

import html
import math
import re
from typing import NamedTuple

# Okabe and Ito's palette without black and yellow: told apart by the colour-blind, and
# readable on both black and white.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# After six lines the colours repeat with the next pattern.
_DASHES = ("", "6 4", "2 3")
_FONT = 14
# Browsers measure text, we cannot: the mean advance of a sans-serif letter.
_LETTER = 0.56 * _FONT
# Characters that XML forbids even when escaped.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class _Axis(NamedTuple):
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


def escape_text(text):
    """Any value as text that is safe in XML and HTML, in attributes too.

    Example:
        >>> escape_text('<b>"')
        '&lt;b&gt;&quot;'
    """
    return _FORBIDDEN.sub("\ufffd", html.escape(str(text), quote=True))


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


def line_chart(series, title, x_label="", y_label="", width=560, height=320, log_y=False):
    """Lines over a common pair of axes, as one SVG element.

    Args:
        series: dict from name to a list of (x, y) numbers in drawing order. A point that
            is not finite (or, with log_y, not above 0) leaves a gap in its line; a line
            of one point is a dot.
        title: heading, also the name that screen readers announce.
        x_label, y_label: text of the axes.
        width, height: size in CSS pixels; narrower pages shrink the chart.
        log_y: logarithmic y axis.

    Returns:
        str, an `<svg>` element that stands alone or inside HTML. Without any point to draw
        it says so, for a report on a run that diverged must still be written.

    Raises:
        ValueError: if width or height is too small for axes.

    Example:
        >>> chart = line_chart({"train": [(0, 2.0), (1, 0.7)]}, "Loss", x_label="epoch")
        >>> chart[:4]
        '<svg'
    """
    if width < 200 or height < 150:
        raise ValueError(
            f"A line chart needs at least 200x150 pixels; received {width}x{height}."
        )
    lines = {name: _unbroken_runs(points, log_y) for name, points in series.items()}
    points = [point for runs in lines.values() for run in runs for point in run]
    legend, legend_height = _legend(list(series), width)
    top = 34 + legend_height
    # Many lines in a low chart: grow rather than squeeze the axes to nothing.
    height = max(height, top + 140)
    if not points:
        body = [_text(width / 2, height / 2, "no data", "middle")]
        return _svg(title, width, height, legend + body)

    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_ticks = round_ticks(min(xs), max(xs), 6)
    x_low, x_high = (min(xs), max(xs)) if max(xs) > min(xs) else (x_ticks[0], x_ticks[-1])
    x_axis = _Axis(x_low, x_high, [tick for tick in x_ticks if x_low <= tick <= x_high])
    y_ticks = _log_ticks(min(ys), max(ys)) if log_y else round_ticks(min(ys), max(ys))
    y_axis = _Axis(y_ticks[0], y_ticks[-1], y_ticks, log_y)

    widest = max(len(_number(tick)) for tick in y_axis.ticks)
    left = 14 + widest * _LETTER + (22 if y_label else 0)
    right, bottom = width - 24, height - (50 if x_label else 28)

    def place(point):
        x = left + x_axis.fraction(point[0]) * (right - left)
        return x, bottom - y_axis.fraction(point[1]) * (bottom - top)

    body = []
    for tick in y_axis.ticks:
        y = place((x_low, tick))[1]
        body.append(_rule(left, y, right, y, 0.15))
        body.append(_text(left - 8, y + 5, _number(tick), "end"))
    for tick in x_axis.ticks:
        x = place((tick, y_axis.low))[0]
        body.append(_rule(x, bottom, x, bottom + 5, 0.8))
        body.append(_text(x, bottom + 20, _number(tick), "middle"))
    body.append(_rule(left, bottom, right, bottom, 0.8))
    body.append(_rule(left, top, left, bottom, 0.8))
    if x_label:
        body.append(_text((left + right) / 2, height - 10, x_label, "middle"))
    if y_label:
        middle = (top + bottom) / 2
        turned = f' transform="rotate(-90 18 {middle:.1f})"'
        body.append(_text(18, middle, y_label, "middle", turned))
    for index, runs in enumerate(lines.values()):
        for run in runs:
            body.append(_line([place(point) for point in run], index))
    return _svg(title, width, height, legend + body)


def bar_chart(values, title, value_label="", width=560):
    """Horizontal bars from zero, one a name, so that long class names stay readable.

    Args:
        values: dict from name to number, drawn from top to bottom; a value that is not
            finite gets no bar, only its text.
        title: heading, also the name that screen readers announce.
        value_label: text of the value axis.
        width: CSS pixels; the height follows from the number of bars.

    Returns:
        str, an `<svg>` element.

    Raises:
        ValueError: if width is below 200.

    Example:
        >>> chart = bar_chart({"Archery": 0.9, "Bowling": 0.75}, "Accuracy")
        >>> chart.count("<rect")
        2
    """
    if width < 200:
        raise ValueError(f"A bar chart needs a width of at least 200; received {width}.")
    finite = [value for value in values.values() if math.isfinite(value)]
    ticks = round_ticks(min([0.0, *finite]), max([0.0, *finite]))
    axis = _Axis(ticks[0], ticks[-1], ticks)
    names = {name: _shorten(str(name), width * 0.4) for name in values}
    left = 16 + max((len(text) for text in names.values()), default=0) * _LETTER
    # Room for the number that is written after the longest bar.
    right, top, row = width - 64, 38, 26
    bottom = top + row * max(1, len(values))

    def place(value):
        return left + axis.fraction(value) * (right - left)

    body = [] if values else [_text(width / 2, top + 18, "no data", "middle")]
    for tick in axis.ticks:
        body.append(
            _rule(place(tick), top, place(tick), bottom, 0.8 if tick == 0 else 0.15)
        )
        body.append(_text(place(tick), bottom + 18, _number(tick), "middle"))
    for index, (name, value) in enumerate(values.items()):
        middle = top + row * (index + 0.5)
        body.append(_text(left - 8, middle + 5, names[name], "end", "", str(name)))
        start = end = place(0.0)
        if math.isfinite(value):
            start, end = sorted((start, place(value)))
            body.append(
                f'<rect x="{start:.1f}" y="{middle - 9:.1f}" width="{end - start:.1f}" '
                f'height="18" fill="{_COLORS[0]}"/>'
            )
        body.append(_text(end + 6, middle + 5, f"{value:.4g}"))
    if value_label:
        body.append(_text((left + right) / 2, bottom + 40, value_label, "middle"))
    return _svg(title, width, bottom + (50 if value_label else 28), body)


def confusion_table(matrix, classes, title="Confusion matrix"):
    """A confusion matrix as an HTML table whose cells are shaded by their share of the row.

    Args:
        matrix: (classes, classes) counts of at least 0; rows are the true classes, columns
            the predicted ones.
        classes: their names, in order.
        title: caption.

    Returns:
        str, a `<table>` element that is also well-formed XML.

    Raises:
        ValueError: if the matrix is not square over the classes.

    Example:
        >>> "<td" in confusion_table([[8, 2], [1, 9]], ["Archery", "Bowling"])
        True
    """
    rows = [list(row) for row in matrix]
    if len(rows) != len(classes) or any(len(row) != len(classes) for row in rows):
        raise ValueError(
            f"A confusion matrix over {len(classes)} classes is {len(classes)}x"
            f"{len(classes)}; received rows of lengths {[len(row) for row in rows]}."
        )
    columns = "".join(
        f'<th scope="col"><span style="writing-mode:vertical-rl">{escape_text(name)}'
        "</span></th>"
        for name in classes
    )
    lines = []
    for name, row in zip(classes, rows, strict=True):
        total = sum(row)
        cells = []
        for count in row:
            # 0.6 at most: text of either theme stays readable on the shade.
            shade = 0.6 * count / total if total > 0 else 0.0
            color = f"background:rgba(0,114,178,{shade:.3f})"
            cells.append(f'<td style="text-align:right;{color}">{_number(count)}</td>')
        lines.append(f'<tr><th scope="row">{escape_text(name)}</th>{"".join(cells)}</tr>')
    return (
        f"<table><caption>{escape_text(title)} (rows: true class, columns: predicted)"
        f"</caption><thead><tr><td></td>{columns}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _unbroken_runs(points, log_y):
    runs = [[]]
    for x, y in points:
        x, y = float(x), float(y)
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log_y):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _log_ticks(low, high):
    """1, 2 and 5 times powers of ten that enclose an interval; powers over many decades."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first > 2:
        every = math.ceil((last - first) / 6)
        return [10.0**power for power in range(first, last + every, every)]
    ticks = [m * 10.0**power for power in range(first, last + 1) for m in (1, 2, 5)]
    start = max(index for index, tick in enumerate(ticks) if tick <= low * (1 + 1e-9))
    end = min(index for index, tick in enumerate(ticks) if tick >= high * (1 - 1e-9))
    return ticks[start : max(end, start + 1) + 1]


def _legend(names, width):
    """SVG parts of the legend under the title, and the height that they take."""
    parts, x, y = [], 16.0, 46.0
    for index, name in enumerate(names):
        shown = _shorten(str(name), width - 70)
        needed = 36 + len(shown) * _LETTER + 18
        if x > 16 and x + needed > width:
            x, y = 16.0, y + 22
        parts.append(_line([(x, y), (x + 28, y)], index))
        parts.append(_text(x + 36, y + 5, shown, "start", "", str(name)))
        x += needed
    return parts, (y - 46 + 30 if names else 0)


def _line(places, index):
    color = _COLORS[index % len(_COLORS)]
    if len(places) == 1:
        (x, y), *_ = places
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>'
    dash = _DASHES[index // len(_COLORS) % len(_DASHES)]
    pattern = f' stroke-dasharray="{dash}"' if dash else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return (
        f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2" '
        f'stroke-linejoin="round"{pattern}/>'
    )


def _rule(x1, y1, x2, y2, opacity):
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="currentColor" stroke-opacity="{opacity}"/>'
    )


def _text(x, y, text, anchor="start", attributes="", full_text=None):
    """One line of text; where it was shortened, hovering shows the whole."""
    hover = "" if full_text in (None, text) else f"<title>{escape_text(full_text)}</title>"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>'
        f"{escape_text(text)}{hover}</text>"
    )


def _shorten(text, pixels):
    letters = max(4, int(pixels / _LETTER))
    return text if len(text) <= letters else text[: letters - 1] + "\u2026"


def _number(value):
    return f"{value:.10g}"


def _svg(title, width, height, parts):
    heading = _text(
        16, 22, _shorten(str(title), width - 32), "start", ' font-weight="600"', title
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" style="max-width:100%;height:auto" '
        f'role="img" aria-label="{escape_text(title)}" fill="currentColor" '
        f'font-family="system-ui, sans-serif" font-size="{_FONT}">'
        f"{heading}{''.join(parts)}</svg>"
    )
