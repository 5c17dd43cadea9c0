"""Image weights under flow: a weights file made here stands in for ImageNet's."""

import keras
import numpy as np
import pytest
from checks import to_numpy

from h2s_keras.errors import UserError, UserFacingWarning
from h2s_keras.models import HiddenTwoStreamBuilder
from h2s_keras.models.backbones import build_backbone
from h2s_keras.models.cross_modality import (
    adapt_flow_channels,
    copy_image_weights,
    inflate_channels,
)


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


def test_flow_of_other_pairs_answers_constant_motion_alike():
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(3, 3, 10, 5))
    wide = adapt_flow_channels(kernel, 20)
    assert wide.shape == (3, 3, 20, 5)
    patch = rng.normal(size=(3, 3, 2))
    few, many = (
        np.einsum("yxc,yxcf->f", np.tile(patch, (1, 1, pairs)), one)
        for pairs, one in ((5, kernel), (10, wide))
    )
    np.testing.assert_allclose(many, few)


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
    with pytest.raises(ValueError, match="no network.*path of a downloaded weights file"):
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


@pytest.fixture(scope="module", params=["keras", "weights.h5"])
def whole_vgg16(request, tmp_path_factory):
    """(VGG16 with its top for images of 32 pixels and 7 classes, its file)"""
    keras.utils.set_random_seed(4)
    model = keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=7)
    path = tmp_path_factory.mktemp("top") / f"vgg16.{request.param}"
    model.save(path) if request.param == "keras" else model.save_weights(path)
    yield model, str(path)
    path.unlink()


def test_vgg16_takes_its_dense_layers_for_images_and_for_flow(whole_vgg16, recwarn):
    source, path = whole_vgg16
    for channels in (3, 20):
        model = build_backbone("vgg16", (32, 32, channels), 4, weights=path)
        for own, other in (("fc6", "fc1"), ("fc7", "fc2")):
            theirs = source.get_layer(other).get_weights()
            for one, two in zip(model.get_layer(own).get_weights(), theirs, strict=True):
                np.testing.assert_array_equal(one, two)
        first, *rest = zip(convolutions(model), convolutions(source), strict=True)
        for own, other in rest:
            np.testing.assert_array_equal(own[0], other[0])
        wanted = first[1][0] if channels == 3 else inflate_channels(first[1][0], channels)
        np.testing.assert_allclose(first[0][0], wanted, atol=1e-7)
    assert not [one for one in recwarn if issubclass(one.category, UserFacingWarning)]
    # The whole network says the same as its parts, up to the last layer.
    image = np.random.default_rng(2).normal(0, 50, (1, 32, 32, 3)).astype("float32")
    images = build_backbone("vgg16", (32, 32, 3), 7, weights=path)
    images.get_layer("fc8").set_weights(source.get_layer("predictions").get_weights())
    scores = to_numpy(keras.ops.softmax(images(image)))
    np.testing.assert_allclose(scores, to_numpy(source(image)), rtol=1e-4, atol=1e-6)


def test_dense_layers_that_do_not_fit_or_are_not_there_are_reported(whole_vgg16, image_net):
    with pytest.warns(
        UserFacingWarning, match="fc6 and fc7.*random.*top for images of another"
    ):
        model = build_backbone("vgg16", (64, 64, 3), 4, weights=whole_vgg16[1])
    for own, other in zip(convolutions(model), convolutions(whole_vgg16[0]), strict=True):
        np.testing.assert_array_equal(own[0], other[0])
    with pytest.warns(
        UserFacingWarning, match="fc6 and fc7 of .* at random: .* came without"
    ):
        build_backbone("vgg16", (32, 32, 3), 4, weights=image_net[1])


def test_imagenet_of_vgg16_is_asked_for_with_its_top(monkeypatch):
    asked = []

    def build(**options):
        asked.append(options)
        raise OSError("no network")

    images = keras.Input((224, 224, 20))
    model = keras.Model(images, keras.layers.Conv2D(2, 3)(images), name="vgg16")
    with pytest.raises(UserError, match="no network"):
        copy_image_weights(build, model, "imagenet")
    assert asked[0] == {"weights": "imagenet"} and not asked[1]["include_top"]


# === Networks of this package ===


def scrambled(network):
    generator = np.random.default_rng(7)
    for variable in network.weights:
        variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    return network


def assert_same_layers(model, source, first):
    for layer in source.layers:
        if layer.weights and layer.name != first:
            pairs = zip(
                model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
            )
            for one, two in pairs:
                np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("suffix", ["keras", "weights.h5"])
@pytest.mark.parametrize("channels", [3, 10])
def test_a_stream_of_bn_inception_gives_its_network(tmp_path, suffix, channels):
    stream = scrambled(build_backbone("bn_inception", (None, None, channels), 9))
    path = str(tmp_path / f"stream.{suffix}")
    stream.save(path) if suffix == "keras" else stream.save_weights(path)
    source = stream.get_layer("bn_inception")
    kernel = source.get_layer("conv1_7x7_s2").get_weights()[0]
    model = build_backbone("bn_inception", (32, 32, 20), 4, weights=path)
    network = model.get_layer("bn_inception")
    assert_same_layers(network, source, "conv1_7x7_s2")
    adapt = inflate_channels if channels == 3 else adapt_flow_channels
    actual = network.get_layer("conv1_7x7_s2").get_weights()[0]
    np.testing.assert_allclose(actual, adapt(kernel, 20), rtol=1e-6)


def test_a_stream_over_flow_is_refused_for_images(tmp_path):
    path = str(tmp_path / "flow.keras")
    build_backbone("bn_inception", (None, None, 10), 9).save(path)
    with pytest.raises(UserError, match="conv1_7x7_s2: weights of shape .*do not fit"):
        build_backbone("bn_inception", (32, 32, 3), 4, weights=path)


def test_i3d_is_inflated_from_a_stream_of_its_parent(tmp_path):
    stream = scrambled(build_backbone("inception_v1", (32, 32, 3), 9))
    path = str(tmp_path / "parent.keras")
    stream.save(path)
    source = stream.get_layer("inception_v1")
    model = build_backbone("i3d", (8, 32, 32, 3), 4, weights=path).get_layer("i3d")
    name = "Mixed_3b_Branch_1_0b_3x3"
    kernel = source.get_layer(name).get_weights()[0]
    inflated = model.get_layer(name).get_weights()[0]
    for step in inflated:
        np.testing.assert_allclose(step, kernel / len(inflated), rtol=1e-6)


def test_a_whole_model_of_something_else_is_refused(tmp_path):
    path = str(tmp_path / "tiny.keras")
    build_backbone("tiny", (32, 32, 3), 4).save(path)
    with pytest.raises(UserError, match="do not fit bn_inception .*no layer 'conv1_7x7"):
        build_backbone("bn_inception", (32, 32, 20), 4, weights=path)
    with pytest.raises(UserError, match="another network than mobilenetv2|are needed"):
        build_backbone("mobilenetv2", (32, 32, 20), 4, weights=path)


def test_a_model_with_two_networks_of_one_kind_is_refused(tmp_path):
    network = build_backbone("bn_inception", (32, 32, 3), 4)
    other = keras.models.clone_model(network)
    inputs = keras.Input((32, 32, 3))
    whole = keras.Model(
        inputs,
        [network(inputs), keras.Model(other.inputs, other.outputs, name="other")(inputs)],
    )
    path = str(tmp_path / "both.keras")
    whole.save(path)
    with pytest.raises(UserError, match="several networks .*model.initial"):
        build_backbone("bn_inception", (32, 32, 20), 4, weights=path)


# === Real weights ===


def test_real_mobilenetv2_under_images_and_flow(real_data):
    path = real_data("weights", "mobilenetv2_notop_tfmode.weights.h5")
    source = keras.applications.MobileNetV2(
        include_top=False, weights=path, input_shape=(64, 64, 3)
    )
    images = build_backbone("mobilenetv2", (64, 64, 3), 4, weights=path)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype("float32")
    network = next(one for one in images.layers if isinstance(one, keras.Model))
    mine, theirs = to_numpy(network(image)), to_numpy(source(image))
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    flow = build_backbone("mobilenetv2", (64, 64, 20), 4, weights=path)
    mine, theirs = convolutions(flow), convolutions(source)
    np.testing.assert_allclose(mine[0][0], inflate_channels(theirs[0][0], 20), atol=1e-6)
    np.testing.assert_array_equal(mine[1][0], theirs[1][0])
    assert np.std(theirs[0][0]) > 0.05  # trained, not drawn


def test_a_real_whole_model_as_a_spatial_stream(real_data):
    """A classifier of one's own, cut before its last layers, is a backbone."""
    path = real_data("weights", "efficientnet_lite0_imagenet.keras")
    whole = keras.saving.load_model(path, compile=False)
    trunk = keras.Model(whole.inputs, whole.layers[-3].output)
    builder = HiddenTwoStreamBuilder(3, 3, (64, 64)).motion("tiny").temporal("tiny")
    model = builder.spatial(trunk, preprocessing="tf").build()
    clips = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64, 3), "uint8")
    logits = to_numpy(model(clips)["spatial_logits"])
    assert logits.shape == (1, 3) and np.isfinite(logits).all()
    with pytest.raises(UserError, match="another network than efficientnetb0: 99 layers"):
        build_backbone("efficientnetb0", (64, 64, 3), 4, weights=path)
