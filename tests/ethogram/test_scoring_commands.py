"""`h2s ethogram train`, `predict`, `evaluate` and `refine` as their users meet them."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from cli.conftest import heavy_modules
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
        ("evaluate {s}/videos.csv --predictions gone", "gone: no such folder"),
        ("refine {s}/videos.csv --model gone --out run", "gone: no such folder"),
    ],
)
def test_mistakes_are_told_in_one_line_before_keras_is_imported(
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
    # A second call computes only what is new.
    before = os.stat(out / "v3.npz").st_mtime_ns
    done = h2s(*line[:2], streams / "v3.mp4", streams / "v4.mp4", *line[4:])
    assert done.code == 0, done.err
    assert [json.loads(one)["known"] for one in done.out.splitlines()] == [True, False]
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
    done = h2s(*line, "--model", run_folder, "--part", "train")
    assert "2 of 2 videos were trained on" in done.err
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
