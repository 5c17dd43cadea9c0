"""Charts as inline SVG and HTML, drawn without any plotting library.

Text and axes take the colour of the surrounding page, so a chart reads on a dark page and
on a light one. All text from the caller is escaped.
"""

import math

from h2s_keras.visualization.chart_axes import Axis, log_ticks, round_ticks
from h2s_keras.visualization.svg import (
    COLORS,
    LETTER,
    escape_text,
    plain_number,
    polyline,
    rule,
    shorten,
    svg_element,
    text_line,
)


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
        body = [text_line(width / 2, height / 2, "no data", "middle")]
        return svg_element(title, width, height, legend + body)

    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_ticks = round_ticks(min(xs), max(xs), 6)
    x_low, x_high = (min(xs), max(xs)) if max(xs) > min(xs) else (x_ticks[0], x_ticks[-1])
    x_axis = Axis(x_low, x_high, [tick for tick in x_ticks if x_low <= tick <= x_high])
    y_ticks = log_ticks(min(ys), max(ys)) if log_y else round_ticks(min(ys), max(ys))
    y_axis = Axis(y_ticks[0], y_ticks[-1], y_ticks, log_y)

    widest = max(len(plain_number(tick)) for tick in y_axis.ticks)
    left = 14 + widest * LETTER + (22 if y_label else 0)
    right, bottom = width - 24, height - (50 if x_label else 28)

    def place(point):
        x = left + x_axis.fraction(point[0]) * (right - left)
        return x, bottom - y_axis.fraction(point[1]) * (bottom - top)

    body = []
    for tick in y_axis.ticks:
        y = place((x_low, tick))[1]
        body.append(rule(left, y, right, y, 0.15))
        body.append(text_line(left - 8, y + 5, plain_number(tick), "end"))
    for tick in x_axis.ticks:
        x = place((tick, y_axis.low))[0]
        body.append(rule(x, bottom, x, bottom + 5, 0.8))
        body.append(text_line(x, bottom + 20, plain_number(tick), "middle"))
    body.append(rule(left, bottom, right, bottom, 0.8))
    body.append(rule(left, top, left, bottom, 0.8))
    if x_label:
        body.append(text_line((left + right) / 2, height - 10, x_label, "middle"))
    if y_label:
        middle = (top + bottom) / 2
        turned = f' transform="rotate(-90 18 {middle:.1f})"'
        body.append(text_line(18, middle, y_label, "middle", turned))
    for index, runs in enumerate(lines.values()):
        for run in runs:
            body.append(polyline([place(point) for point in run], index))
    return svg_element(title, width, height, legend + body)


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
    axis = Axis(ticks[0], ticks[-1], ticks)
    names = {name: shorten(str(name), width * 0.4) for name in values}
    left = 16 + max((len(text) for text in names.values()), default=0) * LETTER
    # Room for the number that is written after the longest bar.
    right, top, row = width - 64, 38, 26
    bottom = top + row * max(1, len(values))

    def place(value):
        return left + axis.fraction(value) * (right - left)

    body = [] if values else [text_line(width / 2, top + 18, "no data", "middle")]
    for tick in axis.ticks:
        body.append(rule(place(tick), top, place(tick), bottom, 0.8 if tick == 0 else 0.15))
        body.append(text_line(place(tick), bottom + 18, plain_number(tick), "middle"))
    for index, (name, value) in enumerate(values.items()):
        middle = top + row * (index + 0.5)
        body.append(text_line(left - 8, middle + 5, names[name], "end", "", str(name)))
        start = end = place(0.0)
        if math.isfinite(value):
            start, end = sorted((start, place(value)))
            body.append(
                f'<rect x="{start:.1f}" y="{middle - 9:.1f}" width="{end - start:.1f}" '
                f'height="18" fill="{COLORS[0]}"/>'
            )
        body.append(text_line(end + 6, middle + 5, f"{value:.4g}"))
    if value_label:
        body.append(text_line((left + right) / 2, bottom + 40, value_label, "middle"))
    return svg_element(title, width, bottom + (50 if value_label else 28), body)


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
            cells.append(f'<td style="text-align:right;{color}">{plain_number(count)}</td>')
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


def _legend(names, width):
    """SVG parts of the legend under the title, and the height that they take."""
    parts, x, y = [], 16.0, 46.0
    for index, name in enumerate(names):
        shown = shorten(str(name), width - 70)
        needed = 36 + len(shown) * LETTER + 18
        if x > 16 and x + needed > width:
            x, y = 16.0, y + 22
        parts.append(polyline([(x, y), (x + 28, y)], index))
        parts.append(text_line(x + 36, y + 5, shown, "start", "", str(name)))
        x += needed
    return parts, (y - 46 + 30 if names else 0)
