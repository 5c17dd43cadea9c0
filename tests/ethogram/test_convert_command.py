"""`h2s ethogram convert` as its users meet it: cold processes, one line an error."""

import json
import subprocess
import sys

import numpy as np
import pytest
from cli.conftest import heavy_modules
from ethogram.samples import boris_events, boris_project, same, truth

from h2s_keras.cli.main import build_parser
from h2s_keras.errors import UserError
from h2s_keras.ethogram import FrameLabels, read_labels, write_labels


@pytest.fixture
def convert(tmp_path, capsys, monkeypatch):
    """Runs the command in a folder of its own: (code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(line):
        arguments = build_parser().parse_args(["ethogram", "convert", *line.split()])
        code = arguments.run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    run.folder = tmp_path
    return run


def test_it_answers_without_keras(tmp_path):
    write_labels(truth(), tmp_path / "clip.boris")
    path, out = str(tmp_path / "clip.boris"), str(tmp_path / "clip.eaf")
    for line, code in (
        (["ethogram", "convert", "--help"], 0),
        (["ethogram", "convert", path, out], 0),
        (["ethogram", "convert", "gone", "x.eaf"], 2),
    ):
        done, heavy = heavy_modules(line)
        assert done.code == code and not heavy, done.err
    assert same(read_labels(out, rate=10, frames=20), truth())


def test_labels_and_figures_need_no_keras():
    script = (
        "import sys, h2s_keras_command, numpy as np\n"
        "from h2s_keras.ethogram import FrameLabels, choose_rules, measure\n"
        "labels = FrameLabels('v', ('x',), np.eye(4, 1))\n"
        "measure([labels], [labels], [labels.matrix * 0.5])\n"
        "choose_rules([labels], [labels.matrix * 0.5])\n"
        "print({'keras', 'tensorflow', 'av', 'scipy'} & set(sys.modules))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_report_and_the_notes(convert):
    write_labels(truth(), "clip.boris")
    code, out, err = convert("clip.boris clip.txt --format caltech --lossy")
    assert code == 0 and out == "clip.txt: 20 frames, 3 x groom, 1 x rear\n"
    first, second = err.splitlines()
    assert first.startswith("h2s: note: clip.txt: 20 frames were taken from its duration")
    assert second.startswith("h2s: note: clip.txt: 1 of 20 frames show several behaviours")
    _, out, err = convert("clip.txt again.json --format feral --json --video mouse.mp4")
    report = json.loads(out)
    assert report["frames"] == 20 and report["bouts"] == {"groom": 3, "rear": 1}
    assert report["video"] == "mouse.mp4" and "no file mouse.mp4" in err
    assert read_labels("again.json").video == "mouse.mp4"


def test_what_neither_file_nor_video_says_can_be_given(convert):
    write_labels(truth(), "clip.vtrace.csv")
    with pytest.raises(UserError, match="the frame rate and the number of frames"):
        convert("clip.vtrace.csv a.csv")
    convert("clip.vtrace.csv a.csv --rate 10 --frames 20 --behaviors rear,groom")
    labels = read_labels("a.csv")
    assert same(labels, truth().arranged(("rear", "groom")))
    # Labels whose file names no video are of the video that the file is named after.
    convert("a.csv a_again.boris --rate 10")
    assert read_labels("a_again.boris").video == "a"


def test_a_folder_gets_a_file_per_video(convert):
    project = boris_project(boris_events([("groom", 2, 7)]), videos=["a.mp4"])
    other = boris_project(boris_events([("rear", 3, 9)], 5), 5.0, videos=["b.mp4"])
    project["observations"]["obs2"] = other["observations"]["obs1"]
    (convert.folder / "all.boris").write_text(json.dumps(project))
    with pytest.raises(UserError, match="has 2 sets of labels .obs1, obs2.; name one"):
        convert("all.boris one.csv")
    with pytest.raises(UserError, match="give the format of its files"):
        convert("all.boris out/")
    _, out, _ = convert("all.boris out/ --format deepethogram")
    assert out.splitlines() == [
        "out/a_labels.csv: 20 frames, 1 x groom, 0 x rear",
        "out/b_labels.csv: 10 frames, 0 x groom, 1 x rear",
    ]
    assert read_labels("out/b_labels.csv").bouts() == [("rear", 3, 9)]
    convert("all.boris b.csv --entry obs2")
    assert read_labels("b.csv").bouts() == [("rear", 3, 9)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("clip.boris clip.boris", "exists already"),
        ("clip.boris a.eaf --rate 0", "--rate is above 0"),
        ("clip.boris a.eaf --frames 0", "--frames is 1 or more"),
        ("clip.boris a.eaf --frames 90", "is of a video of 2 s, but the video has 9 s"),
        ("clip.boris a.eaf --subject none", "no bouts of 'none'"),
        ("clip.boris a.json", "does not say the format; give one of deepethogram"),
        ("clip.boris a.json --format calms21", "hold 1 per frame"),
        ("clip.boris a.eaf --video b.mp4", "has no labels of b.mp4"),
        ("clip.boris none/a.eaf", "its folder none does not exist"),
    ],
)
def test_mistakes_leave_no_file(convert, line, words):
    write_labels(truth(), "clip.boris")
    with pytest.raises(UserError, match=words):
        convert(line)
    assert [path.name for path in convert.folder.iterdir()] == ["clip.boris"]


@pytest.mark.real_data
def test_the_video_decides(convert, real_data):
    video = real_data("ethogram", "procedural", "arena_00.mp4")
    labels = real_data("ethogram", "procedural", "arena_00_vtrace.csv")
    _, out, err = convert(f"{labels} a.csv --video {video}")
    exact = read_labels(real_data("ethogram", "procedural", "arena_00_labels.csv"))
    back = read_labels("a.csv")
    assert same(back.arranged(exact.behaviors), exact) and back.frames == 1000 and not err
    short = FrameLabels("", ("x",), np.zeros((990, 1)))
    write_labels(short, "short.csv")
    with pytest.raises(UserError, match="labels 990 frames, but the video has 1000"):
        convert(f"short.csv b.csv --video {video}")
