"""`h2s train motion`: a flat folder of unlabelled videos, from a cold start."""

import json

import numpy as np
import pytest


@pytest.fixture
def footage(tmp_path):
    """Three small lossless videos of a smooth texture that moves a pixel a frame."""
    import av

    generator, folder = np.random.default_rng(4), tmp_path / "footage"
    folder.mkdir()
    for number in range(3):
        wide = generator.uniform(0, 255, (8, 12, 3)).repeat(4, axis=0).repeat(4, axis=1)
        wide = sum(np.roll(wide, step, axis=1) for step in range(-2, 3)) / 5
        with av.open(str(folder / f"{number}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.height = stream.width = 32
            stream.pix_fmt = "bgr0"
            for step in range(6):
                picture = np.ascontiguousarray(wide[:, step : step + 32].astype("uint8"))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode())
    return folder


def test_motion_of_a_flat_folder_serves_flow(cold_h2s, h2s, footage, tmp_path):
    run = tmp_path / "run"
    settings = [f"data.root={footage}", "stages.motion.steps=2", "tensorboard=False"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    done = cold_h2s("train", "motion", "--smoke", *arguments, "--out", run)
    assert done.code == 0, done.err
    assert "2 videos to learn motion from, 1 held out" in done.err
    assert "held-out pairs of frames warping by the flow leaves" in done.out
    assert "h2s flow new.mp4 --model" in done.out
    results = json.loads((run / "results.json").read_text())
    final = results["final"]
    assert final["pairs"] >= 100 and final["kept"] in ("before", "tuned")
    assert final["warped_error"] <= final["warped_error_before"]
    flow = tmp_path / "flow"
    done = h2s("flow", footage / "0.mkv", "--model", run, "--out", flow)
    assert done.code == 0, done.err
    assert len(list(flow.glob("*.flo"))) == 5


def test_folders_without_videos_are_one_line(h2s, tmp_path):
    (tmp_path / "empty").mkdir()
    setting = f"data.root={tmp_path / 'empty'}"
    done = h2s("train", "motion", "--set", setting, "--out", tmp_path / "run")
    assert done.code == 2 and len(done.error_lines) == 1, done.err
    assert "holds no videos" in done.err
    done = h2s("train", "motion", "--out", tmp_path / "run")
    assert done.code == 2 and "data.root=FOLDER" in done.err
