import sys

import numpy as np
import pytest

from h2s_keras.errors import FileError, LabelsWarning
from h2s_keras.evaluation.scores import (
    VideoScores,
    align,
    align_classes,
    load_labels,
    load_stream,
)

RNG = np.random.default_rng(0)
FUSED, SPATIAL = RNG.normal(size=(2, 5, 3)).astype("float32")


def make(names=("a", "b", "ü.mp4", "d", "e"), **values):
    return VideoScores(
        {"fused": FUSED, "spatial": SPATIAL},
        names,
        np.array([0, 1, 2, 0, 1]),
        ("x", "y", "z"),
        "1 clip",
        "f" * 64,
        {"fused": np.repeat(FUSED, 2, axis=0)},
        np.repeat(np.arange(5), 2),
        (1.0, 1.5),
        **values,
    )


def test_round_trip(tmp_path):
    path = tmp_path / "scores.npz"
    make().save(path)
    loaded, original = VideoScores.load(path), make()
    for stream, values in original.streams.items():
        np.testing.assert_array_equal(loaded.streams[stream], values)
    np.testing.assert_array_equal(loaded.views["fused"], original.views["fused"])
    np.testing.assert_array_equal(loaded.view_videos, original.view_videos)
    np.testing.assert_array_equal(loaded.labels, original.labels)
    for name in ("names", "class_names", "protocol", "checksum", "fusion"):
        assert getattr(loaded, name) == getattr(original, name)
    with np.load(path, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)


def test_streams_by_name(tmp_path):
    path = tmp_path / "scores.npz"
    make().save(path)
    np.testing.assert_array_equal(load_stream(str(path))[1], FUSED)
    np.testing.assert_array_equal(load_stream(f"{path}:spatial")[1], SPATIAL)
    with pytest.raises(FileError, match="no stream 'temporal'"):
        load_stream(f"{path}:temporal")


def test_matrices_of_the_neighbours(tmp_path):
    np.save(tmp_path / "a.npy", FUSED)
    np.savez(tmp_path / "b.npz", scores=FUSED, other=np.zeros(3))
    for name in ("a.npy", "b.npz"):
        loaded = VideoScores.load(tmp_path / name)
        np.testing.assert_array_equal(loaded.streams["fused"], FUSED)
        assert loaded.names is None and loaded.labels is None


def test_matlab(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    scipy_io.savemat(tmp_path / "a.mat", {"rgb": FUSED.astype("float64")})
    loaded = VideoScores.load(tmp_path / "a.mat")
    np.testing.assert_array_equal(loaded.streams["fused"], FUSED)
    scipy_io.savemat(tmp_path / "b.mat", {"one": FUSED, "two": SPATIAL})
    with pytest.raises(FileError, match="one matrix"):
        VideoScores.load(tmp_path / "b.mat")
    (tmp_path / "c.mat").write_bytes(b"MATLAB" * 50)
    with pytest.raises(FileError, match="c.mat"):
        VideoScores.load(tmp_path / "c.mat")


def test_matlab_without_scipy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(FileError, match="pip install scipy"):
        VideoScores.load(tmp_path / "a.mat")


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "tsn.npy"
    np.save(path, np.array([FUSED, None], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match="pickled"):
        VideoScores.load(path)
    np.savez(tmp_path / "tsn.npz", scores=np.array([{}], dtype=object))
    with pytest.raises(FileError, match="pickled"):
        VideoScores.load(tmp_path / "tsn.npz")


@pytest.mark.parametrize("name", ["none.npz", "text.npy", "text.npz", "scores.txt"])
def test_unreadable(tmp_path, name):
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "text.npz").write_text("no array")
    with pytest.raises(FileError, match=name):
        VideoScores.load(tmp_path / name)


def test_not_finite(tmp_path):
    np.save(tmp_path / "nan.npy", np.full((2, 3), np.nan))
    with pytest.raises(FileError, match="not finite"):
        VideoScores.load(tmp_path / "nan.npy")


def test_counts_must_fit():
    with pytest.raises(ValueError, match="names"):
        make(names=("a",))
    with pytest.raises(ValueError, match="0 to 2; got -1 to 1"):
        VideoScores({"fused": FUSED}, labels=np.array([0, 1, 1, 0, -1]))
    with pytest.raises(ValueError, match="one shape"):
        VideoScores({"fused": FUSED, "spatial": SPATIAL[:3]})


def test_rows_are_aligned_by_name():
    other = VideoScores({"fused": FUSED}, ("e", "d", "ü.mp4", "b", "a"))
    assert align("b.npz", other, make()).tolist() == [4, 3, 2, 1, 0]
    with pytest.raises(FileError, match="no ü.mp4"):
        align("b.npz", VideoScores({"fused": FUSED}, tuple("abcde")), make())
    plain = VideoScores({"fused": FUSED[:4]})
    with pytest.raises(FileError, match="4 videos"):
        align("b.npz", plain, make())


def test_columns_are_aligned_by_name():
    other = VideoScores({"fused": FUSED}, class_names=("z", "x", "y"))
    columns = align_classes("b.npz", other, make())
    np.testing.assert_array_equal(FUSED[:, columns], FUSED[:, [1, 2, 0]])
    plain = VideoScores({"fused": FUSED})
    assert align_classes("b.npz", plain, make()).tolist() == [0, 1, 2]
    with pytest.raises(FileError, match="not of the same classes as the first, .* no 'y'"):
        one = VideoScores({"fused": FUSED}, class_names=("x", "w", "z"))
        align_classes("b.npz", one, make())
    with pytest.raises(FileError, match="has 2 classes, the first file 3"):
        align_classes("b.npz", VideoScores({"fused": FUSED[:, :2]}), make())


@pytest.mark.parametrize("name", ["l.npy", "l.npz"])
def test_labels_that_are_names(tmp_path, name):
    names = np.array(["jump", "run"])
    save = np.save if name.endswith("npy") else np.savez
    save(tmp_path / name, names)
    with pytest.raises(FileError, match="holds no whole numbers as labels"):
        load_labels(tmp_path / name, 2)


def test_labels(tmp_path):
    text = tmp_path / "list.txt"
    text.write_text("a/one.avi 1\nb/two.avi 3\nb/three.avi 2\n")
    assert load_labels(text, 3).tolist() == [0, 2, 1]
    text.write_text("path,class,label\na,x,0\nb,y,2\n")
    assert load_labels(text, 3).tolist() == [0, 2]
    np.save(tmp_path / "l.npy", np.array([[0], [1], [1]]))
    assert load_labels(tmp_path / "l.npy", 3).tolist() == [0, 1, 1]
    several = np.array([[1, 0, 1], [0, 1, 0]])
    np.save(tmp_path / "m.npy", several)
    np.testing.assert_array_equal(load_labels(tmp_path / "m.npy", 3), several > 0)
    make().save(tmp_path / "s.npz")
    assert load_labels(tmp_path / "s.npz", 3).tolist() == [0, 1, 2, 0, 1]
    text.write_text("a 1\nb 2\n")
    with pytest.warns(LabelsWarning, match="read as counted from 0; if they count from 1"):
        assert load_labels(text, 3).tolist() == [1, 2]
    text.write_text("a 7\n")
    with pytest.raises(FileError, match="3 classes"):
        load_labels(text, 3)
    text.write_text("a 1\nb x\n")
    with pytest.raises(FileError, match="line 2"):
        load_labels(text, 3)
