import keras
import numpy as np
import pytest
from checks import assert_close, to_numpy
from keras import ops

from h2s_keras.models import MotionNet
from h2s_keras.models.coarse_to_fine import coarse_to_fine_flow, refined_flows


class Oracle:
    """Sees a step of the brightness ramp and answers with at most `reach` pixels of it.

    Frames hold x in red and y in green, so that motion can be read off exactly.
    """

    size_multiple = 8

    def __init__(self, reach):
        self.reach, self.sizes = reach, []

    def __call__(self, clips, training=None):
        clips = to_numpy(clips)
        first, second = clips[:, 0], clips[:, 1]
        height, width = first.shape[1:3]
        self.sizes.append((height, width))
        slope_x = (first[:, :, -1:, 0] - first[:, :, :1, 0]) / (width - 1)
        slope_y = (first[:, -1:, :, 1] - first[:, :1, :, 1]) / (height - 1)
        flow = np.stack(
            [
                (first - second)[..., 0] / slope_x,
                (first - second)[..., 1] / slope_y,
            ],
            axis=-1,
        )
        flow = np.clip(flow, -self.reach, self.reach)
        # At half the size, in pixels of it, as MotionNet answers.
        half = flow[:, ::2, ::2] / 2
        return {"flow2": ops.convert_to_tensor(half[:, None].astype("float32"))}


def ramps(move, height=64, width=96):
    y, x = np.mgrid[:height, :width].astype("float32")
    first = np.stack([x, y, 0 * x], axis=-1)
    second = np.stack([x - move[0], y - move[1], 0 * x], axis=-1)
    return np.stack([first, second])[None]


def test_large_motion_is_found_by_a_network_of_small_reach():
    clips = ramps((6.0, -3.0))
    plain = to_numpy(Oracle(1.5)(clips)["flow2"]) * 2
    assert np.abs(plain).max() <= 1.5
    oracle = Oracle(1.5)
    flow = to_numpy(coarse_to_fine_flow(oracle, clips, iterations=2, smallest=16))
    assert flow.shape == (1, 1, 64, 96, 2)
    middle = flow[0, 0, 16:-16, 16:-16]
    assert_close(middle, np.broadcast_to([6.0, -3.0], middle.shape), atol=0.1)
    assert oracle.sizes == [(16, 24)] * 2 + [(32, 48)] * 2 + [(64, 96)] * 2


def test_small_images_have_one_size():
    oracle = Oracle(9.0)
    coarse_to_fine_flow(oracle, ramps((1.0, 0.0), 32, 40), iterations=1, smallest=32)
    assert oracle.sizes == [(32, 40)]


def test_second_pass_sees_what_is_left():
    clips = ramps((4.0, 2.0))
    oracle = Oracle(2.5)
    first = oracle(clips)
    again = to_numpy(refined_flows(oracle, clips, first)["flow2"])
    middle = 2 * again[0, 0, 4:-4, 4:-4]
    assert_close(middle, np.broadcast_to([4.0, 2.0], middle.shape), atol=0.05)


def test_motion_net_with_the_option_takes_any_size_and_keeps_it():
    keras.utils.set_random_seed(1)
    motion_net = MotionNet(2, "tiny", coarse_to_fine=True)
    frames = np.random.default_rng(1).integers(0, 256, (1, 2, 61, 83, 3), dtype="uint8")
    flow = motion_net.estimate_flow(frames)
    assert flow.shape == (1, 1, 61, 83, 2) and np.isfinite(flow).all()
    assert MotionNet.from_config(motion_net.get_config()).coarse_to_fine
    motion_net.coarse_to_fine = False
    assert np.abs(motion_net.estimate_flow(frames) - flow).max() > 1e-6


def test_only_pairs_can_be_refined():
    with pytest.raises(ValueError, match="takes 2 frames"):
        MotionNet(3, "tiny", coarse_to_fine=True)
