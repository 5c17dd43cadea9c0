"""Image weights under flow: a weights file made here stands in for ImageNet's."""

import keras
import numpy as np
import pytest

from h2s_keras.models.backbones import build_backbone
from h2s_keras.models.cross_modality import copy_image_weights, inflate_channels


@pytest.fixture(scope="module")
def image_net(tmp_path_factory):
    """(a VGG16 over RGB, the file of its weights)"""
    keras.utils.set_random_seed(3)
    model = keras.applications.VGG16(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    for variable in model.weights:
        if len(variable.shape) == 1:
            variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    path = tmp_path_factory.mktemp("weights") / "vgg16.weights.h5"
    model.save_weights(path)
    return model, str(path)


def convolutions(model):
    """(kernel, bias) of every convolution, also inside nested models."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += convolutions(layer)
        elif isinstance(layer, keras.layers.Conv2D):
            found.append([np.asarray(w) for w in layer.get_weights()])
    return found


def test_first_kernel_is_the_mean_over_rgb_and_the_rest_is_equal(image_net):
    source, path = image_net
    model = build_backbone("vgg16", (32, 32, 20), 4, weights=path)
    mine, theirs = convolutions(model), convolutions(source)
    assert len(mine) == len(theirs) == 13
    kernel, bias = theirs[0]
    mean = (kernel[:, :, 0] + kernel[:, :, 1] + kernel[:, :, 2]) / 3
    for channel in range(20):
        np.testing.assert_allclose(mine[0][0][:, :, channel], mean, atol=1e-7)
    np.testing.assert_array_equal(mine[0][1], bias)
    for own, other in zip(mine[1:], theirs[1:], strict=True):
        for one, two in zip(own, other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_without_weights_the_layers_differ(image_net):
    source, _ = image_net
    mine = convolutions(build_backbone("vgg16", (32, 32, 20), 4))
    assert np.abs(mine[1][0] - convolutions(source)[1][0]).max() > 1e-3


def test_images_take_the_weights_as_they_are(image_net):
    source, path = image_net
    model = build_backbone("vgg16", (32, 32, 3), 4, weights=path)
    for own, other in zip(convolutions(model), convolutions(source), strict=True):
        np.testing.assert_array_equal(own[0], other[0])


def test_equal_channels_answer_like_a_grey_image():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 3, 5))
    wide = inflate_channels(kernel, 8)
    assert wide.shape == (3, 3, 8, 5)
    patch = rng.normal(size=(3, 3, 1, 1))
    grey, stack = ((patch * k).sum(axis=(0, 1, 2)) for k in (kernel, wide))
    np.testing.assert_allclose(stack, grey * 8 / 3)


def test_a_kernel_of_another_rank():
    with pytest.raises(ValueError, match=r"\(height, width, 3, filters\)"):
        inflate_channels(np.zeros((3, 3)), 4)


def one_layer():
    return keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(1, 1)])


def test_a_missing_file_is_named_before_anything_is_built():
    def build(**options):
        raise AssertionError("not reached")

    with pytest.raises(ValueError, match="No weights file 'gone.h5'; give a path"):
        copy_image_weights(build, one_layer(), "gone.h5")


def test_weights_that_cannot_be_downloaded_say_what_to_do():
    def build(**options):
        assert options["weights"] == "imagenet" and options["input_shape"] == (8, 8, 3)
        raise OSError("no network")

    model = one_layer()
    with pytest.raises(ValueError, match="no network.*path of a downloaded no-top"):
        copy_image_weights(build, model, "imagenet")


def test_a_file_of_something_else(tmp_path):
    (tmp_path / "bad.weights.h5").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="bad.weights.h5.*could not be had"):
        build_backbone("vgg16", (32, 32, 20), 4, weights=str(tmp_path / "bad.weights.h5"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnetb0", "convnexttiny"])
def test_models_that_scale_inside_load_under_flow(name, tmp_path):
    """Their stem differs by the number of channels in more than one kernel."""
    from h2s_keras.models.backbones import application_names

    keras.utils.set_random_seed(5)
    source = application_names()[name](
        include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    path = str(tmp_path / "source.weights.h5")
    source.save_weights(path)
    first = convolutions(source)[0][0]
    model = build_backbone(name, (64, 64, 20), 4, weights=path)
    adapted = convolutions(model)[0][0]
    np.testing.assert_allclose(adapted, inflate_channels(first, 20), atol=1e-6)
    scores = keras.ops.convert_to_numpy(model(np.ones((1, 64, 64, 20), "float32")))
    assert scores.shape == (1, 4) and np.isfinite(scores).all()


def test_efficientnet_divides_by_the_deviation_from_a_file_too(tmp_path):
    """Released weights have the deviation where a variance belongs; see Keras' builder."""
    mean, deviation = [0.485, 0.456, 0.406], np.array([0.229, 0.224, 0.225])
    source = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )

    def normalization(model):
        kind = keras.layers.Normalization
        return next(one for one in model.layers if isinstance(one, kind))

    def from_file(variance):
        layer = normalization(source)
        _, _, *count = layer.get_weights()
        layer.set_weights([np.array(mean), np.array(variance), *count])
        source.save_weights(tmp_path / "b0.weights.h5", overwrite=True)
        path = str(tmp_path / "b0.weights.h5")
        network = build_backbone("efficientnetb0", (32, 32, 3), 4, weights=path)
        return normalization(next(x for x in network.layers if isinstance(x, keras.Model)))

    image = np.random.default_rng(0).uniform(size=(1, 4, 4, 3)).astype("float32")
    expected = (image - mean) / deviation
    np.testing.assert_allclose(from_file(deviation)(image), expected, rtol=1e-4)
    # Weights of one's own keep what they were trained with.
    own = (image - mean) / np.sqrt([0.5, 0.6, 0.7])
    np.testing.assert_allclose(from_file([0.5, 0.6, 0.7])(image), own, rtol=1e-4)
