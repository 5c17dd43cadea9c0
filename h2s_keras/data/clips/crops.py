"""Crops and resizing of the frames of a clip, one box for all of them.

Boxes are worked out from ints, or in a graph (records, exported models) from int64 tensors.
"""

import numpy as np

from h2s_keras.data.clips.sampling import array_module
from h2s_keras.data.video.conversion import exact_method

CROP_SCALES = (1.0, 0.875, 0.75)
MAX_DISTORT = 1
# The paper decodes to a short side of 256 and tests on the centre 224 of it.
CENTRE_SCALE = 0.875


def resize_frames(frames, size):
    """Resizes uint8 frames, bilinear, averaging where it shrinks.

    FFmpeg does it, in integers, as it does for videos that are decoded to a size. A graph
    cannot call FFmpeg, so that two more forms exist, of the same triangle filter and equal
    to this one but for rounding: `record_format.resize` inside tf.data, which for speed
    samples without averaging where it shrinks little, and `ops.resize_bilinear` inside
    exported models, which every runtime can take.

    Args:
        frames: uint8 array (time, height, width, 3).
        size: `(height, width)` in pixels.

    Returns:
        uint8 array `(time, *size, 3)`; `frames` itself where the size is right already.

    Raises:
        ValueError: another shape or dtype.

    Example:

    ```python
    small = resize_frames(read_frames("diving.avi"), (112, 112))
    ```
    """
    import av
    from av.video.reformatter import VideoReformatter

    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(
            "`frames` must be uint8 of the shape (time, height, width, 3). Received: "
            f"{frames.dtype} {frames.shape}"
        )
    height, width = (int(side) for side in size)
    if min(height, width) < 1:
        raise ValueError(f"`size` must be (height, width) of 1 or more. Received: {size}")
    if frames.shape[1:3] == (height, width):
        return frames
    # Passed off as Y, U and V, the channels are scaled one by one; RGB frames would
    # take a lossy way through YUV.
    options = {"interpolation": exact_method(), "threads": 1}
    reformatter = VideoReformatter()
    out = np.empty((len(frames), height, width, 3), np.uint8)
    for source, target in zip(frames, out, strict=True):
        planes = np.ascontiguousarray(source.transpose(2, 0, 1))
        frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
        frame = reformatter.reformat(frame, width=width, height=height, **options)
        target[...] = frame.to_ndarray().transpose(1, 2, 0)
    return out


def random_crop_box(frame_size, image_size, generator):
    """One of the published crops: three scales a side, at a corner or the centre.

    The largest box of the shape of `image_size` is scaled by 1, 0.875 or 0.75, for height
    and width apart but no more than one step apart, and put at one of five places.

    Args:
        frame_size: `(height, width)` of the frames, ints or int64 tensors.
        image_size: `(height, width)` that the crop will be resized to.
        generator: `np.random.Generator`, or `StatelessDraws` for tensors.

    Returns:
        `(top, left, height, width)` in whole pixels, as `frame_size`.
    """
    arrays = array_module(*frame_size)
    pairs = [
        (vertical, horizontal)
        for i, vertical in enumerate(CROP_SCALES)
        for j, horizontal in enumerate(CROP_SCALES)
        if abs(i - j) <= MAX_DISTORT
    ]
    scales = arrays.asarray(pairs, np.float64)[generator.integers(len(pairs))]
    height, width = _box_size(frame_size, image_size, scales)
    down, right = frame_size[0] - height, frame_size[1] - width
    tops = arrays.stack([0 * down, 0 * down, down, down, down // 2])
    lefts = arrays.stack([0 * right, right, 0 * right, right, right // 2])
    place = generator.integers(5)
    return _whole(tops[place], lefts[place], height, width)


def centre_crop_box(frame_size, image_size):
    """The centre 7/8 of the largest box of the shape of `image_size`, for testing.

    Of frames that have the size of the image already, as where videos are decoded to it
    whole, the whole frame.

    Args and returns: as `random_crop_box`.
    """
    arrays = array_module(*frame_size)
    height, width = _box_size(frame_size, image_size, (CENTRE_SCALE, CENTRE_SCALE))
    fits = (frame_size[0] == image_size[0]) & (frame_size[1] == image_size[1])
    height = arrays.where(fits, frame_size[0], height)
    width = arrays.where(fits, frame_size[1], width)
    top, left = (frame_size[0] - height) // 2, (frame_size[1] - width) // 2
    return _whole(top, left, height, width)


def ten_crop_boxes(frame_size, image_size):
    """The published test crops: four corners and the centre, each also mirrored.

    The centre is `centre_crop_box`; the corners are 7/8 of the largest box, 224 pixels of a
    short side of 256.

    Args:
        frame_size: `(height, width)` of the frames.
        image_size: `(height, width)` that the crops will be resized to.

    Returns:
        list of 10 pairs `((top, left, height, width), mirrored)`, the centre first, each
        box followed by its mirrored twin.

    Example:

    ```python
    ten_crop_boxes((256, 340), (224, 224))[0]   # ((16, 58, 224, 224), False)
    ```

    Reference: arXiv 1704.00389, section 4.1 (as in Simonyan and Zisserman 2014).
    """
    height, width = map(int, _box_size(frame_size, image_size, (CENTRE_SCALE,) * 2))
    down, right = frame_size[0] - height, frame_size[1] - width
    places = ((0, 0), (0, right), (down, 0), (down, right))
    boxes = [(*place, height, width) for place in places]
    boxes.insert(0, centre_crop_box(frame_size, image_size))
    return [(box, mirrored) for box in boxes for mirrored in (False, True)]


def _box_size(frame_size, image_size, scales):
    arrays = array_module(*frame_size)
    fit = arrays.minimum(frame_size[0] / image_size[0], frame_size[1] / image_size[1])
    sizes = []
    for axis in range(2):
        size = _rounded(image_size[axis] * fit * scales[axis])
        size = arrays.maximum(1, arrays.asarray(size, np.int64))
        sizes.append(arrays.minimum(frame_size[axis], size))
    return sizes


def _rounded(value):
    """The nearest integer, the even one of two, of a float or of a float tensor."""
    if array_module(value) is np:
        return np.rint(value)
    import tensorflow as tf

    return tf.round(value)


def _whole(*box):
    """A box as ints, or as it is in a graph."""
    return tuple(map(int, box)) if array_module(*box) is np else box


def crop_frames(frames, box, image_size, mirrored):
    top, left, height, width = box
    frames = resize_frames(frames[:, top : top + height, left : left + width], image_size)
    return np.ascontiguousarray(frames[:, :, ::-1] if mirrored else frames)


def centre_view(frames, image_size, decode_size=None):
    """What testing sees of frames: the centre crop, or the whole frames squeezed.

    Args:
        frames: uint8 (time, height, width, 3) of any size.
        image_size: `(height, width)` of the clips.
        decode_size: as `video_clip_dataset`; `(height, width)` squeezes whole frames to
            that size first. A short side changes nothing here: it is about the cost of
            decoding.

    Returns:
        uint8 (time, *image_size, 3).
    """
    if isinstance(decode_size, (tuple, list)):
        frames = resize_frames(frames, decode_size)
    box = centre_crop_box(frames.shape[1:3], image_size)
    return crop_frames(frames, box, image_size, False)
