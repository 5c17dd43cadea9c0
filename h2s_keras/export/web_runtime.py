"""The npm package that computes networks in browsers, found on disk. Without Keras."""

import contextlib
import json
import os
import re

from h2s_keras.errors import UserError

# Where `npm install onnxruntime-web` puts it.
RUNTIME = os.path.join("node_modules", "onnxruntime-web")
# What the page imports: for any browser, and for those with WebGPU.
ENTRIES = {"wasm": "ort.wasm.min.mjs", "webgpu": "ort.webgpu.min.mjs"}
_FETCH = f"run `npm install onnxruntime-web` and give its folder, {RUNTIME}"


def find_runtime(folder):
    """The files of onnxruntime-web that the page needs.

    Args:
        folder: folder of the npm package, or its `dist`.

    Returns:
        dict "version", "wasm" and "webgpu" (names of the modules to import; the second None
        where the package has none), and "files", all paths to copy.

    Raises:
        UserError: it is not there or not complete.
    """
    folder = os.fspath(folder)
    dist = os.path.join(folder, "dist")
    dist = dist if os.path.isdir(dist) else folder
    if not os.path.isfile(os.path.join(dist, ENTRIES["wasm"])):
        raise UserError(
            f"{folder}: holds no ONNX Runtime for browsers ({ENTRIES['wasm']}); {_FETCH}"
        )
    found = {"version": _package_version(os.path.dirname(os.path.abspath(dist)))}
    files = []
    for name, entry in ENTRIES.items():
        path = os.path.join(dist, entry)
        found[name] = entry if os.path.isfile(path) else None
        if found[name] is None:
            continue
        with open(path, encoding="utf-8") as file:
            loaders = sorted(set(re.findall(r"ort-wasm[\w.-]*?\.mjs", file.read())))
        parts = [path]
        for loader in loaders:
            parts += [os.path.join(dist, loader), os.path.join(dist, loader[:-3] + "wasm")]
        missing = [part for part in parts if not os.path.isfile(part)]
        if missing or not loaders:
            what = os.path.basename(missing[0]) if missing else "the name of its loader"
            raise UserError(f"{dist}: {entry} is there without {what}; {_FETCH}")
        files += [part for part in parts if part not in files]
    return {**found, "files": files}


def _package_version(folder):
    with contextlib.suppress(OSError, ValueError, AttributeError):
        with open(os.path.join(folder, "package.json"), encoding="utf-8") as file:
            return json.load(file).get("version")
    return None


def check_free(directory):
    """UserError unless a folder is new or empty."""
    if os.path.isdir(directory) and not os.listdir(directory):
        return
    if os.path.lexists(directory):
        raise UserError(f"{directory}: exists and is not an empty folder; give another")
