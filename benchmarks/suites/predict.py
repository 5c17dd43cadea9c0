"""Suite `predict`: where the time of `h2s predict` goes on a one-minute video."""

import os
import tempfile

import numpy as np

from benchmarks.harness import measure, timed

VARIANTS = ("motionnet", "tiny")
FRAMES, RATE = 11, 25
# (frames of the video, side of the model's clips)
SIZE, SMOKE_SIZE = (60 * RATE, 224), (60, 64)
CLIPS, STREAMED_WINDOWS, FLOW_PAIRS = 10, 2, 3


def run(settings, figures):
    length, side = SMOKE_SIZE if settings.smoke else SIZE
    with tempfile.TemporaryDirectory() as folder:
        from benchmarks.synthetic_video import write_video

        video = write_video(os.path.join(folder, "minute.avi"), length)
        for variant in VARIANTS:
            _measure_variant(figures, video, length, side, variant, settings)


def _measure_variant(figures, video, length, side, variant, settings):
    import keras

    from h2s_keras.data.video.reading import iterate_frames
    from h2s_keras.evaluation.video_classifier import VideoClassifier
    from h2s_keras.models import HiddenTwoStreamBuilder

    keras.utils.set_random_seed(0)
    names = [str(number) for number in range(101)]
    backbone = "tiny" if settings.smoke else "vgg16"
    builder = HiddenTwoStreamBuilder(names, FRAMES, (side, side)).motion(variant)
    network = builder.temporal(backbone).spatial(backbone).build()
    classifier = VideoClassifier(network, CLIPS)
    batches = [clips for clips, _ in classifier._batches(video)]
    functions = {"whole": timed(lambda: classifier.scores(video))}
    functions["decode"] = timed(lambda: list(classifier._batches(video)))
    functions.update(_parts(network, batches))
    frames = []
    for frame in iterate_frames(video, size=256):
        frames.append(frame)
        if len(frames) == FRAMES * STREAMED_WINDOWS:
            break
    for step in (FRAMES, 2):
        functions[f"windows, step {step}"] = timed(_windows(network, frames, step))
    functions["windows, step 2, flow reused"] = timed(_windows(network, frames, 2, True))
    offline = _total_variation(settings.threads)
    if offline is None:
        figures.miss("TV-L1", "needs cv2.optflow of opencv-contrib-python-headless")
    else:
        functions["TV-L1"] = timed(lambda: offline(frames[: FLOW_PAIRS + 1]))
    seconds = {
        name: np.asarray(times)
        for name, times in measure(functions, settings.rounds, warm_up=1).items()
    }
    _tell(figures, seconds, f"{variant}, {length} frames", length)


def _parts(network, batches):
    """Motion, temporal and spatial stream, each compiled as Keras compiles it."""
    from benchmarks.backend import compiled, ready, tensor, ways

    way = "graph" if "graph" in ways() else ways()[-1]
    motion = compiled(lambda clips: network.motion(clips, training=False)["flow2"], way)
    temporal = compiled(
        lambda flow: network.temporal(network.adapter(flow), training=False), way
    )
    spatial = compiled(
        lambda clips: network.spatial(network.spatial_images(clips), training=False), way
    )
    clips = [tensor(batch) for batch in batches]
    flows = [motion(batch) for batch in clips]
    return {
        "motion": timed(lambda: [ready(motion, one)() for one in clips]),
        "temporal": timed(lambda: [ready(temporal, one)() for one in flows]),
        "spatial": timed(lambda: [ready(spatial, one)() for one in clips]),
    }


def _windows(network, frames, step, reuse_flow=False):
    from h2s_keras.evaluation.streaming import sliding_windows

    def run():
        for _ in sliding_windows(network, frames, step, reuse_flow):
            pass

    return run


def _total_variation(threads):
    try:
        import cv2
    except ImportError:
        return None
    if not hasattr(cv2, "optflow"):
        return None
    cv2.setNumThreads(threads)
    method = cv2.optflow.DualTVL1OpticalFlow_create()

    def run(frames):
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        return [method.calc(a, b, None) for a, b in zip(grey[:-1], grey[1:], strict=True)]

    return run


def _tell(figures, seconds, case, length):
    figures.add_seconds(case, seconds)
    whole = seconds["whole"]
    for part in ("decode", "motion", "temporal", "spatial"):
        figures.add(case, f"share of {part} in h2s predict", seconds[part] / whole)
    figures.add(case, "length of the video / time of h2s predict", length / RATE / whole)
    if "TV-L1" in seconds:
        # All pairs of the video alike: a few are measured and counted up.
        every = seconds["TV-L1"] / FLOW_PAIRS * (length - 1)
        figures.add(case, "offline TV-L1 of every pair / h2s predict", every / whole)
        same = seconds["TV-L1"] / FLOW_PAIRS * CLIPS * (FRAMES - 1)
        figures.add(case, "TV-L1 of the same pairs / motion", same / seconds["motion"])
    name = f"windows, step {FRAMES}"
    streamed = FRAMES * STREAMED_WINDOWS / RATE
    figures.add(case, f"real time / {name}", streamed / seconds[name])
    ratio = seconds["windows, step 2"] / seconds[name]
    figures.add(case, f"time of windows, step 2 / step {FRAMES}", ratio)
    ratio = seconds["windows, step 2, flow reused"] / seconds["windows, step 2"]
    figures.add(case, "time of windows, step 2, flow reused / computed anew", ratio)
