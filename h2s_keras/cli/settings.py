"""`--set KEY=VALUE`: changes of single values of a recipe."""

import ast
import dataclasses

from h2s_keras.data.data_options import EVERY
from h2s_keras.errors import UserError, what_was_meant
from h2s_keras.training.stage_options import NAMES

# Paths, names and patterns, which may look like numbers.
_TEXTS = (
    "annotations",
    "classes",
    "csv",
    "group_column",
    "group_pattern",
    "initial",
    "name",
    "root",
    "service",
    "spatial_weights",
    "temporal_weights",
    "test_group",
    "test_list",
    "test_root",
    "train_list",
)
# Several names, of which one alone may stand without brackets.
_NAMES = (*NAMES, "motions", "no_flip_classes")
# What is not one value but holds them.
_GROUPS = {
    "data": "data.root=my_videos",
    "model": "model.motion=tiny",
    "stages": "stages.motion.steps=500",
}
# Dicts whose receiver knows its own options.
_FREE = ("adapter", "flow_loss", "flow_options", "motion_options", "lr_multipliers")


@dataclasses.dataclass(frozen=True)
class Setting:
    """One `KEY=VALUE`: the key and its parts, the value read as Python, its text."""

    key: str
    parts: tuple
    value: object
    text: str

    @property
    def leaves_out(self):
        """Whether it leaves a stage out, or is meant to."""
        return self.parts[0] == "stages" and len(self.parts) == 2


def apply_setting(config, assignment):
    """Applies one `key=value`; keys are dotted, stages are found by name.

    `stages.NAME=none` leaves a stage out.

    Raises:
        UserError: for a key that there is not, or a value of another kind.
    """
    setting = read_setting(config, assignment)
    if setting.leaves_out:
        leave_out([config], setting)
    else:
        set_value(config, setting)


def read_setting(config, assignment):
    """The `Setting` of an assignment to a value of `config`; raises a UserError."""
    key, separator, text = assignment.partition("=")
    if not separator:
        raise UserError(f"--set takes KEY=VALUE; received {assignment!r}")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        value = {"true": True, "false": False, "none": None}.get(text.lower(), text)
    if key in _GROUPS:
        kind = type(config.get(key, {})).__name__
        raise UserError(
            f"--set {key}: takes a {kind} of several values; set one of them, such as "
            f"--set {_GROUPS[key]}"
        )
    return Setting(key, tuple(key.split(".")), value, text)


def leave_out(places, setting):
    """Takes a stage out of the dicts of `places` that have it; a UserError if none has."""
    key, name = setting.key, setting.parts[1]
    if setting.value is not None:
        raise UserError(
            f"--set {key}: takes none, which leaves the stage out, or a value of the stage "
            f"such as {key}.steps=1000; received {setting.value!r}"
        )
    stages = [stage["name"] for place in places for stage in place.get("stages", ())]
    if name not in stages:
        known = list(dict.fromkeys(stages))
        raise UserError(f"--set {key}: no stage {name!r}; there are {known}")
    for place in places:
        if "stages" in place:
            left = [stage for stage in place["stages"] if stage["name"] != name]
            if not left:
                raise UserError(f"--set {key}: is the only stage, and a run needs one")
            place["stages"] = left


def set_value(config, setting):
    """Sets a value of a recipe, or of a part of one; raises a UserError."""
    key, parts, value = setting.key, setting.parts, setting.value
    target = config
    for depth, part in enumerate(parts):
        if isinstance(target, list):
            names = [stage["name"] for stage in target]
            if part not in names:
                raise UserError(f"--set {key}: no stage {part!r}; there are {names}")
            part = names.index(part)
        elif target is config.get("data") and part in EVERY:
            # A recipe lists the values that are often changed, not all that there are.
            target.setdefault(part, None)
        elif isinstance(target, dict) and depth and parts[depth - 1] in _FREE:
            target.setdefault(part, None)
        elif not isinstance(target, dict) or part not in target:
            known = target if isinstance(target, dict) else ["nothing"]
            known = EVERY if target is config.get("data") else known
            raise UserError(
                f"--set {key}: no value {part!r} here; {what_was_meant(part, known)}"
            )
        if depth == len(parts) - 1:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if number and (isinstance(target[part], str) or part in _TEXTS):
                value = setting.text  # A group named 1 stays a name.
            if isinstance(value, str) and part in _NAMES:
                value = [value]
            _check_kind(key, target[part], value)
            target[part] = value
        else:
            target = target[part]


def _check_kind(key, old, new):
    # jit_compile is "auto", or a choice; ranges are checked with the whole recipe.
    if old is None or new is None or (old == "auto" and isinstance(new, bool)):
        return
    if _kind(old) != _kind(new):
        raise UserError(
            f"--set {key}: takes a {type(old).__name__} such as {old!r}; received {new!r}"
        )


def _kind(value):
    """A class that stands for its like: a number, or several, as for sizes and rates."""
    if isinstance(value, (int, float, tuple, list)) and not isinstance(value, bool):
        return float
    return type(value)
