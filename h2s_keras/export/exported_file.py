"""Exports to a single file taken back: LiteRT, ONNX, OpenVINO, and pages for browsers."""

import json
import os

import numpy as np

from h2s_keras.errors import FileError, UserError, require_extra
from h2s_keras.files import sha256_of, write_file
from h2s_keras.ops.clip_range import warn_unit_range
from h2s_keras.runtimes import openvino_function

# Ending of a file: (what computes it, its module, the extra that installs it).
_COMPUTED_BY = {
    ".tflite": ("LiteRT", "ai_edge_litert.interpreter", "litert"),
    ".onnx": ("ONNX Runtime", "onnxruntime", "onnx"),
    ".xml": ("OpenVINO", "openvino", "openvino"),
}
PAGE = ("model.onnx", "model.json")
# What `network_facts` describes.
FACTS = (
    *("classes", "num_frames", "image_size", "frame_stride", "frame_rate"),
    "test_protocol",
)


class ExportedFile:
    """The network of a .tflite, .onnx or OpenVINO .xml file, or of an exported page.

    What a file cannot say, such as the classes and how frames are taken, stands in
    `FILE.json` beside it, which `h2s export` writes.

    Args:
        path: path of the file, or the folder of an exported page.

    Attributes:
        class_names, num_frames, image_size, frame_stride, frame_rate, test_protocol: as
            of HiddenTwoStream.

    Raises:
        UserError: the package that computes it is not installed, or a file is missing or
            not what was exported.

    Example:
        >>> network = ExportedFile("jump.onnx")
        >>> network.predict_on_batch(clips)["logits"].shape
        (4, 2)
    """

    def __init__(self, path):
        path = os.fspath(path)
        described = f"{path}.json"
        if is_page(path):
            path, described = (os.path.join(path, name) for name in PAGE)
        facts = _checked_facts(path, described)
        self.path = path
        set_facts(self, facts)
        name, module, extra = _COMPUTED_BY[os.path.splitext(path)[1]]
        require_extra(f"{path}: {name}", extra, module)
        open_file = {".tflite": _lite, ".onnx": _onnx, ".xml": _openvino}
        try:
            self._run, self._batch = open_file[os.path.splitext(path)[1]](path)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: {name} cannot read it ({reason})") from error

    def predict_on_batch(self, clips):
        """Outputs of the file, dict of NumPy float32 arrays; "logits" is among them.

        Args:
            clips: uint8 (batch, num_frames, height, width, 3), RGB.
        """
        warn_unit_range(clips, f"{type(self).__name__}.predict_on_batch")
        clips = np.ascontiguousarray(clips, "uint8")
        count = self._batch or len(clips)
        parts = []
        for first in range(0, len(clips), count):
            part = clips[first : first + count]
            # A file of a fixed batch is filled up with its last clip.
            filled = np.concatenate([part, np.repeat(part[-1:], count - len(part), axis=0)])
            outputs = self._run(filled)
            parts.append({name: value[: len(part)] for name, value in outputs.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def is_page(path):
    """Whether a path is the folder of an exported page."""
    return all(os.path.isfile(os.path.join(path, name)) for name in PAGE)


def is_exported_file(path):
    """Whether a path is what `ExportedFile` reads, by its name."""
    return os.path.splitext(os.fspath(path))[1] in _COMPUTED_BY or is_page(path)


def network_facts(network, classes):
    """What a network's user must know, as plain values.

    Args:
        network: HiddenTwoStream.
        classes: names in the order of the logits, or None.
    """
    from h2s_keras.data.clips.sampling import CLIPS_PER_VIDEO

    return {
        "classes": classes,
        "num_frames": network.num_frames,
        "image_size": list(network.image_size),
        "frame_stride": network.frame_stride,
        "frame_rate": network.frame_rate,
        "test_protocol": network.test_protocol or {"clips": CLIPS_PER_VIDEO},
    }


def set_facts(answers, facts):
    """Gives an export that was read the attributes that `network_facts` described."""
    answers.class_names = facts["classes"]
    answers.num_frames = int(facts["num_frames"])
    answers.image_size = tuple(facts["image_size"])
    answers.frame_stride = int(facts["frame_stride"])
    answers.frame_rate = facts["frame_rate"]
    answers.test_protocol = facts["test_protocol"]


def write_facts(path, network, classes):
    """Writes `FILE.json` beside an exported file.

    Args:
        path: path of the file.
        network: HiddenTwoStream.
        classes: names in the order of the logits; None for the network's own.
    """
    classes = network.class_names if classes is None else classes
    facts = {"format": 1, **network_facts(network, classes), "sha256": _digest(path)}
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    write_file(f"{path}.json", text.encode(), FileError)


def _digest(path):
    """sha256 of a file; of an OpenVINO file and its weights together."""
    digests = [sha256_of(path)]
    if path.endswith(".xml"):
        digests.append(sha256_of(path.removesuffix(".xml") + ".bin"))
    return " ".join(digests)


def read_facts(described, digest, missing):
    """What `network_facts` described, and the digest of the export then and now.

    Args:
        described: path of the JSON file.
        digest: function that gives the digest of the export as it is.
        missing: what to say of a file that is not there.

    Returns:
        (facts, digest when it was written, digest now).

    Raises:
        UserError: a missing or damaged file.
    """
    try:
        with open(described, encoding="utf-8") as file:
            facts = json.load(file)
        for name in FACTS:
            facts[name]
        return facts, facts["sha256"], digest()
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file{missing}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{described}: is damaged ({error!r}); export again") from error


def _checked_facts(path, described):
    names = os.path.basename(path), os.path.basename(described)
    facts, expected, actual = read_facts(
        described,
        lambda: _digest(path),
        f"; `h2s export` writes {names[0]} and {names[1]}, which belong together",
    )
    if actual != expected:
        raise UserError(
            f"{path}: is not what was exported (its sha256 differs from {names[1]}); copy "
            "or export it again"
        )
    return facts


# === Each returns (function from clips to a dict of arrays, clips it takes or None) ===


def _lite(path):
    from ai_edge_litert.interpreter import Interpreter

    from h2s_keras.process import usable_cores

    interpreter = Interpreter(model_path=path, num_threads=usable_cores())
    run = interpreter.get_signature_runner()
    batch = int(run.get_input_details()["clips"]["shape"][0])
    # The interpreter must outlive its runner.
    return lambda clips, _=interpreter: run(clips=clips), batch


def _onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    batch = session.get_inputs()[0].shape[0]

    def run(clips):
        return dict(zip(names, session.run(names, {"clips": clips}), strict=True))

    return run, batch if isinstance(batch, int) else None


def _openvino(path):
    import openvino

    return openvino_function(openvino.Core(), path), None
