"""What the bytes of a container say that PyAV does not: its true end, mirrors and crops.

MP4 and MOV, Matroska and WebM, AVI, WMV, Ogg and GIF are known; of other files nothing is
said.
"""

import dataclasses
import os
import struct

_MATROSKA = b"\x1a\x45\xdf\xa3"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ISO = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof")
# Bytes by which sizes in AVI files are off in practice without anything missing.
_RIFF_SLACK = 64


@dataclasses.dataclass(frozen=True)
class Picture:
    """How the stored picture of a track is to be shown, beyond its turn.

    Attributes:
        track: identity number of the track (MP4), or None.
        mirrored: whether its display matrix mirrors.
        margins: pixels (left, top, right, bottom) that are not shown.
    """

    track: int | None = None
    mirrored: bool = False
    margins: tuple = (0, 0, 0, 0)


def is_cut(path):
    """Whether a container declares more bytes than its file has.

    Returns:
        True or False; None where the container does not say how long it is.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(16)
        if head[4:8] in _ISO:
            return _iso_is_cut(file, size)
        if head[:4] == _MATROSKA:
            return _matroska_is_cut(file, size)
        if head[:4] == b"RIFF":
            return _riff_is_cut(file, size)
        if head == _ASF:
            return _asf_is_cut(file, size)
        if head[:4] == b"GIF8":
            return gif_images(path)[1]
        if head[:4] == b"OggS":
            return _ogg_is_cut(file, size)
    return None


def shown_pictures(path):
    """`Picture` of each video track of a file, in the file's order; empty where unknown."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(16)
        try:
            if head[4:8] in _ISO:
                return _iso_pictures(file, size)
            if head[:4] == _MATROSKA:
                return _matroska_pictures(file, size)
        except (struct.error, IndexError):
            # A damaged header: the decoder will say so.
            pass
    return []


# === MP4 and MOV ===


def _boxes(file, place, end):
    """Yields (type, start of content, end) of the boxes in a span of the file."""
    while place + 8 <= end:
        file.seek(place)
        size, kind = struct.unpack(">I4s", file.read(8))
        start = place + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            start += 8
        if size == 0:
            yield kind, start, None
            return
        if size < start - place:
            return
        yield kind, start, place + size
        place += size


def _iso_is_cut(file, size):
    try:
        for kind, _, end in _boxes(file, 0, size):
            if end is None:
                # To the end of the file, whatever that is; zeros behind the last box.
                return None if kind.isalnum() else False
            if end > size:
                # Anything else is padding or information behind the frames.
                return kind in (b"mdat", b"moof", b"moov")
    except struct.error:
        return True
    return False


def _within(file, span, *kinds):
    """Span of the first box down a path of types, or None."""
    for kind in kinds:
        found = (box for box in _boxes(file, *span) if box[0] == kind and box[2])
        box = next(found, None)
        if box is None:
            return None
        span = box[1:]
    return span


def _iso_pictures(file, size):
    pictures = []
    moov = _within(file, (0, size), b"moov")
    for kind, start, end in _boxes(file, *moov) if moov else ():
        if kind != b"trak" or end is None:
            continue
        span = (start, end)
        handler = _content(file, _within(file, span, b"mdia", b"hdlr"), 12)
        head = _content(file, _within(file, span, b"tkhd"), 96)
        if handler[8:12] != b"vide" or not head:
            continue
        long = head[0] == 1
        (track,) = struct.unpack_from(">I", head, 20 if long else 12)
        a, b, _, c, d = struct.unpack_from(">5i", head, 52 if long else 40)
        mirrored = a * d - b * c < 0
        pictures.append(Picture(track, mirrored, _clean_aperture(file, span)))
    return pictures


def _content(file, span, most):
    if span is None:
        return b""
    file.seek(span[0])
    return file.read(min(most, span[1] - span[0]))


def _clean_aperture(file, track):
    """(left, top, right, bottom) that the box `clap` of a track cuts off."""
    nothing = (0, 0, 0, 0)
    entries = _within(file, track, b"mdia", b"minf", b"stbl", b"stsd")
    if entries is None:
        return nothing
    # Version and count come first; a video entry begins with 78 bytes of fixed fields.
    for _, start, end in _boxes(file, entries[0] + 8, entries[1]):
        file.seek(start + 24)
        width, height = struct.unpack(">HH", file.read(4))
        span = _within(file, (start + 78, end or entries[1]), b"clap")
        values = struct.unpack(">8i", _content(file, span, 32)) if span else (0,) * 8
        if not all(values[1::2]):
            return nothing
        shown_width, shown_height, right, down = (
            numerator / denominator
            for numerator, denominator in zip(values[::2], values[1::2], strict=True)
        )
        # The centre of what is shown lies so far from the centre of the picture.
        left = round((width - shown_width) / 2 + right)
        top = round((height - shown_height) / 2 + down)
        margins = (left, top, width - left - round(shown_width))
        return (*margins, height - top - round(shown_height))
    return nothing


# === Matroska and WebM ===


def _elements(file, place, end):
    """Yields (id, start of content, end or None) of the EBML elements in a span."""
    while place < end:
        file.seek(place)
        head = file.read(12)
        if len(head) < 2 or not head[0]:
            return
        id_length = 9 - head[0].bit_length()
        rest = head[id_length:]
        if id_length > 4 or not rest or not rest[0]:
            return
        length = 9 - rest[0].bit_length()
        size = int.from_bytes(rest[:length], "big") & ((1 << 7 * length) - 1)
        start = place + id_length + length
        unknown = size == (1 << 7 * length) - 1
        yield head[:id_length].hex(), start, None if unknown else start + size
        if unknown:
            return
        place = start + size


def _segment(file, size):
    found = (element for element in _elements(file, 0, size) if element[0] == "18538067")
    return next(found, None)


def _matroska_is_cut(file, size):
    segment = _segment(file, size)
    if segment is None or segment[2] is None:
        return None
    if segment[2] <= size:
        return False
    # Cut inside what follows the frames, such as the index, nothing is lost of them.
    last = [*_elements(file, segment[1], size)][-1:]
    return not last or last[0][0] not in _AFTER or last[0][2] == size


# Cues, tags, attachments, chapters, padding.
_AFTER = ("1c53bb6b", "1254c367", "1941a469", "1043a770", "ec")
# A projection turned by 180 or -180 degrees to the side, as bits of a float.
_TURNED_ROUND = (0x43340000, 0xC3340000, 0x4066800000000000, 0xC066800000000000)
# Left, top, right, bottom.
_PIXEL_CROP = ("54cc", "54bb", "54dd", "54aa")


def _matroska_pictures(file, size):
    segment = _segment(file, size)
    pictures = []
    for name, start, end in _elements(file, *_ended(segment, size)) if segment else ():
        if name == "1f43b675":
            break
        if name == "1654ae6b":
            for kind, *entry in _elements(file, *_ended((name, start, end), size)):
                found = _numbers(file, _ended((kind, *entry), size))
                if kind == "ae" and found.get("83") == 1:
                    margins = tuple(found.get(key, 0) for key in _PIXEL_CROP)
                    mirrored = found.get("7673") in _TURNED_ROUND
                    pictures.append(Picture(None, mirrored, margins))
    return pictures


def _ended(element, size):
    _, start, end = element
    return start, size if end is None else min(end, size)


def _numbers(file, span):
    """Whole numbers of a track's entry and of its video settings by their ids."""
    found = {}
    for name, start, end in list(_elements(file, *span)):
        if name in ("e0", "7670"):
            found |= _numbers(file, (start, end or span[1]))
        elif end is not None and end - start <= 8:
            file.seek(start)
            found[name] = int.from_bytes(file.read(end - start), "big")
    return found


# === AVI, WMV, Ogg and GIF ===


def _riff_is_cut(file, size):
    place = 0
    while place + 8 <= size:
        file.seek(place)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF":
            return False
        if length == 0:
            return None
        place += 8 + length + length % 2
        if place > size + _RIFF_SLACK:
            return True
    return False


def _asf_is_cut(file, size):
    file.seek(16)
    (header,) = struct.unpack("<Q", file.read(8))
    file.seek(header)
    content = file.read(24)
    if content[:16] != _ASF_DATA:
        return None
    (length,) = struct.unpack("<Q", content[16:])
    # A broadcast does not know how long it will be.
    return header + length > size if length else None


def _ogg_is_cut(file, size):
    """A last page that is not whole; one without the mark of the end proves nothing."""
    start = max(0, size - (1 << 17))
    file.seek(start)
    content = file.read()
    page = content[content.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 256
    if len(page) < 27 + segments or len(page) < 27 + segments + sum(
        page[27 : 27 + segments]
    ):
        return True
    return False if page[5] & 4 else None


def gif_images(path):
    """(number of whole images of a GIF, whether it ends before its trailer)."""
    with open(path, "rb") as file:
        content = memoryview(file.read())
    images = 0
    try:
        place = 13 + _palette(content[10])
        while content[place] != 0x3B:
            image = content[place] == 0x2C
            if not image and content[place] != 0x21:
                # Padding: whatever the decoder makes of it, no image is missing.
                break
            place += 11 + _palette(content[place + 9]) if image else 2
            while content[place]:
                place += 1 + content[place]
            place += 1
            images += image
    except IndexError:
        return images, True
    return images, False


def _palette(flags):
    return 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0
