import numpy as np
import pytest
from checks import assert_close, to_numpy
from gradient import gradient
from keras import ops

from h2s_keras.ops import (
    forward_backward_visibility,
    motion_consistency,
    range_map,
    range_map_visibility,
    warp_from_margin,
)
from h2s_keras.ops.flow_terms import visibility
from h2s_keras.ops.occlusion import valid_positions

RANDOM = np.random.default_rng(8)


def moving_square(step=3, size=16):
    """Flow forth and back of a square that moves right over ground at rest."""
    forth, back = np.zeros((2, 1, size, size, 2), "float32")
    forth[0, 5:10, 4:9, 0] = step
    back[0, 5:10, 4 + step : 9 + step, 0] = -step
    hidden = np.zeros((size, size), bool)
    hidden[5:10, 9 : 9 + step] = True  # ground that the square comes to lie on
    return forth, back, hidden


@pytest.mark.parametrize(
    "visible",
    [
        lambda forth, back: forward_backward_visibility(forth, back),
        lambda forth, back: range_map_visibility(back),
    ],
    ids=["forward_backward", "range_map"],
)
def test_ground_before_a_moving_square_is_hidden(visible):
    forth, back, hidden = moving_square()
    seen = to_numpy(visible(ops.convert_to_tensor(forth), ops.convert_to_tensor(back)))
    assert not seen[0, hidden].any()
    elsewhere = ~hidden
    assert seen[0, elsewhere].all()


def test_without_motion_everything_is_seen():
    still = ops.zeros((2, 6, 5, 2))
    assert_close(range_map(still), np.ones((2, 6, 5, 1)))
    assert_close(range_map_visibility(still), np.ones((2, 6, 5, 1)))
    assert_close(forward_backward_visibility(still, still), np.ones((2, 6, 5, 1)))


def test_range_map_against_a_loop():
    flow = RANDOM.uniform(-4, 4, (2, 6, 7, 2)).astype("float32")
    expected = np.zeros((2, 6, 7, 1))
    for n, y, x in np.ndindex(2, 6, 7):
        at_x, at_y = x + float(flow[n, y, x, 0]), y + float(flow[n, y, x, 1])
        for row in range(6):
            for column in range(7):
                share = max(0, 1 - abs(at_x - column)) * max(0, 1 - abs(at_y - row))
                expected[n, row, column, 0] += share
    assert_close(range_map(ops.convert_to_tensor(flow)), expected, atol=1e-5)


def test_flow_out_of_the_image_is_hidden():
    flow = np.zeros((1, 8, 8, 2), "float32")
    flow[..., 0] = 3.0
    inside = np.ones((1, 8, 8, 1))
    inside[:, :, 5:] = 0.0
    assert_close(valid_positions(flow), inside)
    assert_close(forward_backward_visibility(flow, -flow), inside)
    for kind in ("forward_backward", "range_map"):
        assert_close(visibility(flow, -flow, kind), inside)
        # What moves into a margin of the image can be compared.
        wide = inside.copy()
        wide[:, :, :7] = 1.0
        assert_close(visibility(flow, -flow, kind, margin=2), wide)
    # A flow that lands between the last pixel and the edge is outside as well.
    assert not to_numpy(valid_positions(flow + [0.01, 0.0]))[:, :, 4].any()


def test_no_gradient_passes():
    forth, back, _ = moving_square()

    def seen(forth, back):
        visible = forward_backward_visibility(forth, back) + range_map_visibility(back)
        return ops.sum(visible * ops.sum(forth + back, axis=-1, keepdims=True))

    def plain(forth, back):
        return ops.sum(seen_now * ops.sum(forth + back, axis=-1, keepdims=True))

    seen_now = ops.convert_to_tensor(
        to_numpy(forward_backward_visibility(forth, back))
        + to_numpy(range_map_visibility(back))
    )
    for one, two in zip(
        gradient(seen, forth, back), gradient(plain, forth, back), strict=True
    ):
        assert_close(one, two)


def test_a_margin_shows_what_enters_from_outside():
    wide = RANDOM.uniform(0, 1, (1, 12, 14, 3)).astype("float32")
    flow = np.full((1, 8, 10, 2), 2.0, "float32")
    moved = to_numpy(warp_from_margin(ops.convert_to_tensor(wide), flow, margin=2))
    assert_close(moved, wide[:, 4:12, 4:14])
    narrow = wide[:, 2:-2, 2:-2]
    without = to_numpy(warp_from_margin(ops.convert_to_tensor(narrow), flow, margin=0))
    assert_close(without[:, :-2, :-2], moved[:, :-2, :-2])
    assert not without[:, -1].any()


def test_consistency_asks_for_constant_velocity():
    steady = np.zeros((1, 3, 12, 12, 2), "float32")
    steady[..., 0] = 1.0
    jerking = steady.copy()
    jerking[:, 1] *= -1
    assert to_numpy(motion_consistency(ops.convert_to_tensor(steady)))[0] < 0.01
    assert to_numpy(motion_consistency(ops.convert_to_tensor(jerking)))[0] > 0.5
    # A spot that carries its own motion along is steadier than one that turns back.
    carried = np.zeros((1, 2, 16, 16, 2), "float32")
    carried[0, 0, 6:9, 6:9, 0] = 2.0
    carried[0, 1, 6:9, 8:11, 0] = 2.0
    turned = carried.copy()
    turned[0, 1] *= -1
    values = [
        to_numpy(motion_consistency(ops.convert_to_tensor(f)))[0] for f in (carried, turned)
    ]
    assert values[0] < values[1]
