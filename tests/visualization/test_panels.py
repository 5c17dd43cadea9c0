"""Panels: layout pixel by pixel, and motion whose warp is known exactly."""

import numpy as np
import pytest

from h2s_keras.visualization import flow_to_color, image_grid, motion_panel, panel_columns

HEIGHT, WIDTH = 6, 8
WHITE = (255, 255, 255)


@pytest.fixture
def moving_clip():
    """Five frames of noise that moves one pixel to the right, and its true flow."""
    generator = np.random.default_rng(1)
    wide = generator.integers(0, 256, (HEIGHT, WIDTH + 8, 3), dtype=np.uint8)
    clip = np.stack([wide[:, 8 - t : 8 - t + WIDTH] for t in range(5)])
    flow = np.zeros((4, HEIGHT, WIDTH, 2), np.float32)
    flow[..., 0] = 1.0
    return clip, flow


def cells(panel, columns, scale=1):
    """Rows of cells of a panel without gaps, shrunk to the clip's grid again."""
    picture = panel[::scale, ::scale]
    rows = picture.shape[0] // HEIGHT
    assert picture.shape == (rows * HEIGHT, columns * WIDTH, 3)
    split = picture.reshape(rows, HEIGHT, columns, WIDTH, 3)
    return split.transpose(0, 2, 1, 3, 4)


def test_grid_places_pictures_and_background():
    red = np.full((2, 3, 3), (255, 0, 0), np.uint8)
    blue = np.full((1, 1, 3), (0, 0, 255), np.uint8)
    grid = image_grid([[red, blue], [None, blue]], gap=1, background=(9, 9, 9))
    expected = np.full((1 + 2 + 1 + 1 + 1, 1 + 3 + 1 + 1 + 1, 3), 9, np.uint8)
    expected[1:3, 1:4] = (255, 0, 0)
    expected[1, 5] = (0, 0, 255)
    expected[4, 5] = (0, 0, 255)
    assert grid.dtype == np.uint8
    assert np.array_equal(grid, expected)


def test_grid_of_uneven_rows_without_gap():
    dot = np.zeros((1, 1, 3), np.uint8)
    grid = image_grid([[dot], [dot, dot]], gap=0)
    assert grid[..., 0].tolist() == [[0, 255], [0, 0]]


@pytest.mark.parametrize("rows", [[], [[]], [[None]]])
def test_grid_needs_a_picture(rows):
    with pytest.raises(ValueError, match="at least one picture"):
        image_grid(rows)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8)],
)
def test_grid_names_the_wrong_picture(picture):
    with pytest.raises(ValueError, match="row 1, column 0"):
        image_grid([[np.zeros((1, 1, 3), np.uint8)], [picture]])


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_columns_of_the_panel(moving_clip, dtype):
    clip, flow = moving_clip
    learned = 0.5 * flow
    panel = motion_panel(
        clip.astype(dtype), flow, learned, warped=clip[1:], pairs=[1, -1], scale=2, gap=0
    )
    assert panel.dtype == np.uint8
    rows = cells(panel, 6, scale=2)
    assert len(panel_columns(has_true_flow=True)) == 6 and len(rows) == 2
    for row, pair in zip(rows, (1, 3), strict=True):
        assert np.array_equal(row[0], clip[pair])
        assert np.array_equal(row[1], clip[pair + 1])
        # The true flow sets the scale of both: full colour at 1.25 times its length.
        assert np.array_equal(row[2], flow_to_color(flow[pair], 1.25))
        assert np.array_equal(row[3], flow_to_color(learned[pair], 1.25))
        assert row[2][0, 0].tolist() == [255, 51, 51]
        assert row[3][0, 0].tolist() == [255, 153, 153]
        assert np.array_equal(row[4], clip[pair + 1])
        difference = np.abs(clip[pair].astype(float) - clip[pair + 1]).mean(axis=-1)
        assert np.array_equal(row[5][..., 0], np.clip(np.rint(3 * difference), 0, 255))
    assert rows[0][5].max() > 0


def test_true_flow_explains_the_clip_and_no_flow_does_not(moving_clip):
    clip, flow = moving_clip
    right = cells(motion_panel(clip, None, flow, pairs=[0], scale=1, gap=0), 5)[0]
    assert np.array_equal(right[3][:, :-1], clip[0][:, :-1])
    assert not right[4][:, :-1].any()
    # padding="border": the last column repeats the edge of frame t+1.
    assert np.array_equal(right[3][:, -1], clip[1][:, -1])

    still = cells(motion_panel(clip, None, 0 * flow, pairs=[0], scale=1, gap=0), 5)[0]
    assert np.array_equal(still[3], clip[1])
    assert still[4].mean() > 50
    backwards = cells(motion_panel(clip, None, -flow, pairs=[0], scale=1, gap=0), 5)[0]
    assert backwards[4].mean() > 50


def test_enlargement_repeats_pixels(moving_clip):
    clip, flow = moving_clip
    small = motion_panel(clip, flow, flow, warped=clip[:-1], scale=1, gap=0)
    large = motion_panel(clip, flow, flow, warped=clip[:-1], scale=3, gap=0)
    assert np.array_equal(large, small.repeat(3, axis=0).repeat(3, axis=1))


def test_default_rows_are_spread_and_gaps_are_white(moving_clip):
    clip, flow = moving_clip
    panel = motion_panel(clip, None, flow, warped=clip[1:], scale=1, gap=5)
    assert panel.shape == (3 * (HEIGHT + 5) + 5, 5 * (WIDTH + 5) + 5, 3)
    assert np.all(panel[:5] == WHITE) and np.all(panel[:, -5:] == WHITE)
    starts = [5 + row * (HEIGHT + 5) for row in range(3)]
    for start, pair in zip(starts, (0, 2, 3), strict=True):
        assert np.array_equal(panel[start : start + HEIGHT, 5 : 5 + WIDTH], clip[pair])


def test_two_frames_give_one_row(moving_clip):
    clip, flow = moving_clip
    panel = motion_panel(clip[:2], None, flow[:1], warped=clip[1:2], scale=1, gap=0)
    assert panel.shape == (HEIGHT, 5 * WIDTH, 3)


def test_default_magnitude_keeps_noise_pale_and_can_be_set(moving_clip):
    clip, flow = moving_clip
    options = {"warped": clip[1:], "pairs": [0], "scale": 1, "gap": 0}
    noise = cells(motion_panel(clip, None, 0.01 * flow, **options), 5)[0][2]
    assert noise.min() > 250
    chosen = cells(motion_panel(clip, None, flow, max_magnitude=4.0, **options), 5)[0][2]
    assert np.array_equal(chosen, flow_to_color(flow[0], 4.0))
    longer = cells(motion_panel(clip, flow, 1.2 * flow, **options), 6)[0]
    assert np.all(longer[2:4, ..., 0] == 255)  # within the headroom nothing is dark
    too_long = cells(motion_panel(clip, flow, 3 * flow, **options), 6)[0]
    assert np.all(too_long[2][..., 0] == 255) and np.all(too_long[3] == (191, 0, 0))


def test_not_finite_flow_is_black_and_its_error_white(moving_clip):
    clip, flow = moving_clip
    flow[0, 2, 3] = np.nan
    row = cells(motion_panel(clip, None, flow, pairs=[0], scale=1, gap=0), 5)[0]
    assert row[2][2, 3].tolist() == [0, 0, 0]
    assert row[3][2, 3].tolist() == [0, 0, 0]
    assert row[4][2, 3].tolist() == [255, 255, 255]
    assert not row[4][2, 2].any()


def test_errors_name_the_argument(moving_clip):
    clip, flow = moving_clip
    with pytest.raises(ValueError, match="Index a batch first"):
        motion_panel(clip[None], None, flow)
    with pytest.raises(ValueError, match="at least 2 frames"):
        motion_panel(clip[:1], None, flow[:0])
    with pytest.raises(ValueError, match="learned_flow .*resize_flow"):
        motion_panel(clip, None, flow[:, ::2, ::2])
    with pytest.raises(ValueError, match="true_flow"):
        motion_panel(clip, flow[:2], flow)
    with pytest.raises(ValueError, match="warped"):
        motion_panel(clip, flow, flow, warped=clip)
    with pytest.raises(ValueError, match="4 pairs, 0..3"):
        motion_panel(clip, flow, flow, pairs=[4])
    with pytest.raises(ValueError, match="at least one"):
        motion_panel(clip, flow, flow, pairs=[])
    for scale in (0, 1.5):
        with pytest.raises(ValueError, match="scale"):
            motion_panel(clip, flow, flow, scale=scale)
