"""Table, pictures and report of a quickstart run."""

import os

import numpy as np

from h2s_keras.data.video.images import encode_png
from h2s_keras.visualization import (
    HtmlReport,
    bar_chart,
    color_wheel_key,
    image_grid,
    line_chart,
    motion_panel,
    panel_columns,
)

CEILINGS = (
    "A clip's class is one of 4 motions x 3 appearances. A single frame shows the "
    "appearance and nothing of the motion, flow shows the motion and nothing of the "
    "appearance. So the spatial stream can reach 25 % of the 12 classes and the temporal "
    "stream 33 %, however well they learn; only together can they name the class."
)


def chance_line(clips):
    """Why a figure may be above its ceiling, for so many test clips."""
    deviation = 100 * (1 / 3 * 2 / 3 / clips) ** 0.5
    return (
        f"On {clips} clips 33 % has a standard deviation of {deviation:.1f} points, so a "
        "figure may pass its ceiling by chance."
    )


def result_rows(results):
    """(header, rows) of the table: one row per stream or stage."""
    stages, final, seconds = results["stages"], results["final"], results["seconds"]

    def percent(figures, name):
        return f"{100 * figures[name]:.1f} %"

    def stream(title, figures, stream_name, stage):
        return (
            title,
            percent(figures, f"{stream_name}_accuracy"),
            percent(figures, f"{stream_name}_motion_accuracy"),
            percent(figures, f"{stream_name}_appearance_accuracy"),
            f"{seconds[stage]:.0f}" if stage else "",
        )

    header = ("stream", "12 classes", "4 motions", "3 appearances", "seconds")
    rows = [
        stream("spatial", final, "spatial", "spatial"),
        stream("temporal, motion frozen", stages["temporal"], "temporal", "temporal"),
        stream("temporal, end to end", final, "temporal", "end_to_end"),
        stream("fused", final, "fused", None),
        ("ceiling: spatial", "25 %", "25 %", "100 %", ""),
        ("ceiling: temporal", "33 %", "100 %", "33 %", ""),
    ]
    return header, rows


def flow_row(results):
    """One line on flow: end-point error beside the zero-flow baseline."""
    figures = results["stages"]["motion"]
    return (
        f"end-point error {figures['end_point_error']:.3f} px, zero flow "
        f"{figures['zero_flow_error']:.3f} px: {figures['ratio']:.3f} of it "
        f"({results['seconds']['motion']:.0f} s; after end-to-end tuning "
        f"{results['final']['ratio']:.3f})"
    )


def write_quickstart_report(done):
    """Writes pictures/*.png and report.html into the run folder.

    Args:
        done: what `h2s_keras.training.train` returned for synthetic clips.

    Returns:
        Path of the report.
    """
    results, network, data, run = (
        done[name] for name in ("results", "network", "data", "run")
    )
    batch = next(data.evaluation(64))
    estimate = network.motion.estimate_flow(batch["clip"], batch_size=32)
    chosen = _one_of_each_motion(batch["motion"])

    def panel(index, pairs=None):
        clip, flow = batch["clip"][index], batch["flow"][index]
        return motion_panel(clip, flow, estimate[index], pairs=pairs)

    panels = {
        f"motion_{number}_{data.class_names[batch['label'][index]].replace('/', '_')}": (
            panel(index)
        )
        for number, index in enumerate(chosen)
    }
    os.makedirs(run.file("pictures"), exist_ok=True)
    overview = image_grid([[panel(index, pairs=[0])] for index in chosen], gap=0)
    pictures = {**panels, "overview": overview}
    pictures["color_wheel"] = color_wheel_key()
    for name, picture in pictures.items():
        with open(run.file(f"pictures/{name}.png"), "wb") as file:
            file.write(encode_png(picture))

    header, rows = result_rows(results)
    final = results["final"]
    report = (
        HtmlReport("Hidden two-stream quickstart")
        .paragraph(f"Measured on {results['test']}, never seen in training.")
        .heading("Recognition")
        .table(header, rows, "Accuracy of each stream, and what it could reach at best")
        .paragraph(f"{CEILINGS} {chance_line(final['tested'])}")
        .svg(
            bar_chart(
                {
                    "spatial": 100 * final["spatial_accuracy"],
                    "temporal": 100 * final["temporal_accuracy"],
                    "fused": 100 * final["fused_accuracy"],
                },
                "Accuracy on the 12 classes",
                "accuracy (%)",
            ),
            "Two streams that cannot name the class alone name it together",
        )
        .heading("Motion, learned without labels")
        .paragraph(flow_row(results))
    )
    columns = ", ".join(panel_columns(True))
    for name, panel in panels.items():
        _, number, label = name.split("_", 2)
        report.picture(panel, f"{label.replace('_', ', ')}. Columns: {columns}.")
    report.picture(
        pictures["color_wheel"], "Direction is hue, speed is saturation; white is at rest"
    )
    report.heading("Learning curves").paragraph(
        "In the stage end_to_end MotionNet follows the action loss, too, so the "
        "photometric loss may rise there: some of the match between frames is given up for "
        "flow that tells the classes apart."
    )
    for stage, terms in run.curves().items():
        for name in ("photometric", "accuracy"):
            if name in terms:
                report.svg(
                    line_chart({name: terms[name]}, f"{stage}: {name}", "step", name)
                )
    command = run.read_json("config.json")
    report.heading("Repeat it").code(command["command"])
    report.paragraph(
        f"{command['machine']}; "
        + ", ".join(f"{name} {value}" for name, value in command["versions"].items())
    )
    return report.write(run.file("report.html"))


def _one_of_each_motion(motions):
    return [int(np.argmax(motions == motion)) for motion in np.unique(motions)]
