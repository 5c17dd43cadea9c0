import keras
import numpy as np
import pytest
from checks import (
    POLICIES,
    assert_close,
    assert_survives_config,
    assert_survives_file,
    dtype_of,
    only_tensorflow,
    served,
)
from gradient import gradient
from keras import ops

from h2s_keras.layers import SegmentConsensus

SCORES = np.random.default_rng(13).normal(size=(3, 5, 4)).astype("float32")
EXPECTED = {
    "average": SCORES.mean(axis=1),
    "max": SCORES.max(axis=1),
    "top_k": np.sort(SCORES, axis=1)[:, -2:].mean(axis=1),
}
MODES = sorted(EXPECTED)


@pytest.mark.parametrize("mode", MODES)
def test_against_numpy(mode):
    actual = SegmentConsensus(mode, k=2)(SCORES)
    assert_close(actual, EXPECTED[mode])
    for other in MODES:
        if other != mode:
            assert np.abs(ops.convert_to_numpy(actual) - EXPECTED[other]).max() > 0.1


@pytest.mark.parametrize("mode", MODES)
def test_order_of_segments_does_not_count(mode):
    layer = SegmentConsensus(mode)
    assert_close(layer(SCORES[:, ::-1].copy()), layer(SCORES))


def test_top_of_all_is_the_average_and_top_of_one_the_maximum():
    assert_close(SegmentConsensus("top_k", k=5)(SCORES), EXPECTED["average"])
    assert_close(SegmentConsensus("top_k", k=1)(SCORES), EXPECTED["max"])


@pytest.mark.parametrize("mode", MODES)
def test_config(mode):
    assert_survives_config(SegmentConsensus(mode, k=2), SCORES)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", POLICIES)
def test_policies(mode, policy):
    layer = SegmentConsensus(mode, k=2, dtype=policy)
    actual = layer(ops.convert_to_tensor(SCORES))
    assert dtype_of(actual) == layer.compute_dtype
    assert_close(actual, EXPECTED[mode], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("mode", MODES)
def test_saved_in_a_model_with_any_number_of_segments(mode, tmp_path):
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, SegmentConsensus(mode, k=2)(inputs))
    assert model.output_shape == (None, 4)
    loaded = assert_survives_file(model, SCORES, tmp_path)
    assert_close(loaded(SCORES[:1, :3]), SegmentConsensus(mode, k=2)(SCORES[:1, :3]))


@pytest.mark.parametrize("mode", MODES)
def test_gradients_are_shares(mode):
    layer = SegmentConsensus(mode, k=2)
    (slope,) = gradient(lambda x: ops.sum(layer(x)), SCORES)
    assert_close(slope.sum(axis=1), np.ones((3, 4)))
    used = {"average": 5, "max": 1, "top_k": 2}[mode]
    assert ((slope > 0).sum(axis=1) == used).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"mode": "mean"}, "mode must be one of .*received 'mean'"), ({"k": 0}, "received 0")],
)
def test_errors_of_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SegmentConsensus(**kwargs)


def test_errors_of_inputs():
    with pytest.raises(ValueError, match=r"\(batch, segments, classes\).*\(3, 5\)"):
        SegmentConsensus()(SCORES[..., 0])
    with pytest.raises(ValueError, match=r"k=6 needs at least 6 segments.*\(3, 5, 4\)"):
        SegmentConsensus("top_k", k=6)(SCORES)


@only_tensorflow
def test_served_at_a_second_batch_size(tmp_path):
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, SegmentConsensus("top_k")(inputs))
    serve = served(model, tmp_path)
    for count in (1, 3):
        assert_close(serve(SCORES[:count]), model(SCORES[:count]))
