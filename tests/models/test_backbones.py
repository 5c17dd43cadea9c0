import keras
import numpy as np
import pytest

from h2s_keras.models.backbones import (
    application_names,
    build_backbone,
    preprocessing_mode,
)


def dense_widths(model):
    return [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]


def dropouts(model):
    return [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


def test_vgg16_has_the_published_head_and_channels():
    model = build_backbone("vgg16", (32, 32, 20), 7, dropout=(0.9, 0.8))
    assert model.input_shape == (None, 32, 32, 20) and model.output_shape == (None, 7)
    assert dense_widths(model) == [4096, 4096, 7]
    assert dropouts(model) == [0.9, 0.8]
    first = next(w for w in model.weights if len(w.shape) == 4)
    assert tuple(first.shape) == (3, 3, 20, 64)
    # 13 convolutions of VGG16 over 20 channels, then 512 -> 4096 -> 4096 -> 7.
    plan = [20, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    expected = sum(9 * a * b + b for a, b in zip(plan, plan[1:], strict=False))
    expected += 512 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 7 + 7
    assert model.count_params() == expected


def test_names_of_vgg16_in_capitals_mean_the_same():
    assert dense_widths(build_backbone("VGG16", (32, 32, 3), 3)) == [4096, 4096, 3]


def test_dropout_by_default_and_by_hand():
    assert dropouts(build_backbone("tiny", (32, 32, 4), 3)) == [0.5]
    assert dropouts(build_backbone("tiny", (32, 32, 4), 3, dropout=0.0)) == [0.0]
    assert dropouts(build_backbone("vgg16", (32, 32, 3), 3, dropout=0.3)) == [0.3, 0.3]


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_logits_are_float32(policy):
    keras.config.set_dtype_policy(policy)
    model = build_backbone("tiny", (16, 16, 4), 3)
    logits = model(np.zeros((2, 16, 16, 4), "float32"))
    assert "float32" in str(logits.dtype) and tuple(logits.shape) == (2, 3)


def test_tiny_is_a_third_of_a_million_and_scales_images_and_flow_apart():
    image, flow = (build_backbone("tiny", (32, 32, c), 5) for c in (3, 4))
    assert 150_000 < image.count_params() < 350_000
    assert image.get_layer("input_scale").scale == 4.0
    assert flow.get_layer("input_scale").scale == 1 / 32


def test_a_detail_reaches_the_maximum_whole():
    """By mean, a detail of one place in hundreds hardly changes the features."""
    model = build_backbone("small_max", (64, 64, 3), 3)
    pooled = keras.Model(model.inputs, model.get_layer("mean_and_maximum").output)
    maps = keras.Model(model.inputs, model.get_layer("relu5").output)
    images = np.random.default_rng(0).uniform(0, 1, (2, 64, 64, 3)).astype("float32")
    images[1] = images[0]
    images[1, 30:33, 30:33] = (5, 0, 0)
    features = keras.ops.convert_to_numpy(pooled(images))
    cells = keras.ops.convert_to_numpy(maps(images)).reshape(2, -1, 128)
    mean, maximum = features[:, :128], features[:, 128:]
    np.testing.assert_allclose(mean, cells.mean(axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(maximum, cells.max(axis=1))
    assert np.abs(np.diff(maximum, axis=0)).max() > 5 * np.abs(np.diff(mean, axis=0)).max()
    assert preprocessing_mode("small_max") == preprocessing_mode("small") == "unit"


def test_an_application_by_name():
    model = build_backbone("mobilenetv2", (32, 32, 6), 4)
    assert model.output_shape == (None, 4)
    assert "mobilenetv2" in application_names() and "vgg16" in application_names()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("vgg16", "caffe"),
        ("ResNet50", "caffe"),
        ("resnet50v2", "tf"),
        ("inceptionv3", "tf"),
        ("mobilenetv2", "tf"),
        ("mobilenetv3small", "none"),
        ("efficientnetb0", "none"),
        ("densenet121", "torch"),
        ("tiny", "unit"),
    ],
)
def test_preprocessing_of_families(name, mode):
    assert preprocessing_mode(name) == mode


def test_preprocessing_of_an_instance_is_its_own():
    assert preprocessing_mode(small_backbone(3)) == "none"


def small_backbone(channels, maps=True):
    inputs = keras.Input((None, None, channels))
    hidden = keras.layers.Conv2D(5, 3)(inputs)
    if not maps:
        hidden = keras.layers.GlobalMaxPooling2D()(hidden)
    return keras.Model(inputs, hidden)


@pytest.mark.parametrize("maps", [True, False])
def test_an_instance_is_used_and_not_copied(maps):
    backbone = small_backbone(4, maps)
    model = build_backbone(backbone, (16, 16, 4), 3, dropout=0.0)
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 4)).astype("float32")
    features = keras.ops.convert_to_numpy(backbone(images))
    if maps:
        features = features.mean(axis=(1, 2))
    last = model.get_layer("logits")
    kernel, bias = (keras.ops.convert_to_numpy(weight) for weight in last.weights)
    expected = features @ kernel + bias
    logits = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    backbone.layers[1].bias.assign(np.full(5, 3.0))
    logits = keras.ops.convert_to_numpy(model(images))
    assert np.abs(logits - expected).max() > 0.1


def sequence_backbone():
    inputs = keras.Input((16, 4))
    return keras.Model(inputs, keras.layers.Dense(3)(inputs))


def flattened_maps():
    inputs = keras.Input((16, 16, 4))
    return keras.Model(inputs, keras.layers.Reshape((256, 4))(inputs))


@pytest.mark.parametrize(
    ("backbone", "options", "text"),
    [
        (lambda: "vgg61", {}, "Unknown backbone 'vgg61'. Use 'vgg16', tiny, small"),
        (lambda: "tiny", {"weights": "imagenet"}, "'tiny' has no trained weights"),
        (lambda: "inceptionv3", {}, r"inceptionv3 cannot take input \(16, 16, 4\)"),
        (lambda: 5, {}, "received int"),
        (lambda: small_backbone(3), {}, "The backbone takes images|takes images"),
        (lambda: small_backbone(4), {"weights": "x"}, "brings its own weights"),
        (sequence_backbone, {}, "takes images"),
        (flattened_maps, {}, "gives features"),
        (lambda: "vgg16", {"weights": "none.h5"}, "No weights file 'none.h5'"),
    ],
)
def test_errors(backbone, options, text):
    with pytest.raises(ValueError, match=text):
        build_backbone(
            backbone(), (16, 16, 4) if backbone() != "vgg16" else (32, 32, 4), 3, **options
        )
