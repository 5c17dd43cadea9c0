"""Starting from the weights of an earlier run, or in part at random."""

import os

from h2s_keras.errors import UserError, UserFacingWarning
from h2s_keras.models import load_model
from h2s_keras.models.backbones import application_names
from h2s_keras.models.frame_inflation import inflate_frames
from h2s_keras.models.motion_net_variants import VARIANTS
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


class RandomStartWarning(UserFacingWarning):
    """Parts of a network begin at random."""


def random_start(config, started=()):
    """One line that names the parts that begin at random, or None.

    Args:
        config: `RunOptions`.
        started: parts that have taken weights of model.initial.

    Returns:
        The line, with the settings that give weights.

    Example:

    ```python
    random_start(ucf101_tsn.get_config())
    # "ucf101_tsn: motion (motionnet), temporal (bn_inception) and spatial (bn_inception)
    # begin at random. For trained weights: --set model.motion=PRESET_OR_FILE, ..."
    ```
    """
    model = config.model
    parts, cures = [], []
    if model.motion in VARIANTS and "motion" not in started:
        parts.append(f"motion ({model.motion})")
        cures.append("model.motion=PRESET_OR_FILE")
    for part in ("temporal", "spatial"):
        backbone, weights = getattr(model, part), getattr(model, f"{part}_weights")
        if not isinstance(backbone, str) or weights is not None or part in started:
            continue
        if backbone == "small":  # It is meant to learn from scratch.
            continue
        parts.append(f"{part} ({backbone})")
        if backbone == "tiny" or (part == "temporal" and model.branched):
            continue
        kinds = "imagenet_or_FILE" if backbone in application_names() else "FILE"
        cures.append(f"model.{part}_weights={kinds}")
    if not parts:
        return None
    cures.append("model.initial=RUN")
    named = " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
    verb = "begin" if parts[1:] else "begins"
    given = ", --set ".join(cures)
    return f"{config.name}: {named} {verb} at random. For trained weights: --set {given}"
