"""What all synthetic clips share: a stream of examples that can be continued anywhere."""

import abc

from h2s_keras.data.clips.sampling import SPLITS, StatelessDraws

# Graphs of the latest kinds of clips, for every stream of that kind: a run asks for one at
# every stage and test, and to trace one takes about a second.
_TRACES, _KEPT = {}, 8


class ClipStream(abc.ABC):
    """Base of streams whose example `i` is a pure function of (seed, split, i).

    A subclass has `class_names`, `make(draw)` and `kind`.

    Args:
        num_frames: frames of a clip, at least 2.
        image_size: (height, width) in pixels, at least 16.
        seed: seed of the whole stream.
        split: "train" or "test"; the two never share a clip.

    Raises:
        ValueError: for fewer frames, a smaller image or another split.
    """

    def __init__(self, num_frames, image_size, seed, split):
        if num_frames < 2 or min(image_size) < 16:
            raise ValueError(
                f"{self.title} have at least 2 frames of 16x16 pixels; received "
                f"num_frames={num_frames} and image_size={tuple(image_size)}."
            )
        if split not in SPLITS:
            raise ValueError(f"split must be one of {sorted(SPLITS)}; received {split!r}.")
        self.num_frames, self.image_size = num_frames, tuple(image_size)
        self.seed, self.split = seed, split

    @property
    def stream_seed(self):
        """Of everything random; another one for each seed and split."""
        return self.seed * 2 + SPLITS[self.split]

    @property
    def kind(self):
        """A tuple of all that `make` depends on beside the random numbers."""
        return type(self), self.num_frames, self.image_size

    @abc.abstractmethod
    def make(self, draw):
        """One clip out of random numbers.

        Args:
            draw: StatelessDraws.

        Returns:
            dict of tensors with "clip" uint8 (time, height, width, 3) RGB, "flow" float32
            (time-1, height, width, 2) pixels and "label" int32 ().
        """

    def example(self, index):
        """Clip number `index`, an int or a tensor, as the dict of `make`."""
        import tensorflow as tf

        return self.make(StatelessDraws(tf, self.stream_seed, index))

    def dataset(
        self,
        batch_size,
        count=None,
        start=0,
        with_flow=False,
        numbers=None,
        targets="label",
    ):
        """A tf.data.Dataset of batches.

        Args:
            batch_size: clips of a batch.
            count: clips in all, or None for an endless stream; a last batch may be
                smaller.
            start: index of the first clip, to continue a stream.
            with_flow: yield the whole dict of `example` (plural tensors batched) in
                place of the pair (clips, labels).
            numbers: tf.data.Dataset of the indices of the clips, instead of `count` and
                `start`.
            targets: "label", or "flow" for pairs (clips, true flow).

        Returns:
            Dataset of (clips uint8 (batch, time, height, width, 3), labels int32
            (batch,)), or of dicts.

        Raises:
            ValueError: for other targets.
        """
        import tensorflow as tf

        if targets not in ("label", "flow"):
            raise ValueError(f"targets must be 'label' or 'flow'; received {targets!r}.")
        dataset = numbers
        if numbers is None:
            stop = start + count if count is not None else tf.int64.max
            dataset = tf.data.Dataset.range(start, stop)
        make = self.traced(tf) if with_flow else self.training_examples(tf)

        def element(index):
            example = make(index)
            return example if with_flow else (example["clip"], example[targets])

        # One clip a call and deterministic order: the stream is the same on any machine.
        dataset = dataset.map(element, num_parallel_calls=2, deterministic=True)
        dataset = dataset.batch(batch_size, drop_remainder=count is None)
        return dataset.prefetch(2)

    def traced(self, tf):
        """`example` as a graph, shared by all streams of this kind."""
        if self.kind not in _TRACES:
            if len(_TRACES) >= _KEPT:
                del _TRACES[next(iter(_TRACES))]
            number = tf.TensorSpec((), tf.int64)

            @tf.function(input_signature=[number, number], autograph=False)
            def make(seed, index):
                return self.make(StatelessDraws(tf, seed, index))

            _TRACES[self.kind] = make
        make, seed = _TRACES[self.kind], tf.constant(self.stream_seed, tf.int64)
        return lambda index: make(seed, index)

    def training_examples(self, tf):
        """The function of an index that training sees; a subclass may show others."""
        return self.traced(tf)
