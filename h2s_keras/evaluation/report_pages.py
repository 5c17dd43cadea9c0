"""The HTML reports of `h2s evaluate`: one file each, with all pictures inside."""

import os

import numpy as np

from h2s_keras.data.clips.crops import centre_view
from h2s_keras.data.clips.sampling import segment_clip_indices
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.evaluation.flow_results import flow_rows
from h2s_keras.evaluation.grad_cam import grad_cam, heat_overlay
from h2s_keras.evaluation.protocol import Protocol
from h2s_keras.evaluation.recognition_results import figure_rows, probabilities
from h2s_keras.visualization import (
    HtmlReport,
    bar_chart,
    color_wheel_key,
    confusion_chart,
    flow_to_color,
    image_grid,
    largest_magnitude,
    motion_panel,
    panel_columns,
)

_SIDE = 192
_CONFUSED_PAIRS = 3
_WORST_CLIPS = 6
_PAIRS_SHOWN = 3  # of the best, and of the worst
_MOST_CLASSES = 60  # in a confusion matrix
# The pictures of a clip.
_COLUMNS = (
    "From left to right: first, middle and last frame of the middle clip; learned flow of "
    "its middle pair; what speaks for the predicted class (Grad-CAM) in the temporal "
    "stream, over the flow, and in the spatial stream, over the frame."
)


def write_recognition_report(path, results, scores, model=None, clip_of=None):
    """Writes the report of a classifier.

    Args:
        path: path of the HTML file.
        results: what `recognition_results` returned.
        scores: VideoScores.
        model: HiddenTwoStream, or None to leave the pictures of clips out.
        clip_of: function of a row to its clip uint8 (time, height, width, 3).

    Returns:
        Path of the file.
    """
    report = HtmlReport("Evaluation of a classifier")
    report.paragraph(
        f"{results['videos']} videos. Protocol: {results['protocol'] or 'unknown'}."
    )
    if results["model_sha256"]:
        report.paragraph(f"SHA-256 of the model: {results['model_sha256']}")
    report.heading("Figures")
    caption = "In brackets: 95 % interval (Wilson's; bootstrap of the class mean)"
    report.table(*figure_rows(results), caption)
    if "confusion" in results:
        names, confused = results["class_names"], results["confused"]
        recall = {row[0]: 100 * row[2] for row in results["classes"] if row[2] is not None}
        report.svg(bar_chart(recall, "Accuracy of each class", "accuracy (%)"))
        add_classes(report, names, results["confusion"], results["classes"], confused)
    if model is not None and "confusion" in results:
        add_confused_pairs(report, confused, names, scores, model, clip_of)
        report.heading("Worst clips")
        report.paragraph(f"The videos whose own class got the lowest score. {_COLUMNS}")
        for row in worst_rows(scores)[:_WORST_CLIPS]:
            pictures, guess = _clip_row(model, clip_of(row))
            probability = probabilities(scores.fused)[row]
            own, best = int(scores.labels[row]), int(scores.fused[row].argmax())
            report.picture(
                image_grid([pictures]),
                f"{os.path.basename(scores.names[row])}: is {names[own]} "
                f"({probability[own]:.1%}), taken for {names[best]} "
                f"({probability[best]:.1%}); this clip alone: {names[guess]}",
            )
        add_flow_key(report)
    return report.write(path)


def add_classes(report, class_names, confusion, rows, confused):
    """Figures of each class, the confusion matrix, and the pairs confused most.

    Args:
        report: HtmlReport.
        class_names: names of the classes.
        confusion: int (classes, classes), of the fused scores.
        rows, confused: its `class_table` and `most_confused_pairs`.
    """
    header = ("class", "videos", "recall", "precision", "F1")
    report.table(header, rows, "Fused scores, class by class")
    if len(class_names) <= _MOST_CLASSES:
        report.svg(confusion_chart(confusion, class_names))
    if confused:
        header = ("true class", "taken for", "videos", "share of the class")
        report.table(header, confused, "Most confused pairs")


def add_flow_key(report):
    """What the colours of flow mean."""
    report.picture(
        color_wheel_key(), "Colours of flow: hue is the direction, saturation the speed"
    )


def add_confused_pairs(report, confused, class_names, scores, model, clip_of):
    """Of the most confused pairs a wrong video, over a right one of the other class.

    Args:
        report: HtmlReport.
        confused: rows of `most_confused_pairs`.
        class_names: names of the classes, as in `confused`.
        scores: VideoScores with names and labels.
        model: HiddenTwoStream.
        clip_of: function of a row to its clip uint8 (time, height, width, 3).

    Returns:
        Whether there were any, whose flow needs `add_flow_key`.
    """
    names, shown = list(class_names), []
    for row in confused:
        own, other = names.index(row[0]), names.index(row[1])
        rows = example_rows(scores, own, other)
        if rows is not None and len(shown) < _CONFUSED_PAIRS:
            shown.append((own, other, *rows))
    if not shown:
        return False
    report.heading("Confused pairs, side by side")
    report.paragraph(_COLUMNS)
    for own, other, wrong, right in shown:
        clips = [_clip_row(model, clip_of(row))[0] for row in (wrong, right)]
        wrong, right = (os.path.basename(scores.names[row]) for row in (wrong, right))
        report.picture(
            image_grid(clips),
            f"Above {wrong}, which is {names[own]} and taken for {names[other]}; below "
            f"{right}, which is {names[other]} and recognised.",
        )
    return True


def example_rows(scores, own, other):
    """(row of class `own` taken for `other`, row of `other` that is right), or None.

    The surest of each.
    """
    fused = probabilities(scores.fused)
    guess = fused.argmax(axis=1)
    found = []
    for label in (own, other):
        rows = np.flatnonzero((scores.labels == label) & (guess == other))
        if not len(rows):
            return None
        found.append(int(rows[fused[rows, other].argmax()]))
    return tuple(found)


def write_flow_report(path, results, pairs, estimator, about):
    """Writes the report of a MotionNet: figures, and flow of good and bad cases.

    Args:
        path: path of the HTML file.
        results: what `flow_results` returned.
        pairs: the `FlowPair`s.
        estimator: as `flow_results`.
        about: line on how the figures were taken.

    Returns:
        Path of the file.
    """
    report = HtmlReport("Evaluation of optical flow").paragraph(about)
    report.heading("Figures")
    report.table(*flow_rows(results), "Mean: over the pairs that have such pixels")
    key = "epe" if "epe" in results["mean"] else "photometric"
    order = sorted(pairs, key=lambda pair: results["pairs"][pair.name][key] or 0.0)
    best = order[: min(_PAIRS_SHOWN, (len(order) + 1) // 2)]
    worst = [pair for pair in reversed(order) if pair not in best][:_PAIRS_SHOWN]
    for title, chosen in (("Best", best), ("Worst", worst)):
        if not chosen:
            continue
        report.heading(f"{title} pairs")
        for pair in chosen:
            frames, truth = pair.read()
            estimate = estimator(frames)
            reduce = -(-max(frames.shape[1:3]) // 320)
            cut = slice(None, None, reduce)
            clip = frames[:, cut, cut]
            # Every n-th pixel; vectors in pixels of the grid that is shown.
            small = estimate[None, cut, cut] / reduce
            known = None if truth is None else truth[None, cut, cut] / reduce
            panel = motion_panel(clip, known, small, scale=1)
            columns = ", ".join(panel_columns(truth is not None))
            value = results["pairs"][pair.name][key]
            shown_value = "unknown" if value is None else f"{value:.3f}"
            report.picture(panel, f"{pair.name}: {key} {shown_value}. Columns: {columns}.")
    add_flow_key(report)
    return report.write(path)


def worst_rows(scores):
    """Rows of wrong videos first, those of the lowest score of their own class foremost."""
    fused = probabilities(scores.fused)
    own = fused[np.arange(len(fused)), scores.labels]
    right = fused.argmax(axis=1) == scores.labels
    return [int(row) for row in np.lexsort((own, right))]


def _clip_row(model, clip):
    """(pictures, predicted class) of one clip: frames, flow, maps of both streams."""
    outputs = model.predict_on_batch(clip[None])
    guess = int(outputs["logits"][0].argmax())
    maps = grad_cam(model, clip[None], [guess])
    flow = model.motion.estimate_flow(clip[None])[0]
    flow = flow[len(flow) // 2]
    # Noise of a still scene would otherwise shine like motion.
    colors = flow_to_color(flow, max(1.0, largest_magnitude(flow)))
    middle = clip[len(clip) // 2]
    row = [clip[0], middle, clip[-1], colors, heat_overlay(colors, maps["temporal"][0])]
    if "spatial" in maps:
        row.append(heat_overlay(middle, maps["spatial"][0]))
    factor = max(1, _SIDE // max(clip.shape[1:3]))
    row = [picture.repeat(factor, axis=0).repeat(factor, axis=1) for picture in row]
    return row, guess


def middle_clip(model, example, rate=None):
    """The middle clip of a `VideoExample`, centre crop, uint8 (time, height, width, 3)."""
    rate = model.frame_rate if rate is None else rate
    source = FrameSource(max(model.image_size) * 2, 0, rate=rate, per_frame=True)

    def choose(count):
        frames = source.frames_of(example, count)
        clip = (model.num_frames, model.frame_stride)
        return frames.start + segment_clip_indices(len(frames), *clip, 1)[0]

    pictures = source.read(example.path, choose)
    decode_size = Protocol.of_model(model).decode_size
    return centre_view(pictures, model.image_size, decode_size)
