"""Files of optical flow: Middlebury `.flo` and KITTI 16 bit `.png`.

In memory a flow field is float32 (height, width, 2) = (x to the right, y down) in
pixels, and an unknown value is NaN in both channels.
"""

import os
import struct

import numpy as np

from h2s_keras.data.video.images import decode_image_frame, encode_png
from h2s_keras.errors import FlowFileError, ImageError
from h2s_keras.files import read_file, write_file

FLO_MAGIC = 202021.25
FLO_UNKNOWN = 1e9
FLO_UNKNOWN_WRITTEN = 1e10
MAX_SIDE = 99999
KITTI_SCALE = 64.0
KITTI_OFFSET = 32768.0


def read_flow(path):
    """Reads a file of optical flow.

    Args:
        path: name ending in `.flo` (Middlebury: float32, a size above 1e9 is unknown) or
            `.png` (KITTI: 16 bit RGB, (value - 32768) / 64, third channel = valid).

    Returns:
        float32 array (height, width, 2), pixels, (x right, y down); NaN where unknown.

    Raises:
        FlowFileError: the file is missing, of another kind, or its size is not what its
            header says.

    Example:

    ```python
    flow = read_flow("flow10.flo")
    known = np.isfinite(flow).all(axis=-1)
    ```
    """
    return _read_flo(path) if _suffix(path) == ".flo" else _read_kitti(path)


def write_flow(path, flow):
    """Writes a flow field; a reader never sees half a file.

    Args:
        path: name ending in `.flo` (exact) or `.png` (KITTI: steps of 1/64 pixel, from
            -512 to +511.98).
        flow: array (height, width, 2) in pixels; NaN in either channel marks unknown.

    Raises:
        FlowFileError: another suffix, the folder is missing, or a value that the format
            cannot hold.
        ValueError: another shape, or infinite values.

    Example:

    ```python
    write_flow("pair.flo", flow)
    ```
    """
    suffix = _suffix(path)
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[-1] != 2 or flow.size == 0:
        raise ValueError(
            "A flow field has the shape (height, width, 2) and is not empty. "
            f"Received: {flow.shape}; write one frame pair at a time."
        )
    flow = flow.astype(np.float32)
    if np.isinf(flow).any():
        raise ValueError("The flow holds infinite values; mark unknown pixels with NaN.")
    unknown = np.isnan(flow).any(axis=-1)
    if suffix == ".flo":
        content = _flo_bytes(path, flow, unknown)
    else:
        content = _kitti_bytes(path, flow, unknown)
    write_file(path, content, FlowFileError)


def _suffix(path):
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in (".flo", ".png"):
        raise FlowFileError(
            path,
            f"flow is kept in .flo (Middlebury) or .png (KITTI) files, not {suffix!r}; "
            "rename or convert it",
        )
    return suffix


def _read_flo(path):
    content = read_file(path, FlowFileError)
    if len(content) < 12:
        raise FlowFileError(path, f"has {len(content)} bytes, too few for a .flo header")
    magic, width, height = struct.unpack("<fii", content[:12])
    if magic != FLO_MAGIC:
        raise FlowFileError(
            path, f"is no Middlebury .flo file: it starts with {magic!r}, not {FLO_MAGIC}"
        )
    # Checked before any memory is asked for: the header may say anything.
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise FlowFileError(
            path, f"claims {width} x {height} pixels; 1 to {MAX_SIDE} a side are allowed"
        )
    expected = 12 + 8 * width * height
    if len(content) != expected:
        raise FlowFileError(
            path,
            f"claims {width} x {height} pixels, {expected} bytes, but has {len(content)}; "
            "fetch it again",
        )
    flow = np.frombuffer(content, "<f4", offset=12).reshape(height, width, 2)
    flow = flow.astype(np.float32)
    # The negated comparison also catches NaN and infinity.
    unknown = ~(np.abs(flow) <= FLO_UNKNOWN).all(axis=-1)
    flow[unknown] = np.nan
    return flow


def _flo_bytes(path, flow, unknown):
    if (np.abs(flow[~unknown]) > FLO_UNKNOWN).any():
        raise FlowFileError(path, "values above 1e9 mean unknown in .flo; write NaN")
    height, width = flow.shape[:2]
    values = np.where(unknown[..., None], np.float32(FLO_UNKNOWN_WRITTEN), flow)
    return struct.pack("<fii", FLO_MAGIC, width, height) + values.astype("<f4").tobytes()


def _read_kitti(path):
    try:
        frame = decode_image_frame(path)
    except ImageError as error:
        raise FlowFileError(path, error.reason) from None
    if frame.format.name not in ("rgb48be", "rgb48le"):
        raise FlowFileError(
            path,
            f"is an image of {frame.format.name}, but KITTI flow is a 16 bit RGB PNG; "
            "a picture of flow colours cannot be turned back into flow",
        )
    values = frame.to_ndarray()
    flow = (values[..., :2].astype(np.float32) - KITTI_OFFSET) / KITTI_SCALE
    flow[values[..., 2] == 0] = np.nan
    return np.ascontiguousarray(flow)


def _kitti_bytes(path, flow, unknown):
    values = np.rint(flow.astype(np.float64) * KITTI_SCALE + KITTI_OFFSET)
    values[unknown] = 0
    if (values < 0).any() or (values > 65535).any():
        raise FlowFileError(
            path,
            f"KITTI PNG holds -512 to 511.98 pixels, the flow reaches "
            f"{np.abs(flow[~unknown]).max():g}; write a .flo file",
        )
    valid = np.where(unknown, 0, 1)[..., None]
    return encode_png(np.concatenate([values, valid], axis=-1).astype(np.uint16))
