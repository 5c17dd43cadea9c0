"""Pieces of SVG that charts are made of; all text is escaped."""

import html
import re

# Okabe and Ito's palette without black and yellow: told apart by the colour-blind, and
# readable on both black and white.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# After six lines the colours repeat with the next pattern.
_DASHES = ("", "6 4", "2 3")
FONT = 14
# Browsers measure text, we cannot: the mean advance of a sans-serif letter.
LETTER = 0.56 * FONT
# Characters that XML forbids even when escaped.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def escape_text(text):
    """Any value as text that is safe in XML and HTML, in attributes too.

    Example:
        >>> escape_text('<b>"')
        '&lt;b&gt;&quot;'
    """
    return _FORBIDDEN.sub("\ufffd", html.escape(str(text), quote=True))


def polyline(places, index):
    color = COLORS[index % len(COLORS)]
    if len(places) == 1:
        (x, y), *_ = places
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>'
    dash = _DASHES[index // len(COLORS) % len(_DASHES)]
    pattern = f' stroke-dasharray="{dash}"' if dash else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return (
        f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2" '
        f'stroke-linejoin="round"{pattern}/>'
    )


def rule(x1, y1, x2, y2, opacity):
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="currentColor" stroke-opacity="{opacity}"/>'
    )


def text_line(x, y, text, anchor="start", attributes="", full_text=None):
    """One line of text; where it was shortened, hovering shows the whole."""
    hover = "" if full_text in (None, text) else f"<title>{escape_text(full_text)}</title>"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attributes}>'
        f"{escape_text(text)}{hover}</text>"
    )


def shorten(text, pixels):
    letters = max(4, int(pixels / LETTER))
    return text if len(text) <= letters else text[: letters - 1] + "\u2026"


def plain_number(value):
    return f"{value:.10g}"


def svg_element(title, width, height, parts):
    heading = text_line(
        16, 22, shorten(str(title), width - 32), "start", ' font-weight="600"', title
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" style="max-width:100%;height:auto" '
        f'role="img" aria-label="{escape_text(title)}" fill="currentColor" '
        f'font-family="system-ui, sans-serif" font-size="{FONT}">'
        f"{heading}{''.join(parts)}</svg>"
    )
