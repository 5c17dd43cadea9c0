"""The twelve formats of labels that are read and written, recognised by their content."""

import json

from h2s_keras.errors import FileError, UserError, what_was_meant
from h2s_keras.ethogram.formats.boris import BORIS, BORIS_AGGREGATED, BORIS_TABULAR
from h2s_keras.ethogram.formats.caltech import BENTO, CALTECH
from h2s_keras.ethogram.formats.elan import ELAN
from h2s_keras.ethogram.formats.label_json import ACTIVITYNET, CALMS21, FERAL
from h2s_keras.ethogram.formats.label_tables import DEEPETHOGRAM, OBSERVER, VTRACE
from h2s_keras.ethogram.formats.text import read_text

_JSON = (BORIS, FERAL, ACTIVITYNET, CALMS21)
# In the order in which they are tried; a plain table of 0 and 1 comes last.
_TEXT = (
    BENTO,
    CALTECH,
    ELAN,
    VTRACE,
    BORIS_AGGREGATED,
    BORIS_TABULAR,
    OBSERVER,
    DEEPETHOGRAM,
)
FORMATS = {
    kind.name: kind
    for kind in (
        DEEPETHOGRAM,
        BORIS,
        BORIS_TABULAR,
        BORIS_AGGREGATED,
        VTRACE,
        FERAL,
        CALMS21,
        BENTO,
        CALTECH,
        OBSERVER,
        ELAN,
        ACTIVITYNET,
    )
}


def format_named(name):
    """The `Format` of a name.

    Raises:
        UserError: no such format; the text lists all.
    """
    if name not in FORMATS:
        raise UserError(f"no format {name!r}; {what_was_meant(name, list(FORMATS))}")
    return FORMATS[name]


def recognise(path):
    """(`Format`, content) of a file.

    Raises:
        FileError: missing, no text, damaged JSON, or none of the formats.
    """
    text = read_text(path)
    if text.lstrip()[:1] in ("{", "["):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FileError(path, f"is damaged JSON ({error})") from None
        candidates = _JSON
    else:
        content, candidates = text, _TEXT
    for kind in candidates:
        if kind.recognise(content):
            return kind, content
    titles = ", ".join(kind.title for kind in FORMATS.values())
    raise FileError(path, f"is in none of the formats of labels that are read: {titles}")


def format_for(path):
    """The format that a file of this name is written in.

    Raises:
        UserError: the name ends like several formats, or like none.
    """
    name = str(path).lower()
    endings = ((len(end), end, kind) for kind in FORMATS.values() for end in kind.endings)
    for _, end, kind in sorted(endings, key=lambda entry: -entry[0]):
        if name.endswith(end):
            return kind
    raise UserError(
        f"{path}: the name does not say the format; give one of {', '.join(FORMATS)}"
    )
