"""Charts: well-formed XML, points where the axes say, escaped text, gaps for NaN."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from h2s_keras.visualization import bar_chart, confusion_table, line_chart
from h2s_keras.visualization.chart_axes import round_ticks
from h2s_keras.visualization.svg import escape_text

HOSTILE = "<script>alert('x')</script> & \"quoted\" \x00"


def parse(markup):
    root = ElementTree.fromstring(markup)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def texts(root):
    return [element.text for element in root.iter("text")]


def lines(root):
    """Points of the data's lines; the legend's samples come first, one a series."""
    return [
        [tuple(map(float, pair.split(","))) for pair in element.get("points").split()]
        for element in root.iter("polyline")
    ]


def tick_places(root, along):
    """Value -> position of the tick texts, read back from the drawing."""
    places = {}
    for element in root.iter("text"):
        anchor = "middle" if along == "x" else "end"
        if element.get("text-anchor") == anchor and re.fullmatch(
            r"[-\d.e+]+", element.text
        ):
            places[float(element.text)] = float(element.get(along))
    return places


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0.3, 9.2, [0, 2, 4, 6, 8, 10]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.03, 0.11, [-0.05, 0, 0.05, 0.1, 0.15]),
        (1234, 1871, [1200, 1400, 1600, 1800, 2000]),
    ],
)
def test_round_ticks(low, high, expected):
    assert round_ticks(low, high) == expected


@pytest.mark.parametrize("value", [0.0, 5.0, -3e-8, 1e12])
def test_round_ticks_of_a_single_value_enclose_it(value):
    ticks = round_ticks(value, value)
    assert len(ticks) >= 2 and ticks[0] <= value <= ticks[-1]


@pytest.mark.parametrize(
    "low, high", [(0.013, 0.094), (-7, 1e5), (3, 3.0001), (1e-9, 2e-9)]
)
def test_round_ticks_enclose_in_even_steps(low, high):
    ticks = round_ticks(low, high)
    steps = [b - a for a, b in zip(ticks, ticks[1:], strict=False)]
    assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 8
    assert all(math.isclose(step, steps[0], rel_tol=1e-6) for step in steps)


def test_line_lies_where_the_ticks_say():
    points = [(0, 0.0), (5, 1.0), (10, 0.5)]
    root = parse(line_chart({"loss": points}, "Loss", x_label="epoch", y_label="value"))
    drawn = lines(root)[-1]
    x_at, y_at = tick_places(root, "x"), tick_places(root, "y")
    assert {0.0, 10.0} <= set(x_at) and {0.0, 1.0} <= set(y_at)
    for (x, y), (drawn_x, drawn_y) in zip(points, drawn, strict=True):
        x_expected = x_at[0.0] + (x_at[10.0] - x_at[0.0]) * x / 10
        # A tick's text hangs 5 below its line so that it is centred on it.
        y_expected = y_at[0.0] + (y_at[1.0] - y_at[0.0]) * y - 5
        assert drawn_x == pytest.approx(x_expected, abs=0.2)
        assert drawn_y == pytest.approx(y_expected, abs=0.2)
    assert drawn[1][1] < drawn[0][1]  # larger is higher
    assert {"Loss", "epoch", "value", "loss"} <= set(texts(root))


def test_logarithmic_axis_spaces_decades_evenly():
    root = parse(line_chart({"a": [(0, 0.001), (1, 0.1), (2, 10)]}, "t", log_y=True))
    heights = [y for _, y in lines(root)[-1]]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    y_at = tick_places(root, "y")
    assert {0.001, 0.01, 0.1, 1.0, 10.0} == set(y_at)
    linear = [
        y
        for _, y in lines(parse(line_chart({"a": [(0, 0.001), (1, 0.1), (2, 10)]}, "t")))[
            -1
        ]
    ]
    assert linear[0] - linear[1] < 0.1 * (linear[1] - linear[2])


@pytest.mark.parametrize("values", [(3.0, 3.0), (0.031, 0.045), (9.99, 10.0), (1e-12, 1e9)])
def test_logarithmic_ticks_enclose(values):
    root = parse(line_chart({"a": list(enumerate(values))}, "t", log_y=True))
    ticks = tick_places(root, "y")
    assert 2 <= len(ticks) <= 8
    assert min(ticks) <= min(values) and max(ticks) >= max(values)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_not_finite_points_leave_a_gap(bad):
    points = [(0, 1.0), (1, 2.0), (2, bad), (3, 1.0), (4, 2.0), (5, bad), (6, 1.5)]
    root = parse(line_chart({"loss": points}, "t"))
    assert [len(line) for line in lines(root)[1:]] == [2, 2]
    assert len(list(root.iter("circle"))) == 1  # the last point stands alone


def test_not_positive_points_leave_a_gap_on_a_logarithmic_axis_only():
    points = [(0, 1.0), (1, 2.0), (2, 0.0), (3, -1.0), (4, 2.0), (5, 3.0)]
    assert len(lines(parse(line_chart({"a": points}, "t", log_y=True)))) == 1 + 2
    assert len(lines(parse(line_chart({"a": points}, "t")))) == 1 + 1


@pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [(0, math.nan)]}])
def test_without_points_it_says_so(series):
    assert "no data" in texts(parse(line_chart(series, "t")))


def test_every_series_is_drawn_and_told_apart():
    series = {f"run {i}": [(0, i), (1, i + 1)] for i in range(13)}
    root = parse(line_chart(series, "t"))
    assert set(series) <= set(texts(root))
    looks = [(e.get("stroke"), e.get("stroke-dasharray")) for e in root.iter("polyline")]
    assert len(looks) == 26 and len(set(looks)) == 13
    assert looks[:13] == looks[13:]  # legend and lines agree


def test_everything_stays_inside_the_picture():
    series = {f"a rather long name of a run {i}": [(0, -1e5), (1, 2e5)] for i in range(12)}
    root = parse(line_chart(series, "t", x_label="x", y_label="y"))
    _, _, width, height = map(float, root.get("viewBox").split())
    for line in lines(root):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in line)
    for element in root.iter("text"):
        assert 0 <= float(element.get("x")) <= width
        assert 0 <= float(element.get("y")) <= height


def test_size_is_checked():
    with pytest.raises(ValueError, match="200x150"):
        line_chart({}, "t", width=100)
    with pytest.raises(ValueError, match="at least 200"):
        bar_chart({}, "t", width=100)


def test_bars_are_proportional_and_negative_ones_go_left():
    values = {"a": 1.0, "b": 0.5, "c": -0.25, "d": 0.0}
    root = parse(bar_chart(values, "t", value_label="accuracy"))
    bars = [(float(e.get("x")), float(e.get("width"))) for e in root.iter("rect")]
    unit = bars[0][1]
    assert unit > 100
    assert [width / unit for _, width in bars] == pytest.approx([1, 0.5, 0.25, 0], abs=0.01)
    assert bars[0][0] == bars[1][0] == pytest.approx(bars[2][0] + bars[2][1], abs=0.11)
    assert {"a", "b", "c", "d", "0.5", "-0.25", "accuracy"} <= set(texts(root))


def test_bar_of_a_value_that_is_not_finite_is_text_only():
    root = parse(bar_chart({"a": math.nan, "b": 1.0}, "t"))
    assert len(list(root.iter("rect"))) == 1 and "nan" in texts(root)
    assert "no data" in texts(parse(bar_chart({}, "t")))


def test_long_names_are_shortened_but_kept_for_hovering():
    name = "ApplyEyeMakeup" * 8
    root = parse(bar_chart({name: 1.0}, "t"))
    label = next(e for e in root.iter("text") if e.text.startswith("ApplyEye"))
    assert label.text.endswith("\u2026") and label.find("title").text == name


def test_confusion_table_shades_by_share_of_the_row():
    root = parse(confusion_table([[6, 2], [0, 0]], ["Archery", "Bowling"]))
    shown = [cell for cell in root.find("tbody").iter("td")]
    assert [cell.text for cell in shown] == ["6", "2", "0", "0"]
    shades = [float(re.search(r",([\d.]+)\)", cell.get("style"))[1]) for cell in shown]
    assert shades == [0.45, 0.15, 0.0, 0.0]
    rows = [row.find("th").text for row in root.find("tbody").iter("tr")]
    columns = [span.text for span in root.find("thead").iter("span")]
    assert rows == columns == ["Archery", "Bowling"]


@pytest.mark.parametrize("matrix", [[[1, 2]], [[1], [2]], [[1, 2, 3], [4, 5, 6]]])
def test_confusion_table_must_be_square(matrix):
    with pytest.raises(ValueError, match="2x2"):
        confusion_table(matrix, ["a", "b"])


@pytest.mark.parametrize(
    "markup",
    [
        line_chart({HOSTILE: [(0, 1), (1, 2)]}, HOSTILE, HOSTILE, HOSTILE, width=900),
        bar_chart({HOSTILE: 1.0}, HOSTILE, HOSTILE, width=900),
        confusion_table([[1]], [HOSTILE], HOSTILE),
    ],
)
def test_hostile_text_is_escaped(markup):
    assert "<script" not in markup
    root = parse(markup)
    assert not list(root.iter("script"))
    shown = "".join(root.itertext())
    assert HOSTILE.replace("\x00", "\ufffd") in shown


def test_escape_text_replaces_what_xml_forbids():
    assert escape_text("a\x00b\ud800\n") == "a\ufffdb\ufffd\n"
    assert escape_text(3) == "3"
