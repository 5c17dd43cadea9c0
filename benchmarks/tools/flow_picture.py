"""The picture of docs/flow.md: synthetic frames, true flow, the preset's and TV-L1's.

    python -m benchmarks.tools.flow_picture docs/images/flow_beside_tvl1.png

Needs the extra `flow`. Clips are of the held-out stream, larger than any of training.
"""

import sys

import cv2
import numpy as np

from h2s_keras.data import MovingLayerClips, write_png
from h2s_keras.models import MotionNet
from h2s_keras.visualization.flow_color import flow_to_color

NUMBERS, SIZE, SEED = (2, 5, 11), (192, 256), 9


def main(path):
    motion_net = MotionNet.from_preset("tiny_synthetic", num_frames=2)
    total_variation = cv2.optflow.DualTVL1OpticalFlow_create()
    clips = MovingLayerClips(2, SIZE, SEED, split="test", max_displacement=12.0)
    rows = []
    for number in NUMBERS:
        example = clips.example(number)
        frames, truth = np.asarray(example["clip"]), np.asarray(example["flow"])[0]
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        flows = {
            "truth": truth,
            "tiny_synthetic": motion_net.estimate_flow(frames[None])[0, 0],
            "TV-L1": total_variation.calc(*grey, None),
        }
        # One scale a row, so that colours can be compared.
        scale = float(np.linalg.norm(truth, axis=-1).max())
        errors = {
            name: float(np.linalg.norm(flow - truth, axis=-1).mean())
            for name, flow in flows.items()
        }
        print(number, {name: round(error, 2) for name, error in errors.items()})
        pictures = [flow_to_color(flow, scale) for flow in flows.values()]
        rows.append(np.concatenate([*frames, *pictures], axis=1))
    write_png(path, np.concatenate(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
