"""Random numbers that a stream of examples can be continued with anywhere."""

# Streams of one seed that share nothing.
SPLITS = {"train": 0, "test": 1}


class StatelessDraws:
    """Random numbers for tf.data: the n-th draw depends on (seed, index, n) alone.

    `integers` and `random` stand in for those of `np.random.Generator` where clips are
    sampled and cropped in a graph.

    Args:
        tf: the TensorFlow module, which is not imported before clips are made.
        seed: int or scalar integer tensor.
        index: of the example; int or scalar integer tensor.
    """

    def __init__(self, tf, seed, index):
        self.tf, self.count = tf, 0
        base = tf.stack([tf.cast(seed, tf.int64), tf.cast(index, tf.int64)])
        self.base = tf.random.experimental.stateless_fold_in(base, 0)

    def seed(self):
        """The seed of the next draw, int64 (2,)."""
        self.count += 1
        return self.tf.random.experimental.stateless_fold_in(self.base, self.count)

    def uniform(self, low=0.0, high=1.0, shape=()):
        return self.tf.random.stateless_uniform(shape, self.seed(), low, high)

    def integer(self, below):
        return self.tf.random.stateless_uniform(
            (), self.seed(), 0, below, dtype=self.tf.int32
        )

    def normal(self, deviation, shape):
        return self.tf.random.stateless_normal(shape, self.seed(), 0.0, deviation)

    def integers(self, below):
        """int64 in [0, below), of the shape of `below`."""
        below = self.tf.cast(below, self.tf.int64)
        # A product of a float would never reach the highest numbers of a long range.
        bits = self.tf.random.stateless_uniform(
            self.tf.shape(below), self.seed(), 0, 1 << 62, dtype=self.tf.int64
        )
        return bits % below

    def random(self):
        """float32 in [0, 1)."""
        return self.uniform()
