import struct

import numpy as np
import pytest

from h2s_keras.data import read_flow, write_flow, write_png
from h2s_keras.errors import FlowFileError


@pytest.fixture
def flow():
    values = np.random.default_rng(1).normal(0, 20, (5, 7, 2)).astype(np.float32)
    values[1, 2] = np.nan
    return values


def test_flo_round_trip_is_exact(tmp_path, flow):
    write_flow(tmp_path / "a.flo", flow)
    again = read_flow(tmp_path / "a.flo")
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, flow)


def test_flo_bytes_by_hand(tmp_path):
    write_flow(tmp_path / "a.flo", np.array([[[1.5, -2.0], [np.nan, 3.0]]]))
    expected = struct.pack("<fii4f", 202021.25, 2, 1, 1.5, -2.0, 1e10, 1e10)
    assert (tmp_path / "a.flo").read_bytes() == expected
    assert (tmp_path / "a.flo").read_bytes()[:4] == b"PIEH"


def test_x_comes_first_and_a_swap_would_be_seen(tmp_path):
    path = tmp_path / "a.flo"
    path.write_bytes(struct.pack("<fii4f", 202021.25, 1, 2, 1, 2, 3, 4))
    np.testing.assert_array_equal(read_flow(path), [[[1, 2]], [[3, 4]]])
    assert not np.array_equal(read_flow(path)[..., ::-1], [[[1, 2]], [[3, 4]]])


def test_kitti_round_trip_within_half_a_step(tmp_path, flow):
    write_flow(tmp_path / "a.png", flow)
    again = read_flow(tmp_path / "a.png")
    np.testing.assert_array_equal(np.isnan(again), np.isnan(flow))
    assert np.nanmax(np.abs(again - flow)) <= 0.5 / 64 + 1e-6


def test_kitti_values_against_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")
    write_flow(tmp_path / "a.png", np.array([[[1.0, -2.0], [np.nan, np.nan]]]))
    values = tf.io.decode_png((tmp_path / "a.png").read_bytes(), dtype=tf.uint16)
    assert values.numpy().tolist() == [[[32832, 32640, 1], [0, 0, 0]]]


@pytest.mark.parametrize(
    "content, text",
    [
        (b"", "empty"),
        (b"PIEH", "too few"),
        (struct.pack("<fii2f", 1.0, 1, 1, 0, 0), "no Middlebury"),
        (struct.pack("<fii2f", 202021.25, 2, 1, 0, 0), "fetch it again"),
        (struct.pack("<fii3f", 202021.25, 1, 1, 0, 0, 0), "fetch it again"),
        (struct.pack("<fii", 202021.25, 2**31 - 1, 2**31 - 1), "claims"),
        (struct.pack("<fii", 202021.25, -1, -1), "claims"),
        (struct.pack("<fii", 202021.25, 0, 5), "claims"),
    ],
)
def test_hostile_flo(tmp_path, content, text):
    path = tmp_path / "a.flo"
    path.write_bytes(content)
    with pytest.raises(FlowFileError, match=text) as caught:
        read_flow(path)
    assert "a.flo" in str(caught.value) and "\n" not in str(caught.value)


def test_nan_and_infinity_in_a_file_are_unknown(tmp_path):
    path = tmp_path / "a.flo"
    path.write_bytes(struct.pack("<fii4f", 202021.25, 2, 1, float("inf"), 0, 1e9, 0))
    flow = read_flow(path)
    assert np.isnan(flow[0, 0]).all() and flow[0, 1].tolist() == [1e9, 0]


def test_refusals(tmp_path, flow):
    with pytest.raises(FlowFileError, match="not '.txt'"):
        write_flow(tmp_path / "a.txt", flow)
    with pytest.raises(FlowFileError, match="not '.pfm'"):
        read_flow(tmp_path / "a.pfm")
    with pytest.raises(FlowFileError, match="no such file"):
        read_flow(tmp_path / "none.flo")
    with pytest.raises(FlowFileError, match=r"write a \.flo file"):
        write_flow(tmp_path / "a.png", np.full((2, 2, 2), 600.0))
    with pytest.raises(FlowFileError, match="write NaN"):
        write_flow(tmp_path / "a.flo", np.full((2, 2, 2), 2e9))
    with pytest.raises(ValueError, match="Received"):
        write_flow(tmp_path / "a.flo", np.zeros((1, 2, 2, 2)))
    with pytest.raises(ValueError, match="infinite"):
        write_flow(tmp_path / "a.flo", np.full((2, 2, 2), np.inf))
    write_png(tmp_path / "colours.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(FlowFileError, match="16 bit"):
        read_flow(tmp_path / "colours.png")
    assert [entry.name for entry in tmp_path.iterdir()] == ["colours.png"]


def test_real_middlebury_file(real_data, tmp_path):
    path = real_data("flow", "RubberWhale", "flow10.flo")
    flow = read_flow(path)
    assert flow.shape == (388, 584, 2)
    known = np.isfinite(flow).all(axis=-1)
    assert 0.9 < known.mean() < 1 and np.abs(flow[known]).max() < 10
    write_flow(tmp_path / "again.flo", flow)
    np.testing.assert_array_equal(read_flow(tmp_path / "again.flo"), flow)
