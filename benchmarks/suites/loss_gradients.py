"""Suite `loss_gradients`: share of each term of the loss in the gradient of flow.

Taken on a pair of frames:

    python -m benchmarks loss_gradients first.png second.png

Under each weighting, the sum of the absolute gradient in all flow values of the five levels
is taken for every term alone, at zero flow and at flow that is off by a random 0.5 and 2
pixels of full resolution from zero. Printed is each term's share of the sum of the three.
"""

import keras
import numpy as np

from benchmarks.backend import compiled, gradient_of_sum, tensor, ways
from h2s_keras.data import read_image
from h2s_keras.layers import UnsupervisedFlowLoss

TERMS = ("photometric", "smoothness", "ssim")
LEVELS = 5


def shares(clips, weighting, noise):
    """dict of term -> share of the gradient."""
    generator = np.random.default_rng(0)
    height, width = clips.shape[2:4]
    flows = {}
    for level in range(1, LEVELS + 1):
        shape = (1, 1, height >> level, width >> level, 2)
        values = generator.normal(0, 1, shape) * noise / 2**level
        flows[f"flow{level + 1}"] = values.astype("float32")
    names, layer = list(flows), UnsupervisedFlowLoss(weighting)
    sums = {}
    for term in TERMS:

        def loss(*values, term=term):
            terms = layer(clips, dict(zip(names, values, strict=True)))
            return keras.ops.sum(terms[term])

        gradients = compiled(gradient_of_sum(loss), ways()[0])(*map(tensor, flows.values()))
        sums[term] = sum(
            float(keras.ops.sum(keras.ops.abs(gradient)))
            for gradient in keras.tree.flatten(gradients)
        )
    total = sum(sums.values())
    return {term: value / total for term, value in sums.items()}


def add_arguments(parser):
    parser.add_argument("frames", nargs=2, metavar="FRAME", help="image file")


def run(settings, figures):
    frames = [read_image(path) for path in settings.options.frames]
    height, width = (side // 32 * 32 for side in frames[0].shape[:2])
    clips = np.stack([frame[:height, :width] for frame in frames])[None]
    rows = []
    for weighting in ("released", "paper"):
        for noise in (0.0, 0.5, 2.0):
            found = shares(clips, weighting, noise)
            row = [f"{100 * found[term]:.1f} %" for term in TERMS]
            rows.append([weighting, f"{noise:g} px", *row])
    header = ["weighting", "flow off by", *TERMS]
    figures.table("share of the gradient in flow", header, rows)
