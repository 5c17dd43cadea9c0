"""Sampling and augmentation as TensorFlow ops: the draws of `sampling` and `crops`.

Where no Python may run (records, tf.data service) the same clips and crops are drawn with
stateless random ops. The distributions are those of `random_clip_indices`,
`segment_clip_indices` and `random_crop_box`; the draws themselves are others, because
NumPy's generators do not exist there.
"""

from h2s_keras.data.clips.crops import CENTRE_SCALE, CROP_SCALES, MAX_DISTORT


class GraphDraw:
    """Random numbers of one example: the n-th draw is a function of (seed, number, n).

    Args:
        seed: int.
        number: int64 tensor, number of the example.
    """

    def __init__(self, seed, number):
        import tensorflow as tf

        self._tf, self._count = tf, 0
        self._base = tf.stack([tf.constant(seed, tf.int64), tf.cast(number, tf.int64)])

    def integer(self, below, shape=()):
        """int64 in [0, below); `below` may be a tensor, also one of `shape`."""
        tf = self._tf
        self._count += 1
        seed = tf.random.experimental.stateless_fold_in(self._base, self._count)
        below = tf.cast(below, tf.int64)
        # A product of a float would never reach the highest numbers of a long range.
        bits = tf.random.stateless_uniform(
            shape, seed, minval=0, maxval=1 << 62, dtype=tf.int64
        )
        return bits % below

    def coin(self):
        """True or False, evenly."""
        return self.integer(2) == 1


def epoch_place(number, count, seed):
    """Which of `count` examples comes at a place of the endless stream.

    Each epoch takes every example once, in an order of its own.

    Args:
        number: int64 tensor, place in the stream.
        count: int, number of examples.
        seed: int.

    Returns:
        int64 tensor in [0, count).
    """
    import tensorflow as tf

    epoch = number // count
    seeds = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.index_shuffle(
        number % count, seeds, tf.constant(count - 1, tf.int64)
    )


def clip_frames(starts, frame_count, num_frames, stride, short):
    """`clip_indices` as ops: int64 (..., num_frames) for starts of any shape."""
    import tensorflow as tf

    steps = tf.range(num_frames, dtype=tf.int64) * tf.cast(stride, tf.int64)
    indices = tf.expand_dims(starts, -1) + steps
    if short == "hold":
        return tf.minimum(indices, frame_count - 1)
    return indices % frame_count


def random_clip_frames(frame_count, num_frames, stride, draw, short):
    """`random_clip_indices` as ops: int64 (num_frames,)."""
    import tensorflow as tf

    span = (num_frames - 1) * tf.cast(stride, tf.int64) + 1
    last = tf.maximum(tf.constant(0, tf.int64), frame_count - span)
    if short == "loop":
        last = tf.where(frame_count < span, frame_count - 1, last)
    start = draw.integer(last + 1)
    return clip_frames(start, frame_count, num_frames, stride, short)


def segment_clip_frames(frame_count, num_frames, stride, segments, draw, short):
    """`segment_clip_indices` as ops: int64 (segments, num_frames)."""
    import tensorflow as tf

    span = (num_frames - 1) * tf.cast(stride, tf.int64) + 1
    possible = tf.maximum(tf.constant(0, tf.int64), frame_count - span) + 1
    edges = tf.range(segments + 1, dtype=tf.int64) * possible // segments
    width = tf.maximum(edges[1:] - edges[:-1], 1)
    starts = tf.minimum(edges[:-1] + draw.integer(width, (segments,)), possible - 1)
    return clip_frames(starts, frame_count, num_frames, stride, short)


def random_crop(frame_size, image_size, draw):
    """`random_crop_box` as ops.

    Args:
        frame_size: `(height, width)`, int64 tensors.
        image_size: `(height, width)`, ints.
        draw: `GraphDraw`.

    Returns:
        int64 tensor (4,): top, left, height, width.
    """
    import tensorflow as tf

    pairs = [
        (vertical, horizontal)
        for i, vertical in enumerate(CROP_SCALES)
        for j, horizontal in enumerate(CROP_SCALES)
        if abs(i - j) <= MAX_DISTORT
    ]
    scales = tf.gather(tf.constant(pairs, tf.float64), draw.integer(len(pairs)))
    height, width = _box_size(frame_size, image_size, scales)
    down, right = frame_size[0] - height, frame_size[1] - width
    zero = tf.zeros_like(down)
    places = tf.stack(
        [
            tf.stack([zero, zero]),
            tf.stack([zero, right]),
            tf.stack([down, zero]),
            tf.stack([down, right]),
            tf.stack([down // 2, right // 2]),
        ]
    )
    place = tf.gather(places, draw.integer(5))
    return tf.stack([place[0], place[1], height, width])


def centre_crop(frame_size, image_size):
    """`centre_crop_box` as ops; arguments and returns as `random_crop`."""
    import tensorflow as tf

    scales = tf.constant([CENTRE_SCALE, CENTRE_SCALE], tf.float64)
    height, width = _box_size(frame_size, image_size, scales)
    down, right = frame_size[0] - height, frame_size[1] - width
    return tf.stack([down // 2, right // 2, height, width])


def _box_size(frame_size, image_size, scales):
    import tensorflow as tf

    whole = [tf.cast(side, tf.float64) for side in frame_size]
    fit = tf.minimum(whole[0] / image_size[0], whole[1] / image_size[1])
    sizes = []
    for place in range(2):
        size = tf.round(image_size[place] * fit * scales[place])
        size = tf.maximum(tf.constant(1, tf.int64), tf.cast(size, tf.int64))
        sizes.append(tf.minimum(frame_size[place], size))
    return sizes
