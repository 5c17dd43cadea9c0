"""Recognition in sliding windows over frames that come one by one, in flat memory."""

import numpy as np

from h2s_keras.data.clips.crops import centre_view
from h2s_keras.data.clips.sampling import clip_span
from h2s_keras.errors import UserError
from h2s_keras.evaluation.flow_reuse import sees_pairs, windows_reusing_flow
from h2s_keras.evaluation.protocol import Protocol
from h2s_keras.evaluation.windows import Window, answer_window


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
