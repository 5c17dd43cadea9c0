"""Overlapping windows that share the flow of their common pairs of frames."""

import collections

import keras
import numpy as np

from h2s_keras.data.clips.crops import centre_view
from h2s_keras.data.clips.sampling import clip_span
from h2s_keras.errors import UserError
from h2s_keras.evaluation.measure import check_finite, log_softmax
from h2s_keras.evaluation.protocol import Protocol
from h2s_keras.evaluation.windows import Window, answer_window


def windows_reusing_flow(model, frames, step):
    """`sliding_windows` in which MotionNet sees every pair of frames about once.

    A window takes the flow of its pairs from those before and only passes the temporal and
    spatial stream itself. With a MotionNet that sees pairs (`coarse_to_fine`) the answers
    are those of windows computed alone. One that sees all frames in one pass runs on clips
    one after the other that share a frame: a pair's flow then comes from another place of
    the clip, so that answers differ a little, and an answer may come up to one clip later,
    since the frames after it complete the clip of its flow.

    Args:
        model: stacked HiddenTwoStream with its parts.
        frames, step: as `sliding_windows`, already checked.

    Yields:
        Window.

    Raises:
        UserError: an exported or branched model, or fewer than two frames.
    """
    if not hasattr(model, "motion") or model.branched:
        raise UserError(
            "flow is reused between windows by a stacked .keras model only, on the runtime "
            "keras; exports and the branched variant compute whole clips"
        )
    span = clip_span(model.num_frames, model.frame_stride)
    store, classify = _PairFlow(model), _FromFlow(model)
    waiting, shown, told, count = collections.deque(), [], 0, 0
    decode_size = Protocol.of_model(model).decode_size

    def answers(last):
        while waiting:
            start, stop, pictures = waiting[0]
            flow = store.flow(stop - span, last)
            if flow is None:
                return
            clip = store.clip(stop - span)
            outputs = classify.predict_on_batch({"flow": flow[None], "clips": clip[None]})
            logits = np.asarray(outputs["logits"], "float64")[0]
            check_finite(logits, f"frames {start} to {stop}")
            probabilities = np.exp(log_softmax(logits)).astype("float32")
            waiting.popleft()
            yield Window(start, stop, pictures, probabilities, flow[len(flow) // 2])
            store.forget(waiting[0][1] - span if waiting else count - span + 1)

    for frame in frames:
        store.add(count, centre_view(frame[None], model.image_size, decode_size)[0])
        shown.append(frame)
        count += 1
        if count >= span and (count - span) % step == 0:
            waiting.append((told, count, shown))
            told, shown = count, []
        yield from answers(last=False)
    if count < 2:
        raise UserError("motion needs at least two frames; this video has one")
    if count < span:
        held = list(zip(shown, store.crops.values(), strict=True))
        yield answer_window(model, held, 0, count)
        return
    if told < count:
        waiting.append((told, count, shown))
    yield from answers(last=True)


def sees_pairs(model):
    """Whether the flow of a pair of frames does not depend on the clip around it."""
    motion = getattr(model, "motion", None)
    return motion is not None and motion.coarse_to_fine and not model.branched


class _PairFlow:
    """Crops and the flow of their pairs, computed when asked for and then kept."""

    def __init__(self, model):
        self.motion, self.stride = model.motion, model.frame_stride
        self.pairs = model.num_frames - 1
        self.crops, self.known, self.newest = {}, {}, -1
        self.by_pairs = sees_pairs(model)
        if self.by_pairs:
            self.motion = model.motion.with_num_frames(2)

    def add(self, index, crop):
        self.crops[index], self.newest = crop, index

    def clip(self, start):
        return np.stack(
            [self.crops[start + self.stride * n] for n in range(self.pairs + 1)]
        )

    def flow(self, start, last):
        """(pairs, h, w, 2) of the window from `start`, or None until more frames came."""
        wanted = [start + self.stride * number for number in range(self.pairs)]
        missing = [index for index in wanted if index not in self.known]
        if missing and self.by_pairs:
            if wanted[-1] + self.stride > self.newest:
                return None
            self._estimate(missing)
        elif missing:
            first = missing[0]
            if first + self.stride * self.pairs > self.newest:
                if not last:
                    return None
                first = start  # Nothing comes after it, so its own clip must do.
            flow = self.motion.predict_on_batch(self.clip(first)[None])["flow2"][0]
            for number, one in enumerate(flow):
                self.known.setdefault(first + self.stride * number, one)
        return np.stack([self.known[index] for index in wanted])

    def _estimate(self, missing):
        pairs = np.stack(
            [[self.crops[index], self.crops[index + self.stride]] for index in missing]
        )
        # A few sizes of batch, so that the network is compiled a few times only.
        size = min(self.pairs, 2 ** (len(missing) - 1).bit_length())
        full = np.resize(pairs, (max(size, len(missing)), *pairs.shape[1:]))
        flow = self.motion.predict_on_batch(full)["flow2"][: len(missing), 0]
        self.known.update(zip(missing, flow, strict=True))

    def forget(self, before):
        for kept in (self.crops, self.known):
            for index in [index for index in kept if index < before]:
                del kept[index]


class _FromFlow(keras.Model):
    """Temporal and spatial stream of a network on flow that is known already."""

    def __init__(self, network):
        super().__init__(name="from_flow")
        self.network = network
        self.built = True

    def call(self, inputs, training=None):
        network = self.network
        adapted = network.adapter(inputs["flow"])
        outputs = {"temporal_logits": network.temporal(adapted, training=training)}
        if network.spatial is not None:
            images = network.spatial_images(inputs["clips"])
            outputs["spatial_logits"] = network.spatial(images, training=training)
        return {"logits": network.fuse(outputs)}
