import numpy as np
import pytest
from checks import assert_close, assert_survives_config, to_numpy

from h2s_keras.layers import FlowVolume


def test_pairs_become_time_in_their_order():
    channels = np.zeros((1, 4, 5, 6), "float32") + np.arange(6, dtype="float32")
    volume = to_numpy(FlowVolume(scale=2.0)(channels))
    assert volume.shape == (1, 3, 4, 5, 2)
    for pair in range(3):
        assert (volume[0, pair, ..., 0] == 4 * pair).all()
        assert (volume[0, pair, ..., 1] == 4 * pair + 2).all()


def test_config_and_errors():
    assert_survives_config(FlowVolume(scale=0.5), np.ones((1, 4, 4, 4), "float32"))
    assert FlowVolume().compute_output_shape((None, 8, None, 20)) == (None, 10, 8, None, 2)
    assert_close(FlowVolume()(np.ones((1, 2, 2, 2), "float32")), np.ones((1, 1, 2, 2, 2)))
    with pytest.raises(ValueError, match="FlowVolume takes"):
        FlowVolume()(np.ones((1, 4, 4, 3), "float32"))
