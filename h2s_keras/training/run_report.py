"""The HTML report of a training run on videos."""

import os
import shlex

from h2s_keras.evaluation.report_pages import (
    add_classes,
    add_confused_pairs,
    add_flow_key,
)
from h2s_keras.evaluation.statistics import (
    class_table,
    confusion_matrix,
    most_confused_pairs,
    wilson_interval,
)
from h2s_keras.training.run_figures import motion_figures
from h2s_keras.training.validation import motion_sentence
from h2s_keras.visualization import HtmlReport, line_chart

STREAMS = ("temporal", "spatial", "fused")


def stream_rows(scores, labels):
    """(stream, right, videos, share, low, high) of each stream; Wilson's 95 % interval."""
    rows = []
    for name in STREAMS:
        if name in scores:
            right = int((scores[name].argmax(axis=1) == labels).sum())
            share = right / len(labels)
            interval = wilson_interval(share, len(labels))
            rows.append((name, right, len(labels), share, *interval))
    return rows


def next_commands(folder):
    """What to run next with the model of a run, as (what, command)."""
    run = shlex.quote(os.path.relpath(folder))
    return [
        ("name what a new video shows", f"h2s predict new.mp4 --model {run}"),
        ("see the flow of a video", f"h2s flow new.mp4 --model {run} --out flow"),
        ("measure on other videos", f"h2s evaluate --model {run} --data other_videos"),
        ("export for serving", f"h2s export --model {run} --out exported"),
    ]


def write_run_report(path, results, scores, curves, model=None, clip_of=None):
    """Writes the report.

    Args:
        path: path of the HTML file.
        results: results of the run, with its "advice".
        scores: VideoScores with labels and class names.
        curves: curves of the run's folder.
        model: HiddenTwoStream, or None to leave the pictures of clips out.
        clip_of: function of a row to its clip uint8 (time, height, width, 3).

    Returns:
        Path of the file.
    """
    labels, class_names = scores.labels, scores.class_names
    report = HtmlReport(f"Training run: {results['name']}")
    report.paragraph(f"Measured on {results['test']}.")
    rows = [
        (name, f"{right} of {count}", f"{share:.1%}", f"{low:.1%} to {high:.1%}")
        for name, right, count, share, low, high in stream_rows(scores.streams, labels)
    ]
    report.heading("Figures")
    report.table(("stream", "right", "accuracy", "95 % interval"), rows, "Wilson intervals")
    motion = motion_figures(results.get("stages", {}))
    if motion:
        report.paragraph(f"Motion: {motion_sentence(motion)}.")
    report.heading("What would help")
    for sentence in results["advice"] or ["Nothing stands out."]:
        report.paragraph(sentence)
    confusion = confusion_matrix(labels, scores.fused.argmax(axis=1), len(class_names))
    report.heading("Classes")
    classes = class_table(confusion, class_names)
    confused = most_confused_pairs(confusion, class_names)
    add_classes(report, class_names, confusion, classes, confused)
    if model is not None:
        if add_confused_pairs(report, confused, class_names, scores, model, clip_of):
            add_flow_key(report)
    report.heading("Curves")
    for stage, terms in curves.items():
        for kind in ("loss", "accuracy"):
            lines = {
                name.replace("_", " "): points
                for name, points in terms.items()
                if name.endswith(kind)
            }
            if lines:
                title = f"{stage}: {kind}"
                report.svg(line_chart(lines, title, x_label="batches", y_label=kind))
    kept = "The weights of the lowest validation loss were kept."
    if "refit" in results:
        kept = (
            "The saved model was trained once more, on all "
            f"{results['refit']} videos (the stages that end in _all)."
        )
    report.paragraph(
        "Training clips are cropped, mirrored and shown with dropout, so a stream may do "
        f"better on validation videos than on them. {kept}"
    )
    report.heading("Next")
    for what, command in next_commands(os.path.dirname(path)):
        report.paragraph(f"{what[0].upper()}{what[1:]}:").code(command)
    return report.write(path)
