"""Decoding of JPEG frames inside the served graph."""

import tensorflow as tf

from h2s_keras.data.clips.crops import centre_crop_box
from h2s_keras.ops.resize import resize_bilinear

MAX_PIXELS = 1 << 25  # of one frame: a small file can claim to hold gigabytes


def decode_clips(frames_bytes, num_frames, image_size, decode_size=None):
    """JPEG frames of any size as the clips that the model takes.

    A frame of the model's own size is used as it is. Any other is treated as testing
    does: the centre 7/8 of its largest box of the model's aspect, resized bilinearly,
    averaging where it shrinks; with a `decode_size` of (height, width) the whole frame is
    squeezed to that size first.

    Args:
        frames_bytes: string (batch, num_frames), one JPEG file each, of one size within a
            clip.
        num_frames: frames of a clip.
        image_size: (height, width) of the model.
        decode_size: of the model's `test_protocol`.

    Returns:
        uint8 (batch, num_frames, height, width, 3), RGB.

    Raises:
        tf.errors.InvalidArgumentError: when run on bytes that are no whole JPEG, on frames
            of a clip that differ in size, or on a frame of more than 33 million pixels.
    """
    height, width = image_size
    flat = tf.reshape(frames_bytes, [-1])
    frames, sizes = tf.map_fn(
        lambda content: _decode(content, height, width, decode_size),
        flat,
        fn_output_signature=(
            tf.TensorSpec((height, width, 3), tf.uint8),
            tf.TensorSpec((2,), tf.int32),
        ),
    )
    sizes = tf.reshape(sizes, [-1, num_frames, 2])
    # Frames of one clip that differ in size come from two videos: an error of the client.
    one_size = tf.debugging.Assert(
        tf.reduce_all(sizes == sizes[:, :1]),
        [
            "frames_bytes: the frames of a clip differ in size; send frames of one video. "
            "Heights and widths received:",
            sizes,
        ],
    )
    with tf.control_dependencies([one_size]):
        return tf.reshape(frames, [-1, num_frames, height, width, 3])


def _decode(content, height, width, decode_size):
    head = tf.strings.substr(content, 0, 3)
    is_jpeg = tf.debugging.Assert(
        tf.equal(head, b"\xff\xd8\xff"),
        [
            "frames_bytes: a frame is no JPEG file; send the bytes of JPEG files, one a "
            "frame (in JSON as {'b64': ...}). Bytes received:",
            tf.strings.length(content),
        ],
    )
    with tf.control_dependencies([is_jpeg]):
        shape = tf.io.extract_jpeg_shape(content)
    is_small = tf.debugging.Assert(
        tf.reduce_prod(tf.cast(shape[:2], tf.int64)) <= MAX_PIXELS,
        [f"frames_bytes: a frame has more than {MAX_PIXELS} pixels; shrink it. Shape:"]
        + [shape],
    )
    with tf.control_dependencies([is_small]):
        frame = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
    if isinstance(decode_size, (tuple, list)):
        frame = _resized(frame, tuple(decode_size))
    sides = tf.unstack(tf.shape(frame, tf.int64)[:2])
    top, left, rows, columns = centre_crop_box(sides, (height, width))
    frame = frame[top : top + rows, left : left + columns]
    return _resized(frame, (height, width)), shape[:2]


def _resized(frame, size):
    resized = tf.round(resize_bilinear(frame[None], size))[0]
    resized = tf.ensure_shape(resized, (*size, 3))
    return tf.cast(tf.clip_by_value(resized, 0.0, 255.0), tf.uint8)
