"""The command line as its users meet it: real processes, exit codes, one line an error."""

import io
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
from cli.conftest import heavy_modules

from h2s_keras.cli import main
from h2s_keras.cli.train import recipe_list
from h2s_keras.data import read_flow
from h2s_keras.data.video.images import read_image
from h2s_keras.errors import UserError
from h2s_keras.option_types import apply_setting
from h2s_keras.options import RunOptions
from h2s_keras.recipes import quickstart
from h2s_keras.training.state import read_state
from h2s_keras.version import __version__

# === Help, at once ===


@pytest.mark.parametrize(
    "command", [(), ("quickstart",), ("train",), ("predict",), ("flow",)]
)
def test_help_shows_an_example(cold_h2s, command):
    done = cold_h2s(*command, "--help")
    assert done.code == 0 and not done.error_lines
    assert f"Example: h2s {' '.join(command)}" in " ".join(done.out.split())
    if not command:
        for name in ("quickstart", "train", "predict", "flow"):
            assert name in done.out


def test_version(cold_h2s):
    done = cold_h2s("--version")
    assert (done.code, done.out.strip()) == (0, f"h2s_keras {__version__}")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("--help", 0),
        ("train --help", 0),
        ("--version", 0),
        ("predict a.mp4 --model gone.keras", 2),
        ("flow a.mp4 --model gone.keras --out x", 2),
        ("evaluate --model gone.keras --data synthetic", 2),
        ("evaluate --model quickstart --data gone", 2),
        ("evaluate --data gone.npz", 2),
        ("evaluate --model quickstart --data gone.csv", 2),
        ("evaluate --model quickstart --flow_data gone", 2),
        ("export --model gone.keras --out x", 2),
        ("convert gone.caffemodel --out x.keras", 2),
        ("fuse gone.npz also.npz", 2),
    ],
)
def test_help_and_missing_files_are_reported_before_tensorflow_is_imported(line, code):
    done, heavy = heavy_modules(line.split())
    assert done.code == code and not heavy, done.err
    if code:
        (line,) = done.error_lines
        assert line.startswith("h2s: gone")


def test_the_list_of_recipes(cold_h2s):
    done = cold_h2s("train", "list")
    assert done.code == 0 and not done.error_lines
    assert [line.split()[0] for line in done.out.splitlines()] == [
        name for name, _ in recipe_list()
    ]
    assert "quickstart" in done.out and "videos" in done.out


# === Mistakes ===

MISTAKES = {
    "unknown recipe": (["train", "nonsense"], "no recipe 'nonsense'; there are"),
    "no recipe file": (["train", "{files}/gone.py"], "gone.py: no such recipe file"),
    "not a recipe": (["train", "{files}/nothing.py"], "has no get_config()"),
    "set without value": (["train", "videos", "--set", "batch_size"], "KEY=VALUE"),
    "set of an unknown key": (
        ["train", "videos", "--set", "data.rot=x"],
        "--set data.rot: no option 'rot'; did you mean 'root'?",
    ),
    "set of another kind": (
        ["train", "videos", "--set", "batch_size=many"],
        "--set batch_size takes a whole number from 1; received 'many'",
    ),
    "no data": (
        ["train", "videos", "--out", "{new}/run"],
        "no data given: --set data.root",
    ),
    "one frame": (
        [
            "train",
            "quickstart",
            "--smoke",
            "--set",
            "data.num_frames=1",
            "--out",
            "{new}/one",
        ],
        "at least 2 frames",
    ),
    "many workers of TensorFlow": (
        ["train", "quickstart", "--smoke", "--set", "strategy=multi_worker"]
        + ["--out", "{new}/workers"],
        "for many processes set KERAS_BACKEND=jax",
    ),
    "an unknown strategy": (
        ["train", "quickstart", "--smoke", "--set", "strategy=parameter_server"]
        + ["--out", "{new}/servers"],
        "strategy must be one of",
    ),
    "processes on another backend": (
        ["train", "quickstart", "--smoke", "--out", "{new}/processes", "--processes", "2"]
        + ["--coordinator", "127.0.0.1:1"],
        "many processes train through the JAX backend",
    ),
    "processes without a folder": (
        ["train", "quickstart", "--smoke", "--processes", "2"],
        "--processes needs --out",
    ),
    "process without processes": (
        ["train", "quickstart", "--process", "1", "--out", "{new}/process"],
        "go with --processes",
    ),
    "no processes at all": (
        ["train", "quickstart", "--processes", "0", "--out", "{new}/none"],
        "--processes takes a number from 1; received 0",
    ),
    "no steps": (
        ["train", "quickstart", "--set", "stages.motion.steps=0", "--out", "{new}/steps"],
        "steps takes a whole number from 1; received 0",
    ),
    "resume of another recipe": (
        ["train", "videos", "--resume", "--out", "{run}"],
        "holds a run of 'quickstart', not of 'videos'",
    ),
    "resume with another seed": (
        ["quickstart", "--resume", "--seed", "2", "--out", "{run}"],
        "goes on with the run's own values",
    ),
    "out in use": (["quickstart", "--smoke", "--out", "{files}"], "holds files already"),
    "out is a file": (["quickstart", "--smoke", "--out", "{files}/a.png"], "is a file"),
    "out cannot be written": (
        ["quickstart", "--smoke", "--out", "{files}/a.png/run"],
        "cannot be written",
    ),
    "nothing to resume": (
        ["quickstart", "--resume", "--out", "{files}"],
        "no run to resume",
    ),
    "resume without out": (["train", "--resume"], "--resume needs --out"),
    "no model": (
        ["predict", "{files}/good.mp4", "--model", "{files}/gone.keras"],
        "gone.keras: no such model file",
    ),
    "damaged model": (
        ["flow", "{files}/a.png", "{files}/b.png"]
        + ["--model", "{files}/broken.keras", "--out", "{new}/x.flo"],
        "broken.keras: cannot be loaded",
    ),
    "two sizes": (
        [
            "flow",
            "{files}/a.png",
            "{files}/small.png",
            "--model",
            "m",
            "--out",
            "{new}/f.flo",
        ],
        "must be of one size",
    ),
    "one image": (
        ["flow", "{files}/a.png", "--model", "m", "--out", "{new}/f.flo"],
        "is one image; flow needs two",
    ),
    "one file for a video": (
        ["flow", "{files}/good.mp4", "--model", "m", "--out", "{new}/f.flo"],
        "a video gives many flows; give a folder",
    ),
    "flow of one frame": (
        ["flow", "{files}/one.mp4", "--model", "{model}", "--out", "{new}/flows"],
        "one.mp4: motion needs at least two frames",
    ),
    "flow of no file": (
        ["flow", "{files}/gone.mp4", "--model", "{model}", "--out", "{new}/flows2"],
        "gone.mp4",
    ),
    "flow of a broken file": (
        ["flow", "{files}/broken.mp4", "--model", "{model}", "--out", "{new}/flows3"],
        "broken.mp4",
    ),
    "flow exists": (
        [
            "flow",
            "{files}/a.png",
            "{files}/b.png",
            "--model",
            "m",
            "--out",
            "{files}/a.png",
        ],
        "a.png: exists already",
    ),
    "top_k": (
        ["predict", "{files}/good.mp4", "--model", "m", "--top_k", "0"],
        "takes a number from 1",
    ),
    "unknown command": (["fly"], "invalid choice: 'fly'"),
    "unknown option": (
        ["flow", "x.mp4", "--model", "m", "--out", "o", "--modle", "m"],
        "--modle",
    ),
    "no command": ([], "COMMAND"),
}


# These run as processes of their own; the rest goes through the same entry in this one.
REAL = (
    "unknown recipe",
    "out cannot be written",
    "damaged model",
    "flow of one frame",
    "unknown option",
    "no command",
)


def check(code, out, err, text):
    # What computes is said before anything is read.
    lines = [line for line in err.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("device: ")]
    assert code == 2, err
    assert len(lines) == 1, err
    assert lines[0].startswith("h2s: ") and text in lines[0]
    assert "Traceback" not in err and out == ""


@pytest.fixture
def fill_in(files, smoke, tmp_path):
    names = {"files": files, "new": tmp_path, "model": smoke[1] / "model.keras"}
    names["run"] = smoke[1]
    return lambda arguments: [text.format(**names) for text in arguments]


@pytest.mark.parametrize("name", REAL)
def test_a_mistake_is_one_clear_line_and_code_2(h2s, fill_in, name):
    arguments, text = MISTAKES[name]
    done = h2s(*fill_in(arguments))
    check(done.code, done.out, done.err, text)


@pytest.mark.parametrize("name", sorted(set(MISTAKES) - set(REAL)))
def test_a_mistake_in_this_process(fill_in, capfd, monkeypatch, name):
    arguments, text = MISTAKES[name]
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    capfd.readouterr()
    try:
        code = main._main(main.build_parser().parse_args(fill_in(arguments)))
    except SystemExit as end:
        code = end.code
    out, err = capfd.readouterr()
    check(code, out, err, text)


def test_mistakes_left_nothing_behind_in_folders_of_others(files):
    assert sorted(path.name for path in files.iterdir()) == [
        "a.png",
        "b.png",
        "broken.keras",
        "broken.mp4",
        "good.mp4",
        "nothing.py",
        "one.mp4",
        "settings.json",
        "small.png",
        "sound.wav",
    ]


def test_debug_shows_the_traceback(cold_h2s):
    done = cold_h2s("train", "nonsense", "--debug")
    assert done.code != 0 and "Traceback" in done.err and "UserError" in done.err


# === --set ===


def test_settings_reach_values_and_stages():
    config = quickstart.get_config()
    for text in (
        "batch_size=8",
        "stages.motion.steps=7",
        "data.image_size=(32, 32)",
        "model.spatial=none",
        "stages.motion.learning_rate=1",
        "name=mine",
    ):
        apply_setting(config, text)
    assert config.batch_size == 8 and config.stages[0].steps == 7
    assert config.data.image_size == (32, 32)
    assert config.model.spatial is None and config.name == "mine"
    assert config.stages[0].learning_rate == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("stages.motion.jit_compile=False", False),
        ("stages.motion.flow_loss.photometric=census", "census"),
        ("stages.motion.flow_loss.margin=16", 16),
        ("stages.motion.flow_loss.released_batch=end_to_end", "end_to_end"),
        ("stages.motion.flow_loss.released_batch=12", 12),
        ("stages.end_to_end.lr_multipliers.temporal.bias=2.0", 2.0),
        ("data.decode_size=(256, 340)", (256, 340)),
        ("model.temporal_dropout=0.5", 0.5),
        ("data.test_group=1", "1"),
    ],
)
def test_settings_of_many_kinds(text, value):
    config = RunOptions.of(quickstart.get_config())
    apply_setting(config, text)
    found = config
    for part in text.split("=")[0].split(".", 3):
        if isinstance(found, list):
            found = next(stage for stage in found if stage.name == part)
        elif isinstance(found, dict):
            found = found[part]
        else:
            found = getattr(found, part)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("stages.motoin.steps=7", "no stage 'motoin'; there are"),
        ("batch_size.more=1", "batch_size holds a single value"),
        ("stages.motion.steps='7'", "takes a whole number from 1; received '7'"),
        ("data=5", "consists of several values; set one of them"),
        ("model.adapter.bond=5", "no option 'bond'; did you mean 'bound'"),
        ("stages.spatial.flow_loss.margin=8", "flow_loss is None here"),
        ("stages.motion.lr_multipliers.motion=x", "motion takes a number; received 'x'"),
        ("stages.motion.schedule=cosin", "did you mean 'cosine'"),
        ("stages.motion.flow_loss.photometric=sensus", "did you mean 'census'"),
        ("stages.motion=5", "takes none, which leaves the stage out, or a value of"),
        ("stages.motoin=none", "no stage 'motoin'; there are"),
        ("stages.motion.steps=True", "takes a whole number"),
        ("data.seed={[1]: 2}", "takes a whole number"),
        ("", "KEY=VALUE"),
    ],
)
def test_wrong_settings(text, error):
    with pytest.raises(UserError, match=error):
        apply_setting(quickstart.get_config(), text)


def test_a_stage_is_left_out_of_the_recipe():
    config = quickstart.get_config()
    apply_setting(config, "stages.temporal=none")
    assert [stage.name for stage in config.stages] == ["motion", "end_to_end", "spatial"]
    config = quickstart.get_config()
    for name in ("motion", "temporal", "end_to_end"):
        apply_setting(config, f"stages.{name}=none")
    with pytest.raises(UserError, match="is the only stage, and a run needs one"):
        apply_setting(config, "stages.spatial=none")


# === Work ===


def test_quickstart_leaves_report_pictures_and_model(smoke):
    done, folder = smoke
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "model.keras", "results.json", "config.json"} <= names
    pictures = {path.name for path in (folder / "pictures").iterdir()}
    assert {"overview.png", "color_wheel.png"} <= pictures and len(pictures) == 6
    for name in pictures:
        assert read_image(folder / "pictures" / name).ndim == 3
    report = (folder / "report.html").read_text()
    assert "Hidden two-stream quickstart" in report and report.count("<img") >= 5
    results = json.loads((folder / "results.json").read_text())
    assert set(results["stages"]) == {"motion", "temporal", "end_to_end", "spatial"}
    assert "end-point error" in done.out
    for row in ("spatial", "temporal, motion frozen", "temporal, end to end", "fused"):
        assert re.search(rf"^{row} +\d", done.out, re.M)
    assert str(folder / "report.html") in done.out
    assert "h2s predict new.mp4 --model quickstart" in done.out
    assert "standard deviation" in report and "photometric loss may rise" in report
    assert "Traceback" not in done.err and "WARNING" not in done.err
    # Progress goes to stderr as plain lines, one an epoch, for a log file.
    assert any(line.startswith("stage 1 of 4: motion 4/4") for line in done.error_lines)
    assert "\x1b" not in done.err and "\r" not in done.err
    config = json.loads((folder / "config.json").read_text())
    assert config["command"].endswith("quickstart --out quickstart --smoke")


def test_a_second_run_does_not_overwrite_the_first(h2s, smoke):
    before = (smoke[1] / "model.keras").read_bytes()
    done = h2s("quickstart", "--smoke", "--out", smoke[1])
    assert done.code == 2 and "holds files already" in done.err
    assert (smoke[1] / "model.keras").read_bytes() == before


def test_predict_reports_bad_files_and_goes_on_with_good_ones(h2s, smoke, files):
    bad = [files / name for name in ("sound.wav", "one.mp4", "broken.mp4", "gone.mp4")]
    good = files / "good.mp4"
    done = h2s("predict", *bad, good, "--model", smoke[1], "--json", "--top_k", "3")
    assert done.code == 2
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["video"] for row in rows] == [str(path) for path in [*bad, good]]
    mistakes = [line for line in done.error_lines if line.startswith("h2s: ")]
    for path, row, line in zip(bad, rows, mistakes, strict=False):
        assert line == f"h2s: {row['error']}" and str(path) in line
    assert len(mistakes) == 4 and "Traceback" not in done.err, done.err
    best = rows[-1]["predictions"]
    assert len(best) == 3 and "error" not in rows[-1]
    scores = [row["score"] for row in best]
    assert scores == sorted(scores, reverse=True) and 0 < sum(scores) <= 1
    assert all("/" in row["class"] for row in best)


def test_predict_for_people(cold_h2s, smoke, files, tmp_path):
    # Of an old archive: the name is no UTF-8.
    shutil.copy(files / "good.mp4", tmp_path / os.fsdecode(b"good\xff.mp4"))
    done = cold_h2s("predict", tmp_path, "--model", smoke[1] / "model.keras")
    assert done.code == 0 and "h2s:" not in done.err
    lines = done.out.splitlines()
    assert lines[0] == f"{tmp_path}/good\\udcff.mp4" and len(lines) == 6
    assert all("%" in line for line in lines[1:])


def test_names_on_stdin_that_are_not_utf_8(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff.mp4"), "utf-8"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "utf-8"))
    main._take_any_name()
    assert os.fsencode(sys.stdin.read()) == b"\xff.mp4"


def test_flow_and_predict_with_what_comes_along(h2s, files, tmp_path):
    images = files / "a.png", files / "b.png"
    done = h2s("flow", *images, "--out", tmp_path / "x.flo", cwd=tmp_path)
    assert done.code == 0 and done.error_lines[0].startswith("device: "), done.err
    flow = read_flow(tmp_path / "x.flo")
    assert flow.shape == (48, 64, 2) and np.isfinite(flow).all()
    named = h2s("flow", *images, "--model", "tiny_synthetic", "--out", tmp_path / "y.flo")
    assert named.code == 0
    np.testing.assert_array_equal(read_flow(tmp_path / "y.flo"), flow)
    done = h2s("predict", files / "good.mp4", "--model", "quickstart", "--json")
    assert done.code == 0 and "translation/" in done.out
    done = h2s("predict", files / "good.mp4", "--model", "tiny_synthetic")
    assert done.code == 2 and "Traceback" not in done.err
    assert "not names of actions" in done.error_lines[-1]


def test_flow_of_two_images_as_flo_png_and_folder(h2s, smoke, files, tmp_path):
    images = [files / "a.png", files / "b.png"]
    for name in ("x.flo", "x.png", "folder"):
        done = h2s("flow", *images, "--model", smoke[1], "--out", tmp_path / name)
        assert done.code == 0, done.err
        assert "h2s:" not in done.err and "1 flow field in" in done.out
    flow = read_flow(tmp_path / "x.flo")
    assert flow.shape == (48, 64, 2) and np.isfinite(flow).all()
    header = struct.unpack("<fii", (tmp_path / "x.flo").read_bytes()[:12])
    assert header == (202021.25, 64, 48)
    np.testing.assert_allclose(read_flow(tmp_path / "x.png"), flow, atol=1 / 64)
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == [
        "flow_000000.flo",
        "flow_000000_color.png",
    ]
    np.testing.assert_array_equal(read_flow(tmp_path / "folder" / "flow_000000.flo"), flow)
    # It is MotionNet's flow of these two images, whatever follows them.
    from h2s_keras.models import MotionNet

    first, second = (read_image(path) for path in images)
    motion_net = MotionNet.from_preset(str(smoke[1]))
    clip = np.stack([first, second, second])[None]
    np.testing.assert_allclose(motion_net.estimate_flow(clip)[0, 0], flow, atol=1e-4)


def test_flow_of_a_video_has_a_field_a_pair(h2s, smoke, files, tmp_path):
    done = h2s("flow", files / "good.mp4", "--model", smoke[1], "--out", tmp_path / "out")
    assert done.code == 0 and "11 flow fields in" in done.out
    assert len(list((tmp_path / "out").glob("*.flo"))) == 11
    assert len(list((tmp_path / "out").glob("*_color.png"))) == 11
    again = h2s("flow", files / "good.mp4", "--model", smoke[1], "--out", tmp_path / "out")
    assert again.code == 2 and "holds files already" in again.err


@pytest.mark.long
def test_a_full_disk_ends_in_one_line_and_the_run_goes_on_from_what_is_saved(tmp_path):
    """A limit on the size of files stands for the full disk: writing fails half way."""
    out = tmp_path / "run"
    settings = ["--set", "stages.motion.epoch=2", "--set", "stages.motion.steps=4"]
    limited = (
        "import resource, sys\n"
        "from h2s_keras.training import state\n"
        "write = state.save_state\n"
        "def full_after_two(folder, stage, step, *rest):\n"
        "    if step == 4:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "    return write(folder, stage, step, *rest)\n"
        "import h2s_keras.training.stages as stages\n"
        "stages.save_state = full_after_two\n"
        "import h2s_keras_command\n"
        "sys.argv[0] = 'h2s'\n"
        "h2s_keras_command.main()\n"
    )
    # The files that measure coverage would not fit either.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", limited, "train", "quickstart", "--smoke", *settings]
        + ["--set", "data.image_size=(32, 32)", "--out", str(out)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("h2s: ") and "could not be written" in last
    assert "--resume" in last and "Traceback" not in done.stderr
    kept = sorted(path.name for path in out.glob("*state*"))
    assert kept == ["state-00-00000000.npz", "state-00-00000002.npz"]
    for path in out.glob("state*"):
        read_state(str(path))


@pytest.mark.parametrize(
    "line, expected", [("h2s ev", "evaluate"), ("h2s flow --max_f", "--max_flow")]
)
def test_a_shell_completes(tmp_path, line, expected):
    pytest.importorskip("argcomplete")
    answer = tmp_path / "answer"
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run([sys.executable, "-m", "h2s_keras_command"], env=environment, check=True)
    assert answer.read_text().split() == [expected]


def test_a_run_on_videos_ends_with_advice_its_report_and_what_to_run(tmp_path, capsys):
    from h2s_keras.cli.train import print_next
    from h2s_keras.training.run_folder import RunFolder

    run = RunFolder(tmp_path / "my run")
    with run.alone():
        run.write_json("results.json", {})
        (tmp_path / "my run" / "report.html").write_text("")
        print_next({"advice": ["Few videos."], "final": {}}, run)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "- Few videos." and said[1].startswith("report: ")
    # A folder with a space is one word of each command.
    commands = [shlex.split(line, comments=True) for line in said[2:-1]]
    assert [words[:2] for words in commands] == [
        ["h2s", name] for name in ("predict", "flow", "evaluate", "export")
    ]
    assert all(words[words.index("--model") + 1].endswith("my run") for words in commands)
    assert said[-1].startswith("run folder: ")
