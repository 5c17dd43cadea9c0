"""Charts by matplotlib, as inline SVG: axes with units, legends, a confusion matrix.

Text and axes take the colour of the surrounding page, so a chart reads on a dark page and
on a light one. Matplotlib is imported when the first chart is drawn.
"""

import io
import math
import re
from xml.sax.saxutils import quoteattr

import numpy as np

from h2s_keras.visualization.report import without_forbidden

# Told apart by readers with any colour vision: Okabe and Ito, 2008.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", "--", ":", "-.")
# What matplotlib draws in this colour takes that of the page.
_INK = "#010203"
# Of a filled cell: text of either theme stays readable on it.
_SHADE = 0.6


def line_chart(series, title, x_label="", y_label="", width=540, height=320, log_y=False):
    """Lines over a common pair of axes, as one SVG element.

    Args:
        series: dict from name to a list of (x, y) numbers in drawing order. A point that
            is not finite (or, with log_y, not above 0) leaves a gap in its line; a point
            between gaps is a dot.
        title: heading, also the name that screen readers announce.
        x_label, y_label: text of the axes, with units.
        width, height: size in CSS pixels; narrower pages shrink the chart.
        log_y: logarithmic y axis.

    Returns:
        str, an `<svg>` element that stands alone or inside HTML. Without any point to draw
        it says so, for a report on a run that diverged must still be written.

    Example:
        >>> chart = line_chart({"train": [(0, 2.0), (1, 0.7)]}, "Loss", x_label="epoch")
        >>> chart[:4]
        '<svg'
    """
    columns = max(1, min(4, width // 170))

    def draw(axes):
        drawn = False
        for number, (name, points) in enumerate(series.items()):
            x, y = np.array(points, float).reshape(-1, 2).T
            shown = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (not log_y))
            drawn |= shown.any()
            beside = np.pad(shown, 1)
            alone = np.flatnonzero(shown & ~beside[:-2] & ~beside[2:]).tolist()
            axes.plot(
                np.where(shown, x, np.nan),
                np.where(shown, y, np.nan),
                color=_COLORS[number % len(_COLORS)],
                linestyle=_DASHES[number // len(_COLORS) % len(_DASHES)],
                marker="o" if alone else None,
                markersize=4,
                markevery=alone,
                label=_shown(name),
            )
        axes.grid(axis="y", alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set(xlabel=_shown(x_label), ylabel=_shown(y_label))
        if drawn and log_y:
            axes.set_yscale("log")
        if not drawn:
            axes.text(0.5, 0.5, "no data", ha="center", transform=axes.transAxes)
        if series:
            axes.figure.legend(loc="outside lower left", ncols=columns, frameon=False)

    # Many lines: the chart grows by the height of its legend.
    rows = math.ceil(len(series) / columns)
    return _svg(draw, title, width, height + 20 * max(0, rows - 1))


def bar_chart(values, title, value_label="", width=760):
    """Horizontal bars from zero, one per name, so that long class names stay readable.

    Args:
        values: dict from name to number, drawn from top to bottom; a value that is not
            finite gets no bar, only its text.
        title: heading, also the name that screen readers announce.
        value_label: text of the value axis, with its unit.
        width: CSS pixels; the height follows from the number of bars.

    Returns:
        str, an `<svg>` element.

    Example:
        >>> chart = bar_chart({"Archery": 0.9, "Bowling": 0.75}, "Accuracy")
        >>> "Bowling" in chart
        True
    """

    def draw(axes):
        names = [_shown(name, 40) for name in values]
        numbers = np.array(list(values.values()), float)
        lengths = np.where(np.isfinite(numbers), numbers, 0.0)
        places = np.arange(len(names))
        bars = axes.barh(places, lengths, color=_COLORS[0], height=0.7)
        axes.bar_label(bars, [f"{number:.4g}" for number in numbers], padding=4)
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        axes.axvline(0.0, color=_INK, linewidth=0.8)
        axes.grid(axis="x", alpha=0.2)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_xlabel(_shown(value_label))
        if not values:
            axes.text(0.5, 0.5, "no data", ha="center", transform=axes.transAxes)

    return _svg(draw, title, width, 90 + 26 * max(1, len(values)))


def confusion_chart(matrix, class_names):
    """A confusion matrix as an SVG element; a cell's shade is its share of the row.

    Args:
        matrix: int (classes, classes), counts; rows are the true classes, columns the
            predicted ones. Counts are written for up to 40 classes.
        class_names: names in order; long ones are cut.

    Returns:
        str, an `<svg>` element.

    Raises:
        ValueError: if the matrix is not square over the classes.

    Example:
        >>> confusion_chart([[8, 2], [1, 9]], ["Archery", "Bowling"])[:4]
        '<svg'
    """
    return _svg(*_confusion(matrix, class_names))


def confusion_picture(matrix, class_names):
    """`confusion_chart` as a picture, uint8 (height, width, 3) RGB, on white.

    Example:
        >>> confusion_picture([[8, 2], [1, 9]], ["a", "b"]).shape[-1]
        3
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with _style():
        canvas = FigureCanvasAgg(_figure(*_confusion(matrix, class_names)))
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3]


def _confusion(matrix, class_names):
    """(draw, title, width, height) of a confusion matrix."""
    matrix, count = np.asarray(matrix), len(class_names)
    if matrix.shape != (count, count):
        raise ValueError(
            f"A confusion matrix over {count} classes is {count}x{count}; received "
            f"{matrix.shape}."
        )
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [_shown(name, 28) for name in class_names]

    def draw(axes):
        cells = np.zeros((count, count, 4))
        cells[..., :3] = np.array([0, 114, 178]) / 255
        cells[..., 3] = _SHADE * share
        axes.imshow(cells, aspect="equal")
        axes.set_xticks(range(count), names, rotation=90)
        axes.set_yticks(range(count), names)
        axes.set(xlabel="predicted class", ylabel="true class")
        if count <= 40:
            for row, column in zip(*np.nonzero(matrix), strict=True):
                text = str(int(matrix[row, column]))
                axes.text(column, row, text, ha="center", va="center", fontsize=9)

    side = count * (34 if count <= 40 else 18) + 14 + 8 * max(map(len, names))
    return draw, "Confusion matrix", max(side, 360), max(side, 360)


def _shown(text, letters=None):
    """Text without what XML forbids, cut to so many letters."""
    text = without_forbidden(text)
    return text if letters is None or len(text) <= letters else text[: letters - 1] + "…"


def _style():
    import matplotlib

    inked = (
        "text.color",
        "axes.edgecolor",
        "axes.labelcolor",
        "xtick.color",
        "ytick.color",
    )
    return matplotlib.rc_context(
        {
            **dict.fromkeys(inked, _INK),
            "axes.axisbelow": True,
            "font.size": 10.5,
            "legend.labelcolor": _INK,
            "text.parse_math": False,
            "svg.fonttype": "none",
            "svg.hashsalt": "h2s_keras",
        }
    )


def _figure(draw, title, width, height):
    from matplotlib.figure import Figure

    figure = Figure((width / 96, height / 96), dpi=96, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(_shown(title), loc="left")
    draw(axes)
    return figure


def _svg(draw, title, width, height):
    with _style():
        buffer = io.StringIO()
        figure = _figure(draw, title, width, height)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    # A style sheet would hold for the whole page that the chart stands in.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    name = f'role="img" aria-label={quoteattr(_shown(title))}'
    look = 'style="max-width:100%;height:auto;stroke-linejoin:round;stroke-linecap:butt"'
    return text.replace(_INK, "currentColor").replace("<svg ", f"<svg {name} {look} ", 1)
