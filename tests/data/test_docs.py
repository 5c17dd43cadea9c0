"""Commands and code of the guides, docs/data and docs/records.md, on files made here."""

import argparse
import json
import pathlib
import re
import shlex
import socket
import subprocess
import sys

import pytest

from h2s_keras.cli import evaluate, evaluate_data, predict
from h2s_keras.cli.main import build_parser
from h2s_keras.cli.train import load_recipe
from h2s_keras.data import write_png
from h2s_keras.data.records.record_index import read_index
from h2s_keras.data.training_data import make_data
from h2s_keras.models import load_model
from h2s_keras.option_types import apply_setting
from h2s_keras.options import DataOptions, RunOptions, run_options

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
    import numpy as np

    return np.full((32, 40, 3), 20 * number, np.uint8)


make_own_videos.picture = picture

PAGES = {
    "docs/data/ucf101.md": make_ucf101,
    "docs/data/hmdb51.md": make_hmdb51,
    "docs/data/thumos14.md": make_thumos14,
    "docs/data/activitynet.md": make_activitynet,
    "docs/own_videos.md": make_own_videos,
    "docs/improve_accuracy.md": make_own_videos,
    "docs/choosing.md": make_own_videos,
    "README.md": make_own_videos,
}
WITH_CODE = ("docs/own_videos.md", "docs/improve_accuracy.md", "README.md")


def blocks(page, language="bash"):
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def commands(page):
    for block in blocks(page):
        for line in block.replace("\\\n", " ").strip().splitlines():
            if not line.startswith("python3"):  # Installation: tests/test_readme.py.
                yield shlex.split(line)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page(page, make_video, tmp_path, monkeypatch):
    PAGES[page](tmp_path, make_video)
    monkeypatch.chdir(tmp_path)
    seen = set()
    for program, command, *arguments in commands(ROOT / page):
        assert program == "h2s"
        seen.add(command)
        if command == "data":
            done = subprocess.run(
                [sys.executable, "-m", "h2s_keras_command", command, *arguments],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, (arguments, done.stderr)
        elif command == "train":
            check_training(arguments)
        elif command in ("export", "flow"):
            assert build_parser().parse_args([command, *arguments]).model == "runs/mine"
        else:
            parser = argparse.ArgumentParser()
            {"evaluate": evaluate, "predict": predict}[command].add_arguments(parser)
            parsed = parser.parse_args(arguments)
            if command == "evaluate":
                evaluate_data.check_data_arguments(parsed)
                examples, names = evaluate_data.read_examples(parsed)
                assert len(names) == 2 and {item.label for item in examples} == {0, 1}
    assert "train" in seen and ("data" in seen or "docs/data" not in page)


def check_training(arguments):
    """The recipe takes every value, and its data give a batch and a test."""
    recipe, *rest = arguments
    if recipe == "--resume":
        assert build_parser().parse_args(["train", *arguments]).out
        return
    config = run_options(load_recipe(recipe)())
    while rest:
        option, value, *rest = rest
        assert option in ("--set", "--out", "--data_service", "--budget")
        if option == "--budget":
            config.scale_steps(float(value))
        if option == "--set":
            apply_setting(config, value)
        elif option == "--data_service":
            config.data.service = value
    check_data(RunOptions.of(config).data)


def check_data(values):
    """Data of these values give a batch and a test, of one group where it is "each"."""
    options = DataOptions.of(values)
    options.image_size, options.num_frames, options.clips_per_video = (16, 16), 3, 1
    if options.test_group == "each":
        options.test_group = "3"
    data = make_data(options)
    clips, _ = next(data.training(2).as_numpy_iterator())
    assert clips.shape == (2, 3, 16, 16, 3) and clips.std() > 0
    if data.test:
        assert next(data.evaluation(2))["clip"].shape[1:] == (3, 16, 16, 3)


# === Code of the guides ===


@pytest.mark.parametrize("page", WITH_CODE)
def test_the_code_of_a_guide(page, make_video, tmp_path, monkeypatch):
    """Every block runs as it stands; training alone is cut down to its data."""
    make_own_videos(tmp_path, make_video)
    (tmp_path / "runs/mine").mkdir(parents=True)
    load_model("quickstart").save(tmp_path / "runs/mine/model.keras")
    monkeypatch.chdir(tmp_path)
    trained = []

    def train(config, out, progress=None):
        check_data(config["data"])
        trained.append(out)
        return {"results": {"test": "4 videos", "final": {"fused_accuracy": 1.0}}}

    monkeypatch.setattr("h2s_keras.training.own_videos.trainer", lambda config: train)
    for code in blocks(ROOT / page, "python"):
        exec(compile(code, page, "exec"), {})
    assert trained
    if page == "docs/own_videos.md":
        assert (tmp_path / "models/mine/1/saved_model.pb").exists()
        # Each run of the shell that Python can make is made by Python too.
        shell = set(
            re.findall(r"h2s train videos .*--out (\S+)", (ROOT / page).read_text())
        )
        assert set(trained) == shell - {"runs/early"}


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


def test_the_table_of_values_names_values_of_videos():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in index.splitlines() if line.startswith("| `")]
    names = {
        re.split(r"[=`]", name)[0] for row in rows for name in re.findall(r"`(.+?)`", row)
    }
    known = {*filter(DataOptions(kind="ucf101").supports, DataOptions.fields())}
    assert len(names) >= 12 and names <= known, names - known
