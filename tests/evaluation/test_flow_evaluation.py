from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from evaluation.samples import write_flow_folder

from h2s_keras.data import write_flow, write_png
from h2s_keras.errors import FileError
from h2s_keras.evaluation.flow_pairs import FlowPair, find_flow_pairs
from h2s_keras.evaluation.flow_results import (
    flow_figures,
    flow_results,
    flow_rows,
    pair_flow,
)
from h2s_keras.metrics import EndPointError, FlowOutlierRate

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (24, 32, 3)).astype("uint8")
FLOW = np.full((24, 32, 2), (2.0, 1.0), "float32")


def write_ppm(path, picture):
    height, width = picture.shape[:2]
    path.write_bytes(b"P6 %d %d 255\n" % (width, height) + picture.tobytes())


def test_middlebury(tmp_path):
    write_flow_folder(tmp_path)
    pairs = find_flow_pairs(tmp_path)
    assert [pair.name for pair in pairs] == ["one/frame10", "two/frame10"]
    frames, truth = pairs[0].read()
    assert frames.shape == (2, 24, 32, 3) and np.isnan(truth[-1]).all()
    assert [pair.name for pair in find_flow_pairs(tmp_path / "one")] == ["frame10"]


def test_kitti(tmp_path):
    for folder in ("image_2", "flow_occ", "flow_noc"):
        (tmp_path / folder).mkdir()
    for number in ("10", "11"):
        write_png(tmp_path / "image_2" / f"000003_{number}.png", PICTURE)
    flow = FLOW.copy()
    flow[0] = np.nan
    for folder in ("flow_occ", "flow_noc"):
        write_flow(tmp_path / folder / "000003_10.png", flow)
    (pair,) = find_flow_pairs(tmp_path)
    assert pair.truth.endswith("flow_occ/000003_10.png")
    _, truth = pair.read()
    np.testing.assert_array_equal(truth, flow)
    (tmp_path / "image_2" / "000003_11.png").unlink()
    with pytest.raises(FileError, match="000003_11.png"):
        find_flow_pairs(tmp_path)


def test_flying_chairs(tmp_path):
    for number in (1, 2):
        write_ppm(tmp_path / f"00007_img{number}.ppm", PICTURE)
    write_flow(tmp_path / "00007_flow.flo", FLOW)
    (pair,) = find_flow_pairs(tmp_path)
    frames, truth = pair.read()
    np.testing.assert_array_equal(frames[0], PICTURE)
    np.testing.assert_array_equal(truth, FLOW)
    (tmp_path / "00007_img2.ppm").unlink()
    with pytest.raises(FileError, match="00007_img2"):
        find_flow_pairs(tmp_path)


def test_frames_without_truth(tmp_path):
    for name in "abc":
        write_png(tmp_path / f"{name}.png", PICTURE)
    pairs = find_flow_pairs(tmp_path)
    assert [(pair.name, pair.truth) for pair in pairs] == [("a", None), ("b", None)]


def test_nothing_to_find(tmp_path):
    with pytest.raises(FileError, match="no pairs"):
        find_flow_pairs(tmp_path)
    with pytest.raises(FileError, match="no such folder"):
        find_flow_pairs(tmp_path / "none")


def test_sizes_must_agree(tmp_path):
    write_png(tmp_path / "a.png", PICTURE)
    write_png(tmp_path / "b.png", PICTURE[:20])
    write_flow(tmp_path / "f.flo", FLOW[:20])
    paths = [str(tmp_path / name) for name in ("a.png", "b.png", "f.flo")]
    with pytest.raises(FileError, match="not of the size"):
        FlowPair("x", paths[0], paths[1]).read()
    with pytest.raises(FileError, match="32x20"):
        FlowPair("x", paths[0], paths[0], paths[2]).read()


def test_figures_of_the_truth_itself():
    frames = np.stack([PICTURE, np.roll(PICTURE, (1, 2), axis=(0, 1))])
    figures = flow_figures(frames, FLOW, FLOW)
    assert figures["epe"] == figures["fl_all"] == 0 and figures["aae"] < 1e-3
    assert figures["zero_epe"] == pytest.approx(5**0.5, rel=1e-4)
    assert figures["epe_0_10"] == 0 and figures["epe_10_40"] is None
    assert figures["epe_boundary"] is None and figures["epe_boundary_pixels"] == 0
    # The picture moved by whole pixels: warping brings it back exactly.
    assert figures["photometric"] == pytest.approx(0, abs=1e-3)
    assert figures["zero_photometric"] > 50
    assert flow_figures(frames, -FLOW, FLOW)["photometric"] > 50


def test_figures_by_speed():
    truth = FLOW.copy()
    truth[:, 16:] = (20.0, 0.0)
    frames = np.stack([PICTURE, PICTURE])
    figures = flow_figures(frames, truth + np.float32([3.0, 4.0]), truth)
    assert figures["epe"] == pytest.approx(5)
    assert figures["epe_0_10_pixels"] == figures["epe_10_40_pixels"] == 24 * 16
    assert figures["epe_boundary_pixels"] == 24 * 10
    assert figures["fl_all"] == 1 and figures["epe_40"] is None


def test_results_and_table(tmp_path):
    write_flow_folder(tmp_path)
    pairs, seen = find_flow_pairs(tmp_path), []
    results = flow_results(pairs, lambda frames: np.zeros_like(FLOW), seen.append)
    assert seen == [1, 2]
    assert results["mean"]["epe"] == pytest.approx(5**0.5, rel=1e-4)
    assert results["pairs"]["one/frame10"]["known"] == 23 * 30
    header, rows = flow_rows(results)
    assert header[1] == "EPE px" and rows[-2][:2] == ("mean", "2.236")
    assert rows[-1][0] == "all pixels" and rows[-1][-2:] == ("-", "-")


def test_all_pixels_count_alike_in_the_last_row(tmp_path):
    """As the metrics of the library over both pairs, whatever their sizes."""
    rng, pairs = np.random.default_rng(0), []
    truths = [rng.normal(0, 9, (8, 8, 2)), rng.normal(0, 2, (24, 40, 2))]
    for number, truth in enumerate(truths):
        frames = np.zeros((2, *truth.shape[:2], 3), "uint8")
        read = partial(lambda *pair: pair, frames, truth.astype("float32"))
        pairs.append(SimpleNamespace(name=str(number), read=read))
    results = flow_results(pairs, lambda frames: np.zeros((*frames.shape[1:3], 2), "f4"))
    for key, metric in (("epe", EndPointError()), ("fl_all", FlowOutlierRate())):
        expected = np.concatenate([truth.reshape(1, -1, 1, 2) for truth in truths], axis=1)
        metric.update_state(expected, np.zeros_like(expected))
        assert results["pixels"][key] == pytest.approx(float(metric.result()), rel=1e-5)
        assert results["mean"][key] > 1.5 * results["pixels"][key]
    lengths = np.concatenate([np.linalg.norm(t, axis=-1).ravel() for t in truths])
    chosen = lengths[(lengths >= 10) & (lengths < 40)]
    assert results["pixels"]["epe_10_40"] == pytest.approx(chosen.mean(), rel=1e-4)


def test_a_network_sees_the_pair(network):
    frames = np.stack([PICTURE, np.roll(PICTURE, 1, axis=1)])
    found = pair_flow(network.motion, frames)
    clip = np.concatenate([frames, frames[1:]])
    expected = network.motion.estimate_flow(clip[None])[0, 0]
    assert found.shape == (24, 32, 2)
    np.testing.assert_array_equal(found, expected)
