"""The two-stream network over every frame of a video, and what it learns from."""

import itertools

import keras
import numpy as np
from keras import ops

from h2s_keras.models.builder import HiddenTwoStreamBuilder

# Frames and windows computed at a time, always as many, so that nothing is compiled twice.
PAIRS, WINDOWS = 32, 64


@keras.saving.register_keras_serializable(package="h2s_keras")
class FrameCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of behaviours that leaves out what is not labelled.

    Args:
        positive_weights: weight of the frames that show each behaviour, those that do not
            counting 1; None for 1.
        exclusive: whether a frame shows one behaviour at most. The logits are then those of
            a softmax, the first for the absence of all, and the loss is its cross-entropy,
            over frames of which every behaviour is labelled.
        smoothness: of logits (batch, frames, behaviours): weight of the mean squared change
            of log-probabilities from frame to frame, each cut at 4.

    Call arguments:
        y_true: (..., behaviours) of 1, 0 and -1 (not labelled).
        y_pred: logits (..., behaviours), with `exclusive` one more.

    Returns:
        The mean over everything that is labelled; 0 where nothing is. The smoothness is
        that of all frames.

    Example:
        >>> loss = FrameCrossentropy()
        >>> float(loss(np.array([[1, -1]]), np.array([[0.0, 99.0]]))) == np.log(2)
        True

    Reference: Abu Farha and Gall, "MS-TCN", CVPR 2019 (the smoothness).
    """

    def __init__(
        self,
        positive_weights=None,
        exclusive=False,
        smoothness=0.0,
        name="frame_crossentropy",
    ):
        super().__init__(name=name, reduction="none")
        self.positive_weights, self.exclusive = positive_weights, exclusive
        self.smoothness = smoothness

    def __call__(self, y_true, y_pred, sample_weight=None):
        return self.call(y_true, y_pred)

    def call(self, y_true, y_pred):
        truth = ops.cast(y_true, "float32")
        logits = ops.cast(y_pred, "float32")
        known = ops.cast(truth >= 0, "float32")
        truth = truth * known
        weights = self.positive_weights
        weights = 1.0 if weights is None else ops.convert_to_tensor(weights, "float32")
        if self.exclusive:
            known = ops.min(known, axis=-1)
            absent = 1.0 - ops.max(truth, axis=-1, keepdims=True)
            share = ops.concatenate([absent, truth * weights], axis=-1)
            values = -ops.sum(share * ops.log_softmax(logits), axis=-1)
        else:
            values = weights * truth * ops.softplus(-logits)
            values = values + (1.0 - truth) * ops.softplus(logits)
        mean = ops.sum(values * known) / ops.maximum(ops.sum(known), 1.0)
        if not self.smoothness:
            return mean
        if self.exclusive:
            sides = [ops.log_softmax(logits)]
        else:
            sides = [-ops.softplus(-logits), -ops.softplus(logits)]
        change = 0.0
        for side in sides:
            step = ops.abs(side[:, 1:] - ops.stop_gradient(side[:, :-1]))
            change = change + ops.mean(ops.square(ops.minimum(step, 4.0)))
        return mean + self.smoothness * change

    def get_config(self):
        weights = self.positive_weights
        return {
            "positive_weights": None if weights is None else [float(w) for w in weights],
            "exclusive": self.exclusive,
            "smoothness": self.smoothness,
            "name": self.name,
        }


def positive_weights(matrix, exponent=0.25):
    """(negatives / positives) ^ exponent of each behaviour, 1 for one that is not shown.

    Args:
        matrix: int (frames, behaviours) of 1, 0 and -1, the last of which do not count.

    Returns:
        List of floats.

    Example:
        >>> positive_weights(np.array([[1], [0], [-1]]))
        [1.0]
    """
    shown, not_shown = (matrix == 1).sum(axis=0), (matrix == 0).sum(axis=0)
    ratio = np.where((shown > 0) & (not_shown > 0), not_shown / np.maximum(shown, 1), 1.0)
    return [float(weight) for weight in ratio**exponent]


def probabilities(logits, exclusive=False):
    """float32 (..., behaviours) from logits: sigmoid, or softmax without the first."""
    logits = np.asarray(logits, "float64")
    if exclusive:
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return (odds / odds.sum(axis=-1, keepdims=True))[..., 1:].astype("float32")
    return (0.5 * (1.0 + np.tanh(0.5 * logits))).astype("float32")


def build_network(behaviors, image_size, data, model):
    """The HiddenTwoStream of a recipe's values.

    Args:
        behaviors: names.
        image_size: (height, width).
        data, model: values of the recipe `ethogram`.
    """
    names = ["background", *behaviors] if data["exclusive"] else list(behaviors)
    builder = HiddenTwoStreamBuilder(
        names, data["num_frames"], image_size, multi_label=not data["exclusive"]
    )
    dropout = model["dropout"]
    builder.motion(model["motion"]).temporal(model["temporal"], dropout=dropout)
    builder.spatial(model["spatial"], model["spatial_weights"], dropout)
    return builder.fusion(1.0, 1.0).build()


class FrameNetwork:
    """A HiddenTwoStream with one answer per frame of a video.

    A window of frames answers for its middle frame, or with `causal` for its last. Before
    the first frame and after the last one nothing moves. The flow of a pair is computed
    once for all windows.

    Args:
        network: HiddenTwoStream with both streams, whose MotionNet sees pairs.
        causal: whether the answer is that for the window's last frame.

    Attributes:
        streams: keras.Model from dict "flow" (batch, pairs, h, w, 2) and "image" (batch,
            height, width, 3) to dict "temporal_logits", "spatial_logits" and "features".
    """

    def __init__(self, network, causal=False):
        self.network, self.image_size = network, tuple(network.image_size)
        self.motion = network.motion.with_num_frames(2)
        self.pairs = network.num_frames - 1
        self.after = 0 if causal else self.pairs // 2
        self.before = self.pairs - self.after
        height, width = self.image_size
        self.flow_shape = (height // 2, width // 2, 2)
        flow = keras.Input((self.pairs, *self.flow_shape), name="flow")
        image = keras.Input((height, width, 3), name="image")
        adapted = network.adapter(flow)
        pictures = network.spatial_preprocessing(image)
        temporal, spatial = (
            _with_features(network.temporal),
            _with_features(network.spatial),
        )
        features, logits = temporal(adapted)
        seen, spatial_logits = spatial(pictures)
        self.streams = keras.Model(
            {"flow": flow, "image": image},
            {"temporal_logits": logits, "spatial_logits": spatial_logits}
            | {"features": features, "spatial_features": seen},
        )

    def flow_of(self, frames):
        """float16 (frames - 1, h, w, 2): flow of all pairs, pixels of the flow's grid."""
        out = np.empty((len(frames) - 1, *self.flow_shape), "float16")
        for start in range(0, len(out), PAIRS):
            part = np.asarray(frames[start : start + PAIRS + 1])
            pairs = np.stack([part[:-1], part[1:]], axis=1)
            full = np.resize(pairs, (PAIRS, *pairs.shape[1:]))
            flow = self.motion.predict_on_batch(full)["flow2"][: len(pairs), 0]
            out[start : start + len(pairs)] = flow
        return out

    def windows(self, flow, frames):
        """float32 (len(frames), pairs, h, w, 2): flow of the windows of frames.

        Args:
            flow: (pairs of a video, h, w, 2).
            frames: numbers of frames.
        """
        wanted = np.asarray(frames)[:, None] + np.arange(-self.before, self.after)
        inside = (wanted >= 0) & (wanted < len(flow))
        out = np.zeros((*wanted.shape, *self.flow_shape), "float32")
        out[inside] = flow[wanted[inside]]
        return out

    def frame_features(self, frames, known_flow=None, chunk=4 * WINDOWS):
        """Features of every frame, in flat memory.

        Args:
            frames: iterable of uint8 (height, width, 3) of the network's size.
            known_flow: `flow_of` all frames, or None to compute it.
            chunk: frames taken in at a time.

        Yields:
            float16 (frames, columns): features and logits of the temporal stream, logits
            of the spatial stream; together one row per frame, in order.
        """
        # Frames that are not answered yet, and flow from the first pair of their windows.
        held = np.zeros((0, *self.image_size, 3), "uint8")
        flow = np.zeros((self.before, *self.flow_shape), "float16")
        last, count = held, 0
        frames = iter(frames)
        while fresh := list(itertools.islice(frames, chunk)):
            fresh = np.stack(fresh)
            pairs = np.concatenate([last, fresh])
            if known_flow is None:
                new = self.flow_of(pairs)
            else:
                new = known_flow[max(count - 1, 0) : count + len(fresh) - 1]
            flow, held = np.concatenate([flow, new]), np.concatenate([held, fresh])
            last, count = fresh[-1:], count + len(fresh)
            ready = len(held) - self.after
            if ready > 0:
                yield self._answers(held[:ready], flow)
                held, flow = held[ready:], flow[ready:]
        if len(held):
            still = np.zeros((self.after, *self.flow_shape), "float16")
            yield self._answers(held, np.concatenate([flow, still]))

    def _answers(self, images, flow):
        """Rows of images; the window of the first one begins with the first flow."""
        rows = []
        for start in range(0, len(images), WINDOWS):
            part = images[start : start + WINDOWS]
            places = np.arange(start, start + len(part))[:, None] + np.arange(self.pairs)
            inputs = {"flow": flow[places].astype("float32"), "image": part}
            full = {
                name: np.resize(values, (WINDOWS, *values.shape[1:]))
                for name, values in inputs.items()
            }
            outputs = self.streams.predict_on_batch(full)
            row = np.concatenate([outputs[name] for name in COLUMNS], axis=1)
            rows.append(row[: len(part)].astype("float16"))
        return np.concatenate(rows)


# Of the spatial stream only the logits: what it knows of places and coats besides is true
# of the training videos alone.
COLUMNS = ("features", "temporal_logits", "spatial_logits")


def _with_features(stream):
    """A stream as a model that gives (what its last layer reads, logits)."""
    last = stream.layers[-1]
    return keras.Model(stream.inputs, [last.input, stream.outputs[0]])
