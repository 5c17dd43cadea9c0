"""One record: up to `frames_per_record` neighbouring frames of one example, read anywhere.

A record is a `tf.train.SequenceExample` under the keys of MediaSequence, so that other
readers of such files (DMVR, TensorFlow Model Garden) understand it:

| key | where | what |
|---|---|---|
| image/encoded | feature list | JPEG bytes of each frame |
| forward_flow/encoded | feature list | flow of each frame to the next, see below |
| image/height, image/width, image/frame_rate | context | of the frames; rate 0 if unknown |
| clip/label/index, clip/label/string | context | class, counted from 0 |
| clip/data_path | context | name of the video |
| clip/start/timestamp, clip/end/timestamp | context | microseconds of the segment |
| h2s/group, h2s/example | context | group of the split; number in the index |
| h2s/first_frame, h2s/frame_count | context | of this record; of the whole example |

Frames of an example are cut into records because a clip needs few of them: reading
stays cheap, and memory bounded, however long a video is.

Flow of a pair is stored as

- `uint8`: both components clipped to +-20 pixels and mapped onto 0..255 (the published
  way, an error of at most 0.08 pixels), x above y in one grey PNG of (2 * height, width).
  Of TV-L1 flow at 340x256 that takes 18 kB and 0.7 ms to decode; zlib alone takes a tenth
  more and half the time, but no other program can show it.
- `float16`: (height, width, 2), little endian, zlib.

The last frame of an example has no flow, so its last record holds one pair less.
"""

import zlib

import numpy as np

FLOW_FORMATS = ("uint8", "float16")
FLOW_BOUND = 20.0

IMAGE = "image/encoded"
FLOW = "forward_flow/encoded"


def encode_record(example, first_frame, frames, flows=()):
    """Serialises one record.

    Args:
        example: dict of the index ("number", "name", "label", "class_name", "group",
            "start", "end", "frames", "height", "width", "rate").
        first_frame: number in the example of the first of `frames`.
        frames: list of JPEG bytes.
        flows: list of bytes of `encode_flow`.

    Returns:
        bytes, the same for the same input.
    """
    import tensorflow as tf

    record = tf.train.SequenceExample()
    context = record.context.feature

    def set_bytes(key, text):
        # A file name may be no UTF-8; its bytes are kept.
        context[key].bytes_list.value.append(text.encode(errors="surrogateescape"))

    def set_integer(key, value):
        context[key].int64_list.value.append(value)

    set_integer("image/height", example["height"])
    set_integer("image/width", example["width"])
    context["image/frame_rate"].float_list.value.append(example["rate"] or 0.0)
    set_integer("clip/label/index", example["label"])
    set_bytes("clip/label/string", example["class_name"])
    set_bytes("clip/data_path", example["name"])
    if example["start"] is not None:
        set_integer("clip/start/timestamp", round(1e6 * example["start"]))
        set_integer("clip/end/timestamp", round(1e6 * example["end"]))
    if example["group"] is not None:
        set_bytes("h2s/group", example["group"])
    set_integer("h2s/example", example["number"])
    set_integer("h2s/first_frame", first_frame)
    set_integer("h2s/frame_count", example["frames"])
    for key, values in ((IMAGE, frames), (FLOW, flows)):
        if values:
            features = record.feature_lists.feature_list[key].feature
            for value in values:
                features.add().bytes_list.value.append(value)
    return record.SerializeToString(deterministic=True)


def record_bytes(serialized):
    """Bytes that a record takes in a TFRecord file: a length, two checksums, the record."""
    return len(serialized) + 16


def encode_flow(flow, flow_format):
    """Encodes a flow field, float (height, width, 2) in pixels, as bytes."""
    if flow_format == "float16":
        return zlib.compress(np.ascontiguousarray(flow, "<f2").tobytes(), 1)
    import tensorflow as tf

    planes = flow_as_uint8(flow).transpose(2, 0, 1).reshape(-1, flow.shape[1], 1)
    return tf.io.encode_png(np.ascontiguousarray(planes)).numpy()


def flow_as_uint8(flow):
    """Pixels to uint8: clipped to +-20, +20, x6.375, rounded.

    Reference: arXiv 1704.00389, section 3.2, as for stored flow.
    """
    clipped = np.clip(flow, -FLOW_BOUND, FLOW_BOUND)
    return np.rint((clipped + FLOW_BOUND) * (255 / (2 * FLOW_BOUND))).astype(np.uint8)


def parse_frames(records, with_flow=False):
    """Takes consecutive records apart, as TensorFlow ops.

    Args:
        records: string tensor (records,).
        with_flow: whether to give the stored flow, too.

    Returns:
        string tensor (frames,) of JPEG bytes, all records in a row; with `with_flow` a pair
        of it and the string tensor (pairs,) of encoded flow.
    """
    import tensorflow as tf

    keys = (IMAGE, FLOW) if with_flow else (IMAGE,)
    features = {key: tf.io.RaggedFeature(tf.string) for key in keys}
    _, lists, _ = tf.io.parse_sequence_example(records, sequence_features=features)
    parsed = tuple(lists[key].flat_values for key in keys)
    return parsed if with_flow else parsed[0]


def decode_flow(encoded, height, width, flow_format):
    """Decodes one stored flow field, as TensorFlow ops: float32 (height, width, 2)."""
    import tensorflow as tf

    if flow_format == "float16":
        raw = tf.io.decode_raw(tf.io.decode_compressed(encoded, "ZLIB"), tf.float16)
        return tf.cast(tf.reshape(raw, (height, width, 2)), tf.float32)
    planes = tf.reshape(tf.io.decode_png(encoded, channels=1), (2, height, width))
    levels = tf.cast(tf.transpose(planes, (1, 2, 0)), tf.float32)
    return levels * (2 * FLOW_BOUND / 255) - FLOW_BOUND


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
    # TensorFlow reads a TFRecord file from its beginning; the op below it takes a byte.
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
        return tf.cast(tf.round(scaled), tf.uint8)

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
    """As `resize_frames` in a graph, averaging where it shrinks much only; float32."""
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
