"""MotionNet learns a known shift from clips alone."""

import keras
import numpy as np
import pytest
from scipy import ndimage

from h2s_keras.layers import UnsupervisedFlowLoss
from h2s_keras.models import HiddenTwoStreamBuilder, MotionNet
from h2s_keras.training import StageModel
from h2s_keras.training.flow_objective import FlowObjective
from h2s_keras.training.stages import prepare_stage

# What one of them learns, the others look at.
pytestmark = pytest.mark.long

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
    stage = StageModel(
        motion_net,
        ["motion"],
        FlowObjective(UnsupervisedFlowLoss(), smoothness_ramp=150, smoothness_start=0.02),
    )
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


# === Precision ===


def learned_curve(policy, seed):
    """(mean loss of every 20 of 120 steps, flow on clips never seen, updates lost)."""
    keras.config.set_dtype_policy(policy)
    try:
        rng = np.random.default_rng(seed)
        keras.utils.set_random_seed(seed)
        held_out = shifted_clips(16, rng)
        network = HiddenTwoStreamBuilder(2, 2, (32, 32)).motion("tiny").temporal("tiny")
        stage = {
            "name": "motion",
            "streams": ["motion"],
            "steps": 120,
            "learning_rate": 1e-3,
            "schedule": "constant",
            "flow_loss": {"smoothness_ramp": 150, "smoothness_start": 0.02},
        }
        network = network.build()
        model = prepare_stage(network, stage)
        clips = shifted_clips(8 * 120, rng)
        curve = []
        for part in range(6):
            chosen = clips[160 * part : 160 * (part + 1)]
            history = model.fit(
                chosen, np.zeros(160), batch_size=8, shuffle=False, verbose=0
            )
            curve.append(history.history["loss"][0])
        flow = network.motion.estimate_flow(held_out)[:, 0, 6:-6, 6:-6]
        made = int(keras.ops.convert_to_numpy(model.optimizer.iterations.value))
    finally:
        keras.config.set_dtype_policy("float32")
    return np.array(curve), flow, 120 - made


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_along_the_same_curve(policy):
    """The noise is what another seed of the weights and clips does in float32.

    float16 loses a few of the first 20 updates to finding its loss scale, so its curve is
    compared from there on.
    """
    curve, _, _ = learned_curve("float32", 0)
    other, _, _ = learned_curve("float32", 1)
    mixed, flow, lost = learned_curve(policy, 0)
    noise = np.abs(other - curve).max()
    assert np.isfinite(mixed).all()
    assert lost == 0 if policy == "mixed_bfloat16" else 0 < lost <= 8
    assert np.abs(mixed - curve)[1:].max() <= noise
    assert curve[-1] < 0.7 * curve[0], "it learns"
    np.testing.assert_allclose(flow.mean(axis=(0, 1, 2)), SHIFT, atol=0.5)
