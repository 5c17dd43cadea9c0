"""Recognition in sliding windows over frames that come one by one, in flat memory.

Overlapping windows may share the flow of their common pairs of frames.
"""

import collections
import dataclasses

import keras
import numpy as np

from h2s_keras.data.clips.crops import centre_view
from h2s_keras.data.clips.sampling import clip_span
from h2s_keras.errors import UserError
from h2s_keras.evaluation.measure import check_finite, log_softmax
from h2s_keras.evaluation.protocol import Protocol


@dataclasses.dataclass
class Window:
    """What a model says of one window of frames.

    Attributes:
        start, stop: frames that this answer stands for, stop not included.
        frames: list of these frames as they came, uint8 (height, width, 3).
        probabilities: float32 (classes,).
        flow: float32 (h, w, 2), flow of the window's middle pair on the model's finest
            grid, in pixels of it; None of an exported network.
    """

    start: int
    stop: int
    frames: list
    probabilities: np.ndarray
    flow: np.ndarray | None


def answer_window(model, held, told, count):
    """The Window of a clip of (frame or None, crop); the last is repeated as needed."""
    span = clip_span(model.num_frames, model.frame_stride)
    crops = [crop for _, crop in held]
    crops += [crops[-1]] * (span - len(crops))
    clip = np.stack(crops[:: model.frame_stride])
    outputs = model.predict_on_batch(clip[None])
    logits = np.asarray(outputs["logits"], "float64")[0]
    check_finite(logits, f"frames {told} to {count}")
    # An exported network answers without its flow.
    flow = outputs.get("flow2")
    if flow is not None:
        flow = np.asarray(flow[0], "float32")[len(flow[0]) // 2]
    shown = [frame for frame, _ in held if frame is not None][told - count :]
    probabilities = np.exp(log_softmax(logits)).astype("float32")
    return Window(told, count, shown, probabilities, flow)


def sliding_windows(model, frames, step=None, reuse_flow=False):
    """Runs a model over frames in windows.

    A window is one clip of the model; its answer stands for its last `step` frames, the
    first one's for all of its frames. What is left at the end is answered by a window
    that ends with the last frame.

    Args:
        model: HiddenTwoStream or SavedNetwork.
        frames: iterable of uint8 (height, width, 3), of one size.
        step: frames from window to window, 1 to the span of a clip; default the span.
        reuse_flow: compute the flow of a pair of frames once for all windows that share it;
            see `windows_reusing_flow`. A MotionNet that sees pairs always does.

    Yields:
        Window, as soon as its last frame has come; together they cover every frame once.

    Raises:
        UserError: a step out of range, or fewer than two frames.

    Example:
        >>> for window in sliding_windows(model, iterate_frames("long.mp4")):
        ...     print(window.start, model.class_names[window.probabilities.argmax()])
    """
    span = clip_span(model.num_frames, model.frame_stride)
    step = span if step is None else step
    if not 1 <= step <= span:
        raise UserError(
            f"the step between windows must be from 1 to the {span} frames that a clip "
            f"spans, so that no frame is left out; received {step}"
        )
    if reuse_flow or sees_pairs(model):
        yield from windows_reusing_flow(model, frames, step)
        return
    held, told, count = [], 0, 0
    decode_size = Protocol.of_model(model).decode_size
    for frame in frames:
        # Only the crop that the model sees is kept of frames that were answered already.
        view = centre_view(frame[None], model.image_size, decode_size)
        held.append((frame, view[0]))
        count += 1
        if count >= span and (count - span) % step == 0:
            yield answer_window(model, held[-span:], told, count)
            told = count
            held = held[-span + 1 :] if span > 1 else []
            held = [(None, crop) for _, crop in held]
    if count < 2:
        raise UserError("motion needs at least two frames; this video has one")
    if told < count:
        yield answer_window(model, held[-span:], told, count)


def merged_timeline(windows, class_names, rate=1.0):
    """Neighbouring windows of the same best class as one entry.

    Args:
        windows: iterable of Window, or of (start, stop, probabilities); in frames.
        class_names: names of the classes.
        rate: frames a second; 1 where start and stop are seconds already.

    Returns:
        list of dicts "start", "end" (seconds), "class" and "score" (mean probability).

    Example:
        >>> merged_timeline(windows, ["clap", "wave"], rate=25.0)
        [{"start": 0.0, "end": 2.0, "class": "wave", "score": 0.91}, ...]
    """
    entries = []
    for window in windows:
        if isinstance(window, Window):
            window = (window.start, window.stop, window.probabilities)
        start, stop, probabilities = window
        best = int(np.argmax(probabilities))
        if entries and entries[-1]["best"] == best:
            entries[-1]["stop"] = stop
            entries[-1]["scores"].append(float(probabilities[best]))
        else:
            entries.append(
                {"best": best, "start": start, "stop": stop}
                | {"scores": [float(probabilities[best])]}
            )
    return [
        {
            "start": round(entry["start"] / rate, 3),
            "end": round(entry["stop"] / rate, 3),
            "class": class_names[entry["best"]],
            "score": float(np.mean(entry["scores"])),
        }
        for entry in entries
    ]


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
