"""`--set KEY=VALUE`: changes of single values of a recipe."""

import ast
import copy

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
    "table",
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
    "figures": "seeds=[1]",
    "variants": "seeds=[1]",
}
# Dicts whose receiver knows its own options.
_FREE = ("adapter", "flow_loss", "flow_options", "motion_options", "rate_factors")


def apply_setting(config, assignment):
    """Applies one `key=value`; keys are dotted, stages are found by name.

    `stages.NAME=none` leaves a stage out. A value of a stage, of the data or of the model
    is set in an ablation's variants too.

    Returns:
        list of the names of variants that keep a value of their own, which is what they
        are there for.
    """
    key, separator, text = assignment.partition("=")
    if not separator:
        raise UserError(f"--set takes KEY=VALUE; received {assignment!r}")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        value = {"true": True, "false": False, "none": None}.get(text.lower(), text)
    parts = key.split(".")
    if key in _GROUPS:
        kind = type(config.get(key, {})).__name__
        raise UserError(
            f"--set {key}: takes a {kind} of several values; set one of them, such as "
            f"--set {_GROUPS[key]}"
        )
    if parts[0] == "stages" and len(parts) == 2:
        _leave_out(config, key, parts, value)
        return []
    if "variants" not in config:
        _set(config, key, parts, value, text)
        return []
    if parts == ["seed"]:
        raise UserError(
            f"--set {assignment}: each variant runs with every one of the seeds; give them "
            f"as --set seeds=[{text}]"
        )
    return _set_everywhere(config, key, parts, value, text)


def _leave_out(config, key, parts, value):
    """Takes a stage out of a recipe, and of the variants that have it."""
    if value is not None:
        raise UserError(
            f"--set {key}: takes none, which leaves the stage out, or a value of the stage "
            f"such as {key}.steps=1000; received {value!r}"
        )
    places = [config, *config.get("variants", ())]
    places = [place for place in places if _has_its_own(place, parts)]
    if not places:
        names = [stage["name"] for stage in config.get("stages", ())]
        raise UserError(f"--set {key}: no stage {parts[1]!r}; there are {names}")
    for place in places:
        left = [stage for stage in place["stages"] if stage["name"] != parts[1]]
        if not left:
            raise UserError(f"--set {key}: is the only stage, and a run needs one")
        place["stages"] = left


def _set_everywhere(config, key, parts, value, text):
    """Sets a value of an ablation and of its variants; names of those that keep theirs."""
    places = [place for place in config["variants"] if _has_its_own(place, parts)]
    if parts[0] != "stages" or _has_its_own(config, parts) or not places:
        places.insert(0, config)
    old, kept = _value(places[0], parts), []
    for place in places:
        its = _value(place, parts)
        if its == old:
            _set(place, key, parts, copy.deepcopy(value), text)
        elif its != value:
            kept.append(place["name"])
    return kept


def _has_its_own(place, parts):
    """Whether a variant does not simply take the value at `parts` from the recipe."""
    if len(parts) == 1:
        return False
    if parts[0] == "stages":
        return any(stage["name"] == parts[1] for stage in place.get("stages", ()))
    return parts[0] in ("data", "model") and parts[1] in place.get(parts[0], {})


def _value(config, parts):
    """What stands at `parts`; None where it has a value from elsewhere or none."""
    target = config
    for part in parts:
        if isinstance(target, list):
            target = {stage["name"]: stage for stage in target}
        target = target.get(part) if isinstance(target, dict) else None
    return target


def _set(config, key, parts, value, text):
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
                value = text  # A group named 1 stays a name.
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
