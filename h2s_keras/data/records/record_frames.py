"""Reading frames out of records at random places, as TensorFlow ops.

TensorFlow reads a TFRecord file from its beginning. The op under `TFRecordDataset` also
takes the byte to begin at, and a data set of one element can be read inside another: so
any record is a function of (file, byte), in the graph, checked by the file's checksums.
"""

from h2s_keras.data.records.record_format import decode_flow, parse_frames

_BUFFER = 1 << 18
# Where it shrinks, plain bilinear sampling weighs pixels unevenly; averaging does not, but
# takes about twice as long. Up to this ratio plain sampling is taken: on real clips the two
# then differ by less than 0.7 levels on average (tests/data/test_records.py), on noise by
# more.
_AVERAGE_ABOVE = 1.25


def read_records(path, offset, count):
    """Reads consecutive records of a file.

    Args:
        path: string tensor.
        offset: int64 tensor, byte at which the first of them begins.
        count: int64 tensor.

    Returns:
        string tensor (count,).
    """
    import tensorflow as tf

    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=tf.reshape(path, [1]),
        compression_type="",
        buffer_size=tf.constant(_BUFFER, tf.int64),
        byte_offsets=tf.reshape(offset, [1]),
    )
    records = tf.data.experimental.from_variant(variant, tf.TensorSpec((), tf.string))
    batch = records.take(count).batch(tf.int64.max)
    found = batch.get_single_element()
    message = "a shard ends early"
    with tf.control_dependencies(
        [tf.debugging.assert_equal(tf.shape(found, tf.int64)[0], count, message)]
    ):
        return tf.identity(found)


def crop_jpegs(encoded, box, image_size, ratio=1):
    """Decodes only the part of each JPEG that is needed, and resizes it.

    Args:
        encoded: string tensor (frames,) of static length.
        box: int64 tensor (4,), top, left, height, width in pixels of the frame shrunk by
            `ratio`.
        image_size: `(height, width)`.
        ratio: 1, 2, 4 or 8: decode at that fraction of the size, which JPEG does faster.

    Returns:
        uint8 (frames, *image_size, 3).
    """
    import tensorflow as tf

    box = tf.cast(box, tf.int32)
    frames = [
        tf.io.decode_and_crop_jpeg(frame, box, channels=3, ratio=ratio)
        for frame in tf.unstack(encoded)
    ]
    frames = tf.stack(frames)

    def resized():
        scaled = resize(tf.cast(frames, tf.float32), box[2:], image_size)
        return tf.cast(tf.round(tf.clip_by_value(scaled, 0.0, 255.0)), tf.uint8)

    right_size = tf.reduce_all(box[2:] == tf.constant(image_size))
    frames = tf.cond(right_size, lambda: frames, resized)
    return tf.ensure_shape(frames, (encoded.shape[0], *image_size, 3))


def crop_flows(encoded, missing, frame_size, box, image_size, flow_format):
    """Decodes stored flow, crops and resizes it with the clip.

    Args:
        encoded: string tensor (pairs,) of static length.
        missing: bool tensor (pairs,): True where there is no stored flow and zero is meant.
        frame_size: `(height, width)` tensors of the packed frames.
        box: int64 tensor (4,) in pixels of the packed frames.
        image_size: `(height, width)`.
        flow_format: as packed.

    Returns:
        float32 (pairs, *image_size, 2), pixels of `image_size`.
    """
    import tensorflow as tf

    height, width = (tf.cast(side, tf.int32) for side in frame_size)
    box = tf.cast(box, tf.int32)
    top, left, rows, columns = tf.unstack(box)
    fields = []
    for flow in tf.unstack(encoded):
        field = decode_flow(flow, height, width, flow_format)
        fields.append(field[top : top + rows, left : left + columns])
    fields = resize(tf.stack(fields), box[2:], image_size)
    factor_y = image_size[0] / tf.cast(rows, tf.float32)
    factor_x = image_size[1] / tf.cast(columns, tf.float32)
    fields *= tf.stack([factor_x, factor_y])
    fields = tf.where(missing[:, None, None, None], 0.0, fields)
    return tf.ensure_shape(fields, (encoded.shape[0], *image_size, 2))


def resize(images, size, image_size):
    """Bilinear, averaging where it shrinks much; float32 in, float32 out."""
    import tensorflow as tf

    shrinks = tf.cast(size, tf.float32) > _AVERAGE_ABOVE * tf.constant(
        image_size, tf.float32
    )
    return tf.cond(
        tf.reduce_any(shrinks),
        lambda: tf.image.resize(images, image_size, antialias=True),
        lambda: tf.image.resize(images, image_size),
    )


def stored_frames(path, offsets, first, last, with_flow):
    """All frames of the records `first` to `last` of an example.

    Args:
        path: string tensor, the shard.
        offsets: int64 tensor, where the example's records begin.
        first, last: int64 tensors, the first and last record that is needed.
        with_flow: as `parse_frames`, and what is returned.
    """
    records = read_records(path, offsets[first], last - first + 1)
    return parse_frames(records, with_flow)
