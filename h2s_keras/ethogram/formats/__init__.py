"""The twelve formats of labels that are read and written, recognised by their content.

Every module of this folder has `NAME`, `TITLE`, `ENDINGS` (of file names that are written
in it without being asked), `SINGLE` (one behaviour per frame), `UNLABELLED` (it can hold
frames that are not labelled), `SECONDS` (it needs the times of frames), `recognise`, `read`
(to `Annotation`s, one per video) and `write` (one `FrameLabels` to text).
"""

import json

from h2s_keras.errors import FileError, UserError, what_was_meant
from h2s_keras.ethogram.formats import (
    activitynet_json,
    bento,
    boris,
    boris_aggregated,
    boris_tabular,
    calms21,
    caltech,
    deepethogram,
    elan,
    feral,
    observer,
    vtrace,
)
from h2s_keras.ethogram.formats.text import read_text

_JSON = (boris, feral, activitynet_json, calms21)
# In the order in which they are tried; a plain table of 0 and 1 comes last.
_TEXT = (
    bento,
    caltech,
    elan,
    vtrace,
    boris_aggregated,
    boris_tabular,
    observer,
    deepethogram,
)
FORMATS = {
    module.NAME: module
    for module in (
        deepethogram,
        boris,
        boris_tabular,
        boris_aggregated,
        vtrace,
        feral,
        calms21,
        bento,
        caltech,
        observer,
        elan,
        activitynet_json,
    )
}


def format_named(name):
    """The module of a format by its name.

    Raises:
        UserError: no such format; the text lists all.
    """
    if name not in FORMATS:
        raise UserError(f"no format {name!r}; {what_was_meant(name, list(FORMATS))}")
    return FORMATS[name]


def recognise(path):
    """(module of the format, content) of a file.

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
    for module in candidates:
        if module.recognise(content):
            return module, content
    titles = ", ".join(module.TITLE for module in FORMATS.values())
    raise FileError(path, f"is in none of the formats of labels that are read: {titles}")


def format_for(path):
    """The format that a file of this name is written in.

    Raises:
        UserError: the name ends like several formats, or like none.
    """
    name = str(path).lower()
    endings = (
        (len(end), end, module) for module in FORMATS.values() for end in module.ENDINGS
    )
    for _, end, module in sorted(endings, key=lambda entry: -entry[0]):
        if name.endswith(end):
            return module
    raise UserError(
        f"{path}: the name does not say the format; give one of {', '.join(FORMATS)}"
    )
