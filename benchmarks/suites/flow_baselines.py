"""Suite `flow_baselines`: a MotionNet beside OpenCV's flow, on the same pairs.

    python -m benchmarks flow_baselines tiny_synthetic MIDDLEBURY

The folder holds frame10.png, frame11.png and flow10.flo of each sequence, as Middlebury
distributes them. All methods run in one process, so that they can be compared.
"""

import time

import cv2

from h2s_keras.evaluation.flow_estimators import load_flow_network
from h2s_keras.evaluation.flow_pairs import find_flow_pairs
from h2s_keras.evaluation.flow_results import flow_results, flow_rows, pair_flow
from h2s_keras.runtimes.in_runtime import in_runtime


def grey(frames):
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]


def add_arguments(parser):
    parser.add_argument("model", help="preset, .keras file or folder of a run")
    parser.add_argument("folder", help="of sequences with true flow")
    parser.add_argument("--runtime", default="keras", help="that runs the model (keras)")


def run(settings, figures):
    runtime = settings.options.runtime
    motion_net = in_runtime(load_flow_network(settings.options.model), runtime)
    cv2.setNumThreads(settings.threads)
    total_variation = cv2.optflow.DualTVL1OpticalFlow_create()
    inverse_search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    methods = {
        f"MotionNet, {runtime}": lambda frames: pair_flow(motion_net, frames),
        "TV-L1": lambda frames: total_variation.calc(*grey(frames), None),
        "Farneback": lambda frames: cv2.calcOpticalFlowFarneback(
            *grey(frames), None, 0.5, 5, 15, 3, 5, 1.1, 0
        ),
        "DIS medium": lambda frames: inverse_search.calc(*grey(frames), None),
    }
    pairs = find_flow_pairs(settings.options.folder)
    for name, method in methods.items():
        started = time.perf_counter()
        results = flow_results(pairs, method)
        seconds = time.perf_counter() - started
        header, rows = flow_rows(results)
        figures.table(f"{name}, {len(pairs)} pairs, {seconds:.1f} s", header, rows)
