"""A MotionNet beside OpenCV's flow on the same pairs: errors and seconds.

Command: python benchmarks/flow_baselines.py MODEL FLOW_FOLDER [RUNTIME]
    (MODEL is a preset such as tiny_synthetic, a .keras file or a run; needs
    opencv-contrib-python-headless; the folder holds frame10.png, frame11.png and
    flow10.flo of each sequence, as Middlebury distributes them)
The first column of every row comes from one run, so that the methods can be compared.
"""

import sys
import time

import cv2

from h2s_keras.evaluation.flow_pairs import find_flow_pairs
from h2s_keras.evaluation.flow_results import flow_results, flow_rows, pair_flow
from h2s_keras.evaluation.text_table import table_lines
from h2s_keras.models.presets import load_flow_network


def grey(frames):
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]


def main(model, folder, runtime="keras"):
    motion_net = load_flow_network(model)
    total_variation = cv2.optflow.DualTVL1OpticalFlow_create()
    inverse_search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    methods = {
        f"MotionNet, {runtime}": lambda frames: pair_flow(motion_net, frames, runtime),
        "TV-L1": lambda frames: total_variation.calc(*grey(frames), None),
        "Farneback": lambda frames: cv2.calcOpticalFlowFarneback(
            *grey(frames), None, 0.5, 5, 15, 3, 5, 1.1, 0
        ),
        "DIS medium": lambda frames: inverse_search.calc(*grey(frames), None),
    }
    pairs = find_flow_pairs(folder)
    print(f"OpenCV {cv2.__version__}, {len(pairs)} pairs")
    for name, method in methods.items():
        started = time.perf_counter()
        results = flow_results(pairs, method)
        print(f"== {name}, {time.perf_counter() - started:.1f} s")
        print("\n".join(table_lines(*flow_rows(results))))


if __name__ == "__main__":
    main(*sys.argv[1:])
