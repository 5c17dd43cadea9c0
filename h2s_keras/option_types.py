"""What an option is: a typed field with help and limits, checked and read from text."""

import ast
import copy
import dataclasses
import difflib
import functools
import math
import os
import types
import typing
from typing import Any, Self

from h2s_keras.errors import UserError, refuse_unknown, what_was_meant


def option(
    default: Any,
    help: str,
    *,
    kinds: tuple[str, ...] | None = None,
    ignored: tuple[str, ...] = (),
    needed: bool = False,
    takes: str | None = None,
    keys: tuple[str, ...] | None = None,
    square: bool = False,
    **limits: float,
) -> Any:
    """A field of a class of `Options`.

    Args:
        default: the value where none is given, or the class that makes it.
        help: one line that says what the option does, with its unit.
        kinds: values of the option "kind" that support this one; None for all.
        ignored: kinds that do not support it and pass over it, since recipes for other
            kinds say it.
        needed: whether there must be a value.
        takes: words for what the option takes; None derives them from type and limits.
        keys: those that a dict may have, or None.
        square: whether one number may stand for a pair of it.
        **limits: "least" and "most" of a number, "above" and "below" without the bound
            itself.
    """
    metadata = {
        "help": help,
        "kinds": kinds,
        "ignored": ignored,
        "needed": needed,
        "takes": takes,
        "keys": keys,
        "square": square,
        "limits": limits,
    }
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Options:
    """Base of the dataclasses of options: read from plain values, checked, written."""

    # What decides which options are supported; classes with such an option replace it.
    kind: Any

    @classmethod
    def of(cls, values: Any, outer: str = "") -> Self:
        """A checked copy.

        Args:
            values: a dict of plain values or an object of this class.
            outer: what goes before the names of the options that hold these, in messages.

        Raises:
            UserError: an option that there is not, or a value that it does not take.
        """
        if isinstance(values, cls):
            values = vars(values)
        elif not isinstance(values, dict):
            raise UserError(
                f"options are a dict of them or {cls.__name__}; received {values!r}"
            )
        where = cls.prefix(values, outer)
        refuse_unknown(where.rstrip(".: "), values, cls.fields())
        options = cls(**copy.deepcopy(values))
        options.check(where)
        return options

    @classmethod
    def prefix(cls, values: dict[str, Any], outer: str) -> str:
        """What goes before the names of options in messages."""
        return outer

    @classmethod
    @functools.cache
    def fields(cls) -> dict[str, Any]:
        """dict of the name of each option to its field, with the type in "type"."""
        hints = typing.get_type_hints(cls)
        found = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for name, field in found.items():
            field.type = hints[name]
        return found

    def check(self, where: str) -> None:
        """Brings every value into its type; raises a UserError that begins with `where`."""
        for name, field in self.fields().items():
            value = getattr(self, name)
            if value is None and field.default is None:
                continue
            try:
                setattr(self, name, _converted(value, field.type, field, where + name))
            except TypeError:
                raise UserError(_refusal(where + name, field, value)) from None
        for name, field in self.fields().items():
            if self.supports(name) or self.kind in field.metadata["ignored"]:
                continue
            value = getattr(self, name)
            if value in (None, (), [], {}) or value == field.default:
                continue
            raise UserError(
                f"{where}{name}={value!r} is not supported for kind={self.kind!r} "
                f"(supported: {', '.join(field.metadata['kinds'])}); leave it out or "
                "choose another kind"
            )

    def supports(self, name: str) -> bool:
        """Whether the option has a meaning for this kind."""
        kinds = self.fields()[name].metadata["kinds"]
        return kinds is None or self.kind in kinds

    def require(self, where: str) -> None:
        """Raises a UserError for the first option without a value that needs one."""
        for name, field in self.fields().items():
            if field.metadata["needed"] and self.supports(name):
                if getattr(self, name) is None:
                    raise UserError(f"{where}{name} is missing; it has no default")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without those that the kind does not support."""
        return {
            name: _plain(getattr(self, name))
            for name in self.fields()
            if self.supports(name)
        }


def _plain(value):
    if isinstance(value, Options):
        return value.to_dict()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return copy.deepcopy(value)


# === Types ===


def _parts(kind):
    """The types that a union is made of; otherwise the type itself."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return typing.get_args(kind)
    return (kind,)


def _holds(kind, wanted):
    """Whether the type `wanted` is one of those that `kind` may be."""
    for one in _parts(kind):
        literals = typing.get_args(one) if typing.get_origin(one) is typing.Literal else ()
        if one is wanted or any(isinstance(literal, wanted) for literal in literals):
            return True
    return False


def _converted(value, kind, field, where):
    """`value` in the type `kind`; a TypeError if it is of another type or range."""
    kinds = _parts(kind)
    if len(kinds) > 1:
        for one in kinds:
            try:
                return _converted(value, one, field, where)
            except TypeError:
                continue
        raise TypeError
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    limits = field.metadata["limits"]
    fits = False
    if kind is type(None):
        fits = value is None
    elif origin is typing.Literal:
        fits = any(type(one) is type(value) and one == value for one in arguments)
    elif kind in (int, float):
        if kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        allowed = (int,) if kind is int else (int, float)
        number = isinstance(value, allowed) and not isinstance(value, bool)
        fits = number and _within(value, **limits)
    elif kind is str:
        fits = isinstance(value, (str, os.PathLike))
    elif origin is tuple:
        several = arguments[-1] is Ellipsis
        if field.metadata["square"] and type(value) is int:
            value = (value, value)
        if several and isinstance(value, (str, int)) and _holds(arguments[0], str):
            value = (value,)  # One name may stand for a list of one.
        if isinstance(value, (tuple, list)) and (several or len(value) == len(arguments)):
            return tuple(_converted(one, arguments[0], field, where) for one in value)
    elif origin is list:
        if isinstance(value, (tuple, list)):
            return [arguments[0].of(one) for one in value]
    elif kind is dict or origin is dict:
        if isinstance(value, dict):
            refuse_unknown(where, value, field.metadata["keys"] or value)
            inner = arguments[1] if arguments else object
            return {key: _converted(one, inner, field, where) for key, one in value.items()}
    elif issubclass(kind, Options):
        if isinstance(value, (dict, kind)):
            return kind.of(value, where.removesuffix(field.name))
    else:
        fits = isinstance(value, kind)
    if not fits:
        raise TypeError
    return value


def _within(value, least=None, most=None, above=None, below=None):
    return (
        math.isfinite(value)
        and (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def what_it_takes(field: Any) -> str:
    """What an option takes in words, such as "a number from 0 to 1, or None"."""
    if field.metadata["takes"]:
        return field.metadata["takes"]
    words = [
        _words(one, field.metadata["limits"])
        for one in _parts(field.type)
        if one is not type(None)
    ]
    none = ", or None" if type(None) in _parts(field.type) else ""
    return " or ".join(words) + none


def _words(kind, limits):
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        choices = [repr(choice) for choice in arguments]
        return " or ".join([", ".join(choices[:-1]), choices[-1]][len(choices) < 2 :])
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _range(**limits)
    if origin is tuple:
        if typing.get_origin(arguments[0]) is typing.Literal:
            return f"one or several of {_words(arguments[0], limits)}"
        if _holds(arguments[0], str):
            return "one or several names"
        return "two numbers" if arguments[-1] is not Ellipsis else "several numbers"
    if origin is dict:
        return "a dict of numbers"
    names = {bool: "True or False", str: "a text", list: "a list"}
    return names.get(origin or kind, "a dict of options")


def _range(least=None, most=None, above=None, below=None):
    if above is not None and below is not None:
        return f" between {above} and {below}"
    low = f" from {least}" if least is not None else ""
    low = f" above {above}" if above is not None else low
    return low + (f" to {most}" if most is not None else "")


def _refusal(where, field, value):
    text = f"{where} takes {what_it_takes(field)}; received {value!r}"
    choices = [
        choice
        for kind in _parts(field.type)
        if typing.get_origin(kind) is typing.Literal
        for choice in typing.get_args(kind)
    ]
    near = difflib.get_close_matches(value, choices, 1) if isinstance(value, str) else ()
    return f"{text}; did you mean {near[0]!r}?" if near else text


# === KEY=VALUE ===


@dataclasses.dataclass(frozen=True)
class Setting:
    """One `KEY=VALUE`: the parts of the key, and the value in the type of its option."""

    key: str
    parts: tuple[str, ...]
    value: object

    @property
    def leaves_out(self) -> bool:
        """Whether it leaves a stage out."""
        return self.parts[0] == "stages" and len(self.parts) == 2


def read_setting(options: type[Options], assignment: str) -> Setting:
    """The `Setting` that "KEY=VALUE" means for a class of options.

    Args:
        options: class of options; keys lead to those inside it, through dots.
        assignment: the text; the value may be any text, or Python's literals.

    Raises:
        UserError: there is no such option, or it does not take the value.
    """
    key, separator, text = assignment.partition("=")
    if not separator:
        raise UserError(f"--set takes KEY=VALUE; received {assignment!r}")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        value = {"true": True, "false": False, "none": None}.get(text.lower(), text)
    kind: Any = options
    field: Any = None
    parts: list[str] = []
    left = key.split(".")
    while left:
        inside = next((one for one in _parts(kind) if _is_group(one)), None)
        if inside is None:
            raise UserError(f"--set {key}: {'.'.join(parts)} holds a single value")
        if typing.get_origin(inside) is list:
            parts.append(left.pop(0))
            (kind,) = typing.get_args(inside)
        elif inside is dict or typing.get_origin(inside) is dict:
            # Keys of a dict may have dots of their own.
            parts.append(".".join(left))
            refuse_unknown(f"--set {key}", parts[-1:], field.metadata["keys"] or parts)
            left, kind = [], (typing.get_args(inside) or (str, object))[1]
            about = {**field.metadata, "takes": None}
            field = types.SimpleNamespace(name=field.name, type=kind, metadata=about)
        else:
            name = left.pop(0)
            if name not in inside.fields():
                near = what_was_meant(name, inside.fields())
                raise UserError(f"--set {key}: no option {name!r}; {near}")
            field = inside.fields()[name]
            parts.append(name)
            kind = field.type
    if parts[0] == "stages" and len(parts) == 2:
        if value is not None:
            raise UserError(
                f"--set {key}: takes none, which leaves the stage out, or a value of the "
                f"stage such as {key}.steps=1000; received {value!r}"
            )
        return Setting(key, tuple(parts), None)
    if _is_group(kind) and kind is not dict and typing.get_origin(kind) is not dict:
        inside = "motion.steps=500" if key == "stages" else f"{[*kind.fields()][0]}=..."
        raise UserError(
            f"--set {key}: consists of several values; set one of them, such as "
            f"--set {key}.{inside}"
        )
    for one in (value, text):
        try:
            value = _converted(one, kind, field, f"--set {key}: {parts[-1]}")
            return Setting(key, tuple(parts), value)
        except TypeError:
            continue
    raise UserError(_refusal(f"--set {key}", field, value))


def _is_group(kind):
    if typing.get_origin(kind) in (list, dict) or kind is dict:
        return True
    return isinstance(kind, type) and issubclass(kind, Options)


def apply_setting(options: Options, assignment: str) -> None:
    """Applies one "KEY=VALUE" to options; `stages.NAME=none` leaves a stage out.

    Raises:
        UserError: there is no such option, or it does not take the value.
    """
    setting = read_setting(type(options), assignment)
    if setting.leaves_out:
        leave_out([options], setting)
    else:
        put(options, setting)


def put(place: Any, setting: Setting) -> None:
    """Sets the value in options, or in a dict of plain values; raises a UserError."""
    for depth, part in enumerate(setting.parts):
        if isinstance(place, list):
            found = {_get(stage, "name"): stage for stage in place}
            if part not in found:
                known = list(found)
                raise UserError(
                    f"--set {setting.key}: no stage {part!r}; there are {known}"
                )
            place = found[part]
        elif place is None:
            name = ".".join(setting.parts[:depth])
            raise UserError(
                f"--set {setting.key}: {name} is None here, so it has no options; "
                f"give it some first with --set {name}={{}}"
            )
        elif depth < len(setting.parts) - 1:
            place = _get(place, part)
        elif isinstance(place, dict):
            place[part] = setting.value
        else:
            setattr(place, part, setting.value)


def leave_out(places: list[Any], setting: Setting) -> None:
    """Takes a stage out of each of `places` that has it; a UserError if none has."""
    name = setting.parts[1]
    stages = [_get(stage, "name") for place in places for stage in _stages(place)]
    if name not in stages:
        known = list(dict.fromkeys(stages))
        raise UserError(f"--set {setting.key}: no stage {name!r}; there are {known}")
    for place in places:
        stages = _stages(place)
        left = [stage for stage in stages if _get(stage, "name") != name]
        if stages and not left:
            raise UserError(f"--set {setting.key}: is the only stage, and a run needs one")
        stages[:] = left


def _get(place, name):
    return place.get(name) if isinstance(place, dict) else getattr(place, name)


def _stages(place):
    return (place.get("stages") or []) if isinstance(place, dict) else place.stages
