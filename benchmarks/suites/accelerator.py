"""Suite `accelerator`: how near a GPU's own rates the networks and the warp come.

Everything runs on the JAX backend under the policy mixed_bfloat16. The ceilings are
measured in the same rounds: the matrix product of whoever multiplies fastest, and the
bytes that a copy reads and writes.
"""

import functools
import os
import tempfile

import numpy as np

from benchmarks.harness import measure
from benchmarks.peer_process import PeerProcess
from h2s_keras.errors import UserError

POLICY = "mixed_bfloat16"
VARIANTS = ("motionnet", "tiny")
FRAMES, SIZE, CLASSES = 11, 224, 101
BATCH = 128
MATRIX, COPIED_BYTES = 8192, 2**30
# Larger than the caches, which would answer in the memory's place.
WARP_SHAPES = ((640, 112, 112, 3), (16, 1080, 1920, 3))
RATE_AIM, BANDWIDTH_AIM = 0.5, 0.7
# Of the flow's largest value; bfloat16 rounds every product to 8 bits.
TOLERANCE = 0.05


def run(settings, figures):
    import keras

    peer_options = prepare(figures, settings)
    keras.config.set_dtype_policy(POLICY)
    for variant in VARIANTS:
        _measure_networks(figures, settings, variant, peer_options)
    for shape in WARP_SHAPES:
        _measure_warp(figures, settings, shape, peer_options)


def prepare(figures, settings):
    """Checks that there is an accelerator, and names it in `figures`.

    Returns:
        dict of the options that put a peer on the same device.

    Raises:
        UserError: another backend, or no accelerator and no smoke run.
    """
    import keras

    if keras.backend.backend() != "jax":
        raise UserError(
            "this suite runs on the JAX backend; received "
            f"{keras.backend.backend()}: set KERAS_BACKEND=jax"
        )
    # The peers need memory of the same device.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu" and not settings.smoke:
        raise UserError(
            "JAX found no accelerator; install its build for this machine's GPU "
            "(pip install 'jax[cuda13]'), or try the suite with --smoke"
        )
    figures.value("device", device.device_kind)
    return {} if device.platform == "cpu" else {"device": "cuda"}


def queued(function, seconds=0.05):
    """A timer of one run of `function` as one of many that wait in the device's queue.

    One alone would also count the way to the device and back.
    """
    import time

    from benchmarks.backend import wait

    wait(function())
    started = time.perf_counter()
    wait(function())
    count = max(1, int(seconds / (time.perf_counter() - started)))

    def run():
        started = time.perf_counter()
        for _ in range(count - 1):
            function()
        wait(function())
        return (time.perf_counter() - started) / count

    return run


def _matrix_product(side):
    import jax

    keys = jax.random.split(jax.random.key(0))
    one, two = (jax.random.normal(key, (side, side), "bfloat16") for key in keys)
    product = jax.jit(lambda one, two: one @ two)
    return queued(lambda: product(one, two))


def _measure_networks(figures, settings, variant, peer_options):
    import keras

    from benchmarks.backend import compiled, tensor
    from benchmarks.motion_cost import layer_multiply_adds, multiply_adds
    from h2s_keras.models.builder import HiddenTwoStreamBuilder

    size, batch = (64, 2) if settings.smoke else (SIZE, BATCH)
    shape = (batch, FRAMES, size, size, 3)
    keras.utils.set_random_seed(0)
    backbone = "tiny" if settings.smoke else "vgg16"
    builder = HiddenTwoStreamBuilder(CLASSES, FRAMES, (size, size)).motion(variant)
    whole = builder.temporal(backbone).spatial(backbone).build()
    motion = whole.motion
    array = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    clips = tensor(array)

    def flow_of(clips):
        return motion(clips, training=False)["flow2"]

    def scores_of(clips):
        return whole(clips, training=False)["logits"]

    flow = functools.partial(compiled(flow_of, "XLA", motion), clips)
    scores = functools.partial(compiled(scores_of, "XLA", whole), clips)
    functions = {"ours, flow": queued(flow), "ours, scores": queued(scores)}
    of_motion = 2 * batch * multiply_adds(motion, (size, size))
    behind = 2 * batch * sum(map(layer_multiply_adds, (whole.temporal, whole.spatial)))
    operations = {"ours, flow": of_motion, "ours, scores": of_motion + behind}
    side = 256 if settings.smoke else MATRIX
    functions["matrix product, JAX"] = _matrix_product(side)
    case = f"{variant}, {batch} of {FRAMES}x{size}x{size}"
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, "weights.npz")
        np.savez(weights, **{weight.path: weight.numpy() for weight in motion.weights})
        options = {"variant": variant, "clips": shape, "weights": weights, "matrix": side}
        options |= {"threads": settings.threads, "bfloat16": True, "compile": False}
        options |= peer_options
        with PeerProcess("torch_motion_net.py", options) as peer:
            for name, reason in peer.missing.items():
                figures.miss(name, reason)
            if "PyTorch" in peer.runs:
                path = os.path.join(folder, "result.npy")
                peer.seconds("PyTorch", save=path)
                _check_flow(figures, case, flow(), np.load(path))
            for name in peer.runs:
                functions[name] = peer.timer(name)
                operations[name] = of_motion
            seconds = measure(functions, settings.rounds)
    _add_networks(figures, case, seconds, operations, batch, 2 * side**3)


def _check_flow(figures, case, ours, theirs):
    ours = np.asarray(ours, "float32")
    apart = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    figures.value(f"largest difference from PyTorch, share of the flow, {case}", apart)
    if not apart < TOLERANCE:
        raise RuntimeError(f"flow differs from PyTorch's by {apart}")


def _add_networks(figures, case, seconds, operations, batch, of_product):
    """Shares of the rate of whoever multiplies fastest, and clips a second."""
    products = [name for name in seconds if name.startswith("matrix product")]
    fastest = min(products, key=lambda name: np.median(seconds[name]))
    rate = of_product / np.median(seconds[fastest])
    figures.value(f"rate of the {fastest}, TFLOP/s, {case}", round(rate / 1e12, 1))
    figures.add_seconds(case, seconds)
    for name in seconds:
        if name in products:
            continue
        pairs = zip(seconds[name], seconds[fastest], strict=True)
        shares = [operations[name] / one / (of_product / two) for one, two in pairs]
        aim = RATE_AIM if name.startswith("ours") else None
        figures.add(case, f"share of the matrix rate: {name}", shares, aim, at_least=True)
        count = round(batch / float(np.median(seconds[name])), 1)
        figures.value(f"clips a second, {name}, {case}", count)
    figures.ratio(case, seconds, "ours, flow", "PyTorch", 1.0)


def _measure_warp(figures, settings, shape, peer_options):
    import jax.numpy as jnp

    from benchmarks.backend import compiled, tensor, value_and_gradients
    from benchmarks.peers.inputs import WARP_KINDS, warp_inputs
    from h2s_keras.ops.warp import backward_warp

    if settings.smoke:
        shape = (2, 16, 24, 3)
    image, flow, upstream = map(tensor, warp_inputs(shape))
    copied = jnp.zeros((2**20 if settings.smoke else COPIED_BYTES) // 4, "float32")
    copy = compiled(lambda values: values + 1.0, "XLA")
    options = {"shape": shape, "threads": settings.threads, **peer_options}
    with PeerProcess("torch_warp.py", options) as peer:
        for name, reason in peer.missing.items():
            figures.miss(name, reason)
        for kind, of in WARP_KINDS.items():
            inputs, function = (image, flow), backward_warp
            if of:
                inputs = (image, flow, upstream)
                function = value_and_gradients(backward_warp, of)
            ours = compiled(function, "XLA")
            functions = {"copy": queued(lambda: copy(copied))}
            functions["ours"] = queued(lambda ours=ours, inputs=inputs: ours(*inputs))
            for name in peer.runs:
                method, _, its_kind = name.partition(": ")
                if its_kind == kind:
                    functions[method] = peer.timer(name)
            case = f"warp, {kind}, {'x'.join(map(str, shape))}"
            seconds = measure(functions, settings.rounds)
            # Each input read once, each output written once.
            outputs = [image] + [(image, flow)[position] for position in of]
            moved = sum(one.nbytes for one in (*inputs, *outputs))
            _add_warp(figures, case, seconds, moved, 2 * copied.nbytes)


def _add_warp(figures, case, seconds, moved, copied):
    figures.add_seconds(case, seconds)
    rate = copied / np.median(seconds["copy"])
    figures.value(f"bandwidth of a copy, GB/s, {case}", round(rate / 1e9, 1))
    for name in seconds:
        if name == "copy":
            continue
        pairs = zip(seconds[name], seconds["copy"], strict=True)
        shares = [moved / one / (copied / two) for one, two in pairs]
        aim = BANDWIDTH_AIM if name == "ours" else None
        what = f"share of the bandwidth: {name}"
        figures.add(case, what, shares, aim, at_least=True)
    for method in ("grid_sample", "grid_sample, kernel alone"):
        figures.ratio(case, seconds, "ours", method)
