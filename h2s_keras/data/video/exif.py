"""The orientation that a camera notes in a photograph, by its Exif tag."""

import struct

_ORIENTATION, _SHORT = 0x0112, 3


def exif_orientation(content):
    """Orientation of a JPEG or PNG image, 1 to 8; 1 where the file does not say.

    Args:
        content: bytes of the file.

    Returns:
        int: 1 upright, 3, 6 and 8 turned, 2, 4, 5 and 7 mirrored.

    Reference:
        [Exif 2.32](https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf),
        section 4.6.4.
    """
    block = _png_block(content) if content[:4] == b"\x89PNG" else _jpeg_block(content)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    try:
        (first,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, first)
        for number in range(count):
            entry = struct.unpack_from(order + "HHIH", block, first + 2 + 12 * number)
            if entry[:2] == (_ORIENTATION, _SHORT) and 1 <= entry[3] <= 8:
                return entry[3]
    except (TypeError, struct.error):
        # No Exif block, or one that is cut short.
        pass
    return 1


def _jpeg_block(content):
    place = 2
    # The segments before the picture: a marker, then a length that counts itself.
    while content[place : place + 1] == b"\xff" and content[place + 1] != 0xDA:
        size = int.from_bytes(content[place + 2 : place + 4], "big")
        if content[place + 1] == 0xE1 and content[place + 4 : place + 10] == b"Exif\0\0":
            return content[place + 10 : place + 2 + size]
        place += 2 + size
    return b""


def _png_block(content):
    place = 8
    while place + 8 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] == b"eXIf":
            return content[place + 8 : place + 8 + size]
        place += 12 + size
    return b""
