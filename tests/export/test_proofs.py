"""What is exported runs without this library, and gives what Keras gives.

Each proof is a process of its own; batches 1, 2 and 5.
"""

import base64
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

BATCHES = (1, 2, 5)
OUTPUTS = {
    "serving_default": ("probabilities", "logits", "classes", "scores"),
    "motion": ("flow",),
}


@pytest.fixture(scope="module")
def folder(exported):
    return exported / "1"


@pytest.fixture(scope="module")
def tensor_names(folder):
    """{signature: {input or output: name of the tensor in the graph}}."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return {
        name: {
            key: info.name for key, info in [*value.inputs.items(), *value.outputs.items()]
        }
        for name, value in saved.meta_graphs[0].signature_def.items()
    }


def assert_answers(actual, expected, names):
    for name in names:
        if name == "classes":
            np.testing.assert_array_equal(actual[name], expected[name])
        else:
            assert actual[name].dtype == np.float32, name
            np.testing.assert_allclose(actual[name], expected[name], rtol=1e-5, atol=1e-5)


def blank_white_jpeg(jpeg_frames, size):
    return jpeg_frames(np.full((1, *size, 3), 255, "uint8"))[0]


@pytest.fixture(scope="module")
def c_api(folder, tensor_names, script, clips_of, jpeg_frames, tmp_path_factory):
    """Good and odd requests in one process; {name: arrays by output, or the error}."""
    home = tmp_path_factory.mktemp("c_api")
    jpegs = [[base64.b64encode(j).decode() for j in jpeg_frames(c)] for c in clips_of(5)]
    white = base64.b64encode(blank_white_jpeg(jpeg_frames, (48, 70))).decode()
    garbage = base64.b64encode(b"this is no picture").decode()
    half = jpegs[0][0][: len(jpegs[0][0]) // 8 * 4]
    good = clips_of(2)
    cases = {
        f"serving_default {n}": ("serving_default", clips_of(n, seed=n)) for n in BATCHES
    }
    cases |= {f"motion {n}": ("motion", clips_of(n, seed=n)) for n in BATCHES}
    cases |= {f"predict_jpeg {n}": ("predict_jpeg", jpegs[:n]) for n in BATCHES}
    cases |= {
        "another size": ("predict_jpeg", [[white] * 3]),
        "sizes differ": ("predict_jpeg", [[jpegs[0][0], white, jpegs[0][2]]]),
        "wrong size": ("serving_default", clips_of(2, size=(48, 48))),
        "wrong rank": ("serving_default", good[0]),
        "wrong frames": ("motion", np.concatenate([good, good], axis=1)),
        "float clips": ("serving_default", good.astype("float32")),
        "empty batch": ("serving_default", good[:0]),
        "no JPEG": ("predict_jpeg", [[jpegs[0][0], garbage, jpegs[0][2]]]),
        "empty JPEG": ("predict_jpeg", [["", *jpegs[0][1:]]]),
        "half a JPEG": ("predict_jpeg", [[half, *jpegs[0][1:]]]),
        "too few frames": ("predict_jpeg", [jpegs[0][:2]]),
        "after all errors": ("serving_default", clips_of(5, seed=5)),
    }
    requests = []
    for number, (signature, value) in enumerate(cases.values()):
        names = tensor_names[signature]
        kind = "frames_bytes" if signature == "predict_jpeg" else "clips"
        if kind == "clips":
            np.save(home / f"{number}.npy", value)
            value = str(home / f"{number}.npy")
        else:
            value = {"b64": value}
        outputs = OUTPUTS.get(signature, OUTPUTS["serving_default"])
        requests.append(
            {
                "inputs": {names[kind]: value},
                "outputs": [names[name] for name in outputs],
                "save": str(home / f"{number}.npz"),
            }
        )
    job = home / "requests.json"
    job.write_text(json.dumps({"model": str(folder), "requests": requests}))
    errors = script("c_api.py", job)
    results = {}
    for number, (name, (signature, _)) in enumerate(cases.items()):
        results[name] = errors[number]
        if errors[number] is None:
            with np.load(home / f"{number}.npz") as arrays:
                outputs = OUTPUTS.get(signature, OUTPUTS["serving_default"])
                results[name] = dict(zip(outputs, arrays.values(), strict=True))
    return results


@pytest.mark.parametrize("batch", BATCHES)
def test_a_the_servers_own_loader_gives_the_same(c_api, answers, clips_of, batch):
    expected = answers(clips_of(batch, seed=batch))
    for signature, names in OUTPUTS.items():
        assert_answers(c_api[f"{signature} {batch}"], expected, names)


@pytest.mark.parametrize("batch", BATCHES)
def test_a_jpeg_frames_give_what_their_pixels_give(
    c_api, answers, clips_of, jpeg_frames, batch
):
    import tensorflow as tf

    def pixels(content):
        return tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE").numpy()

    clips = [[pixels(j) for j in jpeg_frames(clip)] for clip in clips_of(5)[:batch]]
    expected = answers(np.array(clips))
    assert_answers(c_api[f"predict_jpeg {batch}"], expected, OUTPUTS["serving_default"])


def test_a_frames_of_another_size_are_resized(c_api, answers, clips_of):
    clip = np.full_like(clips_of(1), 255)
    np.testing.assert_allclose(
        c_api["another size"]["probabilities"], answers(clip)["probabilities"], atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong size", ("[2,3,48,48,3]", "[?,3,32,32,3]")),
        ("wrong rank", ("[3,32,32,3]", "[?,3,32,32,3]")),
        ("wrong frames", ("[2,6,32,32,3]", "[?,3,32,32,3]")),
        ("float clips", ("uint8", "float")),
        ("empty batch", ("clips", "empty", "at least one")),
        ("sizes differ", ("frames_bytes", "differ in size")),
        ("no JPEG", ("frames_bytes", "no JPEG")),
        ("empty JPEG", ("frames_bytes", "no JPEG")),
        ("half a JPEG", ("JPEG",)),
        ("too few frames", ("[1,2]", "[?,3]")),
    ],
)
def test_a_odd_input_is_reported_and_does_no_harm(c_api, answers, clips_of, name, words):
    assert isinstance(c_api[name], str), "it was answered"
    assert c_api[name].startswith("3: "), "INVALID_ARGUMENT"
    assert all(word in c_api[name] for word in words), c_api[name]
    expected = answers(clips_of(5, seed=5))
    assert_answers(c_api["after all errors"], expected, OUTPUTS["serving_default"])


def test_b_plain_tensorflow_gives_the_same(folder, script, answers, clips_of, tmp_path):
    clips = {str(batch): clips_of(batch, seed=batch) for batch in BATCHES}
    np.savez(tmp_path / "in.npz", **clips)
    names = script("plain_tensorflow.py", folder, tmp_path / "in.npz", tmp_path / "out.npz")
    assert names == ["motion", "predict_jpeg", "serving_default"]
    with np.load(tmp_path / "out.npz") as results:
        for batch, value in clips.items():
            for signature, outputs in OUTPUTS.items():
                actual = {n: results[f"{signature}/{n}/{batch}"] for n in outputs}
                assert_answers(actual, answers(value), outputs)


def saved_model_cli(*arguments):
    program = shutil.which("saved_model_cli", path=str(pathlib.Path(sys.executable).parent))
    assert program, "TensorFlow brings saved_model_cli"
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_c_saved_model_cli_shows_the_contract(folder):
    text = saved_model_cli("show", "--dir", folder, "--tag_set", "serve", "--all")
    for signature in ("serving_default", "predict_jpeg", "motion"):
        assert f"signature_def['{signature}']" in text
    for line in (
        "inputs['clips'] tensor_info:\n        dtype: DT_UINT8\n"
        "        shape: (-1, 3, 32, 32, 3)",
        "inputs['frames_bytes'] tensor_info:\n        dtype: DT_STRING\n"
        "        shape: (-1, 3)",
        "outputs['flow'] tensor_info:\n        dtype: DT_FLOAT\n"
        "        shape: (-1, 16, 16, 2, 2)",
        "outputs['classes'] tensor_info:\n        dtype: DT_STRING\n        shape: (-1, 3)",
    ):
        assert line in text


def test_c_saved_model_cli_runs_it(folder, answers, clips_of, tmp_path):
    clips = clips_of(2, seed=2)
    np.save(tmp_path / "clips.npy", clips)
    saved_model_cli(
        *("run", "--dir", folder, "--tag_set", "serve"),
        *("--signature_def", "serving_default"),
        *("--inputs", f"clips={tmp_path / 'clips.npy'}", "--outdir", tmp_path),
    )
    names = ("probabilities", "logits", "scores")
    actual = {name: np.load(tmp_path / f"{name}.npy") for name in names}
    assert_answers(actual, answers(clips), names)
