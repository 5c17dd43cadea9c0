"""Reader of .caffemodel files: protobuf's wire format by hand, without Caffe.

Reads what a weight converter needs of NetParameter: the layers of both formats (`layer`,
field 100, and the older V1 `layers`, field 2) and their blobs. The file is mapped, not
copied, and every length is checked against its surroundings before it is used, so a
damaged or hostile file gives one clear error and takes no more memory than its size.

Field numbers: caffe.proto (BVLC Caffe 1.0).
"""

import dataclasses
import math
import mmap
import os
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from h2s_keras.errors import FileError

# Far above any real network, low enough that a file of nothing but headers stays cheap.
MAX_LAYERS, MAX_BLOBS, MAX_NAME, MAX_AXES, MAX_FIELDS = 10_000, 20_000, 256, 32, 1_000_000

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
# Field numbers in the two kinds of layer.
_NEW = {1: "name", 2: "type", 7: "blobs"}
_V1 = {4: "name", 5: "type", 6: "blobs"}
_V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
# Type: (field of its settings in a layer, field of eps in these). 137 is bn_param in the
# fork of Temporal Segment Networks only; stock Caffe has another layer's settings there.
_EPSILON = {"BN": (137, 4), "BatchNorm": (139, 3)}
_SETTINGS = {field for field, _ in _EPSILON.values()}


@dataclasses.dataclass
class Blob:
    """One array of a layer: `shape` as stored (older files: always four axes)."""

    shape: tuple
    flat: np.ndarray

    def values(self) -> np.ndarray:
        """float32 array of `shape`."""
        return np.asarray(self.flat, "float32").reshape(self.shape)


@dataclasses.dataclass
class CaffeLayer:
    """A layer of a Caffe file with its weights."""

    name: str = ""
    type: str = ""
    blobs: list = dataclasses.field(default_factory=list)
    epsilon: float | None = None  # of batch normalisation, where the file says it


def read_caffemodel(path: str | os.PathLike[str]) -> list[CaffeLayer]:
    """The layers of a .caffemodel in the order of the file.

    Args:
        path: a .caffemodel in the current or the V1 format.

    Returns:
        list of `CaffeLayer`; blobs look into the mapped file.

    Raises:
        FileError: one line naming the file, if it is missing, truncated, damaged,
            something else, of the V0 format or of HDF5.

    Example:
        >>> [layer.name for layer in read_caffemodel("m.caffemodel") if layer.blobs]
        ["conv1", "conv1_1", "conv2", ...
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileError(path, "no such file; give a .caffemodel")
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise FileError(path, "is empty; download it again")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror})") from error
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        raise FileError(
            path, "is an HDF5 snapshot; save it from Caffe as a binary .caffemodel"
        )
    layers = _Reader(path, data).net()
    if not any(layer.blobs for layer in layers):
        raise FileError(path, "holds no layer with weights; give a trained .caffemodel")
    return layers


class _Reader:
    def __init__(self, path: str | os.PathLike[str], data: Any) -> None:
        self.path, self.data = path, data
        self.fields_left, self.blobs_left = MAX_FIELDS, MAX_BLOBS

    def net(self) -> list[CaffeLayer]:
        layers: list[CaffeLayer] = []
        for number, wire, value in self._fields(0, len(self.data)):
            if number not in (2, 100):
                continue
            if wire != _BYTES:
                self._fail("a layer of the wrong type", value)
            if len(layers) == MAX_LAYERS:
                self._fail(f"more than {MAX_LAYERS} layers", value[0])
            start, end = value
            layers.append(self._layer(start, end, _NEW if number == 100 else _V1))
        return layers

    def _layer(self, start, end, numbers):
        layer, settings = CaffeLayer(), {}
        for number, wire, value in self._fields(start, end):
            if number == 1 and numbers is _V1:
                raise FileError(
                    self.path,
                    "is of Caffe's oldest (V0) format; convert it by Caffe's "
                    "upgrade_net_proto_binary",
                )
            role = numbers.get(number)
            if role is None:
                if wire == _BYTES and number in _SETTINGS and numbers is _NEW:
                    settings[number] = value
                continue
            if role == "type" and numbers is _V1:
                if wire != _VARINT:
                    self._fail("a layer type that is not a number", start)
                layer.type = _V1_TYPES.get(value, f"V1 type {value}")
                continue
            if wire != _BYTES:
                self._fail(f"a layer whose {role} has the wrong type", start)
            if role == "blobs":
                self.blobs_left -= 1
                if self.blobs_left < 0:
                    self._fail(f"more than {MAX_BLOBS} blobs", start)
                layer.blobs.append(self._blob(*value))
            else:
                setattr(layer, role, self._text(*value))
        if layer.type in _EPSILON:
            field, epsilon = _EPSILON[layer.type]
            for number, wire, value in self._fields(*settings.get(field, (0, 0))):
                if number == epsilon and wire == _FOUR_BYTES:
                    (layer.epsilon,) = struct.unpack("<f", self.data[slice(*value)])
        return layer

    def _blob(self, start, end):
        shape, legacy = None, {}
        floats, doubles = _Values("<f4"), _Values("<f8")
        for number, wire, value in self._fields(start, end):
            if number in (1, 2, 3, 4) and wire == _VARINT:
                legacy[number] = value
            elif number == 7 and wire == _BYTES:
                shape = self._shape(*value)
            elif number == 5 and wire in (_BYTES, _FOUR_BYTES):
                self._append(floats, value)
            elif number == 8 and wire in (_BYTES, _EIGHT_BYTES):
                self._append(doubles, value)
            elif number in (1, 2, 3, 4, 5, 7, 8):
                self._fail(f"a blob whose field {number} has the wrong type", start)
        values = doubles if doubles.count else floats
        if shape is None:
            shape = [legacy.get(n, 1) for n in (1, 2, 3, 4)] if legacy else [values.count]
        if not shape and not values.count:
            shape = [0]  # a blob that its layer never filled
        # Beside a side of 0 the others could be anything: the product is 0 all the same.
        elif not all(0 < side < 2**31 for side in shape):
            self._fail(f"a blob of the impossible shape {_sides(shape)}", start)
        if math.prod(shape) != values.count:
            self._fail(f"a blob of shape {_sides(shape)} with {values.count} values", start)
        return Blob(tuple(shape), values.array())

    def _shape(self, start, end):
        sides = []
        for number, wire, value in self._fields(start, end):
            if number != 1 or wire not in (_VARINT, _BYTES):
                continue
            if wire == _VARINT:
                sides.append(value)
            else:
                at, stop = value
                while at < stop and len(sides) <= MAX_AXES:
                    side, at = self._varint(at, stop)
                    sides.append(side)
            if len(sides) > MAX_AXES:
                self._fail(f"a blob of more than {MAX_AXES} axes", start)
        return sides

    def _append(self, values, span):
        start, end = span
        if (end - start) % values.dtype.itemsize:
            self._fail("values that end in the middle of a number", start)
        values.append(memoryview(self.data)[start:end])

    def _text(self, start, end):
        if end - start > MAX_NAME:
            self._fail(f"a name of more than {MAX_NAME} bytes", start)
        return self.data[start:end].decode("utf-8", "replace")

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, Any]]:
        """(number, wire type, value): an int for varints, else the span (start, end)."""
        at = start
        while at < end:
            self.fields_left -= 1
            if self.fields_left < 0:
                self._fail(f"more than {MAX_FIELDS} fields", at)
            key, after = self._varint(at, end)
            number, wire = key >> 3, key & 7
            if number == 0 or wire not in (_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES):
                self._fail("something that is not a protobuf field", at)
            if wire == _VARINT:
                value, at = self._varint(after, end)
                yield number, wire, value
                continue
            if wire == _BYTES:
                length, after = self._varint(after, end)
            else:
                length = 8 if wire == _EIGHT_BYTES else 4
            if length > end - after:
                self._fail(
                    f"a field of {length} bytes where {end - after} are left (truncated?)",
                    at,
                )
            at = after + length
            yield number, wire, (after, at)

    def _varint(self, at, end):
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                self._fail("an end in the middle of a number (truncated?)", at)
            byte = self.data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
        self._fail("a number of more than 10 bytes", at)

    def _fail(self, what, at):
        raise FileError(
            self.path,
            f"is damaged or no .caffemodel: {what} at byte {at} of {len(self.data)}; "
            "download it again",
        )


class _Values:
    """Repeated numbers: one packed run stays in the file, several are joined."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.runs: memoryview | bytearray | None = None

    @property
    def count(self) -> int:
        return 0 if self.runs is None else len(self.runs) // self.dtype.itemsize

    def append(self, run: memoryview) -> None:
        if self.runs is None:
            self.runs = run
            return
        if not isinstance(self.runs, bytearray):
            self.runs = bytearray(self.runs)
        self.runs += run

    def array(self) -> np.ndarray:
        return np.frombuffer(self.runs or b"", self.dtype)


def _sides(shape):
    return "x".join(str(side) for side in shape) or "nothing"
