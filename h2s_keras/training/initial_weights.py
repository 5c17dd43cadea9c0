"""Starting from the weights of an earlier run."""

import os

from h2s_keras.errors import UserError
from h2s_keras.models import load_model
from h2s_keras.models.frame_inflation import inflate_frames
from h2s_keras.training.optimizers import PARTS, part_of


def copy_initial_weights(network, path):
    """Gives `network` the weights of a trained model, part by part, where they fit.

    A part (motion, temporal, spatial) takes over all of its weights if both models have
    it with the same layers; where only the last layer differs, as with other classes,
    everything before it. A part that the trained model lacks stays as it is. MotionNet may
    also start from one of 2 frames, see `inflate_frames`.

    Args:
        network: a built HiddenTwoStream.
        path: .keras file, run folder or preset of the trained model.

    Returns:
        tuple of the names of the parts that took weights.

    Raises:
        UserError: if the file cannot be read or no part fits.

    Example:

    ```python
    copy_initial_weights(network, "runs/ucf101-1/model.keras")     # ("motion", "temporal")
    ```
    """
    source = load_model(os.fspath(path))
    taken, reasons = [], []
    for part in PARTS:
        mine, theirs = part_of(network, part), part_of(source, part)
        if mine is None or theirs is None:
            continue
        if part == "motion" and theirs.num_frames == 2 != mine.num_frames:
            try:
                inflate_frames(mine, theirs)
                taken.append(part)
            except ValueError as error:
                reasons.append(f"its motion part does not fit: {error}")
            continue
        pairs = list(zip(mine.weights, theirs.weights, strict=False))
        same = [tuple(a.shape) == tuple(b.shape) for a, b in pairs]
        if len(mine.weights) != len(theirs.weights) or not all(same[:-2]) or not same[0]:
            reasons.append(f"its {part} part has other layers")
            continue
        for (own, other), fits in zip(pairs, same, strict=True):
            if fits:
                own.assign(other)
        taken.append(part)
    if not taken:
        reason = "; ".join(reasons) or "it has no part in common with this model"
        raise UserError(f"{path}: cannot be started from ({reason})")
    return tuple(taken)
