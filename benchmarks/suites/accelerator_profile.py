"""Where MotionNet's time goes on a GPU: its kernels by what they do, from a trace of JAX.

    KERAS_BACKEND=jax python -m benchmarks accelerator_profile

With leaky ReLU inside of cuDNN's convolutions, which XLA does in float16 alone:

    XLA_FLAGS=--xla_gpu_use_runtime_fusion=true KERAS_BACKEND=jax \\
        python -m benchmarks accelerator_profile --policy mixed_float16
"""

import collections
import glob
import gzip
import json
import os
import tempfile

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.backend import compiled
from benchmarks.harness import measure
from benchmarks.suites.accelerator import prepare, queued
from h2s_keras.errors import UserError
from h2s_keras.models.motion_net import MotionNet

# (what, words in the names of XLA's instructions), the first that fits.
KINDS = (
    ("convolutions", ("cudnn-conv", "gemm")),
    ("joining encoder, deconvolution and flow", ("concatenate",)),
    ("leaky ReLU", ("select",)),
    ("frames to channels, flow to pairs, weights to bfloat16", ("transpose", "convert")),
)
RUNS = 5
# Of the flow's largest value, from the same weights in float32.
TOLERANCE = 0.05


def add_arguments(parser):
    parser.add_argument("--batch", type=int, default=128, help="clips at a time (128)")
    parser.add_argument("--policy", default="mixed_bfloat16", help="(mixed_bfloat16)")


def run(settings, figures):
    prepare(figures, settings)
    batch, policy = settings.options.batch, settings.options.policy
    keras.utils.set_random_seed(0)
    shape = (batch, 11, 224, 224, 3)
    network, in_float32 = (MotionNet(dtype=dtype) for dtype in (policy, "float32"))
    for one in (network, in_float32):
        one.build(shape)
    in_float32.set_weights(network.get_weights())
    clips = jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, "uint8"))
    forward = compiled(
        lambda clips: network(clips, training=False)["flow2"], "XLA", network
    )
    flow = forward(clips)[:2].astype("float32")
    expected = in_float32(clips[:2], training=False)["flow2"]
    apart = float(jnp.abs(flow - expected).max() / jnp.abs(expected).max())
    if not apart < TOLERANCE:
        raise RuntimeError(f"flow differs by {apart} from that in float32")
    figures.value("largest difference from float32, share of the flow", round(apart, 5))
    figures.value("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    case = f"{policy}, {batch} clips"
    seconds = measure({"forward": queued(lambda: forward(clips))}, settings.rounds)
    rates = [batch / one for one in seconds["forward"]]
    figures.add(case, "clips per second", rates)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(RUNS):
                jax.block_until_ready(forward(clips))
        kernels = read_kernels(folder)
    total = sum(kernels.values())
    figures.value("milliseconds of kernels per batch", round(total / RUNS / 1e3, 2))
    shares = collections.Counter()
    for (operation, _), microseconds in kernels.items():
        shares[kind_of(operation)] += microseconds / total
    for kind, share in shares.most_common():
        figures.value(f"share of {kind}", round(share, 3))
    rows = [
        [f"{operation} {kernel[:60]}", f"{microseconds / total:.3f}"]
        for (operation, kernel), microseconds in kernels.most_common(12)
    ]
    figures.table("largest kernels", ["kernel", "share"], rows)


def read_kernels(folder):
    """Microseconds of every (XLA instruction, kernel) of a trace."""
    pattern = os.path.join(folder, "**", "*.trace.json.gz")
    with gzip.open(glob.glob(pattern, recursive=True)[0]) as file:
        events = json.load(file)["traceEvents"]
    names = {
        event["pid"]: event["args"]["name"]
        for event in events
        if event.get("name") == "process_name"
    }
    streams = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and "Stream" in event["args"]["name"]
    }
    kernels = collections.Counter()
    for event in events:
        place = (event.get("pid"), event.get("tid"))
        if event.get("ph") == "X" and place in streams and "GPU" in names[place[0]]:
            operation = event.get("args", {}).get("hlo_op", "")
            kernels[operation, event["name"]] += event["dur"]
    if not kernels:
        raise UserError("the trace holds no kernels: JAX must run on a GPU")
    return kernels


def kind_of(operation):
    for kind, words in KINDS:
        if any(word in operation for word in words):
            return kind
    return "other"
