"""Reader of .prototxt files: the order and the settings of a Caffe network's layers."""

import dataclasses
import os
import re
from typing import Any, NoReturn

from h2s_keras.errors import FileError

MAX_BYTES, MAX_DEPTH = 16 * 2**20, 32

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<word>[^\s{}<>:;,\[\]"'#]+)|(?P<mark>[{}<>:;,\[\]])"""
)
_V1_TYPES = {
    "CONVOLUTION": "Convolution",
    "DECONVOLUTION": "Deconvolution",
    "INNER_PRODUCT": "InnerProduct",
}
_SETTINGS = (
    *("convolution_param", "inner_product_param", "bn_param", "batch_norm_param"),
    "scale_param",
)


@dataclasses.dataclass
class PrototxtLayer:
    """What the text says of a layer; numbers are None where it leaves them open."""

    name: str
    type: str
    bias: bool
    stride: int | None
    pad: int | None
    means: tuple
    epsilon: float | None = None  # of batch normalisation


def read_prototxt(path: str | os.PathLike[str]) -> list[PrototxtLayer]:
    """The layers of a .prototxt in its order, which Caffe requires to be topological.

    Args:
        path: text of a NetParameter, with `layer` or the older `layers`.

    Returns:
        list of `PrototxtLayer`.

    Raises:
        FileError: one line naming the file, if it is missing or not such a text.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileError(path, "no such file; give a .prototxt")
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise FileError(path, f"is longer than {MAX_BYTES} bytes; give a .prototxt")
    net = _message(path, _tokens(path, data.decode("utf-8", "replace")))
    layers = [
        _layer(fields)
        for key in ("layer", "layers")
        for fields in net.get(key, [])
        if isinstance(fields, dict)
    ]
    if not layers:
        raise FileError(path, "names no layers; give the network's deploy .prototxt")
    return layers


def _layer(fields):
    kind = str(_one(fields, "type", ""))
    settings = {}
    for name in _SETTINGS:
        found = _one(fields, name, {})
        settings.update(found if isinstance(found, dict) else {})
    transform = _one(fields, "transform_param", {})
    means = transform.get("mean_value", []) if isinstance(transform, dict) else []
    return PrototxtLayer(
        str(_one(fields, "name", "")),
        _V1_TYPES.get(kind, kind),
        _one(settings, "bias_term", str(kind != "Scale").lower()) not in ("false", "0"),
        _side(settings, "stride", 1),
        _side(settings, "pad", 0),
        tuple(value for value in map(_number, means) if value is not None),
        _number(_one(settings, "eps", None)),
    )


def _one(fields, name, default):
    return fields.get(name, [default])[-1]


def _side(settings, name, default):
    """A setting that has one value for both axes, also as NAME_h and NAME_w."""
    values = settings.get(name) or [
        settings[f"{name}_{axis}"][-1] for axis in "hw" if f"{name}_{axis}" in settings
    ]
    numbers = {_number(value) for value in values} if values else {default}
    value = numbers.pop() if len(numbers) == 1 else None
    return None if value is None else int(value)


def _number(text):
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if abs(value) < 2**31 else None


def _tokens(path, text):
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _fail(path, text, at)
        at = match.end()
        if match.lastgroup == "text":
            yield "value", match["text"][1:-1], match.start()
        elif match.lastgroup:
            yield match.lastgroup, match[match.lastgroup], match.start()


def _message(path, tokens):
    """Nested dicts name -> list of values; no recursion, so depth costs no stack."""
    stack: list[dict[str, list[Any]]] = [{}]
    name, in_list = None, False
    for kind, token, at in tokens:
        if token in ("{", "<") and kind == "mark":
            if name is None or len(stack) > MAX_DEPTH:
                raise FileError(path, f"is no .prototxt: {token!r} at character {at}")
            inner: dict[str, list[Any]] = {}
            stack[-1].setdefault(name, []).append(inner)
            stack.append(inner)
            name = None
        elif token in ("}", ">") and kind == "mark":
            if len(stack) == 1 or name is not None:
                raise FileError(path, f"is no .prototxt: {token!r} at character {at}")
            stack.pop()
        elif kind == "mark":
            in_list = token == "[" or (in_list and token != "]")
            name = None if token == "]" else name
        elif name is None:
            if kind != "word":
                raise FileError(path, f"is no .prototxt: {token[:20]!r} at character {at}")
            name = token
        else:
            stack[-1].setdefault(name, []).append(token)
            name = name if in_list else None
    if len(stack) > 1 or name is not None:
        raise FileError(path, "is truncated: it ends inside a block; fetch it again")
    return stack[0]


def _fail(path: str, text: str, at: int) -> NoReturn:
    raise FileError(path, f"is no .prototxt: {text[at : at + 20]!r} at character {at}")
