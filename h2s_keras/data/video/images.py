"""Still images: read to upright uint8 RGB, write as PNG.

Reading goes through the decoders of PyAV, which is a core dependency; writing is a
few lines of zlib, so that 8 and 16 bit files come out exactly as the array says.

The side data of a frame is never touched: PyAV frees the metadata of an entry that has
some (such as the name of a colour profile) a second time, which ends the process.
"""

import os
import struct
import zlib

import numpy as np

from h2s_keras.data.video.conversion import (
    FrameFilter,
    apply_rotation,
    exact_method,
    frame_rotation,
    mirroring,
)
from h2s_keras.errors import ImageError
from h2s_keras.files import read_file, write_file

# The first bytes of a file say what it is; a wrong suffix must not matter.
SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "mjpeg"),
    (b"BM", "bmp"),
    (b"P6", "ppm"),
    (b"P5", "pgm"),
    (b"P4", "pbm"),
)
MAX_PIXELS = 1 << 27
# Values of Exif's orientation that mirror the picture before they turn it.
_MIRRORED = (2, 4, 5, 7)


def read_image(path):
    """Reads a PNG, JPEG, BMP or PPM/PGM/PBM file as 8 bit RGB.

    Grey and palette images become RGB, 16 bit values are rounded to 8 bit, the alpha
    channel is dropped (not blended) and the orientation tag of a camera is applied.

    Args:
        path: name of the file.

    Returns:
        uint8 array (height, width, 3), RGB.

    Raises:
        ImageError: the file is missing, empty, broken or of another kind.

    Example:

    ```python
    frame = read_image("frame10.png")   # (388, 584, 3), uint8
    ```
    """
    frame = decode_image_frame(path)
    if frame.width * frame.height > MAX_PIXELS:
        raise ImageError(
            path,
            f"has {frame.width} x {frame.height} pixels, more than {MAX_PIXELS}; shrink it",
        )
    # 8 bit channels are converted exactly; deeper ones would be dithered on the way.
    deep = max(component.bits for component in frame.format.components) > 8
    if deep:
        wide = frame.reformat(format="rgb48le").to_ndarray().astype(np.uint32)
        array = ((wide + 128) // 257).astype(np.uint8)
    else:
        array = frame.reformat(format="rgb24", interpolation=exact_method()).to_ndarray()
    return np.ascontiguousarray(apply_rotation(array, frame_rotation(frame)))


def decode_image_frame(path):
    """Decodes one image file to an `av.VideoFrame` in the file's own pixel format.

    Args:
        path: name of the file.

    Returns:
        `av.VideoFrame`, mirrored as its Exif tag says and not yet turned.

    Raises:
        ImageError: as `read_image`.
    """
    import av

    av.logging.set_level(None)
    content = read_file(path, ImageError)
    codec = next((name for head, name in SIGNATURES if content.startswith(head)), None)
    if codec is None:
        raise ImageError(
            path, "is not a PNG, JPEG, BMP or PPM image; convert it to one of these"
        )
    try:
        # The decoder is fed directly: av.open would take a "%d" in a name as a pattern.
        context = careful_decoder(av.CodecContext.create(codec, "r"))
        frames = context.decode(av.Packet(content)) + context.decode(None)
    except (av.FFmpegError, ValueError) as error:
        raise ImageError(
            path, f"is a broken {codec} image ({error}); save it again"
        ) from None
    if not frames or frames[0].is_corrupt:
        raise ImageError(path, f"is a broken {codec} image; save it again")
    if codec == "mjpeg" and not jpeg_ends(content):
        raise ImageError(path, "is a JPEG image cut short; save it again")
    if exif_orientation(content) in _MIRRORED:
        return FrameFilter(*mirroring())(frames[0])
    return frames[0]


def careful_decoder(context):
    """Makes a decoder raise where it would make up a part of a picture, and crop exactly.

    Args:
        context: `av.CodecContext` that is not open yet.

    Returns:
        The same context.
    """
    from av.codec.context import Flags

    context.options = {**context.options, "err_detect": "crccheck+explode"}
    # Else columns to the left of what is shown come along, for the sake of alignment.
    context.flags |= Flags.unaligned
    if context.name == "h264":
        # With threads per slice FFmpeg does not look for slices that are missing.
        context.thread_type = "NONE"
    return context


def jpeg_ends(content):
    """Whether the last scan of a JPEG image is followed by the marker of its end."""
    return content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda")


def encode_png(array):
    """Encodes an array as the bytes of a PNG file.

    Args:
        array: uint8 (H, W), (H, W, 1) or (H, W, 3), or uint16 (H, W, 3); RGB.

    Returns:
        bytes.

    Raises:
        ValueError: another shape or dtype.
    """
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    grey = array.ndim == 2
    colour = array.ndim == 3 and array.shape[-1] == 3
    fits = (array.dtype == np.uint8 and (grey or colour)) or (
        array.dtype == np.uint16 and colour
    )
    if not fits or array.size == 0:
        raise ValueError(
            "A PNG is written from uint8 (H, W) or (H, W, 3), or uint16 (H, W, 3), not "
            f"empty. Received: {array.dtype} {array.shape}; convert it first."
        )
    height, width = array.shape[:2]
    rows = np.frombuffer(array.astype(array.dtype.newbyteorder(">")).tobytes(), np.uint8)
    rows = rows.reshape(height, -1)
    # Filter 2: each row as its difference from the row above, which packs smaller.
    body = np.full((height, rows.shape[1] + 1), 2, np.uint8)
    body[0, 1:] = rows[0]
    body[1:, 1:] = rows[1:] - rows[:-1]
    header = struct.pack(
        ">IIBBBBB", width, height, 8 * array.dtype.itemsize, 2 if colour else 0, 0, 0, 0
    )
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(body.tobytes(), 6)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def write_png(path, array):
    """Writes a PNG file; a reader never sees half a file.

    Args:
        path: name of the file, ending in `.png`; an older file is replaced.
        array: as `encode_png`.

    Raises:
        ValueError: another shape or dtype.
        ImageError: the folder is missing or cannot be written.
    """
    if os.path.splitext(os.fspath(path))[1].lower() != ".png":
        raise ImageError(path, "the name of a PNG file must end in .png; rename it")
    write_file(path, encode_png(array), ImageError)


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
