"""Recognition in sliding windows over frames as they come, in flat memory, and a camera's.

Overlapping windows may share the flow of their common pairs of frames.
"""

import collections
import dataclasses
import re
import sys

import keras
import numpy as np

from h2s_keras.data.clips.crops import centre_view
from h2s_keras.data.clips.sampling import clip_span
from h2s_keras.errors import UserError
from h2s_keras.evaluation.protocol import Protocol
from h2s_keras.evaluation.statistics import check_finite, log_softmax
from h2s_keras.models.motion_net_of import pair_network, sees_pairs


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


def answer_window(model, held, answered, count):
    """The Window of a clip of (frame or None, crop); the last is repeated as needed."""
    span = clip_span(model.num_frames, model.frame_stride)
    crops = [crop for _, crop in held]
    crops += [crops[-1]] * (span - len(crops))
    clip = np.stack(crops[:: model.frame_stride])
    outputs = model.predict_on_batch(clip[None])
    logits = np.asarray(outputs["logits"], "float64")[0]
    check_finite(logits, f"frames {answered} to {count}")
    # An exported network answers without its flow.
    flow = outputs.get("flow2")
    if flow is not None:
        flow = np.asarray(flow[0], "float32")[len(flow[0]) // 2]
    shown = [frame for frame, _ in held if frame is not None][answered - count :]
    probabilities = np.exp(log_softmax(logits)).astype("float32")
    return Window(answered, count, shown, probabilities, flow)


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
    if reuse_flow or (_gives_flow(model) and sees_pairs(model.motion)):
        yield from windows_reusing_flow(model, frames, step)
        return
    held, answered, count = [], 0, 0
    decode_size = Protocol.of_model(model).decode_size
    for frame in frames:
        # Only the crop that the model sees is kept of frames that were answered already.
        view = centre_view(frame[None], model.image_size, decode_size)
        held.append((frame, view[0]))
        count += 1
        if count >= span and (count - span) % step == 0:
            yield answer_window(model, held[-span:], answered, count)
            answered = count
            held = held[-span + 1 :] if span > 1 else []
            held = [(None, crop) for _, crop in held]
    if count < 2:
        raise UserError("motion needs at least two frames; this video has one")
    if answered < count:
        yield answer_window(model, held[-span:], answered, count)


def merged_timeline(windows, class_names, rate=1.0):
    """Neighbouring windows of the same best class as one entry.

    Args:
        windows: iterable of Window, or of (start, stop, probabilities); in frames.
        class_names: names of the classes.
        rate: frames per second; 1 where start and stop are seconds already.

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
    if not _gives_flow(model):
        raise UserError(
            "flow is reused between windows by a stacked .keras model only, on the runtime "
            "keras; exports and the branched variant compute whole clips"
        )
    span = clip_span(model.num_frames, model.frame_stride)
    store, classify = _PairFlow(model), _FromFlow(model)
    waiting, shown, answered, count = collections.deque(), [], 0, 0
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
            waiting.append((answered, count, shown))
            answered, shown = count, []
        yield from answers(last=False)
    if count < 2:
        raise UserError("motion needs at least two frames; this video has one")
    if count < span:
        held = list(zip(shown, store.crops.values(), strict=True))
        yield answer_window(model, held, 0, count)
        return
    if answered < count:
        waiting.append((answered, count, shown))
    yield from answers(last=True)


def _gives_flow(model):
    """Whether a model has a MotionNet whose flow its temporal stream takes."""
    return hasattr(model, "motion") and not model.branched


class _PairFlow:
    """Crops and the flow of their pairs, computed when asked for and then kept."""

    def __init__(self, model):
        self.motion, self.stride = model.motion, model.frame_stride
        self.pairs = model.num_frames - 1
        self.crops, self.known, self.newest = {}, {}, -1
        self.by_pairs = sees_pairs(model.motion)
        if self.by_pairs:
            self.motion = pair_network(model.motion)

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


_DEVICES = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}"),
    "win32": ("dshow", "video={}"),
}


def stream_frames(source, size=None, max_frames=None, timeout=10.0, times=None):
    """Opens a camera or a network stream.

    Args:
        source: number of a camera, counted from 0 (on Windows its name), or an address
            such as rtsp://host/path or http://host/video.mp4.
        size: short side in pixels that frames are shrunk to, or None.
        max_frames: stop after so many, or None.
        timeout: seconds without an answer until it counts as lost.
        times: `NotedTimes` that notes when each frame was taken, or None.

    Returns:
        (rate, frames): frames per second by the source's own word (25 where it has none),
        often a wrong one, and an iterator of uint8 (height, width, 3) RGB that closes the
        source at its end.

    Raises:
        UserError: the source cannot be opened, or has no video.

    Example:
        >>> rate, frames = stream_frames("rtsp://camera.local/live", size=256)
    """
    import av

    from h2s_keras.data.video.decoder import odd_metadata

    av.logging.set_level(None)
    source = str(source)
    options, kind, name = {}, None, source
    if not re.match(r"[a-z][a-z0-9+.-]+://", source):
        if not source.isdigit() and sys.platform != "win32":
            raise UserError(
                f"{source}: a camera is a number (0 is the first one) or an address such "
                "as rtsp://host/path; give a file without --camera"
            )
        kind, pattern = _DEVICES.get(sys.platform, _DEVICES["linux"])
        name = pattern.format(source)
    if source.startswith("rtsp://"):
        # Lost UDP packets would show as smeared pictures.
        options["rtsp_transport"] = "tcp"
    try:
        container = av.open(
            name, format=kind, options=options, timeout=timeout, **odd_metadata()
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{source}: cannot be opened ({reason}); check the number or address, and that "
            "no other program uses it"
        ) from None
    if not container.streams.video:
        container.close()
        raise UserError(f"{source}: holds no video")
    stream = container.streams.video[0]
    rate = float(stream.average_rate) if stream.average_rate else 25.0
    return rate, _frames(av, source, container, stream, size, max_frames, times)


def _frames(av, source, container, stream, size, max_frames, times):
    from h2s_keras.data.video.conversion import apply_rotation, exact_method, frame_rotation

    count = 0
    with container:
        try:
            for frame in container.decode(stream):
                if times is not None:
                    times.note(frame)
                width, height = frame.width, frame.height
                scale = 1.0 if size is None else min(1.0, size / min(width, height))
                picture = frame.to_ndarray(
                    format="rgb24",
                    width=max(1, round(width * scale)),
                    height=max(1, round(height * scale)),
                    interpolation=exact_method(),
                )
                yield apply_rotation(picture, frame_rotation(frame))
                count += 1
                if count == max_frames:
                    return
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if count == 0:
                raise UserError(f"{source}: gives no frame ({reason})") from None
            print(f"h2s: {source}: ended after {count} frames ({reason})", file=sys.stderr)
