"""Tuning MotionNet on pairs of frames, and undoing it where it does not help."""

import json

import keras
import numpy as np
import pytest

from h2s_keras.models import HiddenTwoStreamBuilder, MotionNet
from h2s_keras.options import StageOptions
from h2s_keras.training import train
from h2s_keras.training.preparation import prepare_stage
from h2s_keras.training.stages import Position
from h2s_keras.training.validation import (
    MotionValidation,
    baseline_errors,
    motion_sentence,
    warped_error,
)

STAGE = {
    "name": "motion",
    "streams": ["motion"],
    "steps": 4,
    "epoch": 2,
    "learning_rate": 1e-3,
    "flow_loss": {"kind": "mixed"},
    "jit_compile": False,
}


def textures(count, size=32, shift=2):
    """Pairs of smooth random pictures, the second moved `shift` pixels to the right."""
    generator = np.random.default_rng(5)
    rough = generator.uniform(0, 255, (count, size // 4 + 2, size // 4 + 6, 3))
    wide = rough.repeat(4, axis=1).repeat(4, axis=2)
    for axis in (1, 2):
        wide = sum(np.roll(wide, step, axis) for step in range(-2, 3)) / 5
    wide = np.round(wide).astype("uint8")[:, 4:, 8:]
    first, second = wide[:, :size, shift : size + shift], wide[:, :size, :size]
    return np.stack([first, second], axis=1)


def motion_net(frames=2):
    keras.utils.set_random_seed(2)
    network = MotionNet(frames, "small", coarse_to_fine=True)
    network.build((None, frames, 32, 32, 3))
    return network


# === The measure ===


def test_error_by_hand():
    pairs = np.zeros((1, 2, 1, 4, 3), "uint8")
    pairs[0, 0, 0] = np.array([10, 20, 30, 40])[:, None]
    pairs[0, 1, 0] = np.array([90, 10, 20, 30])[:, None]
    flows = np.zeros((1, 1, 4, 2), "float32")
    assert warped_error(pairs, flows) == pytest.approx(1.0)
    flows[..., 0] = 1.0
    # The last pixel takes the border's 30: 10 left of 80 + 10 + 10 + 10.
    assert warped_error(pairs, flows) == pytest.approx(10 / 110)
    flows[..., 0] = -100.0  # All read the first pixel: 80, 70, 60 and 50 are left.
    assert warped_error(pairs, flows) == pytest.approx(260 / 110)


def test_error_is_pooled_over_pairs_and_blind_to_pairs_that_stand_still():
    pairs = textures(40)
    right = np.zeros((40, 32, 32, 2), "float32")
    right[..., 0] = 2.0
    error = warped_error(pairs, right)
    assert 0 < error < 0.2
    still = np.stack([pairs[:, 0], pairs[:, 0]], axis=1)
    both = np.concatenate([pairs, still])
    zero = np.zeros_like(right)
    assert warped_error(both, np.concatenate([right, zero])) == pytest.approx(error)
    assert warped_error(both, np.concatenate([zero, zero])) == pytest.approx(1.0)
    assert warped_error(still, zero) == 0.0


def test_classical_methods_find_a_shift():
    pytest.importorskip("cv2")
    errors = baseline_errors(textures(2))
    assert "warped_error_dis" in errors
    assert all(error < 0.5 for error in errors.values())


def test_without_opencv_there_are_none(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    assert baseline_errors(textures(1)) == {}


# === What is kept ===


def validated(tmp_path, network, pairs):
    model = prepare_stage(network, StageOptions.of(STAGE))
    position = Position()
    validation = MotionValidation(str(tmp_path / "best.npz"), pairs, position)
    validation.set_model(model)
    validation.on_train_begin()
    return model, position, validation


def test_a_stage_that_makes_things_worse_is_undone(tmp_path):
    network = motion_net()
    begun = network.get_weights()
    model, position, validation = validated(tmp_path, network, textures(4))
    # What a stage gone wrong leaves: flow of many pixels, everywhere.
    network.head.flow_convolutions[-1].bias.assign([30.0, 30.0])
    position.step = 2
    logs = {}
    validation.on_epoch_end(0, logs)
    assert logs["validation_loss"] > validation.history[0]["loss"]
    validation.restore_best(model)
    for one, other in zip(network.get_weights(), begun, strict=True):
        np.testing.assert_array_equal(one, other)
    figures = validation.figures()
    assert figures["kept"] == "before" and figures["best_step"] == 0
    assert figures["warped_error"] == figures["warped_error_before"]
    assert "no step of the tuning did better" in motion_sentence(figures)


def test_a_stage_that_helps_is_kept_also_by_a_run_that_goes_on(tmp_path):
    network = motion_net(frames=3)
    for layer in network.head.flow_convolutions:
        layer.kernel.assign(layer.kernel * 0)
        layer.bias.assign(layer.bias * 0)
    pairs = textures(4)
    model, position, validation = validated(tmp_path, network, pairs)
    assert validation.history[0]["loss"] == pytest.approx(1.0)
    # 1.8 pixels to the right, then to the left; it is 2 to the right.
    finest = network.head.flow_convolutions[-1]
    for scale in (1.0, -1.0):
        finest.bias.assign([scale * 0.03, 0.0])
        position.step += 2
        validation.on_epoch_end(0, {})
    kept = validation.history[1]["loss"]
    assert kept < 0.3 and validation.history[2]["loss"] > 1.0
    again = MotionValidation(str(tmp_path / "best.npz"), pairs, position)
    again.restore_best(model)
    assert again.measure(model)["loss"] == pytest.approx(kept, abs=1e-6)
    figures = again.figures()
    assert figures["kept"] == "tuned" and figures["best_step"] == 2
    text = motion_sentence({**figures, "warped_error_dis": 0.25})
    assert "100.0% of zero flow's error before" in text and "(DIS 25.0%)" in text


# === Whole runs ===


def config_of(tmp_path, make_videos, **changes):
    make_videos(tmp_path / "videos")
    return {
        "name": "small",
        "seed": 1,
        "tensorboard": False,
        "data": {
            "kind": "unlabelled",
            "root": str(tmp_path / "videos"),
            "num_frames": 2,
            "image_size": (32, 32),
            "decode_size": (32, 32),
            "validation": 0.4,
        },
        "model": {
            "motion": "small",
            "motion_options": {"coarse_to_fine": True},
            "temporal": None,
        },
        "batch_size": 4,
        "stages": [STAGE],
        **changes,
    }


@pytest.fixture
def make_videos():
    """Writes two lossless videos of a texture that moves, one folder below another."""
    import av

    def make(root):
        for number in range(2):
            path = root / f"day{number}" / f"{number}.mkv"
            path.parent.mkdir(parents=True)
            wide = textures(1, size=48, shift=0)[0, number]
            with av.open(str(path), "w") as container:
                stream = container.add_stream("ffv1", rate=25)
                stream.height = stream.width = 32
                stream.pix_fmt = "bgr0"
                for step in range(8):
                    picture = np.ascontiguousarray(wide[:32, step : step + 32])
                    frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                    container.mux(stream.encode(frame))
                container.mux(stream.encode())

    return make


def test_a_run_on_unlabelled_videos(tmp_path, make_videos):
    said = []

    class Shown:
        def stage(self, *arguments):
            callback = keras.callbacks.Callback()
            callback.close = lambda: None
            return callback

        def message(self, text):
            said.append(text)

    done = train(config_of(tmp_path, make_videos), tmp_path / "run", progress=Shown())
    final = done["results"]["final"]
    stage = done["results"]["stages"]["motion"]
    assert [entry["step"] for entry in stage["history"]] == [0, 2, 4]
    losses = [entry["loss"] for entry in stage["history"]]
    assert final["warped_error_before"] == losses[0]
    assert final["warped_error"] == min(losses) and "history" not in final
    assert said[0] == "1 video to learn motion from, 1 held out"
    assert any("held-out pairs of frames" in text for text in said)
    assert "videos (or the end of a single one) set aside" in done["results"]["test"]
    saved = json.loads((tmp_path / "run" / "results.json").read_text())
    assert saved["final"]["warped_error"] == final["warped_error"]
    # What is kept serves other networks, for any number of frames.
    path = str(tmp_path / "run")
    builder = HiddenTwoStreamBuilder(2, 4, (32, 32)).motion(path).temporal("tiny")
    used = builder.build().motion
    assert used.num_frames == 4
    for one, other in zip(used.get_weights(), done["network"].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_run_that_makes_things_worse_leaves_what_it_began_with(tmp_path, make_videos):
    """The negative control of a whole run: steps far too large lose what was learned."""
    stage = {**STAGE, "steps": 2, "flow_loss": {"kind": "mixed"}}
    start = motion_net()
    start.save(tmp_path / "start.keras")
    config = config_of(tmp_path, make_videos, stages=[{**stage, "learning_rate": 0.3}])
    config["model"] = {"motion": str(tmp_path / "start.keras"), "temporal": None}
    done = train(config, tmp_path / "run")
    figures = done["results"]["stages"]["motion"]
    assert figures["kept"] == "before"
    assert figures["history"][1]["loss"] > figures["history"][0]["loss"] + 0.01
    for one, other in zip(done["network"].get_weights(), start.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_first_stage_of_a_network_of_longer_clips(tmp_path, make_videos):
    """The stage sees pairs, whatever number of frames the network takes."""
    config = config_of(tmp_path, make_videos, tensorboard=True)
    config["data"] = {
        "kind": "synthetic",
        "num_frames": 3,
        "image_size": (32, 32),
        "seed": 1,
        "test_count": 8,
    }
    config["model"] = {**config["model"], "temporal": "tiny"}
    config["stages"] = [{**STAGE, "steps": 2}]
    done = train(config, tmp_path / "run")
    figures = done["results"]["stages"]["motion"]
    assert figures["pairs"] == 8 and "warped_error_dis" not in figures
    assert "temporal_accuracy" in done["results"]["final"]


def test_networks_that_see_no_pairs_are_refused(tmp_path, make_videos):
    config = config_of(tmp_path, make_videos)
    config["model"] = {"motion": "small", "temporal": None}
    config["data"]["num_frames"] = 3
    with pytest.raises(ValueError, match="sees pairs of frames") as raised:
        train(config, tmp_path / "run")
    assert "stages.motion=none" in str(raised.value)
