"""The recipe `videos` as it comes, made small: from folders of frames to the figures."""

import shutil

import numpy as np
import pytest

from h2s_keras.data.clips.cached_flow import FlowCache
from h2s_keras.errors import UserError
from h2s_keras.options import DataOptions, run_options
from h2s_keras.recipes import videos
from h2s_keras.training import train
from h2s_keras.training.run_folder import RunFolder

CLASSES = {"left": -2, "right": 2}  # pixels a frame
STEPS = {"motion": 2, "temporal": 40, "end_to_end": 2, "spatial": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine videos of each class: a textured square that moves over a still background.

    Single frames do not tell the classes apart, and the groups are drawn apart.
    """
    from h2s_keras.data import write_png

    root = tmp_path_factory.mktemp("data") / "videos"
    generator = np.random.default_rng(8)
    for name, step in CLASSES.items():
        for number in range(9):
            ground = _texture(generator, 48)
            square = _texture(generator, 20)
            top, start = generator.integers(4, 24), generator.integers(11, 18)
            for index in range(9):
                frame = ground.copy()
                left = start + step * (index - 4)
                frame[top : top + 20, left : left + 20] = square
                path = root / name / f"v{number}_g{number % 3}" / f"img_{index + 1:05d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_png(path, frame)
    return root


def _texture(generator, size):
    rough = generator.uniform(0, 255, (size // 4, size // 4, 3))
    wide = rough.repeat(4, axis=0).repeat(4, axis=1)
    return ((wide + np.roll(wide, 2, 0) + np.roll(wide, 2, 1)) / 3).astype("uint8")


def config_of(folder, **changes):
    config = videos.get_config()
    config.data = DataOptions.of(
        {
            **vars(config.data),
            "root": str(folder),
            "group_pattern": r"_g(\d)",
            "test_group": "2",
            "num_frames": 5,
            "clip_seconds": None,
            "image_size": (48, 48),
            "decode_size": (48, 48),
            "clips_per_video": 2,
            "validation": 0.3,
            # A mirror image of the one is the other.
            "flip": False,
            **changes,
        }
    )
    config.model.spatial, config.model.spatial_weights = "small", None
    config.tensorboard = False
    config.batch_size = 8
    for stage in config.stages:
        stage.steps, stage.epoch = STEPS[stage.name], max(2, STEPS[stage.name] // 2)
        stage.jit_compile = False
        stage.batch_size = min(stage.batch_size or 8, 4)
    temporal = config.stages[1]
    temporal.batch_size, temporal.steps_per_video = 8, 14
    return run_options(config)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """(results, run folder, keys of the caches of flow, pairs that were estimated)."""
    keys, pairs = [], []
    fill = FlowCache.fill

    def noted(cache, estimate, progress=None):
        keys.append(cache.key["key"])

        def counted(frames):
            pairs.append(len(frames))
            return estimate(frames)

        return fill(cache, counted, progress)

    run = tmp_path_factory.mktemp("own") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlowCache, "fill", noted)
        results = train(config_of(folder), run)["results"]
    return results, run, keys, sum(pairs)


def test_the_recipe_learns_what_moves_left_and_what_moves_right(trained):
    results, run, _, _ = trained
    assert results["final"]["tested"] == 6
    assert results["final"]["temporal_accuracy"] == 1.0
    # The spatial stream cannot know, so it has no weight.
    assert results["fusion"][0] == 0.0 and results["final"]["fused_accuracy"] == 1.0
    assert list(results["stages"]) == list(STEPS)
    assert 0 < results["stages"]["motion"]["warped_error_before"] < 1
    # Six videos to train on.
    stages = RunFolder(run, resume=True).read_config()["stages"]
    assert (stages[1]["steps"], stages[1]["steps_per_video"]) == (84, None)
    assert (run / "model.keras").exists()
    assert "held-out pairs of frames" in (run / "report.html").read_text()


def test_the_network_of_all_videos_keeps_motion_and_its_flow(trained):
    results, run, keys, pairs = trained
    again = {name for name in results["seconds"] if name.endswith("_all")}
    assert "temporal_all" in again and not again & {"motion_all", "spatial_all"}
    assert len(keys) == 2 and keys[0] == keys[1]
    # Of 12 videos, 8 pairs each, for both.
    assert pairs == 12 * 8
    # It is there while it is read, and no longer.
    assert not (run / "flow" / "flow.raw").exists()


def test_all_bad_videos_are_named_before_anything_is_trained(folder, tmp_path):
    """Else a run ends at the first of them, minutes after it began."""
    bad = tmp_path / "videos"
    shutil.copytree(folder, bad)
    (bad / "left" / "empty_g0.mp4").write_bytes(b"")
    for number in range(2, 10):
        (bad / "right" / "v3_g0" / f"img_{number:05d}.png").unlink()
    run = tmp_path / "runs" / "mine"
    with pytest.raises(UserError) as refused:
        train(config_of(bad), run)
    message = str(refused.value)
    assert "2 of 19 videos cannot be used" in message and "on_bad_file=skip" in message
    assert "empty_g0.mp4: " in message and "v3_g0: has too few frames" in message
    # Once the videos are mended the same command runs.
    assert not run.parent.exists()
