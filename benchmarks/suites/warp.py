"""Suite `warp`: the backward warp and its gradients against other people's."""

import contextlib
import os
import shutil
import tempfile

import numpy as np

from benchmarks.harness import measure, timed
from benchmarks.peer_process import PeerProcess
from benchmarks.peers.inputs import WARP_KINDS, warp_inputs
from h2s_keras.errors import UserError

SHAPES = ((80, 112, 112, 3), (1, 1080, 1920, 3))
SMOKE_SHAPES = ((2, 16, 24, 3),)
# Of the time of grid_sample, at most; and of map_coordinates.
AIMS = {"forward": 0.8, "flow gradient": 0.5, "image gradient": 1.0}
MAP_COORDINATES_AIM = 1 / 8
# Peers whose result is compared with ours.
METHODS = ("grid_sample", "kornia", "TFA")
# Where TensorFlow Addons lives, which cannot be imported beside Keras 3.
TFA_PYTHON = "H2S_KERAS_TFA_PYTHON"
# A grid of -1..1 loses about 1e-4 pixels of a wide picture in float32.
TOLERANCE = 1e-2


def run(settings, figures):
    """Measures every shape and kind; a case with gradients computes the result too."""
    python = os.environ.get(TFA_PYTHON)
    if not python:
        figures.miss(
            "tensorflow-addons",
            "it cannot be imported beside Keras 3; make an environment with `tox -e tfa` "
            f"and set {TFA_PYTHON}=.tox/tfa/bin/python",
        )
    elif shutil.which(python) is None:
        raise UserError(f"{TFA_PYTHON}={python}: no such program; give a Python's path")
    for shape in SMOKE_SHAPES if settings.smoke else SHAPES:
        options = {"shape": shape, "threads": settings.threads}
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(PeerProcess("torch_warp.py", options))]
            if python:
                peer = PeerProcess("tfa_warp.py", options, python)
                peers.append(stack.enter_context(peer))
            for peer in peers:
                for name, reason in peer.missing.items():
                    figures.miss(name, reason)
            _measure_shape(figures, shape, peers, settings)


def _measure_shape(figures, shape, peers, settings):
    import keras

    from benchmarks.backend import ready, tensor, ways
    from h2s_keras.ops.warp import backward_warp

    image, flow, upstream = (tensor(array) for array in warp_inputs(shape))
    size = "x".join(map(str, shape))
    warped, field = map(keras.ops.convert_to_numpy, (backward_warp(image, flow), flow))
    for peer in peers:
        for method in METHODS:
            if f"{method}: forward" in peer.runs:
                # All but TFA, which repeats the border, are zero outside as we are.
                counted = _samples_inside(field) if method == "TFA" else ...
                _check_peer(figures, size, peer, method, warped, counted)
    for kind, of in WARP_KINDS.items():
        case = f"{kind}, {size}"
        functions = {}
        for way in ways():
            ours = _function(backward_warp, of, way)
            functions[f"ours, {way}"] = timed(ready(ours, image, flow, upstream))
        # Of the ways, the last is the fastest; map_coordinates gets the same.
        other = _function(_map_coordinates, of, ways()[-1])
        functions["map_coordinates"] = timed(ready(other, image, flow, upstream))
        for peer in peers:
            for name in peer.runs:
                method, _, its_kind = name.partition(": ")
                if its_kind == kind:
                    functions[method] = peer.timer(name)
        seconds = measure(functions, settings.rounds)
        for way in ways():
            ours, aimed = f"ours, {way}", way == ways()[-1]
            for method in ("grid_sample", "grid_sample, kernel alone"):
                figures.ratio(case, seconds, ours, method, AIMS[kind] if aimed else None)
            if aimed:
                figures.ratio(case, seconds, ours, "map_coordinates", MAP_COORDINATES_AIM)
                figures.ratio(case, seconds, ours, "kornia")
                figures.ratio(case, seconds, ours, "TFA under XLA")
            else:
                figures.ratio(case, seconds, ours, "TFA")


def _function(method, of, way):
    from benchmarks.backend import compiled, value_and_gradients

    if of:
        return compiled(value_and_gradients(method, of), way)
    return compiled(lambda image, flow, upstream: method(image, flow), way)


def _map_coordinates(image, flow):
    """The same warp by Keras' own function, which takes one coordinate an axis."""
    from keras import ops

    axes = [ops.arange(length, dtype="float32") for length in image.shape]
    batch, y, x, channel = ops.meshgrid(*axes, indexing="ij")
    coordinates = ops.stack([batch, y + flow[..., 1:], x + flow[..., :1], channel])
    return ops.image.map_coordinates(image, coordinates, order=1, fill_mode="constant")


def _samples_inside(flow):
    """Mask of pixels that look inside the image."""
    height, width = flow.shape[1:3]
    x = np.arange(width) + flow[..., 0]
    y = np.arange(height)[:, None] + flow[..., 1]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _check_peer(figures, size, peer, method, warped, counted):
    """Both must compute the same thing, or their times say nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "result.npy")
        peer.seconds(f"{method}: forward", save=path)
        difference = float(np.abs(warped - np.load(path))[counted].max())
    if not difference < TOLERANCE:
        raise RuntimeError(f"warps differ from {method} by {difference} for {size}")
    figures.value(f"largest difference from {method}, {size}", difference)
