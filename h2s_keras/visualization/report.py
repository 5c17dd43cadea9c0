"""One self-contained HTML file of text, tables, pictures and charts."""

import base64
import html
import pathlib
import re
import struct
import xml.etree.ElementTree as ElementTree

import numpy as np

from h2s_keras.files import whole_file

# Characters that XML forbids even when escaped.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_NUMBER = ' class="number"'
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --quiet: #59636e;
  --line: #d1d9e0; --shade: #f3f5f7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #12161b;
  --quiet: #9aa5b1; --line: #3a434d; --shade: #1c2229; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1, h2, h3, h4 { line-height: 1.25; margin: 1.6em 0 0.5em; }
h1 { margin-top: 0.5em; }
p { max-width: 46rem; }
figure { margin: 1.2rem 0; }
.chart { display: inline-block; vertical-align: top; max-width: 100%; margin-right: 1rem; }
figcaption, caption { color: var(--quiet); font-size: 0.9rem; text-align: left;
  padding: 0.3rem 0; }
img { max-width: 100%; height: auto; display: block; }
pre, .wide { overflow-x: auto; }
pre { background: var(--shade); padding: 0.8rem; border-radius: 4px; font-size: 0.9rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 0.3rem 0.7rem; text-align: left;
  vertical-align: bottom; overflow-wrap: normal; }
.number { text-align: right; }
""".strip()


class HtmlReport:
    """Builds a report piece by piece; every method returns the report, so calls chain.

    The file needs no network: style and pictures are inside it. It follows the reader's
    dark or light theme and fits a phone. All text is escaped; only `svg` and `html` take
    markup, and refuse what would run code or load anything.

    Args:
        title: text of the browser tab and of the first heading.

    Example:
        >>> report = HtmlReport("Quickstart").paragraph("Two classes, synthetic clips.")
        >>> report = report.table(["epoch", "loss"], [[1, 0.7], [2, 0.4]], "Training")
        >>> report.write("report.html").name
        'report.html'
    """

    def __init__(self, title):
        self.title = str(title)
        self._parts = []

    def heading(self, text, level=2):
        """Adds a heading of level 2 to 4; level 1 is the title's.

        Raises:
            ValueError: for another level.
        """
        if level not in (2, 3, 4):
            raise ValueError(f"heading level must be 2, 3 or 4; received {level!r}.")
        return self._add(f"<h{level}>{escape_text(text)}</h{level}>")

    def paragraph(self, text):
        """Adds a paragraph of plain text."""
        return self._add(f"<p>{escape_text(text)}</p>")

    def code(self, text):
        """Adds text as it stands, in a fixed-width font: a command, a configuration."""
        return self._add(f"<pre><code>{escape_text(text)}</code></pre>")

    def table(self, header, rows, caption):
        """Adds a table.

        Args:
            header: names of the columns.
            rows: a list of rows, each with a value a column. Floats are shown with four
                significant digits (format them yourself for others), None as a dash.
            caption: what the table shows.

        Raises:
            ValueError: if a row's length differs from the header's.
        """
        header, rows = list(header), [list(row) for row in rows]
        for index, row in enumerate(rows):
            if len(row) != len(header):
                raise ValueError(
                    f"The table {caption!r} has {len(header)} columns {header}, but row "
                    f"{index} has {len(row)} values: {row}."
                )
        # A column's heading stands over its numbers.
        numeric = [
            bool(rows) and all(_is_number(row[column]) for row in rows)
            for column in range(len(header))
        ]
        names = "".join(
            f'<th scope="col"{_NUMBER if number else ""}>{escape_text(name)}</th>'
            for name, number in zip(header, numeric, strict=True)
        )
        lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
        return self._add(
            f'<div class="wide"><table><caption>{escape_text(caption)}</caption>\n'
            f"<thead><tr>{names}</tr></thead>\n<tbody>\n{lines}</tbody></table></div>"
        )

    def picture(self, image, caption, alt=None):
        """Adds a picture, stored inside the file.

        Args:
            image: bytes of a PNG file, or a uint8 array (height, width, 3) RGB.
            caption: text under the picture.
            alt: text for those who cannot see it. Default: the caption.

        Raises:
            ValueError: if bytes are not a PNG file, or an array is not uint8.
        """
        png = _png_bytes(image)
        # The first chunk of a PNG is its header: length, "IHDR", width, height.
        width, height = struct.unpack(">II", png[16:24])
        data = base64.b64encode(png).decode("ascii")
        return self._add(
            f'<figure><img src="data:image/png;base64,{data}" width="{width}" '
            f'height="{height}" alt="{escape_text(caption if alt is None else alt)}">'
            f"<figcaption>{escape_text(caption)}</figcaption></figure>"
        )

    def svg(self, markup, caption=None):
        """Adds an `<svg>` element, as `line_chart` and `bar_chart` return it.

        Args:
            markup: str, one well-formed element.
            caption: text under the chart, or None where its own title says enough.

        Raises:
            ValueError: if it is not one `<svg>` element, or would run or load something.
        """
        if _checked_root(markup) != "svg":
            raise ValueError(f"svg() takes an <svg> element; received {markup[:60]!r}.")
        return self._figure(markup, caption, ' class="chart"')

    def write(self, path):
        """Writes the file, whole or not at all; an older one is replaced.

        Args:
            path: where to; missing folders are made.

        Returns:
            The path, as pathlib.Path.

        Raises:
            OSError: if the file cannot be written; an older one is then unharmed.
        """
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            text = self._document()
            pathlib.Path(temporary).write_text(text, encoding="utf-8", newline="\n")
        return path

    def _document(self):
        title = escape_text(self.title)
        body = "\n".join([f"<h1>{title}</h1>", *self._parts])
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n"
            f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
        )

    def _figure(self, markup, caption, kind=""):
        text = f"<figcaption>{escape_text(caption)}</figcaption>" if caption else ""
        return self._add(f'<figure{kind}><div class="wide">{markup}</div>{text}</figure>')

    def _add(self, part):
        self._parts.append(part)
        return self


def without_forbidden(text):
    """Any value as text, without the characters that XML forbids."""
    return _FORBIDDEN.sub("\ufffd", str(text))


def escape_text(text):
    """Any value as text that is safe in XML and HTML, in attributes too.

    Example:
        >>> escape_text('<b>"')
        '&lt;b&gt;&quot;'
    """
    return html.escape(without_forbidden(text), quote=True)


def _is_number(value):
    return value is None or (
        isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    )


def _cell(value):
    text = "\u2013" if value is None else value
    if isinstance(value, (float, np.floating)):
        text = f"{value:.4g}"
    return f"<td{_NUMBER if _is_number(value) else ''}>{escape_text(text)}</td>"


def _png_bytes(image):
    if not isinstance(image, (bytes, bytearray, memoryview)):
        # Imported here so that a report of text and charts needs no image code.
        from h2s_keras.data.video.images import encode_png

        image = np.asarray(image)
        if image.dtype != np.uint8:
            raise ValueError(
                f"A picture is uint8 0..255; received an array of {image.dtype} "
                f"{image.shape}. Paint flow with flow_to_color first."
            )
        image = encode_png(image)
    image = bytes(image)
    if not image.startswith(_PNG_MAGIC) or len(image) < 24:
        raise ValueError(f"These bytes are not a PNG file; they begin with {image[:8]!r}.")
    return image


def _checked_root(markup):
    """Name of the root element; refuses scripts, handlers and outside addresses."""
    try:
        root = ElementTree.fromstring(markup)
    except ElementTree.ParseError as error:
        raise ValueError(f"Markup must be one well-formed element: {error}.") from error
    for element in root.iter():
        name = element.tag.rpartition("}")[2].lower()
        for key, value in element.attrib.items():
            key = key.rpartition("}")[2].lower()
            address = key in ("href", "src", "srcset", "data", "action", "poster")
            outside = address and not value.strip().startswith(("#", "data:image/"))
            loads = "url(" in value.lower().replace("url(#", "")
            if key.startswith("on") or outside or loads:
                raise ValueError(
                    f'A report loads and runs nothing; refused {key}="{value[:60]}" of '
                    f"<{name}>."
                )
        if name in ("script", "style", "iframe", "object", "embed", "link", "base", "meta"):
            raise ValueError(f"A report loads and runs nothing; refused <{name}>.")
    return root.tag.rpartition("}")[2]
