import signal

import keras
import numpy as np
import pytest
from from_clone import ROOT

from benchmarks.__main__ import _stopping
from benchmarks.harness import Figures, Settings, measure, summary
from benchmarks.motion_cost import layer_multiply_adds, multiply_adds
from benchmarks.peer_process import PeerProcess
from benchmarks.peers.inputs import warp_inputs
from benchmarks.suites import warp
from benchmarks.suites.accelerator import prepare
from benchmarks.suites.growth import AXES, charts
from benchmarks.tools.document_charts import described, error_and_time, flow_methods
from h2s_keras.errors import UserError
from h2s_keras.models.motion_net import MotionNet


def test_runs_take_turns_and_warm_up_is_not_counted():
    order, clock = [], iter(range(100))

    def make(name):
        def run():
            order.append(name)
            return next(clock)

        return run

    seconds = measure({"a": make("a"), "b": make("b")}, rounds=3, warm_up=1, pause=0)
    # One warm-up each, then every round begins with the next one.
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert seconds == {"a": [2, 5, 6], "b": [3, 4, 7]}


def test_summary():
    values = summary([4.0, 1.0, 2.0, 3.0, 5.0])
    assert values["median"] == 3.0 and values["quartiles"] == [2.0, 4.0]
    assert values["range"] == [1.0, 5.0] and values["runs"] == 5
    assert summary([2.0])["quartiles"] == [2.0, 2.0]


def test_ratios_are_taken_within_a_round():
    """A machine that is ten times as slow in one round changes no ratio."""
    figures = Figures()
    seconds = {"ours": [1.0, 10.0, 1.0], "peer": [2.0, 20.0, 2.0]}
    figures.ratio("case", seconds, "ours", "peer", aim=0.8)
    figures.ratio("case", seconds, "peer", "ours", aim=0.8)
    figures.ratio("case", seconds, "ours", "nobody", aim=0.8)
    figures.add("case", "speed", [1.5, 1.5], aim=2.0, at_least=True)
    first, second, third = figures.as_dict()["ratios"]
    assert first["range"] == [0.5, 0.5] and first["aim"] == "<= 0.8" and first["reached"]
    assert second["median"] == 2.0 and not second["reached"]
    assert third["aim"] == ">= 2" and not third["reached"]


def test_what_a_suite_finds_besides_ratios_is_kept_in_its_result():
    figures = Figures()
    figures.value("device", "cpu")
    figures.table("errors", ["method", "pixels"], [["DIS", "0.5"]])
    figures.miss("kornia", "No module named 'torch'")
    found = figures.as_dict()
    assert found["values"] == [{"name": "device", "value": "cpu"}]
    table = {"name": "errors", "header": ["method", "pixels"], "rows": [["DIS", "0.5"]]}
    assert found["tables"] == [table] and not found["ratios"]
    assert found["missing_peers"] == {"kornia": "No module named 'torch'"}


def test_the_work_of_the_published_network():
    """40.1 GFLOP a clip, counted from the published table; scales with the pixels."""
    network = MotionNet(11)
    network.build((None, 11, 224, 224, 3))
    count = multiply_adds(network, (224, 224))
    assert 2 * count / 1e9 == pytest.approx(40.1, abs=0.05)
    assert multiply_adds(network, (448, 224)) == 2 * count


def test_the_work_of_a_classifier():
    """Counted by hand: 3x3 over 8x8 pixels, then over 4x4, then a dense layer.

    As in VGG16 of the builder the first convolution is that of a model in the model.
    """
    inputs = keras.Input((8, 8, 2))
    first = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    hidden = keras.Model(inputs, first)(inputs)
    hidden = keras.layers.Conv2D(5, 3, strides=2, padding="same")(hidden)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(hidden))
    count = layer_multiply_adds(keras.Model(inputs, outputs))
    assert count == 64 * 9 * 2 * 4 + 16 * 9 * 4 * 5 + 5 * 3


def test_the_suites_of_a_gpu_say_what_they_need():
    figures, settings = Figures(), Settings(rounds=2)
    wanted = "set KERAS_BACKEND=jax"
    if keras.backend.backend() == "jax":
        wanted = "JAX found no accelerator"
    with pytest.raises(UserError, match=wanted):
        prepare(figures, settings)


def test_a_peer_that_breaks_tells_why(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise SystemError('no such luck')\n")
    monkeypatch.setattr("benchmarks.peer_process.FOLDER", str(tmp_path))
    with pytest.raises(RuntimeError, match="no such luck"):
        PeerProcess("broken.py", {})


def test_a_wrong_python_for_tensorflow_addons_is_reported(monkeypatch):
    monkeypatch.setenv("H2S_KERAS_TFA_PYTHON", "/nowhere/python")
    with pytest.raises(UserError, match="/nowhere/python: no such program"):
        warp.run(Settings(rounds=2, smoke=True), Figures())


def test_inputs_are_smooth_and_the_same_for_everybody():
    image, flow, upstream = warp_inputs((2, 32, 48, 3))
    for one, other in zip(
        (image, flow, upstream), warp_inputs((2, 32, 48, 3)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert flow.shape == (2, 32, 48, 2) and 1.0 < np.abs(flow).max() < 15.0
    # A field of motion, not noise: neighbours differ far less than the whole does.
    assert np.abs(np.diff(flow, axis=2)).mean() < 0.2 * flow.std()


def test_charts_of_growth():
    seconds = {
        axis: {str(size): {"median": 0.1 * size} for size in sizes}
        for axis, sizes in AXES.items()
    }
    drawn = charts({"seconds": seconds})
    assert set(drawn) == set(AXES)
    assert all(one.startswith("<svg") and "in proportion" in one for one in drawn.values())


def test_the_chart_of_error_and_time_shows_the_table():
    table = """## Optical flow

| method | mean | Venus | time, of TV-L1's |
|---|---|---|---|
| Fast one (2 levels) | 0.700 px | 1.0 | 0.03 |
| **our_preset** | 0.3 px | 0.4 | 0.33 |

| other | table |
"""
    methods = flow_methods(table)
    assert methods == {"Fast one (2 levels)": (0.7, 0.03), "our_preset": (0.3, 0.33)}
    assert "our_preset: 0.3 px, 0.33" in error_and_time(methods)
    # The picture of the page is drawn of the page's table.
    methods = flow_methods((ROOT / "docs" / "results.md").read_text("utf-8"))
    shown = (ROOT / "docs" / "images" / "flow_error_and_time.svg").read_text("utf-8")
    assert len(methods) >= 4 and described(methods) in shown


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_python_loses_stops_at_the_next_figure():
    """What comes while an object is freed is printed and raised no further."""

    class Freed:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    figures = Figures()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _stopping(figures):
            figures.add("one", "ratio", [1.0])
            Freed()
            with pytest.raises(KeyboardInterrupt):
                figures.add("two", "ratio", [1.0])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert figures.stopped and [row["case"] for row in figures.ratios] == ["one"]
