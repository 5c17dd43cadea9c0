"""`h2s ethogram train`, `predict`, `evaluate` and `refine` as their users meet them."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from cli.conftest import COMMAND, heavy_modules
from warm_process import run_warm

from h2s_keras.ethogram import FrameLabels, FrameTimes, read_labels, write_labels


def write_stream(path, seed, frames=90):
    """A square that moves or rests, and a lamp; returns the labels."""
    import av

    random = np.random.default_rng(seed)
    lengths = random.integers(8, 20, 30)
    moves = np.repeat(np.arange(30) % 2, lengths)[:frames]
    lamp = np.repeat((np.arange(30) + seed) % 2, lengths[::-1])[:frames]
    texture = random.integers(60, 120, (48, 64, 3)).astype("uint8")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(frames):
            picture = texture.copy()
            place = 2 * int(moves[:number].sum()) % 48
            picture[20:32, place : place + 12] = 230
            if lamp[number]:
                picture[:6, :6] = (250, 30, 30)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    matrix = np.stack([moves, lamp], axis=1)
    times = FrameTimes(frames, rate=25)
    return FrameLabels(os.path.basename(path), ("move", "lamp"), matrix, times)


@pytest.fixture(scope="session")
def streams(tmp_path_factory):
    """Folder of videos v0.mp4 ... v4.mp4, a table of four of them, and a broken file."""
    folder = tmp_path_factory.mktemp("streams")
    with open(folder / "videos.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "labels", "part"])
        for seed, part in enumerate(("train", "train", "validation", "test", None)):
            labels = write_stream(str(folder / f"v{seed}.mp4"), seed)
            name = f"v{seed}_labels.csv"
            write_labels(labels, folder / name)
            if part is not None:
                writer.writerow([f"v{seed}.mp4", name, part])
    (folder / "broken.mp4").write_bytes(b"not a video" * 50)
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("video,labels\n")
    (folder / "gone.csv").write_text("video,labels\nv9.mp4,v0_labels.csv\n")
    (folder / "unlabelled.csv").write_text("video,labels\nv0.mp4,\n")
    (folder / "labels_only").mkdir()
    shutil.copy(folder / "v0_labels.csv", folder / "labels_only")
    return folder


@pytest.fixture(scope="session")
def h2s(tmp_path_factory):
    folder = tmp_path_factory.mktemp("said")
    return lambda *arguments: run_warm(arguments, folder, timeout=1200)


@pytest.fixture(scope="session")
def run_folder(streams, h2s, tmp_path_factory):
    """What `h2s ethogram train --smoke` left of the table."""
    out = tmp_path_factory.mktemp("runs") / "run"
    done = h2s(
        "ethogram", "train", streams / "videos.csv", "--out", out, "--smoke", "--json"
    )
    assert done.code == 0, done.err
    results = json.loads(done.out)
    assert results["part"] == "test" and results["videos"] == 1
    assert results["behaviors"] == ["move", "lamp"] and len(results["rules"]) == 2
    assert "2 for train, 1 for validation, 1 for test" in done.err
    return out


# === Wrong inputs: one line, exit code 2, no Keras ===


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("train gone.csv --out run", "no such file; give a table video,labels"),
        ("train {s}/videos.csv --out run --shares 0.9,0.4", "leave a rest to train on"),
        (
            "train {s}/videos.csv --out run --spatial_weights no.h5",
            "no such file of weights",
        ),
        ("predict {s}/v0.mp4 --model gone --out p", "gone: no such folder"),
        ("predict {s}/v0.mp4 --model {s} --out p", "holds no ethogram.json"),
        ("predict gone.mp4 --model {s} --out p", "gone.mp4: no such file or folder"),
        ("predict {s}/labels_only --model {s} --out p", "holds no videos"),
        ("evaluate {s}/videos.csv --predictions gone", "gone: no such folder"),
        ("train {s}/empty.csv --out run", "empty.csv: has no column 'video', only nothing"),
        ("train {s}/header.csv --out run", "header.csv: lists no videos"),
        ("train {s}/gone.csv --out run", "gone.csv: line 2: there is no"),
        ("evaluate {s}/gone.csv --model {s}", "gone.csv: line 2: there is no"),
        ("train {s}/unlabelled.csv --out run", "has 1 videos and labels of none of them"),
        ("refine {s}/videos.csv --model gone --out run", "gone: no such folder"),
    ],
)
def test_mistakes_are_reported_in_one_line_before_keras_is_imported(
    line, text, streams, tmp_path
):
    arguments = ["ethogram", *line.format(s=streams).split()]
    done, heavy = heavy_modules(arguments, cwd=tmp_path)
    lines = [one for one in done.err.splitlines() if one.strip()]
    assert done.code == 2 and len(lines) == 1 and text in lines[0], done.err
    assert not heavy & {"keras", "tensorflow"}
    assert not os.listdir(tmp_path)


def test_a_part_that_is_missing_or_unknown(streams, h2s, tmp_path):
    rows = ["video,labels,part"]
    rows += [f"{streams}/v{n}.mp4,{streams}/v{n}_labels.csv,train" for n in (0, 1)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(rows) + "\n")
    done = h2s("ethogram", "train", table, "--out", tmp_path / "run", "--smoke")
    assert done.code == 2 and "no labelled video is for validation" in done.err
    table.write_text("\n".join([*rows[:2], rows[2].replace("train", "vali")]) + "\n")
    done = h2s("ethogram", "train", table, "--out", tmp_path / "run", "--smoke")
    assert done.code == 2 and "a part is train, validation, test; got 'vali'" in done.err
    assert not (tmp_path / "run").exists()


def table_of(streams, path, names=("v0", "v1")):
    """A table of videos of `streams` with labels beside it, the last for validation."""
    parts = ["train"] * (len(names) - 1) + ["validation"]
    rows = [
        f"{streams}/{name}.mp4,{name}_labels.csv,{part}"
        for name, part in zip(names, parts, strict=True)
    ]
    path.write_text("\n".join(["video,labels,part", *rows]) + "\n")
    return path


def test_labels_that_do_not_fit_are_reported_with_both_numbers(streams, h2s, tmp_path):
    table, out = table_of(streams, tmp_path / "t.csv"), tmp_path / "run"
    shutil.copy(streams / "v1_labels.csv", tmp_path)
    header, *rows = (streams / "v0_labels.csv").read_text().splitlines()
    longer = [header, *rows, f"{len(rows)},1,0,0"]
    (tmp_path / "v0_labels.csv").write_text("\n".join(longer) + "\n")
    line = ["ethogram", "train", table, "--out", out, "--smoke"]
    done = h2s(*line)
    assert done.code == 2 and "labels 91 frames, but the video has 90" in done.err
    assert len(done.error_lines) == 1
    shutil.copy(streams / "v0_labels.csv", tmp_path)
    done = h2s(*line, "--behaviors", "move,lamb")
    assert done.code == 2 and "'lamp', which is not among the 2 wanted" in done.err
    assert len(done.error_lines) == 1 and not out.exists()


def test_a_shift_of_labels_is_reported_by_evaluate(streams, h2s, tmp_path):
    """Predictions that are right, beside labels that were counted five frames late."""
    rows = ["video,labels"]
    for seed in (7, 8):
        labels = write_stream(str(tmp_path / f"w{seed}.mp4"), seed, 300)
        late = np.roll(labels.matrix, 5, axis=0)
        for name, matrix in (("late", late), ("right", labels.matrix)):
            shown = FrameLabels(labels.video, labels.behaviors, matrix, labels.times)
            write_labels(shown, tmp_path / f"w{seed}_{name}.csv")
        np.savez(
            tmp_path / f"w{seed}.npz",
            probabilities=0.1 + 0.8 * labels.matrix.astype("float32"),
            shown=labels.matrix,
            behaviors=np.array(labels.behaviors),
            starts=labels.times.starts[:-1],
            network="none",
        )
        rows.append(f"w{seed}.mp4,w{seed}_late.csv")
    table = tmp_path / "videos.csv"
    table.write_text("\n".join(rows) + "\n")
    line = ["ethogram", "evaluate", str(table), "--predictions", str(tmp_path)]
    done, heavy = heavy_modules(line)
    assert done.code == 0, done.err
    assert "predictions come 5 frames earlier than the labels" in done.out
    assert not heavy & {"keras", "tensorflow"}
    # Negative control: labels that are in their place.
    table.write_text(table.read_text().replace("late", "right"))
    done, _ = heavy_modules(line)
    assert done.code == 0 and "frames earlier" not in done.out + done.err


@pytest.mark.long
def test_training_that_is_stopped_says_that_nothing_is_kept(streams, tmp_path):
    out = tmp_path / "run"
    line = ["ethogram", "train", str(streams / "videos.csv"), "--out", str(out), "--smoke"]
    # A test run in the background ignores the signal, and so would what it starts.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    process = subprocess.Popen(
        [sys.executable, "-c", heard + COMMAND, *line], stderr=subprocess.PIPE, text=True
    )
    said = ""
    for text in process.stderr:
        said += text
        # The run folder holds files by now.
        if "videos decoded" in text:
            process.send_signal(signal.SIGINT)
            break
    said += process.stderr.read()
    assert process.wait(120) == 130, said
    assert "training does not resume and nothing was kept" in said
    assert "Traceback" not in said and not out.exists()


# === The whole way ===


@pytest.mark.long
def test_predict_writes_files_goes_on_and_survives_a_bad_file(
    run_folder, streams, h2s, tmp_path
):
    out = tmp_path / "scored"
    line = ["ethogram", "predict", streams / "broken.mp4", streams / "v3.mp4"]
    line += ["--model", run_folder, "--out", out, "--format", "boris", "--review", "--json"]
    done = h2s(*line)
    assert done.code == 2 and "broken.mp4: is not a video" in done.err
    bad, good = map(json.loads, done.out.splitlines())
    assert bad["video"].endswith("broken.mp4") and "error" in bad
    assert good["frames"] == 90 and not good["known"]
    with np.load(out / "v3.npz") as file:
        chances, shown = file["probabilities"], file["shown"]
    assert (
        chances.shape == shown.shape == (90, 2) and ((chances >= 0) & (chances <= 1)).all()
    )
    for name in ("v3_labels.csv", "v3.boris"):
        labels = read_labels(out / name, streams / "v3.mp4")
        found = labels.arranged(("move", "lamp")).matrix
        assert np.array_equal(found, shown), name
    budget = list(csv.DictReader(open(out / "time_budget.csv")))
    assert [row["behavior"] for row in budget] == ["move", "lamp"]
    assert int(budget[0]["frames"]) == (shown[:, 0] == 1).sum()
    assert float(budget[0]["seconds"]) == pytest.approx((shown[:, 0] == 1).sum() / 25, 1e-3)
    assert "v3.mp4" in (out / "v3.html").read_text()
    # A second call, of a folder with the broken file in it, computes only what is new.
    before = os.stat(out / "v3.npz").st_mtime_ns
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("broken", "v3", "v4"):
        shutil.copy(streams / f"{name}.mp4", folder)
    done = h2s(*line[:2], folder, *line[4:])
    assert done.code == 2 and "broken.mp4: is not a video" in done.err
    rows = [json.loads(one) for one in done.out.splitlines()]
    known = {os.path.basename(one["video"]): one.get("known") for one in rows}
    assert known == {"broken.mp4": None, "v3.mp4": True, "v4.mp4": False}
    assert os.stat(out / "v3.npz").st_mtime_ns == before
    # Features that were kept with the run give what decoding gives.
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    shutil.rmtree(copy / "features")
    done = h2s(*line[:2], streams / "v3.mp4", "--model", copy, "--out", tmp_path / "again")
    with np.load(tmp_path / "again" / "v3.npz") as file:
        assert file["probabilities"] == pytest.approx(chances, abs=2e-3)


@pytest.mark.long
def test_evaluate_by_network_and_by_predictions(run_folder, streams, h2s, tmp_path):
    line = ["ethogram", "evaluate", streams / "videos.csv", "--json"]
    pages = tmp_path / "pages"
    done = h2s(*line, "--model", run_folder, "--part", "test", "--review", pages)
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    stored = json.loads((run_folder / "results.json").read_text())["figures"]
    for name in ("move", "lamp"):
        found = figures["behaviors"][name]["average_precision"]["value"]
        expected = stored["behaviors"][name]["average_precision"]["value"]
        assert found == pytest.approx(expected, abs=1e-3)
    assert (pages / "v3.html").exists() and figures["trained_on"] == []
    for part, count in (("train", 2), ("validation", 1)):
        done = h2s(*line, "--model", run_folder, "--part", part)
        assert f"{count} of {count} videos were trained on" in done.err
    done = h2s(*line, "--predictions", pages, "--part", "test")
    assert done.code == 2 and "predict" in done.err and "into this folder first" in done.err


@pytest.mark.long
def test_refine_learns_new_labels_and_another_behaviour(run_folder, streams, h2s, tmp_path):
    rows = ["video,labels"]
    for number in range(4):
        labels = read_labels(streams / f"v{number}_labels.csv", streams / f"v{number}.mp4")
        matrix = np.concatenate([labels.matrix, 1 - labels.matrix[:, :1]], axis=1)
        names = (*labels.behaviors, "rest")
        write_labels(
            FrameLabels(labels.video, names, matrix, labels.times),
            tmp_path / f"v{number}_labels.csv",
        )
        rows.append(f"{streams}/v{number}.mp4,v{number}_labels.csv")
    (tmp_path / "videos.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "refined"
    line = ["ethogram", "refine", tmp_path / "videos.csv", "--model", run_folder]
    done = h2s(*line, "--out", out, "--json")
    assert done.code == 0, done.err
    results = json.loads(done.out)
    assert results["behaviors"] == ["move", "lamp", "rest"] and results["part"] == "test"
    # Nothing was decoded for features, and the streams are those of the first run.
    assert sorted(os.listdir(out / "features")) == sorted(
        os.listdir(run_folder / "features")
    )
    done = h2s(
        "ethogram", "predict", streams / "v4.mp4", "--model", out, "--out", out / "p"
    )
    assert done.code == 0 and "rest" in done.out
    (tmp_path / "videos.csv").write_text("\n".join([*rows[:3], rows[4]]) + "\n")
    done = h2s(*line, "--out", tmp_path / "other")
    assert done.code == 2 and "keeps for validation" in done.err
