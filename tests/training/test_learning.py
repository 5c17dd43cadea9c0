"""MotionNet learns a known shift from clips alone."""

import keras
import numpy as np
import pytest
from scipy import ndimage

from h2s_keras.layers import UnsupervisedFlowLoss
from h2s_keras.models import MotionNet
from h2s_keras.training import StageModel

SHIFT = (3, -2)  # x to the right, y down


def shifted_clips(count, rng):
    """Smooth textures whose content moves by SHIFT: 2 frames of 32x32."""
    clips = []
    for _ in range(count):
        canvas = rng.normal(size=(44, 44, 3))
        canvas = ndimage.gaussian_filter(canvas, (1.5, 1.5, 0))
        canvas = 127 + 50 * canvas / canvas.std()
        first = canvas[6:38, 6:38]
        # Content that lay at (y, x) lies at (y + SHIFT y, x + SHIFT x) afterwards.
        second = canvas[6 - SHIFT[1] : 38 - SHIFT[1], 6 - SHIFT[0] : 38 - SHIFT[0]]
        clips.append(np.stack([first, second]))
    return np.clip(np.rint(clips), 0, 255).astype("uint8")


@pytest.fixture(scope="module")
def flows():
    """(flow before training, flow after training) on clips never seen."""
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    motion_net = MotionNet(2, "tiny")
    held_out = shifted_clips(16, rng)
    before = motion_net.estimate_flow(held_out)
    stage = StageModel(motion_net, ["motion"], UnsupervisedFlowLoss(), smoothness_ramp=150)
    stage.compile(optimizer=keras.optimizers.Adam(1e-3, global_clipnorm=1.0))
    clips = shifted_clips(8 * 120, rng)
    stage.fit(clips, np.zeros(len(clips)), batch_size=8, epochs=1, verbose=0)
    return before, motion_net.estimate_flow(held_out)


def test_the_texture_moves_as_said():
    clips = shifted_clips(4, np.random.default_rng(1)).astype("int32")
    first, second = clips[:, 0, 4:28, 4:28], clips[:, 1, 2:26, 7:31]
    np.testing.assert_array_equal(first, second)


def test_motion_net_learns_the_shift(flows):
    inside = flows[1][:, 0, 6:-6, 6:-6]
    mean = inside.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(mean, SHIFT, atol=0.5)
    assert np.abs(inside - SHIFT).mean() < 0.6


def test_untrained_it_says_about_nothing(flows):
    mean = flows[0][:, 0, 6:-6, 6:-6].mean(axis=(0, 1, 2))
    assert np.abs(mean).max() < 0.3
    assert np.linalg.norm(mean - SHIFT) > 2.5
