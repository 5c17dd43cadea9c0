"""The report is one well-formed file that loads nothing; its text comes back unchanged."""

import ast
import base64
import html.parser
import pathlib
import re

import numpy as np
import pytest

import h2s_keras.visualization as visualization
from h2s_keras.visualization import HtmlReport, line_chart

HOSTILE = "<img src=x onerror=alert(1)> & \"'</pre></table>"
VOID = {"meta", "img", "br", "hr", "link", "input"}
# The smallest PNG: one grey pixel, written by hand so that the test needs no encoder.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


class Page(html.parser.HTMLParser):
    """Reads a page into elements (tag, attributes, text) and insists on balanced tags."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert not self._open, f"unclosed {[entry[0] for entry in self._open]}"

    def handle_starttag(self, tag, attrs):
        entry = [tag, dict(attrs), ""]
        self.elements.append(entry)
        if tag not in VOID:
            self._open.append(entry)

    def handle_startendtag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self._open and self._open[-1][0] == tag, f"stray </{tag}>"
        self._open.pop()

    def handle_data(self, data):
        for entry in self._open:
            entry[2] += data

    def all(self, tag):
        return [
            (attributes, text) for name, attributes, text in self.elements if name == tag
        ]


def external_addresses(text):
    """Every address that a browser would fetch; the SVG namespace is only a name."""
    found = re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", text)
    found = ["".join(pair) for pair in found]
    for _, attributes, _ in Page(text).elements:
        for key, value in attributes.items():
            if key in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
                found.append(value)
    return [address for address in found if not address.startswith(("data:", "#"))]


@pytest.fixture
def full_report():
    return (
        HtmlReport("Quickstart <1>")
        .heading("Training")
        .paragraph("Loss falls.")
        .table(
            ["epoch", "loss", "note"], [[1, 0.71234, "a"], [2, None, HOSTILE]], "History"
        )
        .picture(PIXEL, "One pixel", alt="a grey pixel")
        .svg(line_chart({"train": [(0, 1), (1, 0.5)]}, "Loss"), "The loss of training")
        .code("h2s quickstart --out DIR\n  # indented")
    )


def read(report, folder):
    return report.write(folder / "report.html").read_text(encoding="utf-8")


def test_page_is_complete_and_balanced(full_report, tmp_path):
    text = read(full_report, tmp_path)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert page.all("html")[0][0]["lang"] == "en"
    assert page.all("title")[0][1] == "Quickstart <1>" == page.all("h1")[0][1]
    assert page.all("h2")[0][1] == "Training"
    assert "Loss falls." in [words for _, words in page.all("p")]
    assert page.all("code")[0][1] == "h2s quickstart --out DIR\n  # indented"
    assert len(page.all("svg")) == 1 and len(page.all("table")) == 1
    captions = [words for _, words in page.all("figcaption")]
    assert captions == ["One pixel", "The loss of training"]


def test_page_suits_phones_and_both_themes(full_report, tmp_path):
    page = Page(read(full_report, tmp_path))
    metas = {attributes.get("name"): attributes for attributes, _ in page.all("meta")}
    assert "width=device-width" in metas["viewport"]["content"]
    style = page.all("style")[0][1]
    assert "prefers-color-scheme: dark" in style and "color-scheme: light dark" in style
    assert "max-width: 100%" in style and "overflow-x: auto" in style


def test_page_loads_nothing(full_report, tmp_path):
    text = read(full_report, tmp_path)
    assert external_addresses(text) == []
    assert "<script" not in text and "<link" not in text


@pytest.mark.parametrize(
    "planted", ['<img src="https://example.org/a.png">', "<style>@import 'a.css';</style>"]
)
def test_negative_control_an_external_address_is_found(full_report, tmp_path, planted):
    text = read(full_report, tmp_path).replace("</main>", f"{planted}</main>")
    assert len(external_addresses(text)) == 1


def test_table_cells_come_back_as_given(full_report, tmp_path):
    page = Page(read(full_report, tmp_path))
    shown = [words for _, words in page.all("td")][:6]
    assert shown == ["1", "0.7123", "a", "2", "\u2013", HOSTILE]
    classes = [attributes.get("class") for attributes, _ in page.all("td")][:3]
    assert classes == ["number", "number", None]
    names = [(attributes.get("class"), words) for attributes, words in page.all("th")][:3]
    assert names == [("number", "epoch"), ("number", "loss"), (None, "note")]


def test_table_takes_numpy_numbers_and_truth_values(tmp_path):
    row = [np.float32(0.25), np.int64(7), True]
    page = Page(read(HtmlReport("t").table(["a", "b", "c"], [row], "c"), tmp_path))
    assert [words for _, words in page.all("td")] == ["0.25", "7", "True"]
    assert page.all("td")[2][0].get("class") is None


def test_table_with_a_short_row_is_refused():
    with pytest.raises(ValueError, match="row 1 has 1 values"):
        HtmlReport("t").table(["a", "b"], [[1, 2], [3]], "c")


def test_all_text_is_escaped(tmp_path):
    report = HtmlReport(HOSTILE).heading(HOSTILE).paragraph(HOSTILE).code(HOSTILE)
    report.table([HOSTILE], [[HOSTILE]], HOSTILE).picture(PIXEL, HOSTILE)
    report.svg(line_chart({}, "t"), HOSTILE)
    page = Page(read(report, tmp_path))
    for tag in ("title", "h1", "h2", "p", "code", "th", "td", "caption", "figcaption"):
        assert page.all(tag)[0][1] == HOSTILE, tag
    images = page.all("img")
    assert len(images) == 1 and images[0][0]["alt"] == HOSTILE
    assert not any("onerror" in attributes for _, attributes, _ in page.elements)


def test_text_that_utf8_cannot_hold_is_written(tmp_path):
    page = Page(read(HtmlReport("t").paragraph("caf\u00e9 \udcff \x00"), tmp_path))
    assert page.all("p")[0][1] == "caf\u00e9 \ufffd \ufffd"


def test_picture_bytes_are_stored_unchanged(full_report, tmp_path):
    image = Page(read(full_report, tmp_path)).all("img")[0][0]
    head, _, data = image["src"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data, validate=True) == PIXEL
    assert (image["width"], image["height"], image["alt"]) == ("1", "1", "a grey pixel")


def test_picture_array_becomes_png(tmp_path):
    report = HtmlReport("t").picture(np.zeros((4, 6, 3), np.uint8), "Black")
    image = Page(read(report, tmp_path)).all("img")[0][0]
    assert base64.b64decode(image["src"].partition(",")[2])[:8] == b"\x89PNG\r\n\x1a\n"
    assert (image["width"], image["height"], image["alt"]) == ("6", "4", "Black")


def test_what_is_not_a_picture_is_refused():
    with pytest.raises(ValueError, match="not a PNG"):
        HtmlReport("t").picture(b"GIF89a" + bytes(30), "c")
    with pytest.raises(ValueError, match="float64"):
        HtmlReport("t").picture(np.zeros((4, 4, 3)), "c")


@pytest.mark.parametrize(
    "markup",
    [
        "<svg><script>alert(1)</script></svg>",
        '<svg onload="alert(1)"></svg>',
        '<svg><image href="https://example.org/a.png"/></svg>',
        '<svg><rect style="fill:url(https://example.org/a)"/></svg>',
        "<svg><style>@import 'a.css';</style></svg>",
        "<svg>",
        "<svg/><svg/>",
        "plain text",
    ],
)
def test_markup_that_loads_or_is_broken_is_refused(markup):
    with pytest.raises(ValueError):
        HtmlReport("t").svg(markup)


def test_markup_within_the_file_is_accepted():
    HtmlReport("t").svg('<svg><use href="#a"/><rect fill="url(#b)"/></svg>')
    with pytest.raises(ValueError, match="<svg> element"):
        HtmlReport("t").svg("<table></table>")


@pytest.mark.parametrize("level", [1, 5, 2.5])
def test_heading_level_is_checked(level):
    with pytest.raises(ValueError, match="level"):
        HtmlReport("t").heading("x", level=level)


def test_write_makes_folders_replaces_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "new" / "folder" / "report.html"
    assert HtmlReport("old").write(path) == path
    HtmlReport("new").write(str(path))
    assert "<title>new</title>" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = HtmlReport("old").write(tmp_path / "report.html")

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        HtmlReport("new").write(path)
    assert "<title>old</title>" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_importing_visualization_does_not_start_keras():
    """Imports at module level, read from the source: other tests have Keras loaded."""
    folder = pathlib.Path(visualization.__file__).parent
    allowed = {"numpy", "h2s_keras.visualization", "h2s_keras.files"}
    files = sorted(folder.glob("*.py"))
    assert len(files) >= 5
    for file in files:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                heavy = name.split(".")[0] in {"keras", "tensorflow", "h2s_keras"}
                assert not heavy or name.startswith(tuple(allowed)), (file.name, name)
