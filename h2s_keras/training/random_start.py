"""Which parts of a network begin at random, and how to give them weights."""

from h2s_keras.errors import ToldWarning
from h2s_keras.models.backbones import application_names
from h2s_keras.models.motion_net import VARIANTS


class RandomStartWarning(ToldWarning):
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
