"""A network that starts from the weights of another."""

import numpy as np
import pytest

from h2s_keras.errors import UserError
from h2s_keras.training.initial_weights import copy_initial_weights


def test_initial_weights_take_what_fits(network, tmp_path):
    from h2s_keras.models import HiddenTwoStreamBuilder

    path = tmp_path / "trained.keras"
    network.save(path)
    builder = HiddenTwoStreamBuilder(7, 3, (32, 32)).motion("tiny").temporal("tiny")
    other = builder.build()  # more classes, no spatial part
    assert copy_initial_weights(other, path) == ("motion", "temporal")
    for mine, theirs in zip(
        other.motion.get_weights(), network.motion.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    mine, theirs = other.temporal.get_weights(), network.temporal.get_weights()
    np.testing.assert_array_equal(mine[0], theirs[0])
    assert mine[-1].shape != theirs[-1].shape
    deeper = HiddenTwoStreamBuilder(4, 5, (32, 32)).motion("tiny").temporal("tiny").build()
    with pytest.raises(UserError, match="its motion part has other layers"):
        copy_initial_weights(deeper, path)
