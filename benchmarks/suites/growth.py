"""Suite `growth`: how cost grows with frames, resolution, clips and replicas."""

import numpy as np

from benchmarks.harness import measure, timed
from benchmarks.peer_process import PeerProcess

# Each axis from what the others stay at; ratios are to the first.
AXES = {
    "frames": (3, 6, 11, 21),
    "resolution": (64, 96, 128, 192),
    "clips": (1, 2, 4, 8),
}
SMOKE_AXES = {"frames": (3, 5), "resolution": (32, 48), "clips": (1, 2)}
BASE, SMOKE_BASE = {"frames": 3, "resolution": 128, "clips": 1}, {"resolution": 32}


def run(settings, figures):
    for axis, values in (SMOKE_AXES if settings.smoke else AXES).items():
        base = {**BASE, **(SMOKE_BASE if settings.smoke else {})}
        functions = {
            str(value): timed(_inference(**{**base, axis: value})) for value in values
        }
        seconds = measure(functions, settings.rounds)
        figures.add_seconds(axis, seconds)
        first = np.asarray(seconds[str(values[0])])
        for value in values[1:]:
            growth = np.asarray(seconds[str(value)]) / first
            what = f"time of {value} / {values[0]}"
            figures.add(axis, what, growth)
    _replicas(figures, settings)


def _inference(frames, resolution, clips):
    import keras

    from benchmarks.backend import compiled, ready, tensor, ways
    from h2s_keras.models.motion_net import MotionNet

    keras.utils.set_random_seed(0)
    shape = (clips, frames, resolution, resolution, 3)
    network = MotionNet(frames, "tiny")
    network.build(shape)
    array = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    way = "graph" if "graph" in ways() else ways()[-1]
    run = compiled(lambda clips: network(clips, training=False), way)
    return ready(run, tensor(array))


def _replicas(figures, settings):
    """A training step of the same whole batch on one and on two devices of this machine.

    Devices are fixed when TensorFlow starts, so each number has a process of its own. The
    replicas share the cores: what is measured is what splitting and reducing cost.
    """
    size, batch = (32, 4) if settings.smoke else (64, 16)
    options = {"size": size, "batch": batch, "threads": settings.threads}
    with (
        PeerProcess("replica_step.py", {**options, "replicas": 1}) as one,
        PeerProcess("replica_step.py", {**options, "replicas": 2}) as two,
    ):
        for name, reason in {**one.missing, **two.missing}.items():
            figures.miss(name, reason)
        if not (one.runs and two.runs):
            return
        functions = {"1 replica": one.timer("steps"), "2 replicas": two.timer("steps")}
        seconds = measure(functions, settings.rounds)
    figures.ratio("replicas, same whole batch", seconds, "2 replicas", "1 replica")


def charts(result):
    """The JSON result of this suite as SVG charts.

    Args:
        result: dict as `python -m benchmarks growth --json` writes it.

    Returns:
        dict from axis to an `<svg>` element.
    """
    from h2s_keras.visualization.charts import line_chart

    drawn = {}
    for axis in AXES:
        times = result["seconds"][axis]
        sizes = [int(name) for name in times]
        first = times[str(sizes[0])]["median"]
        points = [(size, times[str(size)]["median"] / first) for size in sizes]
        power = 2 if axis == "resolution" else 1
        ideal = [(size, (size / sizes[0]) ** power) for size in sizes]
        name = "in proportion to pixels" if power == 2 else "in proportion"
        drawn[axis] = line_chart(
            {"measured": points, name: ideal},
            f"Cost against {axis}",
            x_label="side of the frames, pixels" if axis == "resolution" else axis,
            y_label=f"times the cost of {sizes[0]}",
        )
    return drawn
