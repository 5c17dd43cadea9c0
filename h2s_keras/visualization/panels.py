"""Pictures that show what MotionNet has learned: frames, flow, and what flow explains."""

import numpy as np

from h2s_keras.visualization.flow_color import flow_to_color, largest_magnitude

# Rows of a panel when the caller does not choose: enough to see the clip, still one screen.
_DEFAULT_ROWS = 3
# Errors of correct flow are a few grey levels; unamplified they all look black.
_ERROR_GAIN = 3
# Full colour lies this much above the largest true motion: a learned vector that is a
# little too long would otherwise be dark, and good flow speckled.
_HEADROOM = 1.25


def image_grid(rows, gap=4, background=(255, 255, 255)):
    """Lays pictures out in rows and columns.

    Args:
        rows: list of rows, each a list of uint8 (height, width, 3) pictures, or None for
            an empty cell. Rows may differ in length and pictures in size: a column is as
            wide as its widest picture, a row as high as its highest; pictures sit in the
            top left corner of their cell.
        gap: pixels between cells and around the grid.
        background: RGB colour 0..255 of the gaps and empty cells.

    Returns:
        uint8 (height, width, 3) RGB.

    Raises:
        ValueError: if there is no picture, or one is not uint8 (height, width, 3).

    Example:
        >>> image_grid([[np.zeros((8, 10, 3), "uint8")] * 2], gap=1).shape
        (10, 23, 3)
    """
    cells = {
        (r, c): np.asarray(picture)
        for r, row in enumerate(rows)
        for c, picture in enumerate(row)
        if picture is not None
    }
    if not cells:
        raise ValueError("image_grid needs at least one picture; received none.")
    heights = [0] * (1 + max(r for r, _ in cells))
    widths = [0] * (1 + max(c for _, c in cells))
    for (r, c), picture in cells.items():
        if picture.ndim != 3 or picture.shape[-1] != 3 or picture.dtype != np.uint8:
            raise ValueError(
                f"image_grid takes uint8 (height, width, 3) pictures; row {r}, column {c} "
                f"is {picture.dtype} {picture.shape}."
            )
        heights[r] = max(heights[r], picture.shape[0])
        widths[c] = max(widths[c], picture.shape[1])

    tops = gap + np.cumsum([0] + [height + gap for height in heights])
    lefts = gap + np.cumsum([0] + [width + gap for width in widths])
    canvas = np.empty((tops[-1], lefts[-1], 3), dtype=np.uint8)
    canvas[:] = np.asarray(background, dtype=np.uint8)
    for (r, c), picture in cells.items():
        height, width = picture.shape[:2]
        canvas[tops[r] : tops[r] + height, lefts[c] : lefts[c] + width] = picture
    return canvas


def panel_columns(has_true_flow):
    """Names of the columns of `motion_panel`, left to right, for a caption or alt text.

    Example:
        >>> panel_columns(has_true_flow=False)
        ('frame t', 'frame t+1', 'learned flow', 'warped frame t+1', 'absolute error')
    """
    true_flow = ("true flow",) if has_true_flow else ()
    return (
        "frame t",
        "frame t+1",
        *true_flow,
        "learned flow",
        "warped frame t+1",
        "absolute error",
    )


def motion_panel(
    clip,
    true_flow,
    learned_flow,
    warped=None,
    pairs=None,
    max_magnitude=None,
    scale=3,
    gap=4,
):
    """One picture of a clip's motion, a row per chosen pair of frames.

    Columns: frame t, frame t+1, true flow (if given), learned flow, frame t+1 warped back
    by the learned flow, and its absolute error against frame t: three times the mean over
    RGB, black where the flow explains frame t, white from a difference of 85 grey levels
    or where the warp is not finite. See `panel_columns` for captions.

    Args:
        clip: (time, height, width, 3) RGB, 0..255 in any dtype.
        true_flow: (time-1, height, width, 2) in pixels, or None where it is unknown.
        learned_flow: (time-1, height, width, 2) in pixels of the clip's grid.
        warped: (time-1, height, width, 3), 0..255, if it is already at hand. Default:
            computed with `h2s_keras.ops.backward_warp(..., padding="border")`.
        pairs: indices t of the rows; negative ones count from the end. Default: at most
            three, spread evenly over the clip.
        max_magnitude: pixels of the full colour, for both flow columns; longer vectors
            are darkened. Default: over the shown pairs, 1.25 times the largest of the true
            flow, or the largest of the learned flow where the true one is unknown; at
            least 1 pixel.
        scale: integer factor of enlargement, nearest neighbour.
        gap: pixels between pictures.

    Returns:
        uint8 (height, width, 3) RGB.

    Raises:
        ValueError: if shapes do not belong together, a pair does not exist, or scale is
            not a whole number of at least 1.

    Example:
        >>> clip = np.zeros((4, 16, 16, 3), "uint8")
        >>> flow = np.zeros((3, 16, 16, 2), "float32")
        >>> motion_panel(clip, flow, flow, scale=2, gap=0).shape    # 3 rows, 6 columns
        (96, 192, 3)
    """
    clip, learned_flow = np.asarray(clip), np.asarray(learned_flow)
    if clip.ndim != 4 or clip.shape[-1] != 3 or len(clip) < 2:
        raise ValueError(
            "motion_panel takes one clip (time, height, width, 3) of at least 2 frames; "
            f"received {clip.shape}. Index a batch first: clips[0]."
        )
    pair_shape = (len(clip) - 1, *clip.shape[1:3])
    _require_shape("learned_flow", learned_flow, (*pair_shape, 2))
    if true_flow is not None:
        true_flow = np.asarray(true_flow)
        _require_shape("true_flow", true_flow, (*pair_shape, 2))
    if scale != int(scale) or scale < 1:
        raise ValueError(f"scale must be a whole number of at least 1; received {scale!r}.")
    chosen = _chosen_pairs(pairs, len(clip) - 1)

    if warped is None:
        warped_rows = _warp_to_first(clip[chosen + 1], learned_flow[chosen])
    else:
        warped = np.asarray(warped)
        _require_shape("warped", warped, (*pair_shape, 3))
        warped_rows = warped[chosen]
    if max_magnitude is None:
        if true_flow is None:
            max_magnitude = largest_magnitude(learned_flow[chosen])
        else:
            max_magnitude = _HEADROOM * largest_magnitude(true_flow[chosen])
        max_magnitude = max(1.0, max_magnitude)

    rows = []
    for pair, warped_frame in zip(chosen, warped_rows, strict=True):
        row = [_displayable(clip[pair]), _displayable(clip[pair + 1])]
        if true_flow is not None:
            row.append(flow_to_color(true_flow[pair], max_magnitude))
        row.append(flow_to_color(learned_flow[pair], max_magnitude))
        row.append(_displayable(warped_frame))
        row.append(_absolute_error(clip[pair], warped_frame))
        rows.append([_enlarge(picture, int(scale)) for picture in row])
    return image_grid(rows, gap=gap)


def _chosen_pairs(pairs, count):
    if pairs is None:
        pairs = np.unique(np.linspace(0, count - 1, min(count, _DEFAULT_ROWS)).round())
    chosen = np.asarray(pairs, dtype=np.int64).reshape(-1)
    if chosen.size == 0 or np.any(chosen < -count) or np.any(chosen >= count):
        raise ValueError(
            f"pairs must name at least one of the clip's {count} pairs, 0..{count - 1} "
            f"(or negative from the end); received {chosen.tolist()}."
        )
    return chosen % count


def _warp_to_first(next_frames, flow):
    """Frame t as the flow fetches it from frame t+1, float32 (pairs, height, width, 3)."""
    # Imported here so that charts and reports do not wait for Keras to start.
    from keras import ops as keras_ops

    from h2s_keras.ops import backward_warp

    image = keras_ops.convert_to_tensor(next_frames.astype(np.float32))
    displacement = keras_ops.convert_to_tensor(flow.astype(np.float32))
    return keras_ops.convert_to_numpy(backward_warp(image, displacement, padding="border"))


def _displayable(image):
    """uint8 RGB; what is not finite is black."""
    finite = np.nan_to_num(np.asarray(image, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(np.rint(finite), 0, 255).astype(np.uint8)


def _absolute_error(frame, warped_frame):
    difference = np.abs(frame.astype(np.float64) - np.asarray(warped_frame, np.float64))
    level = _ERROR_GAIN * difference.mean(axis=-1, keepdims=True)
    level = np.where(np.isfinite(level), level, 255.0)
    return _displayable(np.repeat(level, 3, axis=-1))


def _enlarge(picture, scale):
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def _require_shape(name, array, expected):
    if array.shape != expected:
        raise ValueError(
            f"{name} of this clip must have shape {expected}; received {array.shape}. "
            "Flow on a coarser grid goes through ops.resize_flow first."
        )
