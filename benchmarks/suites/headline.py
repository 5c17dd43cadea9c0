"""Suite `headline`: the temporal stream from frames to scores against stored-flow methods.

The paper's claim: flow from a network is ten times as fast as TV-L1 before the same
temporal CNN. Here both get the same frames and the same cores. Farneback and DIS are less
exact than TV-L1 and far faster; they stand beside it, also where they win. "8 bits" is the
same network under the runtime litert_8bit.
"""

import numpy as np

from benchmarks.harness import measure, timed
from h2s_keras.errors import UserError

FRAMES, SIZE, SMOKE_SIZE = 11, 224, 64
# TV-L1's time over ours, at least.
AIMS = {"motionnet": 20.0, "tiny": 100.0}
REAL_TIME = 30.0  # frames a second


def run(settings, figures):
    from benchmarks.backend import ways
    from h2s_keras.data.synthetic.action_clips import SyntheticClips

    size = SMOKE_SIZE if settings.smoke else SIZE
    clips = SyntheticClips(num_frames=FRAMES, image_size=(size, size), seed=1)
    clip = np.asarray(clips.example(0)["clip"])
    # As Keras runs it on this device: without XLA on a CPU.
    way = "graph" if "graph" in ways() else ways()[-1]
    networks = _networks(size, settings.smoke)
    functions = _our_functions(networks, clip, way)
    network = networks["tiny"]
    ours = dict(AIMS)
    try:
        functions.update(_in_eight_bits(size, settings.smoke, clip))
    except UserError as error:
        figures.miss("LiteRT", str(error))
    else:
        ours.update({f"{variant} in 8 bits": aim for variant, aim in AIMS.items()})
    methods, missing = _classical(settings.threads)
    for name, reason in missing.items():
        figures.miss(name, reason)
    cnn = _temporal_of_flow(network, way)
    for name, method in methods.items():
        functions[f"{name} to scores"] = timed(_flow_and_cnn(method, cnn, clip))
    flow = np.zeros((1, FRAMES - 1, size, size, 2), "float32")
    functions["temporal CNN alone"] = timed(lambda: cnn(flow))
    seconds = measure(functions, settings.rounds)
    _tell(figures, seconds, ours, methods, f"{FRAMES}x{size}x{size}")


def _networks(size, smoke, spatial=True):
    import keras

    from h2s_keras.models import HiddenTwoStreamBuilder

    backbone, networks = "tiny" if smoke else "vgg16", {}
    for variant in AIMS:
        keras.utils.set_random_seed(0)
        builder = HiddenTwoStreamBuilder(101, FRAMES, (size, size)).motion(variant)
        builder.temporal(backbone)
        networks[variant] = (builder.spatial(backbone) if spatial else builder).build()
    return networks


def _in_eight_bits(size, smoke, clip):
    from h2s_keras.runtimes.in_runtime import in_runtime

    functions = {}
    for spatial, what in ((False, "to scores"), (True, "both streams")):
        for variant, network in _networks(size, smoke, spatial).items():
            run = in_runtime(network, "litert_8bit").predict_on_batch
            name = _name(f"{variant} in 8 bits", what)
            functions[name] = timed(lambda run=run: run(clip[None]))
    return functions


def _name(network, what):
    return f"{network} {what}" if what == "to scores" else f"{network}, {what}"


def _our_functions(networks, clip, way):
    from benchmarks.backend import compiled, ready, tensor

    functions, clips = {}, tensor(clip[None])
    for variant, network in networks.items():

        def temporal(clips, network=network):
            return network.run_streams(clips, ("temporal",))["temporal_logits"]

        def both(clips, network=network):
            return network(clips, training=False)["logits"]

        for what, run in (("to scores", temporal), ("both streams", both)):
            functions[_name(variant, what)] = timed(ready(compiled(run, way), clips))
    return functions


def _temporal_of_flow(network, way):
    """A function from flow at full size, (1, pairs, H, W, 2) in pixels, to scores."""
    from benchmarks.backend import compiled, ready, tensor
    from h2s_keras.ops.flow import flow_to_channels
    from h2s_keras.ops.quantize import quantize_flow

    adapter = network.adapter

    def scores(flow):
        levels = quantize_flow(flow_to_channels(flow), adapter.bound, adapter.levels)
        return network.temporal(levels - adapter.centre, training=False)

    run = compiled(scores, way)
    return lambda flow: ready(run, tensor(flow))()


def _flow_and_cnn(method, cnn, clip):
    import cv2

    def run():
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
        pairs = zip(grey[:-1], grey[1:], strict=True)
        return cnn(np.stack([method(one, two) for one, two in pairs])[None])

    return run


def _classical(threads):
    """(functions from two grey images to flow, why others are missing)"""
    names = ("TV-L1", "Farneback", "DIS medium", "DIS ultrafast")
    try:
        import cv2
    except ImportError as error:
        return {}, dict.fromkeys(names, str(error))
    cv2.setNumThreads(threads)
    missing = {}
    medium = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    fast = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def farneback(one, two):
        return cv2.calcOpticalFlowFarneback(one, two, None, 0.5, 5, 15, 3, 5, 1.1, 0)

    methods = {
        "Farneback": farneback,
        "DIS medium": lambda one, two: medium.calc(one, two, None),
        "DIS ultrafast": lambda one, two: fast.calc(one, two, None),
    }
    if hasattr(cv2, "optflow"):
        total_variation = cv2.optflow.DualTVL1OpticalFlow_create()
        methods["TV-L1"] = lambda one, two: total_variation.calc(one, two, None)
    else:
        missing["TV-L1"] = "this OpenCV has no cv2.optflow; install the contrib package"
    return methods, missing


def _tell(figures, seconds, ours, methods, size):
    figures.add_seconds(size, seconds)
    cnn = np.asarray(seconds["temporal CNN alone"])
    for network, aim in ours.items():
        to_scores = np.asarray(seconds[_name(network, "to scores")])
        for name in methods:
            theirs = np.asarray(seconds[f"{name} to scores"])
            wanted = aim if name == "TV-L1" else None
            what = f"speed of {network} over {name}"
            case, ratio = f"frames to scores, {size}", theirs / to_scores
            figures.add(case, what, ratio, wanted, at_least=True)
            if network in AIMS:
                # Flow is what is left when the time of the same CNN is taken away.
                alone = (theirs - cnn) / np.maximum(to_scores - cnn, 1e-9)
                figures.add(f"flow alone, {size}", what, alone)
        # Windows that share one frame take every pair of a video once.
        rate = (FRAMES - 1) / np.asarray(seconds[_name(network, "both streams")])
        figures.add(
            f"both streams, {size}",
            f"speed of {network} over {REAL_TIME:g} frames a second",
            rate / REAL_TIME,
            1.0,
            at_least=True,
        )
        figures.value(
            f"frames a second, both streams, {network}, {size}",
            round(float(np.median(rate)), 1),
        )
