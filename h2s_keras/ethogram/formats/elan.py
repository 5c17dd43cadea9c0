"""ELAN's .eaf: tiers of annotations between time slots in milliseconds.

A behaviour is the value of an annotation, or, where values are empty, the name of its
tier. Slots without a time lie evenly between those that have one.
"""

import os
import xml.etree.ElementTree as xml

import numpy as np

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Annotation, Interval, file_name
from h2s_keras.ethogram.formats.text import Format


def _recognise_elan(text):
    return text.lstrip().startswith("<") and "<ANNOTATION_DOCUMENT" in text[:4000]


def _read_elan(path, text):
    try:
        root = xml.fromstring(text.encode())
    except xml.ParseError as error:
        raise FileError(path, f"is damaged XML ({error})") from None
    head = root.find("HEADER")
    units = "milliseconds" if head is None else head.get("TIME_UNITS", "milliseconds")
    if units != "milliseconds":
        raise FileError(path, f"has times in {units}; save it with milliseconds")
    media = [] if head is None else head.findall("MEDIA_DESCRIPTOR")
    videos = [entry for entry in media if entry.get("MIME_TYPE", "").startswith("video")]
    video = (videos or [None])[0]
    found = Annotation(path, vocabulary=True)
    if video is not None:
        found.video = file_name(video.get("MEDIA_URL", ""))
        # The part of the video that lies before the document's time 0.
        found.origin = -int(video.get("TIME_ORIGIN", 0)) / 1000
    slots = _slots(path, root)
    names, dependent, tiers = [], 0, 0
    for tier in root.findall("TIER"):
        dependent += len(tier.findall("ANNOTATION/REF_ANNOTATION"))
        aligned = tier.findall("ANNOTATION/ALIGNABLE_ANNOTATION")
        if aligned or not tier.findall("ANNOTATION"):
            tiers += 1
        if not tier.findall("ANNOTATION"):
            names.append(tier.get("TIER_ID"))
        for entry in aligned:
            value = (entry.findtext("ANNOTATION_VALUE") or "").strip()
            name = value or tier.get("TIER_ID")
            names.append(name)
            try:
                start, stop = (slots[entry.get(f"TIME_SLOT_REF{end}")] for end in (1, 2))
            except KeyError as error:
                raise FileError(path, f"refers to the missing time slot {error}") from None
            found.intervals.append(Interval(name, start, stop))
    if dependent:
        found.notes.append(f"dependent annotations ({dependent}) have no time: left out")
    found.behaviors = tuple(dict.fromkeys(names))
    if tiers > 1 and len(found.behaviors) < tiers:
        found.notes.append(
            f"annotations of one value on its {tiers} tiers were joined "
            f"({len(found.behaviors)} behaviours)"
        )
    return [found]


def _slots(path, root):
    names, values = [], []
    for slot in root.findall("TIME_ORDER/TIME_SLOT"):
        names.append(slot.get("TIME_SLOT_ID"))
        values.append(float(slot.get("TIME_VALUE", "nan")))
    values = np.array(values)
    known = np.flatnonzero(np.isfinite(values))
    if len(names) and not len(known):
        raise FileError(path, "has no time slot with a time")
    if len(names):
        values = np.interp(np.arange(len(names)), known, values[known])
    return dict(zip(names, (values / 1000).tolist(), strict=True))


def _write_elan(labels):
    video = file_name(labels.video or "video")
    suffix = os.path.splitext(video)[1].lstrip(".").lower() or "mp4"
    root = xml.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "",
            "DATE": "1970-01-01T00:00:00+00:00",
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    head = xml.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    xml.SubElement(
        head,
        "MEDIA_DESCRIPTOR",
        MEDIA_URL=f"file:///./{video}",
        MIME_TYPE=f"video/{suffix}",
        RELATIVE_MEDIA_URL=f"./{video}",
    )
    order = xml.SubElement(root, "TIME_ORDER")
    edges = sorted({edge for bout in labels.bouts() for edge in bout[1:]})
    slots = {edge: f"ts{number}" for number, edge in enumerate(edges, start=1)}
    for edge, slot in slots.items():
        milliseconds = str(round(labels.times.starts[edge] * 1000))
        xml.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=milliseconds)
    count = 0
    for name in labels.behaviors:
        tier = xml.SubElement(root, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=name)
        for _, start, stop in labels.bouts(name):
            count += 1
            entry = xml.SubElement(
                xml.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=f"a{count}",
                TIME_SLOT_REF1=slots[start],
                TIME_SLOT_REF2=slots[stop],
            )
            xml.SubElement(entry, "ANNOTATION_VALUE").text = name
    xml.SubElement(
        root,
        "LINGUISTIC_TYPE",
        GRAPHIC_REFERENCES="false",
        LINGUISTIC_TYPE_ID="default-lt",
        TIME_ALIGNABLE="true",
    )
    xml.indent(root, " ")
    return xml.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


ELAN = Format(
    name="elan",
    title="ELAN annotations (.eaf)",
    recognise=_recognise_elan,
    read=_read_elan,
    write=_write_elan,
    endings=(".eaf",),
    seconds=True,
)
