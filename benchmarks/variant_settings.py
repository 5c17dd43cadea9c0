"""`--set KEY=VALUE` of an ablation: values of its recipe and of its variants."""

import copy
import dataclasses

from h2s_keras.errors import UserError
from h2s_keras.option_types import leave_out, option, put, read_setting
from h2s_keras.options import RunOptions


@dataclasses.dataclass
class _Ablation(RunOptions):
    """What an ablation takes beside the options of its runs."""

    seeds: tuple[int, ...] = option(
        (),
        "seeds that every variant is trained with",
        least=0,
        takes="whole numbers from 0, such as [1, 2, 3]",
    )
    table: str | None = option(None, "file to write the table to, too")


def apply_to_variants(config, assignment):
    """Applies one `key=value`, as `apply_setting`, in the variants too.

    Returns:
        list of the names of variants that keep a value of their own, which is what they
        are there for.
    """
    key, _, text = assignment.partition("=")
    if key in ("figures", "variants"):
        raise UserError(
            f"--set {key}: takes several values; set one of them, such as --set seeds=[1]"
        )
    setting = read_setting(_Ablation, assignment)
    if setting.leaves_out:
        leave_out([config, *config["variants"]], setting)
        return []
    if setting.key == "seed":
        raise UserError(
            f"--set {assignment}: each variant runs with every one of the seeds; give them "
            f"as --set seeds=[{text}]"
        )
    parts = setting.parts
    places = [place for place in config["variants"] if _has_its_own(place, parts)]
    if parts[0] != "stages" or _has_its_own(config, parts) or not places:
        places.insert(0, config)
    old, kept = _value(places[0], parts), []
    for place in places:
        its = _value(place, parts)
        if its == old:
            put(place, dataclasses.replace(setting, value=copy.deepcopy(setting.value)))
        elif its != setting.value:
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
