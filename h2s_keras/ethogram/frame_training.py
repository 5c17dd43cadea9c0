"""The learning stages of the recipe `ethogram` before its head: motion, streams."""

import keras
import numpy as np

from h2s_keras.ethogram.frame_network import FrameCrossentropy, positive_weights
from h2s_keras.layers.unsupervised_flow_loss import UnsupervisedFlowLoss
from h2s_keras.training.backend_steps import jit_compile
from h2s_keras.training.stage_model import StageModel
from h2s_keras.training.validation import warped_error

# Pairs of frames of a video that tuning of motion sees, and how many are held out of all.
PAIRS_PER_VIDEO, HELD_OUT = 100, 64
# Share of a side by which windows are shifted at random, and of brightness.
_SHIFT, _BRIGHTNESS = 0.06, 0.1


def sample_pairs(frames, random, wanted=PAIRS_PER_VIDEO):
    """List of uint8 (2, height, width, 3): neighbouring frames drawn from a stream.

    Args:
        frames: iterable of uint8 (height, width, 3), of any length.
        random: NumPy Generator.
        wanted: pairs at most.
    """
    kept, last = [], None
    for number, frame in enumerate(frames):
        if last is not None:
            pair = np.stack([last, frame])
            # Reservoir sampling: every pair has the same chance.
            if len(kept) < wanted:
                kept.append(pair)
            elif (place := random.integers(number)) < wanted:
                kept[place] = pair
        last = frame
    return kept


def tune_motion(motion, pairs, settings, seed=0, callbacks=()):
    """Tunes a MotionNet without labels, and keeps that only where held-out pairs gain.

    Args:
        motion: MotionNet that sees pairs; its weights are changed.
        pairs: uint8 (pairs, 2, height, width, 3).
        settings: values "motion" of the recipe.
        seed: of the draws.
        callbacks: of Keras.

    Returns:
        dict "warped_error_before", "warped_error" (what warping by the flow leaves of the
        difference of held-out frames) and "kept": "tuned" or "before".
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(pairs))
    held_out = min(HELD_OUT, len(pairs) // 4)
    before = motion.get_weights()
    two = motion.with_num_frames(2)

    def error():
        two.set_weights(motion.get_weights())
        flow = two.estimate_flow(pairs[order[:held_out]])[:, 0]
        return warped_error(pairs[order[:held_out]], flow)

    if not settings["steps"] or not held_out:
        return {"warped_error_before": None, "warped_error": None, "kept": "before"}
    figures = {"warped_error_before": error()}
    two.set_weights(before)
    loss = UnsupervisedFlowLoss(weighting="paper", smoothness_weight=2.5)
    stage = StageModel(two, ("motion",), flow_loss=loss)
    optimizer = keras.optimizers.Adam(settings["learning_rate"])
    stage.compile(optimizer, jit_compile=jit_compile(False))
    batches = _Pairs(pairs, order[held_out:], settings, random)
    stage.fit(batches, verbose=0, callbacks=list(callbacks))
    motion.set_weights(two.get_weights())
    figures["warped_error"] = error()
    # A loss that is not a number compares as false.
    tuned = figures["warped_error"] < figures["warped_error_before"]
    if not tuned:
        motion.set_weights(before)
    return {**figures, "kept": "tuned" if tuned else "before"}


class _Pairs(keras.utils.PyDataset):
    def __init__(self, pairs, rows, settings, random):
        super().__init__()
        self.pairs, self.rows, self.settings = pairs, rows, settings
        self.random = random

    def __len__(self):
        return self.settings["steps"]

    def __getitem__(self, number):
        size = self.settings["batch_size"]
        rows = self.random.choice(self.rows, size, replace=size > len(self.rows))
        return self.pairs[rows], np.zeros(size, "int32")


def train_streams(frames, footage, matrices, settings, data, seed=0, callbacks=()):
    """Trains the temporal and the spatial stream on windows of labelled frames.

    Args:
        frames: `FrameNetwork`; the weights of its streams are changed.
        footage: per video a pair: uint8 frames (frames, height, width, 3) and their flow as
            of `FrameNetwork.flow_of`.
        matrices: per video int (frames, behaviours) of 1, 0 and -1.
        settings, data: values "streams" and "data" of the recipe.
        seed: of the draws.
        callbacks: of Keras.
    """
    names = ("temporal_logits", "spatial_logits")
    model = keras.Model(
        frames.streams.input, {name: frames.streams.output[name] for name in names}
    )
    weights = positive_weights(np.concatenate(matrices), settings["positive_weight"])
    schedule = keras.optimizers.schedules.CosineDecay(
        settings["learning_rate"], settings["steps"]
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=settings["weight_decay"]),
        {name: FrameCrossentropy(weights, data["exclusive"]) for name in names},
        jit_compile=jit_compile(False),
    )
    draws = _Draws(frames, footage, matrices, settings, data["flip"], seed)
    model.fit(draws, verbose=0, callbacks=list(callbacks))


class _Draws(keras.utils.PyDataset):
    """Windows in which every behaviour is shown as often as each other and as none."""

    def __init__(self, frames, footage, matrices, settings, flip, seed):
        super().__init__()
        self.frames, self.footage, self.matrices = frames, footage, matrices
        self.settings, self.flip = settings, flip
        self.random = np.random.default_rng(seed)
        places = [
            np.stack([np.full(len(one), video), np.arange(len(one))], axis=1)
            for video, one in enumerate(matrices)
        ]
        places, labels = np.concatenate(places), np.concatenate(matrices)
        labelled = (labels != -1).any(axis=1)
        groups = [places[column == 1] for column in labels.T]
        groups.append(places[labelled & ~(labels == 1).any(axis=1)])
        self.groups = [group for group in groups if len(group)]

    def __len__(self):
        return self.settings["steps"]

    def __getitem__(self, number):
        flows, images, labels = [], [], []
        for _ in range(self.settings["batch_size"]):
            group = self.groups[self.random.integers(len(self.groups))]
            video, frame = group[self.random.integers(len(group))]
            pictures, flow = self.footage[video]
            window = self.frames.windows(flow, [frame])[0]
            window, picture = self._changed(window, pictures[frame].astype("float32"))
            flows.append(window)
            images.append(picture)
            labels.append(self.matrices[video][frame])
        labels = np.stack(labels)
        inputs = {"flow": np.stack(flows), "image": np.stack(images)}
        return inputs, {"temporal_logits": labels, "spatial_logits": labels}

    def _changed(self, window, picture):
        """Window and picture mirrored, shifted and lit in the same way at random."""
        for axis, allowed in ((1, ("horizontal", "both")), (0, ("both",))):
            if self.flip in allowed and self.random.random() < 0.5:
                signs = np.ones(2, "float32")
                signs[1 - axis] = -1
                window = np.flip(window, axis + 1) * signs
                picture = np.flip(picture, axis)
        most = [round(side * _SHIFT) for side in window.shape[1:3]]
        shift = [int(self.random.integers(-one, one + 1)) for one in most]
        window = np.roll(window, shift, (1, 2))
        # The grid of the flow is half as fine.
        picture = np.roll(picture, [2 * one for one in shift], (0, 1))
        gain, offset = self.random.uniform(-_BRIGHTNESS, _BRIGHTNESS, 2)
        return window, np.clip(picture * (1 + gain) + 100 * offset, 0, 255)
