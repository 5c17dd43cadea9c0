import json

import pytest

from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.errors import FileError
from h2s_keras.training.training_videos import FILE, TrainingVideos


@pytest.fixture
def root(tmp_path):
    for name, size in (("a/1.mp4", 3), ("b/1.mp4", 4), ("b/2.mp4", 5)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "a" / "frames").mkdir()
    for number in range(4):
        (tmp_path / "a" / "frames" / f"{number}.png").write_bytes(b"")
    return tmp_path


def example(root, name, start=None, end=None):
    return VideoExample(str(root / name), 0, None, start, end)


def test_names_lie_below_the_common_folder(root):
    seen = TrainingVideos.of_examples(
        [example(root, "a/1.mp4"), example(root, "b/2.mp4"), example(root, "a/frames")]
    )
    assert seen.to_json()["videos"] == [
        {"name": "a/1.mp4", "size": 3},
        {"name": "b/2.mp4", "size": 5},
        {"name": "a/frames", "size": 4},
    ]
    held = [name for name in ("a/1.mp4", "b/1.mp4", "b/2.mp4", "a/frames")]
    held = [name for name in held if seen.holds(example(root, name))]
    assert held == ["a/1.mp4", "b/2.mp4", "a/frames"]


def test_segments_count_where_they_overlap(root):
    seen = TrainingVideos.of_examples([example(root, "a/1.mp4", 2.0, 4.0)])
    cases = {(0, 2): False, (4, 5): False, (3.5, 9): True, (0, 9): True, (None, None): True}
    for (start, end), expected in cases.items():
        assert seen.holds(example(root, "a/1.mp4", start, end)) == expected


def test_packed_videos_are_known_by_their_path(root):
    """Records do not keep the size of the file."""
    records = [{"name": "b/1.mp4", "frames": 9}, {"name": "b/1.mp4", "frames": 9}]
    seen = TrainingVideos.of_examples(records)
    assert seen.to_json()["videos"] == [{"name": "b/1.mp4", "size": None}]
    assert seen.holds(example(root, "b/1.mp4"))
    assert not seen.holds(example(root, "a/1.mp4"))


def test_from_a_run_and_both_together(root):
    one = TrainingVideos.of_examples([example(root, "a/1.mp4")])
    two = TrainingVideos.of_examples([example(root, "a/1.mp4"), example(root, "b/2.mp4")])
    both = one | two
    assert len(both.to_json()["videos"]) == 3  # Other roots, other names.
    assert len((two | two).to_json()["videos"]) == 2
    assert [one["name"] for one in (both - two).records] == ["1.mp4"]
    assert not (two - both).records
    (root / FILE).write_text(json.dumps(two.to_json()))
    assert TrainingVideos.of_model(root).holds(example(root, "b/2.mp4"))
    assert TrainingVideos.of_model(root / "a" / "1.mp4") is None
    assert TrainingVideos.of_model("quickstart") is None
    (root / FILE).write_text("[1]")
    with pytest.raises(FileError, match="cannot be read"):
        TrainingVideos.of_model(root)
