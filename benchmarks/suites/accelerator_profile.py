"""Where MotionNet's time goes on a GPU: its kernels by what they do, from a trace of JAX.

    KERAS_BACKEND=jax python benchmarks/accelerator_profile.py --out profile.json

With leaky ReLU inside of cuDNN's convolutions, which XLA does in float16 alone:

    XLA_FLAGS=--xla_gpu_use_runtime_fusion=true KERAS_BACKEND=jax \\
        python benchmarks/accelerator_profile.py --policy mixed_float16
"""

import argparse
import collections
import glob
import gzip
import json
import os
import statistics
import tempfile

import jax
import jax.numpy as jnp
import keras
import numpy as np

from h2s_keras.benchmarking.accelerator import queued
from h2s_keras.benchmarking.backend import compiled
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


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--policy", default="mixed_bfloat16")
    parser.add_argument("--out", help="JSON file to write")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    shape = (options.batch, 11, 224, 224, 3)
    network, in_float32 = (
        MotionNet(dtype=policy) for policy in (options.policy, "float32")
    )
    for one in (network, in_float32):
        one.build(shape)
    in_float32.set_weights(network.get_weights())
    clips = jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, "uint8"))
    run = compiled(lambda clips: network(clips, training=False)["flow2"], "XLA", network)
    flow = run(clips)[:2].astype("float32")
    expected = in_float32(clips[:2], training=False)["flow2"]
    apart = float(jnp.abs(flow - expected).max() / jnp.abs(expected).max())
    if not apart < TOLERANCE:
        raise SystemExit(f"flow differs by {apart} from that in float32")
    timer = queued(lambda: run(clips))
    seconds = statistics.median(timer() for _ in range(RUNS))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(RUNS):
                jax.block_until_ready(run(clips))
        kernels = read_kernels(folder)
    total = sum(kernels.values())
    shares = collections.Counter()
    for (operation, _), microseconds in kernels.items():
        shares[kind_of(operation)] += microseconds / total
    result = {
        "device": jax.devices()[0].device_kind,
        "batch": options.batch,
        "policy": options.policy,
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "largest difference from float32, share of the flow": round(apart, 5),
        "clips a second": round(options.batch / seconds),
        "milliseconds of kernels a batch": round(total / RUNS / 1e3, 2),
        "shares": {kind: round(share, 3) for kind, share in shares.most_common()},
        "largest": {
            f"{operation} {kernel[:60]}": round(microseconds / total, 3)
            for (operation, kernel), microseconds in kernels.most_common(12)
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(text + "\n")


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
        raise SystemExit("the trace holds no kernels: JAX must run on a GPU")
    return kernels


def kind_of(operation):
    for kind, words in KINDS:
        if any(word in operation for word in words):
            return kind
    return "other"


if __name__ == "__main__":
    main()
