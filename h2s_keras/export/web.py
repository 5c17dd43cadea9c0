"""A static page that recognises motion in the browser, without a server of its own."""

import contextlib
import hashlib
import importlib.resources
import json
import os
import shutil
import tempfile

import keras
import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.export.exported_file import network_facts
from h2s_keras.export.inference import inference_network
from h2s_keras.export.web_runtime import ENTRIES, RUNTIME, check_free, find_runtime
from h2s_keras.version import __version__


def export_web_page(model, directory, runtime=RUNTIME, classes=None):
    """Exports a network as a folder that any web server of static files can serve.

    The page reads a video file or the camera, computes in the browser, and sends nothing
    anywhere. The folder holds the page, `model.onnx` (one clip in; `logits`,
    `probabilities` and the flow of its middle pair out), `model.json` (classes, how frames
    are taken, and the answer to a known clip, which the page checks itself by) and
    `runtime/`.

    Args:
        model: built HiddenTwoStream, as for `export_saved_model`.
        directory: new or empty folder.
        runtime: folder of the npm package onnxruntime-web, as `npm install` leaves it or
            as unpacked from `npm pack`.
        classes: names in the order of the logits; by default the model's own.

    Returns:
        dict that was written to model.json.

    Raises:
        UserError: the extra `onnx` is not installed, `runtime` is something else, the
            folder is in use, or the network cannot be exported.

    Example:
        >>> checksum = export_web_page(model, "page")["sha256"]
    """
    from h2s_keras.export.onnx_openvino import (
        ONNX_PACKAGES,
        Answers,
        check_tools,
        onnx_content,
    )
    from h2s_keras.export.saved_model import checked_classes

    directory = os.path.abspath(os.fspath(directory))
    check_free(directory)
    found = find_runtime(runtime)
    check_tools("export_web_page", "onnx", ONNX_PACKAGES)
    network, _ = inference_network(model)
    classes = checked_classes(network, classes)
    clip = check_clip(network.num_frames, network.image_size)
    # The flow of the pair that `h2s predict --annotate` shows.
    answers = Answers(network, pair=(network.num_frames - 1) // 2)
    content, outputs = onnx_content(answers, clip, batch=1)
    facts = {
        **_describe(network, classes),
        "check": {
            "logits": outputs["logits"][0].tolist(),
            "mean_flow": outputs["flow"].mean(axis=(0, 1, 2)).tolist(),
        },
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "runtime": {name: found[name] for name in ("version", *ENTRIES)},
        "written_by": {"h2s_keras": __version__, "keras": keras.__version__},
    }
    try:
        with _published(directory) as folder:
            pages = importlib.resources.files("h2s_keras.export") / "web_page"
            with importlib.resources.as_file(pages) as source:
                shutil.copytree(source, folder, dirs_exist_ok=True)
            os.mkdir(os.path.join(folder, "runtime"))
            for path in found["files"]:
                shutil.copyfile(
                    path, os.path.join(folder, "runtime", os.path.basename(path))
                )
            with open(os.path.join(folder, "model.onnx"), "wb") as file:
                file.write(content)
            with open(os.path.join(folder, "model.json"), "w", encoding="utf-8") as file:
                json.dump(facts, file, indent=1, ensure_ascii=False)
                file.write("\n")
    except OSError as error:
        raise UserError(
            f"{directory}: cannot be written ({error.strerror}); free some space or give "
            "another folder"
        ) from error
    return facts


def _describe(network, classes):
    from h2s_keras.data.clips.video_clips import frame_size

    facts = network_facts(network, classes)
    protocol = facts["test_protocol"]
    return {
        "format": 1,
        **facts,
        "clips": protocol["clips"],
        "short": protocol.get("short", "loop"),
        "decode_size": frame_size(network.image_size, protocol.get("decode_size")),
        "parameters": int(sum(np.prod(weight.shape) for weight in network.weights)),
    }


def check_clip(num_frames, image_size):
    """A clip that Python and the page draw alike: coarse noise that moves to the right.

    Returns:
        uint8 (1, num_frames, height, width, 3).
    """
    time, y, x, channel = np.indices((num_frames, *image_size, 3), dtype="uint32")
    # The column never falls below 0, since a clip's length is added first.
    column = (x + np.uint32(num_frames) - time) >> 2
    cell = (((y >> 2) * np.uint32(1009) + column) * np.uint32(3) + channel) + np.uint32(1)
    return ((cell * np.uint32(2654435761)) >> 24).astype("uint8")[None]


@contextlib.contextmanager
def _published(directory):
    """A folder to fill, which becomes `directory` when all of it is written."""
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    folder = tempfile.mkdtemp(prefix=".exporting-", dir=os.path.dirname(directory))
    try:
        yield folder
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(folder, 0o777 & ~mask)  # mkdtemp makes private folders
        os.rename(folder, directory)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
