"""One model, one answer: training, `evaluate`, `predict` and an export take one way."""

import json
import shutil

import numpy as np
import pytest
from evaluation.samples import CLASSES, write_video

from h2s_keras.errors import UserError
from h2s_keras.evaluation.measure import collect_scores
from h2s_keras.evaluation.scores import VideoScores

LENGTHS = (9, 14, 5)  # The clips of 3 frames, 3 apart, take 7: one video is shorter.
GROUPS = r"--group_pattern p(\d)"


def softmax(rows):
    powers = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder with data/ and run/, what `train` returned); group 2 was left out."""
    from h2s_keras.training.run import train

    folder = tmp_path_factory.mktemp("one")
    for label, name in enumerate(CLASSES):
        (folder / "data" / name).mkdir(parents=True)
        for number in (1, 2):
            for take, length in enumerate(LENGTHS):
                path = folder / "data" / name / f"p{number}t{take}.mp4"
                shift = 2 if label else -2
                write_video(path, length + number, shift=shift, seed=10 * number + take)
    config = {
        "name": "one",
        "seed": 3,
        "batch_size": 2,
        "tensorboard": False,
        "data": {
            "kind": "videos",
            "root": str(folder / "data"),
            "num_frames": 3,
            "image_size": (32, 32),
            "stride": 3,
            # Not the defaults, so that what is forgotten is seen.
            "clips_per_video": 4,
            "short": "hold",
            "decode_size": (48, 40),
            "group_pattern": r"p(\d)",
            "test_group": "2",
        },
        "model": {"motion": "tiny", "temporal": "tiny", "spatial": "tiny"},
        "stages": [
            {
                "name": "both",
                "streams": ["temporal", "spatial"],
                "train": ["temporal", "spatial"],
                "steps": 2,
                "learning_rate": 1e-2,
            }
        ],
    }
    return folder, train(config, folder / "run")


@pytest.fixture(scope="module")
def work(trained):
    return trained[0]


@pytest.fixture
def evaluated(call, tmp_path):
    """Scores of `h2s evaluate` with further options, and its results."""

    def run(options=""):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
        line = f"evaluate --model run --data data --json --scores {path} {options}"
        results = json.loads(call(line)[1])
        return VideoScores.load(path), results

    return run


def test_train_evaluate_predict_and_export_agree(call, trained, evaluated, tmp_path):
    folder, done = trained
    own, labels = collect_scores(done["network"], done["data"].evaluation(32))
    scores, results = evaluated()
    assert [name.split("data/")[1] for name in scores.names] == [
        f"{name}/p2t{take}.mp4" for name in CLASSES for take in range(3)
    ]
    assert scores.labels.tolist() == labels.tolist()
    for stream in ("temporal", "spatial", "fused"):
        np.testing.assert_allclose(
            softmax(scores.streams[stream]), softmax(own[stream]), atol=1e-5
        )
        final = done["results"]["final"][f"{stream}_accuracy"]
        assert results["streams"][stream]["top1"] == final
        interval = done["results"]["intervals"][f"{stream}_accuracy"]
        assert results["streams"][stream]["top1_interval"] == pytest.approx(interval)
    # Both say how, in the same words.
    about = done["results"]["test"].split("; ", 1)[1]
    assert about.startswith("4 evenly spaced clips x centre crop, 3 frames with stride 3")
    assert results["protocol"].startswith(about)

    call(f"export --model run --out {tmp_path}/served")
    for model in ("run", f"{tmp_path}/served"):
        line = f"predict {' '.join(scores.names)} --model {model} --top_k 2 --json"
        records = list(map(json.loads, call(line)[1].splitlines()))
        for row, record in enumerate(records):
            found = {one["class"]: one["score"] for one in record["predictions"]}
            expected = softmax(scores.streams["fused"][row])
            actual = [found[name] for name in CLASSES]
            np.testing.assert_allclose(actual, expected, atol=1e-5)
            assert record["protocol"].startswith("4 evenly spaced clips x centre crop")
        assert len(records) == 6


def test_other_protocols_give_other_scores(evaluated):
    """The control: the agreement above is not that of a model which never differs."""
    own, other = evaluated()[0], evaluated("--protocol fast")[0]
    assert np.abs(own.streams["fused"] - other.streams["fused"]).max() > 1e-3


def test_the_paper_s_protocol_fuses_by_its_rule(call, work, tmp_path):
    rows = [f"{work}/data/{name}/p2t0.mp4,{name}" for name in CLASSES]
    (tmp_path / "list.csv").write_text("\n".join(["path,class", *rows, ""]))
    line = f"evaluate --model run --data {tmp_path}/list.csv --protocol paper --json"
    results = json.loads(call(f"{line} --scores {tmp_path}/s.npz")[1])
    scores = VideoScores.load(tmp_path / "s.npz")
    parts = [np.maximum(scores.streams[name], 0) for name in ("spatial", "temporal")]
    assert all((part.sum(axis=1) > 0).all() for part in parts)
    parts = [part / part.sum(axis=1, keepdims=True) for part in parts]
    expected = (parts[0] + 1.5 * parts[1]) / 2.5
    np.testing.assert_allclose(scores.streams["fused"], expected, atol=1e-5)
    assert "25 evenly spaced clips x 10 crops" in results["protocol"]
    assert "fused 1 : 1.5 (spatial : temporal) by the published rule" in results["protocol"]


def test_what_was_trained_on_is_left_out(call, trained, evaluated):
    _, results = evaluated()
    assert results["videos"] == 6
    assert results["trained_on"] == {"videos": 12, "in_training": 6, "left_out": 6}
    assert "those of 12 not in training (6 left out)" in results["protocol"]
    _, results = evaluated("--include_training")
    assert results["videos"] == 12 and "6 of them in training" in results["protocol"]
    assert results["trained_on"]["left_out"] == 0
    _, results = evaluated(f"{GROUPS} --test_group 2")
    assert results["videos"] == 6 and "none of them in training" in results["protocol"]
    with pytest.raises(UserError, match="all 6 videos were in the training of run"):
        call(f"evaluate --model run --data data {GROUPS} --test_group 1")
    err = call("evaluate --model run/model.keras --data data")[2]
    assert "6 of 12 videos were in training and are left out" in err


def test_videos_are_known_again_wherever_they_lie(call, work, tmp_path):
    moved = tmp_path / "elsewhere" / "clips"
    shutil.copytree(work / "data", moved)
    # Another video of the same name is another video.
    write_video(moved / "left" / "p1t0.mp4", 12, seed=99)
    results = json.loads(call(f"evaluate --model run --data {moved} --json")[1])
    assert results["trained_on"] == {"videos": 12, "in_training": 5, "left_out": 5}
    rows = [f"{moved}/left/p1t1.mp4,left", f"{moved}/right/p2t1.mp4,right"]
    (tmp_path / "list.csv").write_text("\n".join(["path,class", *rows, ""]))
    line = f"evaluate --model run --data {tmp_path}/list.csv --json"
    assert json.loads(call(line)[1])["trained_on"]["left_out"] == 1
    # A model alone does not know.
    shutil.copy(work / "run" / "model.keras", tmp_path / "alone.keras")
    line = f"evaluate --model {tmp_path}/alone.keras --data data"
    assert "which of them were in training is not known" in call(line)[1]


def test_synthetic_clips_are_those_of_the_run(call, smoke):
    folder = smoke[1]
    final = json.loads((folder / "results.json").read_text())["final"]
    line = f"evaluate --model {folder} --data synthetic --json"
    results = json.loads(call(line)[1])
    assert results["videos"] == final["tested"] == 32
    for stream in ("temporal", "spatial", "fused"):
        assert results["streams"][stream]["top1"] == final[f"{stream}_accuracy"]
    assert json.loads(call(f"{line} --count 8 --seed 5")[1])["videos"] == 8


def test_an_interval_at_the_end_is_no_point(call, tmp_path):
    """9 of 9 right: 70.1 to 100 %, in the class mean of equal classes as well."""
    labels = np.arange(9) % 3
    scores = VideoScores({"fused": np.eye(3)[labels]}, labels=labels)
    scores.save(tmp_path / "s.npz")
    figures = json.loads(call(f"evaluate --data {tmp_path}/s.npz --json")[1])
    figures = figures["streams"]["fused"]
    assert figures["top1"] == figures["mean_class"] == 1
    for name in ("top1_interval", "mean_class_interval"):
        assert figures[name] == pytest.approx([0.7008549, 1.0], abs=1e-6)
