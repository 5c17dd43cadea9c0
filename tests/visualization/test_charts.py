"""Charts: well-formed XML, data where the axes say, escaped text, gaps for NaN."""

import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from h2s_keras.visualization import (
    HtmlReport,
    bar_chart,
    confusion_chart,
    confusion_picture,
    line_chart,
)
from h2s_keras.visualization.report import escape_text

HOSTILE = "<script>alert('x')</script> & \"quoted\" $x^2$ \x00"
BLUE = "#0072b2"


def parse(markup):
    root = ElementTree.fromstring(markup)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def texts(root):
    return ["".join(element.itertext()) for element in root.iter("text")]


def lines(root, color=BLUE):
    """Runs of points of the lines of a colour, without the legend's sample."""
    runs = []
    for path in root.iter("path"):
        if f"stroke: {color}" in path.get("style", "") and path.get("clip-path"):
            for run in path.get("d").split("M")[1:]:
                numbers = [float(number) for number in re.findall(r"-?[\d.]+", run)]
                runs.append(np.reshape(numbers, (-1, 2)))
    return runs


def tick_places(root, axis):
    """Value -> position of the ticks of an axis, read back from the drawing."""
    places = {}
    for group in root.iter("g"):
        if re.fullmatch(rf"{axis}tick_\d+", group.get("id", "")):
            (use,), (text,) = group.findall(".//use")[:1], texts(group)[:1]
            places[float(text.replace("\u2212", "-"))] = float(use.get(axis))
    return places


def test_line_lies_where_the_ticks_say():
    points = [(0, 0.0), (5, 1.0), (10, 0.5)]
    root = parse(line_chart({"loss": points}, "Loss", x_label="epoch", y_label="value"))
    (drawn,) = lines(root)
    x_at, y_at = tick_places(root, "x"), tick_places(root, "y")
    assert {0.0, 10.0} <= set(x_at) and {0.0, 1.0} <= set(y_at)
    for (x, y), (drawn_x, drawn_y) in zip(points, drawn, strict=True):
        assert drawn_x == pytest.approx(
            x_at[0.0] + (x_at[10.0] - x_at[0.0]) * x / 10, abs=0.2
        )
        assert drawn_y == pytest.approx(y_at[0.0] + (y_at[1.0] - y_at[0.0]) * y, abs=0.2)
    assert drawn[1][1] < drawn[0][1]  # larger is higher
    assert {"Loss", "epoch", "value", "loss"} <= set(texts(root))


def test_logarithmic_axis_spaces_decades_evenly():
    points = {"a": [(0, 0.001), (1, 0.1), (2, 10)]}
    ((*_, low), (*_, middle), (*_, high)) = lines(
        parse(line_chart(points, "t", log_y=True))
    )[0]
    assert low - middle == pytest.approx(middle - high, abs=0.2)
    ((*_, low), (*_, middle), (*_, high)) = lines(parse(line_chart(points, "t")))[0]
    assert low - middle < 0.1 * (middle - high)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_not_finite_points_leave_a_gap(bad):
    points = [(0, 1.0), (1, 2.0), (2, bad), (3, 1.0), (4, 2.0), (5, bad), (6, 1.5)]
    root = parse(line_chart({"loss": points}, "t"))
    assert [len(run) for run in lines(root)][:2] == [2, 2]
    # The last point stands alone; the legend has the same mark.
    alone = [use for use in root.iter("use") if f"fill: {BLUE}" in use.get("style", "")]
    assert len(alone) == 2


def test_not_positive_points_leave_a_gap_on_a_logarithmic_axis_only():
    points = [(0, 1.0), (1, 2.0), (2, 0.0), (3, -1.0), (4, 2.0), (5, 3.0)]
    assert len(lines(parse(line_chart({"a": points}, "t", log_y=True)))) == 2
    assert len(lines(parse(line_chart({"a": points}, "t")))) == 1


@pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [(0, math.nan)]}])
def test_without_points_it_says_so(series):
    assert "no data" in texts(parse(line_chart(series, "t", log_y=True)))


def test_every_series_is_drawn_and_told_apart():
    series = {f"run {i}": [(0, i), (1, i + 1)] for i in range(13)}
    root = parse(line_chart(series, "t"))
    assert set(series) <= set(texts(root))
    looks = [
        path.get("style")
        for path in root.iter("path")
        if path.get("clip-path")
        and "stroke: #" in path.get("style")
        and path.get("d").count("L") == 1
    ]
    assert len({look for look in looks if "#b0b0b0" not in look}) == 13


def test_bars_are_proportional_and_negative_ones_go_left():
    values = {"a": 1.0, "b": 0.5, "c": -0.25, "d": 0.0}
    root = parse(bar_chart(values, "t", value_label="accuracy"))
    bars = []
    for path in root.iter("path"):
        if f"fill: {BLUE}" in path.get("style", ""):
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.get("d"))]
            bars.append((numbers[0], numbers[2] - numbers[0]))
    unit = bars[0][1]
    assert unit > 100
    assert [width / unit for _, width in bars] == pytest.approx(
        [1, 0.5, -0.25, 0], abs=0.01
    )
    assert {"a", "b", "c", "d", "0.5", "-0.25", "accuracy"} <= set(texts(root))


def test_bar_of_a_value_that_is_not_finite_is_text():
    assert "nan" in texts(parse(bar_chart({"a": math.nan, "b": 1.0}, "t")))
    assert "no data" in texts(parse(bar_chart({}, "t")))


def test_a_chart_has_the_colour_of_the_page_and_no_style_of_its_own():
    markup = line_chart({"a": [(0, 1), (1, 2)]}, "t", "x", "y")
    assert "currentColor" in markup and "<style" not in markup and "#010203" not in markup
    assert "fill: #ffffff" not in markup
    HtmlReport("t").svg(markup)


def test_confusion_chart():
    root = parse(confusion_chart([[6, 2], [0, 0]], ["Archery", "Bowling"]))
    shown = texts(root)
    assert shown.count("Archery") == shown.count("Bowling") == 2
    assert {"6", "2", "true class", "predicted class"} <= set(shown) and "0" not in shown


def test_confusion_picture_shades_by_share_of_the_row():
    picture = confusion_picture([[7, 0], [1, 1]], ["walk", "run"]).reshape(-1, 3)
    for share in (1.0, 0.5):
        color = 255 + (np.array([0, 114, 178]) - 255) * 0.6 * share
        assert (np.abs(picture - color).max(axis=1) <= 1).sum() > 100


@pytest.mark.parametrize("count", [1, 41, 101])
def test_any_number_of_classes(count):
    names = [f"a long name of class {n}" * 3 for n in range(count)]
    picture = confusion_picture(np.eye(count, dtype=int) * 12345, names)
    assert picture.dtype == np.uint8 and 300 < min(picture.shape[:2])
    assert max(picture.shape) < 2400


@pytest.mark.parametrize("matrix", [[[1, 2]], [[1], [2]], [[1, 2, 3], [4, 5, 6]]])
def test_confusion_must_be_square(matrix):
    with pytest.raises(ValueError, match="2x2"):
        confusion_chart(matrix, ["a", "b"])


@pytest.mark.parametrize(
    "markup",
    [
        line_chart({HOSTILE: [(0, 1), (1, 2)]}, HOSTILE, HOSTILE, HOSTILE, width=900),
        bar_chart({HOSTILE: 1.0}, HOSTILE, HOSTILE, width=900),
        confusion_chart([[1]], [HOSTILE]),
    ],
)
def test_hostile_text_is_escaped(markup):
    assert "<script" not in markup
    root = parse(markup)
    assert not list(root.iter("script"))
    # Names of classes are cut.
    assert any(text.startswith("<script>alert") for text in texts(root))


def test_escape_text_replaces_what_xml_forbids():
    assert escape_text("a\x00b\ud800\n") == "a\ufffdb\ufffd\n"
    assert escape_text(3) == "3"
