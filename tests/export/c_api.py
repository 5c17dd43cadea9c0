"""Proof A: the C++ loader of the server through the C API, without TensorFlow in Python.

    python c_api.py REQUESTS.json

REQUESTS.json: {"model": folder, "requests": [{"inputs": {tensor: .npy file}, "outputs":
[tensors], "save": .npz file}]}. A .npy of bytes (dtype S or O is no plain file) is given as
{"b64": nested lists}. Prints, as JSON, null or the error of each request, in order.
"""

import base64
import ctypes
import importlib.util
import json
import os
import sys

import numpy as np

FLOAT, UINT8, STRING = 1, 4, 7
TYPES = {np.dtype("float32"): FLOAT, np.dtype("uint8"): UINT8}
TSTRING_BYTES = 24


class Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def library():
    # Finding the package does not import it.
    folder = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    name = os.path.join(folder, "libtensorflow_cc.so.2")
    lib = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    pointers = (
        "TF_NewStatus TF_NewSessionOptions TF_NewGraph TF_LoadSessionFromSavedModel "
        "TF_GraphOperationByName TF_AllocateTensor TF_TensorData TF_StringGetDataPointer"
    )
    for function in pointers.split():
        getattr(lib, function).restype = ctypes.c_void_p
    lib.TF_Message.restype = ctypes.c_char_p
    for function in ("TF_Dim", "TF_TensorElementCount"):
        getattr(lib, function).restype = ctypes.c_int64
    lib.TF_StringGetSize.restype = ctypes.c_size_t
    return lib


class Session:
    def __init__(self, folder):
        self.lib = library()
        self.status = ctypes.c_void_p(self.lib.TF_NewStatus())
        self.graph = ctypes.c_void_p(self.lib.TF_NewGraph())
        options = ctypes.c_void_p(self.lib.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = ctypes.c_void_p(
            self.lib.TF_LoadSessionFromSavedModel(
                options, None, folder.encode(), tags, 1, self.graph, None, self.status
            )
        )
        self.check()

    def check(self):
        code = self.lib.TF_GetCode(self.status)
        if code:
            raise RuntimeError(f"{code}: {self.lib.TF_Message(self.status).decode()}")

    def run(self, inputs, outputs):
        feeds = (Output * len(inputs))(*(self.output(name) for name in inputs))
        values = [ctypes.c_void_p(self.tensor(value)) for value in inputs.values()]
        fetches = (Output * len(outputs))(*(self.output(name) for name in outputs))
        results = (ctypes.c_void_p * len(outputs))()
        self.lib.TF_SessionRun(
            *(self.session, None),
            *(feeds, (ctypes.c_void_p * len(values))(*values), len(values)),
            *(fetches, results, len(outputs)),
            *(None, 0, None, self.status),
        )
        self.check()
        return [self.array(ctypes.c_void_p(result)) for result in results]

    def output(self, name):
        name, _, index = name.partition(":")
        found = self.lib.TF_GraphOperationByName(self.graph, name.encode())
        assert found, f"no operation {name} in the graph"
        return Output(found, int(index or 0))

    def tensor(self, array):
        strings = array.dtype == object
        size = array.size * TSTRING_BYTES if strings else array.nbytes
        kind = STRING if strings else TYPES[array.dtype]
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        made = self.lib.TF_AllocateTensor(kind, shape, array.ndim, ctypes.c_size_t(size))
        data = self.lib.TF_TensorData(ctypes.c_void_p(made))
        if not strings:
            ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, size)
            return made
        for number, value in enumerate(array.ravel()):
            place = ctypes.c_void_p(data + number * TSTRING_BYTES)
            self.lib.TF_StringInit(place)
            self.lib.TF_StringCopy(place, value, ctypes.c_size_t(len(value)))
        return made

    def array(self, tensor):
        rank = self.lib.TF_NumDims(tensor)
        shape = [self.lib.TF_Dim(tensor, axis) for axis in range(rank)]
        count = self.lib.TF_TensorElementCount(tensor)
        data = self.lib.TF_TensorData(tensor)
        kind = self.lib.TF_TensorType(tensor)
        if kind == STRING:
            places = [ctypes.c_void_p(data + i * TSTRING_BYTES) for i in range(count)]
            values = [
                ctypes.string_at(
                    self.lib.TF_StringGetDataPointer(place),
                    self.lib.TF_StringGetSize(place),
                ).decode()
                for place in places
            ]
            return np.array(values).reshape(shape)
        assert kind == FLOAT, f"output of the type {kind}"
        raw = ctypes.string_at(data, count * 4)
        return np.frombuffer(raw, "float32").reshape(shape)


def read(value):
    if isinstance(value, str):
        return np.load(value)
    rows = [[base64.b64decode(item) for item in row] for row in value["b64"]]
    array = np.empty((len(rows), len(rows[0])), object)
    for row, items in enumerate(rows):
        array[row] = items
    return array


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    session = Session(job["model"])
    errors = []
    for request in job["requests"]:
        inputs = {name: read(value) for name, value in request["inputs"].items()}
        try:
            results = session.run(inputs, request["outputs"])
        except RuntimeError as error:
            errors.append(str(error))
            continue
        errors.append(None)
        np.savez(request["save"], *results)
    imported = {"tensorflow", "keras", "h2s_keras"} & set(sys.modules)
    assert not imported, imported
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
