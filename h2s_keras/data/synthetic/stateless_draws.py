"""Random numbers that a stream of examples can be continued with anywhere."""

# Streams of one seed that share nothing.
SPLITS = {"train": 0, "test": 1}


class StatelessDraws:
    """Random numbers for tf.data: the n-th draw depends on (seed, index, n) alone.

    Args:
        tf: the TensorFlow module, which is not imported before clips are made.
        seed: int or scalar integer tensor.
        index: of the example; int or scalar integer tensor.
    """

    def __init__(self, tf, seed, index):
        self.tf, self.count = tf, 0
        base = tf.stack([tf.cast(seed, tf.int64), tf.cast(index, tf.int64)])
        self.base = tf.random.experimental.stateless_fold_in(base, 0)

    def _seed(self):
        self.count += 1
        return self.tf.random.experimental.stateless_fold_in(self.base, self.count)

    def uniform(self, low=0.0, high=1.0, shape=()):
        return self.tf.random.stateless_uniform(shape, self._seed(), low, high)

    def integer(self, below):
        return self.tf.random.stateless_uniform(
            (), self._seed(), 0, below, dtype=self.tf.int32
        )

    def normal(self, deviation, shape):
        return self.tf.random.stateless_normal(shape, self._seed(), 0.0, deviation)
