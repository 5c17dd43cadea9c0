import numpy as np
import pytest
import reference
from checks import (
    assert_close,
    assert_differs,
    compiled,
    dtype_of,
    only_tensorflow,
    to_numpy,
)
from gradient import finite_difference, gradient
from keras import ops

from h2s_keras.ops import border_mask, flow_smoothness

RANDOM = np.random.default_rng(3)
FLOW = RANDOM.normal(size=(3, 6, 5, 2)).astype("float32")
FLOOR = 4 * 1e-6**0.3  # of four differences of zero


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_against_the_reference(masked, scale):
    mask = RANDOM.integers(0, 2, (6, 5)).astype("float32") if masked else None
    tensor = None if mask is None else ops.convert_to_tensor(mask)
    actual = flow_smoothness(ops.convert_to_tensor(scale * FLOW), tensor)
    assert_close(actual, reference.smoothness(FLOW, mask, scale))
    assert_differs(actual, reference.smoothness(FLOW, mask, scale + 0.5))


def test_by_hand():
    # One step of 3 in u between the columns: of four differences one is not zero.
    flow = np.zeros((1, 3, 3, 2), "float32")
    flow[:, :, 2, 0] = 3.0
    high, low = 9.0**0.5, 0.0
    expected = (0.5 * high + 0.5 * low) + 3 * low
    actual = flow_smoothness(ops.convert_to_tensor(flow), alpha=0.5, epsilon=1e-6)
    assert_close(actual, np.array([expected]), atol=1e-4)


def test_constant_flow_costs_only_epsilon():
    constant = ops.full((2, 4, 4, 2), 7.5)
    assert_close(flow_smoothness(constant), np.full(2, FLOOR), atol=1e-6)
    assert (to_numpy(flow_smoothness(ops.convert_to_tensor(FLOW))) > 10 * FLOOR).all()


def test_turning_the_field_turns_nothing_else():
    turned = FLOW.transpose(0, 2, 1, 3)[..., ::-1].copy()
    one = flow_smoothness(ops.convert_to_tensor(FLOW))
    assert_close(flow_smoothness(ops.convert_to_tensor(turned)), one)


def test_last_row_and_column_have_no_forward_difference():
    mask = np.zeros((4, 4), "float32")
    mask[-1, -1] = 1.0
    actual = flow_smoothness(
        ops.convert_to_tensor(FLOW[:, :4, :4]), ops.convert_to_tensor(mask)
    )
    assert_close(actual, np.zeros(3))


def test_gradient():
    flow, mask = FLOW[:1, :4, :4], reference.border_mask(4, 4)
    weight = ops.convert_to_tensor(mask, "float32")
    (actual,) = gradient(lambda f: ops.sum(flow_smoothness(f, weight)), flow)
    slow = finite_difference(lambda f: reference.smoothness(f, mask).sum(), flow, 1e-6)
    assert_close(actual, slow, rtol=1e-3, atol=1e-4)
    (level,) = gradient(lambda f: ops.sum(flow_smoothness(f)), np.ones((1, 3, 3, 2)))
    assert not level.any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_is_float32_for_any_input(dtype):
    flow = ops.cast(1000 * FLOW, dtype)
    actual = flow_smoothness(flow)
    assert dtype_of(actual) == "float32"
    assert_close(actual, reference.smoothness(to_numpy(flow)))


@pytest.mark.parametrize("size", [(7, 7), (10, 20), (30, 11), (112, 112), (5, 3), (1, 1)])
@pytest.mark.parametrize("fraction", [0.1, 0.0, 0.25])
def test_border_mask_against_the_reference(size, fraction):
    actual = border_mask(*size, fraction)
    assert_close(actual, reference.border_mask(*size, fraction), rtol=0, atol=0)


def test_border_mask_by_hand():
    mask = to_numpy(border_mask(5, 6))
    inner = [0, 1, 1, 1, 1, 0]
    assert mask.tolist() == [[0] * 6, inner, inner, inner, [0] * 6]
    assert to_numpy(border_mask(4, 5)).all()


@pytest.mark.parametrize(
    ("size", "border"),
    [(112, 11), (56, 6), (28, 3), (14, 1), (7, 1), (4, 0), (5, 1), (15, 2), (25, 3)]
    + [(size, size // 10) for size in (10, 20, 30, 50, 70, 90, 110, 130, 190, 370, 1270)],
)
def test_border_is_rounded_as_released(size, border):
    row = to_numpy(border_mask(size, size))[size // 2]
    assert size - row.sum() == 2 * border


def test_undefined_differences_may_count_as_none():
    flow = FLOW[:1, :3, :3]
    penalties = [
        np.pad(
            (np.diff(flow[0, :, :, part], axis=axis) ** 2 + 1e-6) ** 0.3,
            [(0, int(axis == side)) for side in (0, 1)],
            constant_values=1e-6**0.3,
        )
        for part in (0, 1)
        for axis in (0, 1)
    ]
    expected = np.array([np.mean(penalties, axis=(1, 2)).sum()])
    assert_close(flow_smoothness(flow, undefined="zero"), expected)
    mask = np.array([[0, 0, 0], [0, 1, 1], [0, 1, 1]], "float32")
    expected = np.array([sum(np.mean(one[1:, 1:]) for one in penalties)])
    assert_close(
        flow_smoothness(flow, ops.convert_to_tensor(mask), undefined="zero"), expected
    )


def test_everything_masked_is_zero_not_nan():
    nothing = ops.zeros((6, 5))
    assert (
        to_numpy(flow_smoothness(ops.convert_to_tensor(FLOW), nothing)).tolist() == [0] * 3
    )
    one = flow_smoothness(ops.zeros((1, 1, 1, 2)), border_mask(1, 1))
    assert to_numpy(one).tolist() == [0]


@only_tensorflow
@pytest.mark.parametrize("xla", [False, True])
def test_compiled(xla):
    def smoothness(flow):
        size = ops.shape(flow)
        return flow_smoothness(flow, border_mask(size[1], size[2]))

    shape = FLOW.shape if xla else (None, None, None, 2)
    expected = reference.smoothness(FLOW, reference.border_mask(6, 5))
    assert_close(compiled(smoothness, shape, xla=xla)(FLOW), expected)


def plain_second_order(flow, image, edge_weight, alpha=0.3, epsilon=1e-3):
    """From the definition, a triple of neighbours at a time."""
    flow, image = np.asarray(flow, float), np.asarray(image, float)
    count, height, width, _ = flow.shape
    result = np.zeros(count)
    for n in range(count):
        for step_y, step_x in ((0, 1), (1, 0)):
            penalties = []
            for y in range(height - 2 * step_y):
                for x in range(width - 2 * step_x):
                    places = [(y + k * step_y, x + k * step_x) for k in range(3)]
                    one, two, three = (flow[n, row, column] for row, column in places)
                    steps = [
                        abs(image[n, b[0], b[1]] - image[n, a[0], a[1]])
                        for a, b in zip(places, places[1:], strict=False)
                    ]
                    factor = np.exp(-edge_weight * np.maximum(*steps).mean())
                    second = one - 2 * two + three
                    penalties.append(factor * (second**2 + epsilon**2) ** alpha)
            result[n] += np.mean(penalties, axis=0).sum()
    return result


@pytest.mark.parametrize("edge_weight", [0.0, 10.0])
def test_second_order_and_edges_against_the_definition(edge_weight):
    image = RANDOM.uniform(0, 0.2, (3, 6, 5, 3)).astype("float32")
    actual = flow_smoothness(
        ops.convert_to_tensor(FLOW), order=2, image=image, edge_weight=edge_weight
    )
    assert_close(actual, plain_second_order(FLOW, image, edge_weight))


def test_second_order_leaves_affine_flow_alone_and_first_order_does_not():
    y, x = np.mgrid[:8, :9].astype("float32")
    affine = np.stack([0.3 * x - 0.2 * y, 0.1 * x + 0.4 * y], axis=-1)[None]
    assert_close(flow_smoothness(affine, order=2), np.full(1, FLOOR), atol=1e-3)
    assert to_numpy(flow_smoothness(affine, order=1))[0] > 10 * FLOOR


def test_a_jump_at_an_edge_of_the_image_is_cheap():
    flow = np.zeros((1, 6, 6, 2), "float32")
    flow[:, :, 3:] = 2.0
    image = np.zeros((1, 6, 6, 3), "float32")
    image[:, :, 3:] = 1.0
    at_edge, elsewhere = (
        to_numpy(flow_smoothness(flow, image=picture, edge_weight=10.0))[0]
        for picture in (image, np.roll(image, 2, axis=2))
    )
    assert at_edge < 0.2 * elsewhere


def test_wrong_options():
    with pytest.raises(ValueError, match="order must be 1 or 2"):
        flow_smoothness(FLOW, order=3)
    with pytest.raises(ValueError, match="needs the image"):
        flow_smoothness(FLOW, edge_weight=1.0)


@pytest.mark.parametrize(("shape", "order"), [((1, 1, 8, 2), 1), ((1, 8, 2, 2), 2)])
def test_a_field_too_small_for_a_difference(shape, order):
    flow = np.random.default_rng(0).normal(size=shape).astype("float32")
    assert 0 < float(flow_smoothness(flow, order=order)[0]) < 10
