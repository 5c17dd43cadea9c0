"""Our warp against tfa.image.dense_image_warp, from the file of make_tfa_golden.py.

TensorFlow Addons takes flow as (dy, dx) and samples at position minus flow; ours is
(x, y) and samples at position plus flow, so ours = -theirs[..., ::-1], and so is the
gradient. Theirs clamps positions to the image: our padding "border". Our "zeros" agrees
where all four taps lie inside the image. Outside, neither lets a gradient into the
flow. At whole pixels both are one-sided and may take different sides; the golden
positions keep away from them.
"""

import pathlib

import numpy as np
import pytest
from checks import assert_close, to_numpy
from gradient import gradient
from keras import ops

from h2s_keras.ops import backward_warp

PATH = pathlib.Path(__file__).parents[1] / "oracles" / "tfa_warp.npz"
CASES = ("small", "middle", "outside", "two_by_two")
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def golden():
    with np.load(PATH) as archive:
        return dict(archive)


def case(golden, name):
    keys = ("image", "flow", "upstream", "output", "image_gradient", "flow_gradient")
    values = {key: golden[f"{name}/{key}"] for key in keys}
    for key in ("flow", "flow_gradient"):
        values[key] = -values[key][..., ::-1]
    return values


def gradients(values, padding="border"):
    def function(image, flow):
        warped = backward_warp(image, flow, padding=padding)
        return ops.sum(warped * ops.convert_to_tensor(values["upstream"]))

    return gradient(function, values["image"], values["flow"])


def test_what_the_file_says_of_itself(golden):
    assert {name.split("/")[0] for name in golden} - {"seed", "versions"} == set(CASES)
    versions = " ".join(golden["versions"])
    assert "tensorflow 2.15" in versions and "tensorflow-addons 0.23" in versions
    assert PATH.stat().st_size < 200_000


@pytest.mark.parametrize("name", CASES)
def test_border_padding_equals_it(golden, name):
    values = case(golden, name)
    actual = backward_warp(
        ops.convert_to_tensor(values["image"]),
        ops.convert_to_tensor(values["flow"]),
        padding="border",
    )
    assert_close(actual, values["output"], **TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_its_gradients(golden, name):
    values = case(golden, name)
    by_image, by_flow = gradients(values)
    assert np.abs(values["image_gradient"]).max() > 0.1
    assert_close(by_image, values["image_gradient"], **TOLERANCE)
    assert_close(by_flow, values["flow_gradient"], **TOLERANCE)
    if name == "outside":
        assert (values["flow_gradient"] == 0).mean() > 0.5


@pytest.mark.parametrize("name", CASES)
def test_zero_padding_equals_it_inside_and_only_there(golden, name):
    values = case(golden, name)
    image, flow = values["image"], values["flow"]
    height, width = image.shape[1:3]
    y, x = np.mgrid[:height, :width]
    at_x, at_y = x + flow[..., 0], y + flow[..., 1]
    inside = (at_x >= 0) & (at_x <= width - 1) & (at_y >= 0) & (at_y <= height - 1)
    actual = to_numpy(
        backward_warp(ops.convert_to_tensor(image), ops.convert_to_tensor(flow))
    )
    assert inside.any() and not inside.all()
    assert_close(actual[inside], values["output"][inside], **TOLERANCE)
    _, by_flow = gradients(values, "zeros")
    assert_close(by_flow[inside], values["flow_gradient"][inside], **TOLERANCE)
    assert np.abs(actual[~inside] - values["output"][~inside]).max() > 0.1


@pytest.mark.parametrize("wrong", ["sign", "order", "padding"])
def test_the_comparison_can_fail(golden, wrong):
    values = case(golden, "middle")
    flow = values["flow"]
    flow = {"sign": -flow, "order": flow[..., ::-1], "padding": flow}[wrong]
    padding = "zeros" if wrong == "padding" else "border"
    actual = backward_warp(
        ops.convert_to_tensor(values["image"]),
        ops.convert_to_tensor(np.ascontiguousarray(flow)),
        padding=padding,
    )
    assert np.abs(to_numpy(actual) - values["output"]).max() > 0.1
