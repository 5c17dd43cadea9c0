"""Checks of single values of a recipe, told before anything is made of them."""

from h2s_keras.errors import UserError

# What a stage takes a number for, in words, with its bounds and whether these belong to it.
_NUMBERS = {
    "learning_rate": ("a number from 0", 0, None, True),
    "weight_decay": ("a number from 0", 0, None, True),
    "global_clipnorm": ("a number above 0, or None", 0, None, False),
    "ema": ("a number between 0 and 1, or None", 0, 1, False),
    "label_smoothing": ("a number from 0 to 1", 0, 1, True),
    "factor": ("a number above 0", 0, None, False),
    "flow_loss_weight": ("a number from 0", 0, None, True),
    "action_loss_weight": ("a number from 0", 0, None, True),
    "smoothness_start": ("a number from 0", 0, None, True),
}
# Where None stands for "not at all".
_MAY_BE_NONE = ("weight_decay", "global_clipnorm", "ema")
_DICTS = ("flow_loss", "flow_options", "lr_multipliers")


def check_values(where, stage):
    """Raises a UserError for a value of a complete stage that is of another kind or range.

    Args:
        where: words for the stage, which begin the message.
        stage: dict with every option of a stage.
    """
    for key, (words, *bounds) in _NUMBERS.items():
        value = stage[key]
        if not (value is None and key in _MAY_BE_NONE) and not within(value, *bounds):
            raise UserError(f"{where}: {key} takes {words}; received {value!r}")
    boundaries = stage["boundaries"]
    if not isinstance(boundaries, (tuple, list)) or not are_numbers(boundaries):
        raise UserError(
            f"{where}: boundaries takes the steps at which the rate falls, such as "
            f"(1000, 2000) or (1000,); received {boundaries!r}"
        )
    for key in _DICTS:
        if not isinstance(stage[key], (dict, type(None))):
            raise UserError(
                f"{where}: {key} takes a dict of options; received {stage[key]!r}"
            )


def check_fusion(fusion):
    """Raises a UserError for fusion weights that are not two numbers."""
    if not isinstance(fusion, (tuple, list)) or len(fusion) != 2 or not are_numbers(fusion):
        raise UserError(
            "model.fusion takes two numbers, the weights (spatial, temporal) such as "
            f"(1.0, 1.5); received {fusion!r}"
        )


def with_both_sides(data):
    """`data` whose image_size is (height, width), where one side of a square may stand."""
    size = data.get("image_size")
    if size is None:
        return data
    sides = (size, size) if are_numbers([size]) else size
    if (
        not isinstance(sides, (tuple, list))
        or len(sides) != 2
        or not all(isinstance(side, int) for side in sides)
    ):
        raise UserError(
            "data.image_size takes (height, width) in pixels, or one number for a square; "
            f"received {size!r}"
        )
    return {**data, "image_size": sides}


def check_targets(config):
    """Raises a UserError where a stage needs what the data do not give it."""
    if "data" not in config:
        return
    true_flow = config["data"].get("targets") == "flow"
    for stage in config["stages"]:
        supervised = (stage["flow_loss"] or {}).get("kind") == "supervised"
        if supervised and not true_flow:
            raise UserError(
                f"stage {stage['name']!r}: flow_loss.kind='supervised' learns from true "
                "flow, which data.targets='flow' gives (of made-up clips)"
            )
        if true_flow and set(stage["streams"]) - {"motion"}:
            raise UserError(
                f"stage {stage['name']!r}: learns classes, and data.targets='flow' gives "
                "true flow in the place of labels; leave data.targets out"
            )
        if stage["cached_flow"]:
            _check_cached_flow(stage["name"], config["data"])


def _check_cached_flow(name, data):
    kind, size = data.get("kind"), data.get("decode_size")
    if kind in ("records", "synthetic", "moving_layers"):
        raise UserError(
            f"stage {name!r}: cached_flow needs videos or folders of frames; with "
            f"data.kind={kind!r} set stages.{name}.cached_flow=False"
        )
    if not isinstance(size, (tuple, list)):
        raise UserError(
            f"stage {name!r}: cached_flow needs frames of one size: give data.decode_size "
            f"as (height, width), multiples of 32; received {size!r}"
        )


def are_numbers(values):
    return all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
    )


def within(value, lowest, highest, closed):
    if not are_numbers([value]):
        return False
    if closed:
        return lowest <= value and (highest is None or value <= highest)
    return lowest < value and (highest is None or value < highest)
