"""All commands and code of README and docs, on files made here; links and tables.

A block runs as it stands, or is marked: "bash fragment", "python fragment".
"""

import contextlib
import dataclasses
import doctest
import functools
import inspect
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import keras
import numpy as np
import pytest

import h2s_keras
from h2s_keras.cli.main import build_parser
from h2s_keras.cli.train import load_recipe
from h2s_keras.data import write_flow, write_png
from h2s_keras.data.records.record_index import read_index
from h2s_keras.data.training_data import make_data
from h2s_keras.ethogram import write_labels
from h2s_keras.ethogram.train import train_ethogram
from h2s_keras.evaluation import VideoScores
from h2s_keras.models import HiddenTwoStreamBuilder, load_model
from h2s_keras.option_types import apply_setting
from h2s_keras.options import DataOptions, RunOptions, run_options
from h2s_keras.recipes.ethogram import get_config as ethogram_config

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs" / "data"


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def make_ucf101(folder, make_video):
    write(folder / "ucfTrainTestlist/classInd.txt", "1 Archery", "2 Diving")
    lists = {"train": [], "test": []}
    for label, name in enumerate(("Archery", "Diving"), start=1):
        for part, group in (("train", "g08"), ("test", "g01")):
            path = f"{name}/v_{name}_{group}_c01.avi"
            lists[part].append(path + (f" {label}" if part == "train" else ""))
            make_video(f"UCF-101/{path}", codec="mpeg4", count=12)
    for part, lines in lists.items():
        write(folder / f"ucfTrainTestlist/{part}list01.txt", *lines)


def make_hmdb51(folder, make_video):
    for name in ("clap", "wave"):
        lines = [f"{name}_{n}.avi {n}" for n in range(3)]
        write(folder / f"testTrainMulti_7030_splits/{name}_test_split1.txt", *lines)
        for n in range(3):
            make_video(f"hmdb51/{name}/{name}_{n}.avi", codec="mpeg4", count=12)


def make_thumos14(folder, make_video):
    for part, short in (("validation", "val"), ("test", "test")):
        for name in ("Diving", "Shotput"):
            video = f"video_{part}_{name}"
            path = f"thumos14/temporal_annotations_{part}/{name}_{short}.txt"
            write(folder / path, f"{video}  0.1 0.4", f"{video}  0.4 0.7")
            make_video(f"thumos14_videos/{video}.mp4", count=20)
        write(folder / f"thumos14/temporal_annotations_{part}/Ambiguous_{short}.txt", "")
        # Of the task of 101 classes: a class per video.
        videos = [f"video_{part}_Diving.mp4 1", f"video_{part}_Shotput.mp4 2"]
        write(folder / f"{'test' if short == 'test' else 'train'}.txt", *videos)
    write(folder / "classInd.txt", "1 Diving", "2 Shotput")


def make_activitynet(folder, make_video):
    database = {}
    for name in ("Archery", "Surfing"):
        for subset in ("training", "validation", "testing"):
            annotations = [{"label": name, "segment": [0.1, 0.6]}]
            database[f"{name}{subset}"] = {
                "subset": subset,
                "annotations": annotations if subset != "testing" else [],
            }
            make_video(f"activitynet/v_{name}{subset}.mp4", count=20)
    content = json.dumps({"database": database})
    write(folder / "activity_net.v1-2.min.json", content)


def make_own_videos(folder, make_video):
    rows = ["path,class,group,start,end"]
    for name in ("wave_left", "wave_right"):
        for person in (1, 3):
            path = f"my_videos/{name}/person{person}.mp4"
            make_video(path, count=12)
            rows.append(f"{path},{name},{person},,")
        make_video(f"other_videos/{name}/any.mp4", count=12)
        for number in range(1, 9):
            picture = make_own_videos.picture(number)
            target = folder / "frames" / name / f"img_{number:05d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_png(target, picture)
    make_video("new.mp4", count=12)
    write(folder / "table.csv", *rows)
    write(folder / "train.txt", "wave_left 8 1", "wave_right 8 2")
    write(folder / "test.txt", "wave_left 8 1", "wave_right 8 2")


def picture(number):
    return np.full((32, 40, 3), 20 * number, np.uint8)


make_own_videos.picture = picture


def make_flow_pair(folder, make_video):
    """A pair of frames by each name that the pages give it, and its true flow."""
    make_own_videos(folder, make_video)
    for name in ("first.png", "second.png", "a.png", "b.png"):
        write_png(
            folder / name, np.random.default_rng(0).integers(0, 256, (64, 64, 3), "u1")
        )
    (folder / "middlebury").mkdir()
    for frame in ("frame10.png", "frame11.png"):
        shutil.copy(folder / "first.png", folder / "middlebury" / frame)
    flow = np.zeros((64, 64, 2), "float32")
    write_flow(folder / "middlebury" / "flow10.flo", flow)
    make_video("video.mp4", count=3)


def make_clips(folder, make_video):
    for name in ("one", "two", "three"):
        make_video(f"clips/{name}.mp4", count=12)
    make_own_videos(folder, make_video)


def make_evaluation(folder, make_video):
    import numpy as np
    from scipy.io import savemat

    make_flow_pair(folder, make_video)
    for name in ("holiday.mp4", "long.mp4", "my_folder/any.mp4"):
        make_video(name, count=12)
    for name in ("wave_left", "wave_right"):
        make_video(f"my_videos/{name}/another.mp4", count=12)
    make_ucf101(folder, make_video)
    make_thumos14(folder, make_video)
    (folder / "thumos14_videos").rename(folder / "videos")
    save_network(folder / "runs/ucf101", ("Archery", "Diving"))
    save_network(folder / "runs/thumos14", ("Diving", "Shotput"))
    scores = np.random.default_rng(0).normal(size=(10, 2))
    for name in ("rgb", "flow"):
        savemat(folder / f"{name}.mat", {"scores": scores})
    write(folder / "list.txt", *(f"video{n} {n % 2}" for n in range(10)))
    for n in (1, 2, 3):
        for stream in ("rgb", "flow"):
            VideoScores(
                {"fused": scores},
                names=tuple(f"{n}-{video}" for video in range(10)),
                labels=np.arange(10) % 2,
                class_names=("a", "b"),
            ).save(folder / f"{stream}{n}.npz")


def make_paper_data(folder, make_video):
    for make in (make_ucf101, make_hmdb51):
        make(folder, make_video)


def make_caffe_files(folder, make_video):
    import caffe_inception
    import caffe_writer as caffe

    make_flow_pair(folder, make_video)
    make_ucf101(folder, make_video)
    net = caffe.motion_net(11)
    data = caffe.caffemodel(net, caffe.random_weights(net))
    (folder / "motion_net.caffemodel").write_bytes(data)
    made = caffe_inception.made(3, 0, "BN")
    path = caffe_inception.write(folder, made)
    pathlib.Path(path).rename(folder / "bn_inception.caffemodel")


def make_labelled_videos(folder, make_video):
    """Videos of three mice, labelled in one BORIS project of many observations."""
    from ethogram.test_scoring_commands import write_stream

    def make(name, seed):
        labels = write_stream(str(folder / f"{name}.mp4"), seed)
        labels = dataclasses.replace(labels, behaviors=("groom", "rear"))
        write_labels(labels, folder / f"{name}.boris")

    (folder / "new_videos").mkdir()
    rows, project = ["video,labels,group"], None
    days = "mouse1_day1", "mouse1_day2", "mouse2_day1", "mouse3_day1"
    for seed, name in enumerate((*days, "mouse3_day2", "mouse7", "new_videos/mouse8")):
        make(name, seed)
        path = folder / f"{name}.boris"
        if name in days:
            read = json.loads(path.read_text())
            project = project or read
            project["observations"] |= read["observations"]
            rows.append(f"{name}.mp4,study.boris,{name[:6]}")
        path.unlink()
    (folder / "study.boris").write_text(json.dumps(project))
    write(folder / "videos.csv", *rows, "mouse3_day2.mp4,,mouse3")
    make("mouse1", 7)


# What the blocks of a page find in their folder.
PAGES = {
    "README.md": make_own_videos,
    "docs/choosing.md": make_own_videos,
    "docs/data/activitynet.md": make_activitynet,
    "docs/data/hmdb51.md": make_hmdb51,
    "docs/data/thumos14.md": make_thumos14,
    "docs/data/ucf101.md": make_ucf101,
    "docs/ethogram.md": make_labelled_videos,
    "docs/evaluation.md": make_evaluation,
    "docs/flow.md": make_flow_pair,
    "docs/improve_accuracy.md": make_own_videos,
    "docs/layers.md": make_own_videos,
    "docs/motion.md": make_clips,
    "docs/own_videos.md": make_own_videos,
    "docs/data/prepare.md": make_paper_data,
    "docs/gpu.md": make_ucf101,
    "docs/paper.md": make_ucf101,
    "docs/serving.md": make_own_videos,
    "docs/training.md": make_ucf101,
    "docs/weights.md": make_caffe_files,
}
# Pages whose blocks take ten seconds and more.
MARKS = {
    "docs/data/activitynet.md": pytest.mark.long,
    "docs/data/thumos14.md": pytest.mark.long,
    "docs/ethogram.md": pytest.mark.long,
    "docs/evaluation.md": pytest.mark.long,
    "docs/layers.md": pytest.mark.long,
    "docs/data/prepare.md": pytest.mark.long,
    "docs/gpu.md": pytest.mark.long,
    "docs/paper.md": pytest.mark.long,
    "docs/own_videos.md": pytest.mark.long,
    "docs/serving.md": pytest.mark.long,
    "docs/training.md": pytest.mark.long,
    "docs/weights.md": pytest.mark.long,
}
ELSEWHERE = {"docs/records.md": "test_the_commands_on_records"}
# What a line that holds the word needs; without it the line is only parsed.
NEEDS = {"litert": "ai_edge_litert", ".tflite": "ai_edge_litert", "tvl1": "cv2"}


def save_network(folder, class_names, motion="tiny"):
    """A small untrained network of these classes, as a run leaves one.

    As in trained networks, logits are above 0; the published rule of fusion needs some.
    """
    keras.utils.set_random_seed(0)
    network = HiddenTwoStreamBuilder(class_names, num_frames=3, image_size=(32, 32))
    network = network.motion(motion).temporal("tiny").spatial("tiny").build()
    for variable in network.weights:
        if variable.path.endswith("logits/bias"):
            variable.assign(np.ones(variable.shape))
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / "model.keras")


def blocks(page, language="bash"):
    text = page.read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.S | re.M)
    return [textwrap.dedent(block) for _, block in found]


def commands(page):
    for block in blocks(page):
        for line in block.replace("\\\n", " ").strip().splitlines():
            if not line.startswith("python3"):  # Installation: tests/test_readme.py.
                yield shlex.split(line, comments=True)


def pages_with(language):
    return [
        pytest.param(page, marks=MARKS.get(page, ()))
        for page in PAGES
        if blocks(ROOT / page, language)
    ]


def test_every_block_runs_or_is_marked_a_fragment():
    for path in pages():
        page = str(path.relative_to(ROOT))
        fences = re.findall(r"^ *```(.*)\n", path.read_text(encoding="utf-8"), re.M)
        # Every second one ends a block; braces are directives of Sphinx.
        kinds = [kind for kind in fences[::2] if not kind.startswith("{")]
        others = set(kinds) - {"", "bash", "python", "json", "text", "yaml"}
        assert all(kind.endswith(" fragment") for kind in others), (page, others)
        if {"bash", "python"} & set(kinds):
            assert page in PAGES or page in ELSEWHERE, page


@pytest.fixture
def page_folder(request, make_video, tmp_path, monkeypatch):
    """Where the blocks of a page run: its files, and a run of its own videos."""
    PAGES[request.param](tmp_path, make_video)
    # Its MotionNet is that of the recipe `videos`.
    save_network(tmp_path / "runs/mine", ("wave_left", "wave_right"), "small_video")
    monkeypatch.chdir(tmp_path)
    return request.param


@pytest.mark.parametrize("page_folder", pages_with("bash"), indirect=True)
def test_the_commands_of_a_page(page_folder):
    """Every line runs as it stands; training is cut down to its first batch."""
    for line in commands(ROOT / page_folder):
        check_command(line)


def check_command(line):
    program, command, *arguments = line
    assert program == "h2s"
    if command == "train" and "--smoke" not in arguments:
        return check_training(arguments)
    parsed = build_parser().parse_args([command, *arguments])
    if arguments[:1] == ["train"]:  # h2s ethogram train
        parsed.smoke = True
    if command == "data" and "tvl1" in arguments and not has_tvl1():
        # Later lines read what this one packs; without OpenCV it is a preset's flow.
        arguments.remove("tvl1")
        parsed.flow = "tiny_synthetic"
    needed = [module for word, module in NEEDS.items() if word in " ".join(arguments)]
    if "--smoke" not in arguments and all(map(find_spec, needed)):
        assert not parsed.run(parsed), line


def check_training(arguments):
    """The recipe takes every value, and its data give a batch and a test."""
    recipe, *rest = arguments
    if recipe in ("--resume", "list"):
        build_parser().parse_args(["train", *arguments])
        return
    out = None
    config = run_options(load_recipe(recipe)())
    while rest:
        option, value, *rest = rest
        assert option in ("--set", "--out", "--data_service", "--budget")
        if option == "--budget":
            config.scale_steps(float(value))
        elif option == "--out":
            out = pathlib.Path(value)
        elif option == "--set":
            apply_setting(config, value)
        elif option == "--data_service":
            config.data.service = value
    class_names = check_data(RunOptions.of(config).data)
    if out and not out.exists():
        save_network(out, (*class_names, "other")[: max(2, len(class_names))])


def check_data(values):
    """The classes of data that give a batch and a test (of one group for "each")."""
    options = DataOptions.of(values)
    options.image_size, options.num_frames = (16, 16), 3
    if options.kind != "unlabelled":
        options.clips_per_video = 1
    if options.test_group == "each":
        options.test_group = "3"
    data = make_data(options)
    clips, _ = next(data.training(2).as_numpy_iterator())
    if options.contents == "flow":
        assert clips.shape == (2, 2, 16, 16, 2)
        return data.class_names
    assert clips.shape[0] == 2 and clips.shape[-4:] == (3, 16, 16, 3) and clips.std() > 0
    if data.test:
        assert next(data.evaluation(2))["clip"].shape[1:] == (3, 16, 16, 3)
    return data.class_names


# === Code of the guides ===


@pytest.mark.parametrize("page_folder", pages_with("python"), indirect=True)
def test_the_code_of_a_page(page_folder, monkeypatch):
    """Every block runs as it stands; training is cut down to its first batch."""
    trained = []

    def train(config, out, progress=None):
        check_data(config.data)
        trained.append(out)
        return {"results": {"test": "4 videos", "final": {"fused_accuracy": 1.0}}}

    monkeypatch.setattr("h2s_keras.training.own_videos.trainer", lambda config: train)
    short = functools.partial(train_ethogram, config=ethogram_config(smoke=True))
    monkeypatch.setattr("h2s_keras.ethogram.train_ethogram", short, raising=False)
    names = {"__name__": "__main__"}
    others = {"tensorflow", "torch", "jax"} - {keras.backend.backend()}
    for code in blocks(ROOT / page_folder, "python"):
        if not any(f"import {name}" in code for name in others):
            exec(compile(code, page_folder, "exec"), names)
            check_losses(names.values())
    if page_folder == "docs/own_videos.md":
        # Each run of the shell that Python can make is made by Python too.
        text = (ROOT / page_folder).read_text(encoding="utf-8")
        shell = set(re.findall(r"h2s train videos .*--out (\S+)", text))
        assert set(trained) == shell - {"runs/early"}


def check_losses(things):
    """What `fit` reports is a loss: 0 is that of a tracker which nothing updates."""
    for thing in things:
        if isinstance(thing, keras.Model) and getattr(thing, "history", None):
            assert min(thing.history.history["loss"]) > 0


# === Examples of docstrings ===

# Packages whose examples take a second or two; the others read files or build networks.
QUICK = ("errors", "layers", "metrics", "ops", "visualization")
PACKAGES = (
    *QUICK,
    *(
        pytest.param(name, marks=pytest.mark.long)
        for name in ("data", "ethogram", "evaluation", "export", "models", "training")
    ),
)
# Examples that run elsewhere, or need what tests do not have.
NOT_HERE = {
    "BehaviorScorer": "needs a trained scorer: tests/ethogram/test_scoring.py",
    "ExportedFile": "needs an exported file: tests/export/test_exported_file.py",
    "export_web_page": "needs the runtime of browsers: tests/export/test_web.py",
    "load_caffe_weights": "docs/weights.md has the same lines",
    "train": "minutes: tests/training/test_run.py",
    "train_ethogram": "minutes: tests/ethogram/test_scoring.py",
}


def public_names(package):
    """{name: thing} of what the API reference lists of a package."""
    package = getattr(h2s_keras, package)
    return {
        name: getattr(package, name) for name in getattr(package, "__all__", dir(package))
    }


def examples_of(thing):
    """The code of a docstring, and of the methods' of a class: (code, expected or "")."""
    methods = vars(thing).values() if inspect.isclass(thing) else ()
    for one in (thing, *methods):
        # Not inherited: examples of Keras are its own.
        text = inspect.cleandoc((callable(one) and one.__doc__) or "")
        for code in re.findall(r"```python\n(.*?)```", text, re.S):
            yield code, ""
        for example in doctest.DocTestParser().get_examples(text):
            yield example.source, example.want


def plain(value):
    """What an example shows of a value, whichever backend made it."""
    if isinstance(value, tuple) or type(value).__name__ in ("TensorShape", "Size"):
        return tuple(map(plain, value))
    if keras.ops.is_tensor(value):
        return keras.ops.convert_to_numpy(value).tolist()
    return value


@pytest.fixture
def docstring_folder(make_video, tmp_path):
    """The files that examples of docstrings read."""
    from ethogram.samples import truth

    make_flow_pair(tmp_path, make_video)
    make_ucf101(tmp_path, make_video)
    make_hmdb51(tmp_path, make_video)
    for split in (2, 3):
        for name in ("clap", "wave"):
            lists = tmp_path / "testTrainMulti_7030_splits"
            shutil.copy(
                lists / f"{name}_test_split1.txt", lists / f"{name}_test_split{split}.txt"
            )
    for name in ("diving.avi", "holiday.mov", "long.mkv", "long.mp4", "in.mp4", "talk.mp4"):
        make_video(name, codec="mpeg4" if name.endswith("avi") else "libx264", count=24)
    for gesture in (1, 2):
        for person in (1, 2):
            make_video(f"gestures/wave{gesture}/A{gesture}P{person}T1.mp4", count=24)
    write(tmp_path / "manifest.csv", "path,class", "diving.avi,dive", "long.mkv,long")
    write(tmp_path / "classes.txt", "wave_left", "wave_right")
    write(tmp_path / "train.txt", "wave_left 8 0", "wave_right 8 1")
    write(tmp_path / "test.txt", "wave_left 8 0", "wave_right 8 1")
    frames = tmp_path / "v_Archery_g01_c01"
    shutil.copytree(tmp_path / "frames/wave_left", frames)
    for source, target in (("middlebury/frame10.png", "frame10.png"),):
        shutil.copy(tmp_path / source, tmp_path / target)
    shutil.copy(tmp_path / "middlebury/flow10.flo", tmp_path / "flow10.flo")
    for sequence in ("Hydrangea", "RubberWhale", "Venus"):
        shutil.copytree(tmp_path / "middlebury", tmp_path / "flow" / sequence)
    make_video("mouse1.mp4", count=50)
    write_labels(truth("mouse1.mp4"), tmp_path / "mouse1.boris")
    write(tmp_path / "videos.csv", "video,labels", "mouse1.mp4,mouse1.boris")
    save_network(tmp_path / "runs/gestures", ("wave", "clap"))
    return tmp_path


def given(folder):
    """What stands for a name that an example takes as known."""
    model = load_model(str(folder / "runs/gestures/model.keras"))
    h2s_keras.export.export_saved_model(model, folder / "models/served")
    examples, _ = h2s_keras.data.class_folder_source(
        str(folder / "gestures"), group_pattern=r"P(\d)T\d"
    )
    rng = np.random.default_rng(0)
    return {
        "clips": rng.integers(0, 256, (4, 3, 32, 32, 3), "uint8"),
        "examples": examples,
        "flow": np.zeros((64, 64, 2), "float32"),
        "frames": rng.integers(0, 256, (11, 240, 320, 3), "uint8"),
        "image": rng.uniform(size=(1, 32, 32, 3)).astype("float32"),
        "labels": np.arange(10) % 2,
        "model": model,
        "os": os,
        "root": "my_videos",
        "show": lambda frame: None,
        "spatial": rng.normal(size=(10, 2)),
        "temporal": rng.normal(size=(10, 2)),
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_the_examples_of_docstrings(package, request, tmp_path, monkeypatch):
    """They run, in order, and give what stands beneath them."""
    known = {"np": np, "keras": keras, "h2s_keras": h2s_keras, "os": os, "root": "."}
    known["image"] = np.random.default_rng(0).uniform(size=(1, 32, 32, 3)).astype("float32")
    if package not in QUICK:
        known |= given(request.getfixturevalue("docstring_folder"))
    for other in ("ops", "layers", "metrics", "models", "data", "evaluation", "ethogram"):
        known = public_names(other) | known
    known |= public_names(package) | {"ops": keras.ops}
    monkeypatch.chdir(tmp_path)
    shown_names = set()
    for name, thing in public_names(package).items():
        names = dict(known)
        for code, expected in () if name in NOT_HERE else examples_of(thing):
            extras = {"onnx": "tf2onnx", "openvino": "openvino"}
            if any(a in code and not find_spec(b) for a, b in extras.items()):
                continue
            shown_names.add(name)
            check_example(name, code, expected, names)
    assert shown_names


def check_example(name, code, expected, names):
    try:
        shown = repr(plain(eval(code.strip(), names)))
    except SyntaxError:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        shown = printed.getvalue()
    except Exception as error:
        raise AssertionError(f"{name}: {code!r} raised {error!r}") from error
    if expected:
        flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
        right = doctest.OutputChecker().check_output(expected, shown + "\n", flags)
        assert right, f"{name}: {code!r} gives {shown}, not {expected}"


# === docs/records.md ===


@pytest.fixture
def records_folder(make_video, tmp_path, monkeypatch):
    def small(name, codec="libx264", count=None):
        make_video(name, codec=codec, count=5, size=(32, 64))

    make_own_videos(tmp_path, small)
    make_ucf101(tmp_path, small)
    make_activitynet(tmp_path, small)
    (tmp_path / "activitynet").rename(tmp_path / "videos")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def documented_service(tmp_path):
    """The page's own dispatcher and worker, on a port of this machine: its address."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = str(found.getsockname()[1])
    (code,) = blocks(ROOT / "docs" / "records.md", "python")
    for said, meant in (
        ("10.0.0.5", "127.0.0.1"),
        ("5050", port),
        ("/mnt/service", str(tmp_path / "service")),
    ):
        assert said in code
        code = code.replace(said, meant)
    code += "\nprint(dispatcher.target, flush=True)\nimport sys\nsys.stdin.read()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline()
    yield f"grpc://127.0.0.1:{port}"
    process.kill()
    process.communicate()


@pytest.mark.long
def test_the_commands_on_records(records_folder, documented_service):
    done = set()
    for program, *arguments in commands(ROOT / "docs" / "records.md"):
        if program == "pip":
            extra = re.fullmatch(r"h2s_keras\[(\w+)\]", arguments[-1]).group(1)
            assert f'"{extra}": [' in (ROOT / "setup.py").read_text()
            continue
        assert program == "h2s"
        # A bucket is packed and read by tox -e io, Beam runs under tox -e beam.
        remote = any("://" in a and "grpc" not in a for a in arguments)
        if "..." in arguments:
            arguments[2:3] = ["folders", "--root", "my_videos"]
        parsed = build_parser().parse_args(arguments)
        if remote:
            continue
        command = arguments.pop(0)
        if command == "train":
            meant = {
                "data.root=/mnt/packed": "data.root=packed",
                "grpc://10.0.0.5:5050": documented_service,
            }
            check_training([meant.get(value, value) for value in arguments])
        elif "tvl1" in arguments and not has_tvl1():
            continue
        else:
            parsed.beam = False
            if parsed.action == "pack":
                # The page packs into one folder, what is packed there differs.
                parsed.out = "packed" if parsed.kind == "folders" else parsed.kind
            assert parsed.run(parsed) == 0
        done.add((command, getattr(parsed, "kind", parsed.command)))
    kinds = {kind for command, kind in done if command == "data"}
    assert {"folders", "records", "activitynet"} <= kinds and ("train", "train") in done
    if has_tvl1():
        assert read_index("ucf101").settings["flow"] == "tvl1"


def has_tvl1():
    try:
        import cv2
    except ImportError:
        return False
    return hasattr(cv2, "optflow")


# === docs/serving.md ===


def test_compose_starts_the_server_as_docker_does():
    page = (DOCS.parent / "serving.md").read_text("utf-8")
    docker, compose = (
        page[page.index(start) :].partition("```")[0]
        for start in ("docker run", "services:")
    )
    flags = re.findall(r"--[a-z_]+=\S+", docker)
    assert len(flags) == 3 and flags == re.findall(r"--[a-z_]+=\S+", compose)
    ports = [f"{port}:{port}" for port in (8500, 8501)]
    assert all(port in docker and f'"{port}"' in compose for port in ports)


# === Links and tables ===


def test_every_page_is_linked_and_every_link_exists():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https)([^)#]+)\)", index)
    linked = {(DOCS / target).resolve() for target in targets}
    assert {ROOT / page for page in PAGES if page.startswith("docs/data/")} <= linked


def pages():
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def anchors(page):
    """The names that a page's headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        led = (page.parent / path).resolve() if path else page
        assert led.exists(), target
        assert not anchor or anchor in anchors(led), target


def test_every_page_is_reached_from_the_readme():
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+\.md)", page.read_text("utf-8")):
            led = (page.parent / target).resolve()
            if led not in reached:
                left.append(led)
    assert set((ROOT / "docs").rglob("*.md")) <= reached


def test_the_settings_of_the_paper_exist():
    text = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    settings = [value for row in rows for value in re.findall(r"--set ([^\s`]+)", row)]
    assert len(settings) >= 8
    for setting in settings:
        config = run_options(load_recipe("ucf101")())
        apply_setting(config, setting)
        RunOptions.of(config)


def test_the_table_of_values_names_values_of_videos():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in index.splitlines() if line.startswith("| `")]
    names = {
        re.split(r"[=`]", name)[0] for row in rows for name in re.findall(r"`(.+?)`", row)
    }
    known = {*filter(DataOptions(kind="ucf101").supports, DataOptions.fields())}
    assert len(names) >= 12 and names <= known, names - known


# === Figures stand on one page ===

NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
# "0.3 px", "96.5, 97.1 %", "1.118 ± 0.016 px": numbers that share a unit.
FIGURE = re.compile(
    rf"(?<![\w.,-])((?:{NUMBER}(?: ± |, then |, | and | to | or ))*{NUMBER})"
    r" ?(px|%|ms|s|minutes|GFLOP|MB|kB|MiB|GiB|clips/s|frames/s|points|°)(?![\w/])"
)
# Figures of different things that happen to be equal.
COINCIDENCES = {
    "83.3 %": "five of six: fusion in results.md, classes kept in int8 in serving.md",
    "95.6 %": "459 of 480 clips: bfloat16 in results.md, the preset in serving.md",
}


def figures(text):
    """Numbers with a unit and three significant digits or more, such as "0.263 px"."""
    for numbers, unit in FIGURE.findall(text):
        for number in re.findall(NUMBER, numbers):
            digits = re.sub(r"\D", "", number).lstrip("0")
            if len(digits if "." in number else digits.rstrip("0")) >= 3:
                yield f"{number} {unit}"


def figures_of_presets():
    """What a model card may repeat: the figures that are stored with the weights."""
    index = json.loads((ROOT / "h2s_keras/models/weights/index.json").read_text())
    for preset in index.values():
        for name, value in preset["figures"].items():
            yield f"{value:.3f} px" if "error" in name else f"{100 * value:.1f} %"


def repeated_figures(texts):
    """{figure: pages} of the figures that stand in two of {page: text} and more."""
    found = {}
    for page, text in texts.items():
        for figure in figures(text):
            found.setdefault(figure, set()).add(page)
    for figure in figures_of_presets():
        found.get(figure, set()).discard("docs/presets/README.md")
    most = {figure: 2 for figure in COINCIDENCES}
    return {
        figure: sorted(where)
        for figure, where in found.items()
        if len(where) > most.get(figure, 1)
    }


def test_a_figure_stands_on_one_page():
    """Measured anew, it is changed in one place; the other pages link there."""
    texts = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in pages()}
    assert not repeated_figures(texts)
    cards = texts["docs/presets/README.md"]
    held_out = set(figures("\n".join(re.findall(r"^\| held out.*", cards, re.M))))
    assert len(held_out) >= 6 and held_out <= set(figures_of_presets())
    all_figures = {figure for text in texts.values() for figure in figures(text)}
    assert len(all_figures) > 100 and set(COINCIDENCES) <= all_figures
    # The same with a figure copied into a second page.
    results = texts["docs/results.md"]
    for figure in ("0.263 px", "96.7 %", "1.118 px"):
        assert figure in set(figures(results))
        twice = texts | {"README.md": f"{texts['README.md']} It reaches {figure}."}
        assert repeated_figures(twice) == {figure: ["README.md", "docs/results.md"]}
