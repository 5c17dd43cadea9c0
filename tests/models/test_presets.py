"""Networks that come with the package: there, whole, and no larger than promised."""

import os
import shutil

import keras
import numpy as np
import pytest
from checks import assert_close
from from_clone import ROOT  # noqa: F401

from benchmarks.tools.make_preset import write_preset
from h2s_keras.errors import UserError
from h2s_keras.model_files import PRESETS, check_model, preset_index, preset_name
from h2s_keras.models import MotionNet, load_model, presets
from h2s_keras.models.motion_net_of import motion_net_of
from h2s_keras.models.presets import read_preset

NAMES = sorted(preset_index())
FRAMES = np.random.default_rng(0).integers(0, 256, (1, 11, 40, 56, 3), dtype="uint8")


def test_all_together_stay_small():
    total = sum(
        os.path.getsize(os.path.join(PRESETS, name)) for name in os.listdir(PRESETS)
    )
    assert total <= 12e6
    assert {"tiny_synthetic", "tiny_unlabelled", "small_video", "quickstart"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_works_and_says_where_it_comes_from(name):
    about = preset_index()[name]
    model = load_model(name)
    assert type(model).__name__ == about["kind"]
    assert model.count_params() == about["parameters"]
    assert {str(weight.dtype) for weight in model.weights} <= {"float32", "uint32"}
    clip = FRAMES[:, : about["num_frames"]]
    flow = motion_net_of(model).estimate_flow(clip)
    assert flow.shape == (1, about["num_frames"] - 1, 40, 56, 2)
    assert np.isfinite(flow).all()
    assert about["trained"].startswith("h2s ") and about["figures"]


def test_a_preset_of_pairs_takes_any_number_of_frames():
    two = MotionNet.from_preset("tiny_synthetic")
    five = MotionNet.from_preset("tiny_synthetic", num_frames=5)
    assert (two.num_frames, five.num_frames) == (2, 5)
    assert five.count_params() == two.count_params()
    flow = five.estimate_flow(FRAMES[:, :5])
    for pair in range(4):
        alone = two.estimate_flow(FRAMES[:, pair : pair + 2])
        assert_close(flow[:, pair], alone[:, 0], atol=1e-4)
    with pytest.raises(UserError, match="takes 3 frames and num_frames=4 was asked for"):
        MotionNet.from_preset("quickstart", num_frames=4)


def test_flow_of_a_known_motion():
    """A pattern that moves by (3, -2) pixels; no training clip looks like it."""
    y, x = np.mgrid[:96, :128].astype(float)

    def frame(dx, dy):
        u, v = x - dx, y - dy
        waves = np.sin(0.31 * u + 0.2 * v) + np.cos(0.23 * v - 0.4 * u + 1)
        waves = waves + 0.6 * np.sin(0.07 * u * np.cos(0.03 * v))
        return np.repeat((128 + 45 * waves)[..., None], 3, -1).clip(0, 255).astype("uint8")

    clip = np.stack([frame(0, 0), frame(3, -2)])[None]
    flow = MotionNet.from_preset("tiny_synthetic", num_frames=2).estimate_flow(clip)[0, 0]
    error = np.linalg.norm(flow - [3, -2], axis=-1)[12:-12, 12:-12].mean()
    assert error < 0.5 * np.hypot(3, 2)


def test_what_lies_on_disk_under_the_name_goes_first(tmp_path, monkeypatch):
    assert preset_name("tiny_synthetic") == "tiny_synthetic"
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(1)
    motion_net = MotionNet(3, "tiny")
    motion_net.build((None, 3, 32, 32, 3))
    os.mkdir("tiny_synthetic")
    motion_net.save("tiny_synthetic/model.keras")
    assert preset_name("tiny_synthetic") is None
    assert MotionNet.from_preset("tiny_synthetic").num_frames == 3


def test_write_and_read_again(tmp_path):
    keras.utils.set_random_seed(1)
    motion_net = MotionNet(3, "tiny")
    motion_net.build((None, 3, 32, 32, 3))
    for _ in range(2):
        write_preset(motion_net, "mine", {"trained": "h2s train"}, str(tmp_path))
        checksum = preset_index(str(tmp_path))["mine"]["sha256"]
        again = read_preset("mine", str(tmp_path))
        assert preset_index(str(tmp_path))["mine"]["sha256"] == checksum
    for one, two in zip(motion_net.get_weights(), again.get_weights(), strict=True):
        assert_close(two, one, rtol=1e-3, atol=1e-6)
    motion_net.convolutions[0].bias.assign(motion_net.convolutions[0].bias + 1e6)
    with pytest.raises(ValueError, match="does not fit into float16"):
        write_preset(motion_net, "mine", {}, str(tmp_path))


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_file_is_reported(tmp_path, harm):
    folder = str(tmp_path / "weights")
    shutil.copytree(PRESETS, folder)
    path = os.path.join(folder, preset_index()[NAMES[0]]["file"])
    with open(path, "rb") as file:
        data = bytearray(file.read())
    if harm == "remove":
        os.remove(path)
    else:
        data = data[:-10] if harm == "cut" else data
        data[len(data) // 2] ^= 1
        with open(path, "wb") as file:
            file.write(data)
    with pytest.raises(UserError, match="install the package again"):
        read_preset(NAMES[0], folder)


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(UserError, match="quickstart"):
        load_model("quickstrat")
    with pytest.raises(UserError, match="no preset 'nothing'"):
        presets.read_preset("nothing")


def test_every_preset_of_pairs_serves_clips_of_any_length():
    for name in ("tiny_synthetic", "tiny_unlabelled", "small_video"):
        longer = MotionNet.from_preset(name, num_frames=4)
        assert longer.count_params() == preset_index()[name]["parameters"]


# === Folders of presets, and what Keras loads itself ===


@pytest.mark.parametrize("name", ["small_video", "quickstart"])
def test_a_network_comes_back_from_its_folder(tmp_path, name):
    network = load_model(name)
    folder = tmp_path / "mine"
    network.save_to_preset(folder)
    names = {"config.json", "metadata.json", "model.weights.h5"}
    assert names <= {entry.name for entry in folder.iterdir()}
    again = type(network).from_preset(folder)
    assert again.get_config() == network.get_config()
    for one, other in zip(network.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, other)
    with pytest.raises(UserError, match="mine: exists and is not an empty folder"):
        network.save_to_preset(folder)


def test_remote_paths_are_for_keras(monkeypatch):
    asked, network = [], load_model("small_video")

    def load(path, compile):
        asked.append(path)
        return network

    monkeypatch.setattr(keras.saving, "load_model", load)
    check_model("hf://someone/motion")
    assert MotionNet.from_preset("hf://someone/motion") is network
    assert asked == ["hf://someone/motion"]
    # A path on this disk is still looked for.
    with pytest.raises(UserError, match="no such model file"):
        check_model("hf/someone/motion")
