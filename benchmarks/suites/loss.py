"""Suite `loss`: the unsupervised loss with its gradients beside MotionNet's own step."""

import numpy as np

from benchmarks.harness import measure, timed

# (variant, batch, frames, size)
CASES = (("motionnet", 1, 11, 224), ("tiny", 2, 11, 224), ("tiny", 16, 3, 64))
SMOKE_CASES = (("tiny", 2, 3, 32),)
AIM = 0.25


def run(settings, figures):
    for case in SMOKE_CASES if settings.smoke else CASES:
        _measure_case(figures, settings, *case)


def _measure_case(figures, settings, variant, batch, frames, size):
    import keras

    from benchmarks.backend import (
        compiled,
        gradient_of_sum,
        ready,
        tensor,
        ways,
    )
    from h2s_keras.layers import UnsupervisedFlowLoss
    from h2s_keras.models.motion_net import MotionNet

    keras.utils.set_random_seed(0)
    shape = (batch, frames, size, size, 3)
    network, loss = MotionNet(frames, variant), UnsupervisedFlowLoss()
    network.build(shape)
    clips = tensor(np.random.default_rng(0).integers(0, 256, shape, "uint8"))
    flows = network(clips, training=False)
    names = sorted(flows)
    # Displacements of some pixels, as a network that has learned gives them.
    generator = np.random.default_rng(1)
    flows = [
        tensor(generator.normal(0, 2, flows[n].shape).astype("float32")) for n in names
    ]

    def loss_of_flows(*values):
        return keras.ops.sum(loss(clips, dict(zip(names, values, strict=True)))["total"])

    def sum_of_flows(clips):
        outputs = network(clips, training=True)
        return sum(keras.ops.sum(outputs[name]) for name in names)

    functions = {}
    for way in [way for way in ways() if way != "eager"] or ways():
        step = compiled(gradient_of_sum(sum_of_flows, network), way)
        functions[f"MotionNet, {way}"] = timed(ready(step, clips))
        step = compiled(gradient_of_sum(loss_of_flows), way)
        functions[f"loss, {way}"] = timed(ready(step, *flows))
    seconds = measure(functions, settings.rounds)
    case = f"{variant}, {batch} of {frames}x{size}x{size}"
    for name in list(functions)[1::2]:
        way = name.partition(", ")[2]
        figures.ratio(case, seconds, name, f"MotionNet, {way}", AIM)
