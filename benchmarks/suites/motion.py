"""Suite `motion`: MotionNet's inference as a share of the machine's matrix products."""

import os
import tempfile

import numpy as np

from benchmarks.harness import measure, timed
from benchmarks.peer_process import PeerProcess

VARIANTS = ("motionnet", "tiny")
FRAMES, SIZE, SMOKE_SIZE = 11, 224, 64
MATRIX, SMOKE_MATRIX = 2048, 256
# Of the matrix-product rate, at least.
AIM = 0.85
TOLERANCE = 1e-4
# Of the time in float32, at most.
EIGHT_BIT_AIM = 0.5


def run(settings, figures):
    for variant in VARIANTS:
        _measure_variant(figures, variant, settings)


def _measure_variant(figures, variant, settings):
    import keras

    from benchmarks.backend import compiled, ready, tensor, ways
    from benchmarks.motion_cost import multiply_adds
    from h2s_keras.errors import UserError
    from h2s_keras.models.motion_net import MotionNet
    from h2s_keras.runtimes import RUNTIMES
    from h2s_keras.runtimes.in_runtime import in_runtime

    size = SMOKE_SIZE if settings.smoke else SIZE
    shape = (1, FRAMES, size, size, 3)
    keras.utils.set_random_seed(0)
    network = MotionNet(FRAMES, variant)
    network.build(shape)
    array = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    clips = tensor(array)
    operations = 2 * multiply_adds(network, (size, size))
    case = f"{variant}, {FRAMES}x{size}x{size}"
    figures.value(f"GFLOP of a clip, {case}", round(operations / 1e9, 2))

    side = SMOKE_MATRIX if settings.smoke else MATRIX
    matrix = np.random.default_rng(1).normal(size=(side, side)).astype("float32")
    product = compiled(lambda a: keras.ops.matmul(a, a), ways()[-1])
    functions = {
        "matrix product, NumPy": timed(lambda: matrix @ matrix),
        "matrix product, Keras": timed(ready(product, tensor(matrix))),
    }
    for way in ways():
        ours = compiled(lambda clips: network(clips, training=False), way)
        functions[f"ours, {way}"] = timed(ready(ours, clips))
    functions["ours, estimate_flow"] = timed(lambda: network.estimate_flow(array))
    # Compared without what estimate_flow does beside, as the other peers are.
    expected = keras.ops.convert_to_numpy(network(clips, training=False)["flow2"])
    for runtime in RUNTIMES[1:]:
        try:
            run = in_runtime(network, runtime).predict_on_batch
        except UserError as error:
            figures.miss(runtime, str(error))
            continue
        flow = run(array)["flow2"]
        apart = float(np.abs(flow - expected).max() / np.abs(expected).max())
        what = f"largest difference under runtime {runtime}, share of the flow, {case}"
        figures.value(what, apart)
        functions[f"ours, runtime {runtime}"] = timed(lambda run=run: run(array))
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, "weights.npz")
        np.savez(weights, **{weight.path: weight.numpy() for weight in network.weights})
        options = {"variant": variant, "clips": shape, "weights": weights, "matrix": side}
        options["threads"] = settings.threads
        with PeerProcess("torch_motion_net.py", options) as peer:
            for name, reason in peer.missing.items():
                figures.miss(name, reason)
            if "PyTorch" in peer.runs:
                _check(figures, case, network(clips, training=False), peer, folder)
            functions.update({name: peer.timer(name) for name in peer.runs})
            seconds = measure(functions, settings.rounds)
    # The machine's rate is that of whoever multiplies fastest.
    products = [name for name in seconds if name.startswith("matrix product")]
    rates = {name: side**3 * 2 / np.median(seconds[name]) for name in products}
    fastest = max(rates, key=rates.get)
    figures.value(f"rate of the {fastest}, GFLOP/s, {case}", round(rates[fastest] / 1e9, 1))
    figures.add_seconds(case, seconds)
    for name in seconds:
        if name in products:
            continue
        pairs = zip(seconds[name], seconds[fastest], strict=True)
        shares = [operations / one / (2 * side**3 / two) for one, two in pairs]
        aim = AIM if name == "ours, estimate_flow" else None
        what = f"share of the matrix rate: {name}"
        figures.add(case, what, shares, aim, at_least=True)
    for name in ("PyTorch", "torch.compile"):
        figures.ratio(case, seconds, "ours, estimate_flow", name)
    for runtime in RUNTIMES[1:]:
        aim = EIGHT_BIT_AIM if runtime == "litert_8bit" else None
        figures.ratio(case, seconds, f"ours, runtime {runtime}", "ours, graph", aim)


def _check(figures, case, flows, peer, folder):
    """The peer has our weights, so it must find our flow."""
    import keras

    path = os.path.join(folder, "result.npy")
    peer.seconds("PyTorch", save=path)
    ours, theirs = keras.ops.convert_to_numpy(flows["flow2"]), np.load(path)
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if not difference < TOLERANCE:
        raise RuntimeError(f"flow differs from PyTorch's by {difference} of its largest")
    figures.value(f"largest difference from PyTorch, share of the flow, {case}", difference)
