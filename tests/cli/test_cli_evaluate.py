"""`h2s evaluate`, `fuse` and `predict`, in this process where nothing depends on it."""

import io
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from cli.conftest import COMMAND, heavy_modules
from evaluation.samples import (
    make_network,
    served,
    write_class_folders,
    write_flow_folder,
    write_video,
)

from h2s_keras.errors import FileError, UserError
from h2s_keras.evaluation.scores import VideoScores


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Folder with model.keras, other.keras, data/, flow/, long.mp4 and bad.mp4."""
    folder = tmp_path_factory.mktemp("work")
    make_network().save(folder / "model.keras")
    make_network(1).save(folder / "other.keras")
    write_class_folders(folder / "data")
    write_flow_folder(folder / "flow")
    write_video(folder / "long.mp4", 30)
    (folder / "bad.mp4").write_bytes(b"no video" * 50)
    return folder


def test_evaluate_writes_everything(call, work, tmp_path):
    code, out, _ = call(
        f"evaluate --model model.keras --data data --protocol 2x2 --scores "
        f"{tmp_path}/s.npz --report {tmp_path}/r.html --confusion {tmp_path}/c.csv"
    )
    assert code == 0
    assert "6 videos; 2 evenly spaced clips x 2 crops" in out
    assert "which of them were in training is not known" in out
    for name in ("spatial", "temporal", "fused", "top-1", "class mean", "mAP (THUMOS)"):
        assert name in out
    scores = VideoScores.load(tmp_path / "s.npz")
    assert scores.class_names == ("left", "right") and len(scores.names) == 6
    assert len(scores.checksum) == 64 and scores.view_videos.tolist() == sorted(
        list(range(6)) * 4
    )
    rows = (tmp_path / "c.csv").read_text().splitlines()
    assert rows[0] == "true class,left,right"
    assert sum(int(n) for row in rows[1:] for n in row.split(",")[1:]) == 6
    page = (tmp_path / "r.html").read_text()
    # The six videos, the colours of flow, and each pair of classes with an example.
    pairs = page.count("<figcaption>Above ")
    assert page.count("<img") == 7 + pairs and ("side by side" in page) == (pairs > 0)
    assert "Grad-CAM" in page and scores.checksum in page
    # One file that loads nothing.
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_saved_scores_give_the_same_figures(call, tmp_path):
    line = f"evaluate --model model.keras --data data --json --scores {tmp_path}/s.npz"
    fresh = json.loads(call(line)[1])
    saved = json.loads(call(f"evaluate --data {tmp_path}/s.npz --json")[1])
    assert saved["streams"] == fresh["streams"]
    assert saved["protocol"] == fresh["protocol"] and saved["videos"] == 6
    assert saved["model_sha256"] == fresh["model_sha256"]


def test_comparison_of_two_models(call, tmp_path):
    call(f"evaluate --model other.keras --data data --scores {tmp_path}/o.npz")
    _, out, _ = call(f"evaluate --model model.keras --data data --compare {tmp_path}/o.npz")
    assert "paired test: only these right" in out and "p = " in out


def test_scores_and_figures_outlive_what_fails_after_them(
    call, tmp_path, monkeypatch, capsys
):
    names, other = ("a", "b"), tmp_path / "other.npz"
    VideoScores({"fused": np.eye(2)}, names, np.arange(2)).save(other)
    line = f"evaluate --model model.keras --data data --scores {tmp_path}/s.npz"
    with pytest.raises(UserError, match="other.npz: is not of the same 6 videos"):
        call(f"{line} --compare {other}")
    assert capsys.readouterr().out.startswith("6 videos; 5 evenly spaced")

    def fail(*arguments):
        raise OSError("disk full")

    module = "h2s_keras.evaluation.report_pages.write_recognition_report"
    monkeypatch.setattr(module, fail)
    with pytest.raises(OSError, match="disk full"):
        call(f"evaluate --data {tmp_path}/s.npz --report {tmp_path}/r.html")
    assert capsys.readouterr().out.startswith("6 videos; 5 evenly spaced")


def test_figures_are_reported_where_scores_cannot_be_written(
    call, tmp_path, monkeypatch, capsys
):
    def full(self, path):
        raise FileError(path, "cannot be written (no space left)")

    monkeypatch.setattr(VideoScores, "save", full)
    with pytest.raises(UserError, match="s.npz: cannot be written"):
        call(f"evaluate --model model.keras --data data --scores {tmp_path}/s.npz")
    assert "class mean" in capsys.readouterr().out


def test_models_that_number_the_classes_otherwise(call, tmp_path):
    """Compared with itself under another order of classes, nothing differs."""
    call(f"evaluate --model model.keras --data data --scores {tmp_path}/a.npz")
    scores = VideoScores.load(tmp_path / "a.npz")
    turned = {name: matrix[:, ::-1] for name, matrix in scores.streams.items()}
    labels, names = 1 - scores.labels, scores.class_names[::-1]
    VideoScores(turned, scores.names, labels, names).save(tmp_path / "b.npz")
    line = f"evaluate --data {tmp_path}/a.npz --compare {tmp_path}/b.npz --json"
    test = json.loads(call(line)[1])["comparison"]
    assert test["first_top1"] == test["second_top1"] and test["p_value"] == 1
    line = f"fuse {tmp_path}/a.npz {tmp_path}/b.npz --normalize softmax --json"
    found = json.loads(call(line)[1])
    assert found["mean_fused"] == found["mean_alone"][0] == found["mean_alone"][1]


def test_one_group(call):
    line = r"evaluate --model model.keras --data data --group_pattern p(\d) --test_group 2"
    code, out, _ = call(line)
    assert code == 0 and "2 videos; only group 2; 5 evenly spaced clips" in out


def test_bad_file_is_left_out(call, work, tmp_path):
    (tmp_path / "list.csv").write_text(
        f"path,class\n{work}/data/left/p1.mp4,left\n{work}/data/right/p1.mp4,right\n"
        f"{work}/bad.mp4,left\n{work}/gone.mp4,left\n"
    )
    line = f"evaluate --model model.keras --data {tmp_path}/list.csv"
    with pytest.raises(UserError, match="gone.mp4"):
        call(line)
    code, out, err = call(f"{line} --on_bad_file skip")
    assert code == 0 and out.startswith("2 videos")
    assert "left out: " in err and "bad.mp4" in err and "gone.mp4" in err


def test_untrimmed_video(call, tmp_path):
    _, out, _ = call(
        "evaluate --model model.keras --data data --sampling sliding --step 2 "
        "--pool_top_k 2"
    )
    assert "a clip every 2 frames" in out and "2 highest views" in out


def test_segments_of_a_csv_file_are_scored_one_by_one(call, work, tmp_path):
    table = tmp_path / "segments.csv"
    rows = ["left,0,0.4", "right,0.4,0.8", "left,0.8,1.2"]
    lines = [f"{work / 'long.mp4'},{row}" for row in rows]
    table.write_text("\n".join(["path,class,start,end", *lines]) + "\n")
    line = f"evaluate --model model.keras --data {table} --json"
    results = json.loads(call(line)[1])
    assert results["videos"] == 3 and "annotated segments" in results["protocol"]
    # Asked for whole videos, it is one that shows both classes.
    results = json.loads(call(f"{line} --untrimmed videos")[1])
    assert results["videos"] == 1 and "whole untrimmed" in results["protocol"]


def test_flow(call, tmp_path):
    code, out, _ = call(
        f"evaluate --model model.keras --flow_data flow --report {tmp_path}/f.html"
    )
    assert code == 0 and "one/frame10" in out and "EPE px" in out
    line = "evaluate --model model.keras --flow_data flow --json"
    results = json.loads(call(line)[1])
    assert results["pairs"]["two/frame10"]["zero_epe"] == pytest.approx(5**0.5, rel=1e-4)
    assert results["mean"]["photometric"] > 0 and len(results["model_sha256"]) == 64
    page = (tmp_path / "f.html").read_text()
    assert page.count("<img") == 3 and "Best pairs" in page and "Worst pairs" in page


@pytest.mark.parametrize(
    "line, text",
    [
        ("evaluate --model model.keras", "either --data"),
        ("evaluate --model model.keras --data data --flow_data flow", "either --data"),
        ("evaluate --data data", "--model is missing"),
        ("evaluate --model none.keras --data data", "none.keras: no such model"),
        ("evaluate --model model.keras --data none", "none: no such folder"),
        ("evaluate --model model.keras --data data --protocol 3x3", "crops must be"),
        ("evaluate --model model.keras --data data --step 3", "sliding"),
        ("evaluate --model model.keras --data data --scores s.txt", ".npz"),
        ("evaluate --model model.keras --data data --scores no/s.npz", "no does not exist"),
        ("evaluate --model model.keras --data data --report bad.mp4", "exists already"),
        ("evaluate --model model.keras --data data --batch_size 0", "from 1"),
        ("evaluate --model model.keras --data data --confusion c.txt", ".csv or .png"),
        ("evaluate --model model.keras --data data --labels l.txt", "scores file"),
        ("evaluate --model model.keras --data synthetic", "synthetic classes"),
        ("evaluate --model model.keras --flow_data data", "no pairs"),
        ("evaluate --model model.keras --flow_data flow --scores s.npz", "--scores goes"),
        ("evaluate --data none.npz", "none.npz: no such file"),
        ("evaluate --data s.npz --model model.keras", "--model is for fresh scores"),
        ("evaluate --data s.npz --protocol paper", "--protocol goes with videos"),
        ("evaluate --model m --data synthetic --sampling even", "not with synthetic clips"),
        ("evaluate --model m --data synthetic --rate 25", "--rate goes with videos"),
        ("evaluate --model m --data synthetic --test_group 1", "--test_group goes with"),
        ("evaluate --model m --flow_data flow --pool_top_k 2", "not with --flow_data"),
        ("evaluate --model m --data data --seed 2", "--seed goes with --data synthetic"),
        ("evaluate --model m --data data --group_column g", "goes with a .csv list"),
        ("evaluate --model m --data l.csv --group_pattern g", "goes with a folder"),
        ("fuse a.npz b.npz", "a.npz: no such file"),
        ("fuse a.npz b.npz --weights 1 --search", "not both"),
        ("fuse a.npz b.npz --weights 1 2 3", "as many weights"),
        ("fuse a.npz,b.npz c.npz", "as many comma-separated"),
        ("predict --model model.keras", "name one video"),
        ("predict long.mp4 --model model.keras --step 3", "--step goes"),
        ("predict long.mp4 --model model.keras --reuse_flow", "--reuse_flow goes"),
        ("predict long.mp4 --model model.keras --camera 0", "not both"),
        ("predict data --model model.keras --annotate x.mp4", "one video"),
        ("predict long.mp4 --model model.keras --top_k 0", "from 1"),
        ("predict long.mp4 --model model.keras --rate 0", "--rate is above 0 frames"),
        ("predict --camera 0 --model model.keras --rate 5", "--rate is for videos"),
        ("flow long.mp4 --out f --max_flow 0", "--max_flow is above 0 pixels"),
        ("predict --camera x.mp4 --model model.keras", "a camera is a number"),
    ],
)
def test_mistakes_are_reported(call, line, text):
    with pytest.raises(UserError, match=re.escape(text)):
        call(line)


def test_fusion_of_streams_and_splits(call, tmp_path):
    call(f"evaluate --model model.keras --data data --scores {tmp_path}/a.npz")
    call(f"evaluate --model other.keras --data data --scores {tmp_path}/b.npz")
    a, b = f"{tmp_path}/a.npz", f"{tmp_path}/b.npz"
    code, out, _ = call(f"fuse {a}:spatial {a}:temporal --weights 1 1.5")
    assert code == 0 and "normalised by l1" in out and "1 1.5" in out
    line = f"fuse {a},{a} {b},{b} --normalize softmax --json"
    found = json.loads(call(line)[1])
    assert len(found["splits"]) == 2
    assert found["mean_fused"] == pytest.approx(found["splits"][0]["fused"])
    found = json.loads(call(f"fuse {a} {b} --search --folds 3 --json")[1])
    assert found["normalize"] == "softmax" and len(found["splits"][0]["fold_weights"]) == 3
    call(f"fuse {a} {b} --out {tmp_path}/fused.npz")
    fused = VideoScores.load(tmp_path / "fused.npz")
    assert "fusion of 1 x" in fused.protocol and fused.streams["fused"].shape == (6, 2)
    code, out, _ = call(f"evaluate --data {tmp_path}/fused.npz")
    assert code == 0 and "fusion of" in out
    for rule in ("l1", "softmax"):
        path = tmp_path / f"{rule}.npz"
        call(f"fuse {a}:spatial {b}:temporal --normalize {rule} --out {path}")
        rows = VideoScores.load(path).streams["fused"]
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)


def test_fusion_of_a_neighbours_matrices(call, tmp_path):
    scores = np.array([[4.0, 1], [1, 3], [2, 1], [5, 4]])
    np.save(tmp_path / "a.npy", scores)
    np.save(tmp_path / "b.npy", scores[:, ::-1])
    (tmp_path / "l.txt").write_text("a 1\nb 2\nc 2\nd 1\n")
    a, b = tmp_path / "a.npy", tmp_path / "b.npy"
    _, out, _ = call(f"fuse {a} {b} --weights 2 1 --labels {tmp_path}/l.txt")
    assert "75.00 %" in out and "25.00 %" in out
    with pytest.raises(UserError, match="no labels"):
        call(f"fuse {a} {b}")


def test_evaluate_a_neighbours_matrix(call, tmp_path):
    np.save(tmp_path / "a.npy", np.array([[4.0, 1], [1, 3], [2, 1], [5, 4]]))
    np.save(tmp_path / "l.npy", np.array([[1, 0], [0, 1], [1, 1], [0, 1]]))
    (tmp_path / "l.txt").write_text("a 1\nb 2\nc 2\nd 1\n")
    line = f"evaluate --data {tmp_path}/a.npy --json"
    found = json.loads(call(f"{line} --labels {tmp_path}/l.txt")[1])
    assert found["streams"]["fused"]["top1"] == 0.75
    found = json.loads(call(f"{line} --labels {tmp_path}/l.npy")[1])
    assert set(found["streams"]["fused"]) == {"map_thumos", "map_activitynet"}
    with pytest.raises(UserError, match="no labels"):
        call(line)


def test_confusion_picture(call, tmp_path):
    from h2s_keras.data import read_image

    call(f"evaluate --model model.keras --data data --confusion {tmp_path}/c.png")
    picture = read_image(f"{tmp_path}/c.png")
    # The shade of a cell that holds its whole row.
    assert (np.abs(picture.astype(int) - (102, 170, 209)).max(axis=-1) <= 1).any()


def test_predict_many(call, work, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("long.mp4\n\nbad.mp4\n"))
    line = "predict data/left - --model model.keras --clips 2 --top_k 1 --json"
    code, out, err = call(line)
    records = [json.loads(text) for text in out.splitlines()]
    assert code == 2 and len(records) == 5
    assert [record["video"] for record in records[:4]] == [
        "data/left/p1.mp4",
        "data/left/p2.mp4",
        "data/left/p3.mp4",
        "long.mp4",
    ]
    assert "bad.mp4" in records[4]["error"] and "bad.mp4" in err
    assert "real-time factor" in err
    assert all(len(record["predictions"]) == 1 for record in records[:4])


def test_predict_an_empty_folder_goes_on(call, tmp_path):
    code, out, err = call(f"predict {tmp_path} long.mp4 --model model.keras --clips 1")
    assert code == 2 and "holds no videos" in err and out.startswith("long.mp4")


def test_predict_watches_a_stream(call, tmp_path):
    """Windows of a network camera's frames, in seconds of its own clock, and its video."""
    write_video(tmp_path / "stream.ts", 8)
    with served(tmp_path) as address:
        line = f"predict --camera {address}/stream.ts --model model.keras --top_k 1"
        code, out, err = call(f"{line} --step 2 --json --annotate {tmp_path}/o.mp4")
        windows = [json.loads(text) for text in out.splitlines()]
        assert code == 0 and "real-time factor" in err
        # The first window is a whole clip of three frames, the others are two later each.
        assert [one["start"] for one in windows] == pytest.approx([0, 0.12, 0.2, 0.28])
        assert [one["end"] for one in windows] == pytest.approx([0.12, 0.2, 0.28, 0.32])
        assert all(one["camera"].endswith("stream.ts") for one in windows)
        code, out, _ = call(f"{line} --max_frames 3")
        assert code == 0 and re.fullmatch(r" +0.00 s  (left|right) \d+%\n", out)
    from h2s_keras.data import count_frames

    assert count_frames(f"{tmp_path}/o.mp4") == 8


def test_timeline_and_annotated_video(call, tmp_path):
    line = f"predict long.mp4 --model model.keras --timeline --annotate {tmp_path}/o.mp4"
    code, out, err = call(f"{line} --step 2 --json")
    record = json.loads(out)
    assert code == 0 and record["annotated"] == f"{tmp_path}/o.mp4"
    assert record["timeline"][0]["start"] == 0
    assert record["timeline"][-1]["end"] == pytest.approx(30 / 25)
    from h2s_keras.data import count_frames

    assert count_frames(f"{tmp_path}/o.mp4") == 30
    code, _, err = call(f"{line} --step 2 --json")
    assert code == 2 and "exists already" in err


def test_the_command_itself(h2s, work):
    done = h2s("evaluate", "--model", "none.keras", "--data", "data", cwd=work)
    assert done.code == 2 and not done.out
    assert len(done.error_lines) == 1 and "none.keras" in done.error_lines[0]


def test_saved_scores_are_fused_without_keras(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", rng.random((20, 4)))
    np.save(tmp_path / "labels.npy", rng.integers(0, 4, 20))
    line = "fuse a.npy b.npy --labels labels.npy"
    done, heavy = heavy_modules(line.split(), cwd=tmp_path)
    assert done.code == 0 and "fused" in done.out, done.err
    assert not heavy


def test_videos_are_read_at_the_rate_of_training(call, work, tmp_path):
    """Or at the one that is asked for; seconds stay those of the video."""
    network = make_network()
    network.frame_rate = 5.0
    network.save(tmp_path / "slow.keras")
    assert keras.models.load_model(tmp_path / "slow.keras").frame_rate == 5.0

    def told(model, *options):
        line = ["predict", "long.mp4", "--model", str(model), "--json", *options]
        return json.loads(call(" ".join(line))[1])

    slow = told(tmp_path / "slow.keras", "--timeline", "--step", "1")
    same = told("model.keras", "--timeline", "--step", "1", "--rate", "5")
    plain = told("model.keras", "--timeline", "--step", "1")
    assert slow["timeline"] == same["timeline"] != plain["timeline"]
    assert slow["timeline"][-1]["end"] == pytest.approx(30 / 25, abs=0.2)
    ways = [told(tmp_path / "slow.keras"), told("model.keras", "--rate", "5")]
    assert ways[0] == ways[1] != told("model.keras")

    line = f"evaluate --model {tmp_path}/slow.keras --data data"
    assert "with stride 1 at 5 frames per second" in call(line)[1]


def test_folders_of_frames_have_the_rate_they_have(call, work, tmp_path):
    from h2s_keras.data.video.images import write_png

    for number in range(1, 9):
        picture = np.full((32, 32, 3), 20 * number, "uint8")
        write_png(_made(tmp_path / "frames") / f"{number:04d}.png", picture)
    network = make_network()
    network.frame_rate = 5.0
    network.save(tmp_path / "slow.keras")
    records = [
        json.loads(call(f"predict {tmp_path}/frames --model {model} --json")[1])
        for model in (tmp_path / "slow.keras", "model.keras")
    ]
    assert records[0]["predictions"] == records[1]["predictions"]


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder


def test_pictures_of_flow_on_one_scale(call, work, tmp_path):
    from h2s_keras.data.flow_files import read_flow
    from h2s_keras.data.video.images import read_image
    from h2s_keras.visualization.flow_color import flow_to_color

    line = "flow long.mp4 --model tiny_synthetic --max_pairs 2"
    call(f"{line} --max_flow 7 --out {tmp_path}/given")
    call(f"{line} --out {tmp_path}/own")
    for number in range(2):
        flow = read_flow(f"{tmp_path}/own/flow_{number:06d}.flo")
        # In float64: rounded to float32, the largest vector may lie beyond its own length.
        largest = np.hypot(*np.moveaxis(flow.astype("float64"), -1, 0)).max()
        for folder, limit in (("given", 7.0), ("own", max(1.0, largest))):
            picture = read_image(f"{tmp_path}/{folder}/flow_{number:06d}_color.png")
            np.testing.assert_array_equal(picture, flow_to_color(flow, limit))


def test_a_reader_that_goes_is_no_error(work):
    """As `h2s predict ... | head`, whose command then ends with 0 and in silence."""
    command = [sys.executable, "-c", COMMAND, "predict", "long.mp4", "long.mp4"]
    child = subprocess.Popen(
        [*command, "--model", "model.keras", "--clips", "1"],
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child.stdout.close()
    error = child.stderr.read()
    assert child.wait(timeout=120) == 0, error
    assert "BrokenPipe" not in error and "Traceback" not in error
