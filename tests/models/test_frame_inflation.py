import keras
import numpy as np
import pytest
from checks import assert_close, to_numpy

from h2s_keras.errors import UserError
from h2s_keras.models import MotionNet
from h2s_keras.models.frame_inflation import inflate_frames
from h2s_keras.training.initial_weights import copy_initial_weights

CLIPS = np.random.default_rng(4).integers(0, 256, (1, 5, 32, 32, 3), dtype="uint8")


def made(frames, **options):
    keras.utils.set_random_seed(frames)
    motion_net = MotionNet(frames, "tiny", **options)
    motion_net.build((None, frames, 32, 32, 3))
    for layer in motion_net.head.flow_convolutions:
        layer.kernel.assign(layer.kernel * 100)
    return motion_net


@pytest.mark.parametrize("smooth", [True, False])
def test_every_pair_gets_the_flow_of_the_middle_pair(smooth):
    source = made(2, intermediate_convolution=smooth)
    grown = made(5, intermediate_convolution=smooth)
    before = to_numpy(grown(CLIPS)["flow2"])
    inflate_frames(grown, source)
    middle = source(CLIPS[:, 1:3])
    for name, flow in grown(CLIPS).items():
        expected = np.repeat(to_numpy(middle[name]), 4, axis=1)
        assert_close(flow, expected, atol=1e-4)
    assert np.abs(before - to_numpy(grown(CLIPS)["flow2"])).max() > 0.1


def test_networks_that_were_never_called():
    grown, source = MotionNet(3, "tiny"), MotionNet(2, "tiny")
    inflate_frames(grown, source)
    kernels = [to_numpy(one.convolutions[1].kernel) for one in (grown, source)]
    np.testing.assert_array_equal(*kernels)


def test_wrong_sources():
    with pytest.raises(ValueError, match="only a MotionNet of 2 frames"):
        inflate_frames(made(5), made(3))
    other = MotionNet(2, "tiny", small_displacement=False)
    with pytest.raises(ValueError, match="differ in small_displacement: True and False"):
        inflate_frames(made(5), other)
    with pytest.raises(ValueError, match="of another shape"):
        inflate_frames(made(5), MotionNetOfOtherWidth())


class MotionNetOfOtherWidth:
    """A MotionNet of 2 frames whose second convolution is narrower."""

    def __new__(cls):
        motion_net = made(2)
        narrow = keras.layers.Conv2D(7, 5, name="conv2")
        narrow.build((None, None, None, 64))
        motion_net.convolutions[1] = narrow
        return motion_net


def test_a_recipe_starts_from_two_frames(tmp_path):
    path = tmp_path / "two.keras"
    made(2).save(path)
    network = made(5)
    assert copy_initial_weights(network, path) == ("motion",)
    assert_close(network(CLIPS)["flow2"][:, 0], network(CLIPS)["flow2"][:, 3], atol=1e-4)
    full = MotionNet(5, "motionnet")
    full.build((None, 5, 32, 32, 3))
    with pytest.raises(UserError, match="its motion part does not fit"):
        copy_initial_weights(full, path)
