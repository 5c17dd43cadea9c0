import keras
import numpy as np
import pytest


@pytest.fixture
def network():
    """A tiny two-stream network of 32x32 clips without dropout, always the same."""
    from h2s_keras.models import HiddenTwoStreamBuilder

    keras.utils.set_random_seed(0)
    builder = HiddenTwoStreamBuilder(4, 3, (32, 32)).motion("tiny")
    builder.temporal("tiny", dropout=0.0).spatial("tiny", dropout=0.0)
    return builder.build()


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (4, 3, 32, 32, 3)).astype("uint8")
    return clips, np.array([0, 1, 2, 3])


@pytest.fixture
def small_config():
    """Plain values of a run of seconds; `epoch` 5 so that states are written often."""

    def make(motion_steps=10, temporal_steps=10, **changes):
        config = {
            "name": "small",
            "seed": 1,
            "data": {
                "kind": "synthetic",
                "num_frames": 2,
                "image_size": [16, 16],
                "seed": 1,
                "test_count": 8,
            },
            "model": {"motion": "tiny", "temporal": "tiny"},
            "batch_size": 4,
            "stages": [
                {
                    "name": "motion",
                    "streams": ["motion"],
                    "steps": motion_steps,
                    "epoch": 5,
                    "learning_rate": 1e-3,
                    "warmup": 3,
                    "flow_loss": {"smoothness_weight": 2.5, "smoothness_ramp": 10},
                },
                {
                    "name": "temporal",
                    "streams": ["temporal"],
                    "train": ["temporal"],
                    "steps": temporal_steps,
                    "epoch": 5,
                    "learning_rate": 1e-3,
                },
            ],
        }
        return {**config, **changes}

    return make
