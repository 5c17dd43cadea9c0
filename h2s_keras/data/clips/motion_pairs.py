import numpy as np

from h2s_keras.data.synthetic.moving_layers import MovingLayerClips
from h2s_keras.data.training_data import SyntheticData
from h2s_keras.errors import UserError

_HELD_OUT = 100  # pairs, about
# Synthetic clips that are really made; each is shown in 48 augmented forms.
_POOL = 256


class MotionPairs:
    """Pairs of frames for a stage of MotionNet: half real, half synthetic with known flow.

    It has the interface of `training_data`, without a test. The targets are true flow,
    NaN for the real pairs, which come first in every batch.

    Args:
        data: data object with `of_pairs()`, such as `VideoData`.

    Raises:
        UserError: the data have no frames to take pairs of.
    """

    def __init__(self, data):
        if not hasattr(data, "of_pairs"):
            raise UserError(
                "flow_loss.kind='mixed' learns from pairs of frames of video files or "
                "synthetic clips, which these data do not give; leave the stage out "
                "(--set stages.NAME=none) or choose another data.kind"
            )
        self.real = data.of_pairs()
        self.class_names, self.explain = data.class_names, data.explain
        self.size = tuple(self.real.image_size)
        square = self.size[0] == self.size[1]
        self.synthetic = SyntheticData(
            {
                "num_frames": 2,
                "image_size": self.size,
                "seed": 0,
                "test_count": 0,
                "targets": "flow",
                # Clips of a pool are turned, so only square ones can be.
                "pool": _POOL if square else None,
            },
            MovingLayerClips,
        )

    def training(self, batch_size, start_step=0, seed=0):
        import tensorflow as tf

        real, synthetic = self._shares(batch_size)
        unknown = tf.fill((real, 1, *self.size, 2), np.float32("nan"))

        def joined(one, other):
            clips = tf.concat([one[0], other[0]], axis=0)
            return clips, tf.concat([unknown, other[1]], axis=0)

        parts = (
            self.real.training(real, start_step, seed),
            self.synthetic.training(synthetic, start_step, seed),
        )
        return tf.data.Dataset.zip(parts).map(joined).prefetch(1)

    def training_names(self, batch_size, step, seed=0):
        real, synthetic = self._shares(batch_size)
        return [
            *self.real.training_names(real, step, seed),
            *self.synthetic.training_names(synthetic, step, seed),
        ]

    def held_out(self):
        """uint8 (pairs, 2, height, width, 3): evenly spaced pairs of held-out videos.

        Empty where no videos are held out, or none of them can be read.
        """
        batches = self.real.held_out_pairs(_HELD_OUT)
        pairs = [np.asarray(batch["clip"]) for batch in batches]
        return np.concatenate(pairs) if pairs else np.zeros((0, 2, *self.size, 3), np.uint8)

    def close(self):
        """Nothing is kept beyond this object."""

    @staticmethod
    def _shares(batch_size):
        if batch_size < 2:
            raise UserError(
                "flow_loss.kind='mixed' needs a batch_size of 2 or more, for real and "
                f"synthetic pairs; received {batch_size}"
            )
        return batch_size - batch_size // 2, batch_size // 2
