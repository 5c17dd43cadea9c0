"""The builder: every mistake names its step; defaults are the published ones."""

import keras
import numpy as np
import pytest
from checks import assert_close, to_numpy

from h2s_keras.models import HiddenTwoStream, HiddenTwoStreamBuilder, MotionNet
from h2s_keras.models.builder import flow_bound


def start(classes=5, frames=3, size=(32, 32)):
    return HiddenTwoStreamBuilder(classes, frames, size)


def dropouts(model):
    return [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


def test_published_two_stream_at_a_small_size():
    model = start(7).motion("tiny").temporal("vgg16").spatial("vgg16").build()
    assert isinstance(model, HiddenTwoStream) and model.fusion == (1.0, 1.5)
    for stream, channels in ((model.temporal, 4), (model.spatial, 3)):
        assert stream.input_shape == (None, 32, 32, channels)
        assert stream.output_shape == (None, 7)
        assert stream.get_layer("fc6").kernel.shape == (512, 4096)
        assert stream.get_layer("fc7").kernel.shape == (4096, 4096)
        assert dropouts(stream) == [0.9, 0.8]
    assert model.spatial_preprocessing.mode == "caffe"


def test_every_step_returns_the_builder():
    builder = start()
    assert builder.motion("tiny") is builder and builder.adapter() is builder
    assert builder.temporal("tiny") is builder and builder.spatial("tiny") is builder
    assert builder.fusion() is builder


@pytest.mark.parametrize(
    ("name", "rate", "expected"),
    [
        ("vgg16", None, [0.9, 0.8]),
        ("VGG16", 0.5, [0.5, 0.5]),
        ("vgg16", 0.0, [0.0, 0.0]),
    ],
)
def test_branched_vgg16_head(name, rate, expected):
    builder = start().motion("tiny").temporal(name, dropout=rate, branched=True)
    model = builder.build()
    assert model.temporal.input_shape == (None, 4, 4, 128)
    assert model.temporal.get_layer("fc6").kernel.shape == (4 * 4 * 128, 4096)
    assert dropouts(model.temporal) == expected
    assert model.branched and model.adapter is None
    assert model(np.zeros((1, 3, 32, 32, 3), "uint8"))["logits"].shape == (1, 5)


def test_names_of_classes_count_them():
    model = start(["a", "b", "c"]).motion("tiny").temporal("tiny").build()
    assert model.class_names == ["a", "b", "c"] and model.num_classes == 3


def test_number_of_classes_from_numpy():
    model = start(np.int64(4)).motion("tiny").temporal("tiny").build()
    assert model.num_classes == 4


def test_one_number_is_a_square():
    model = HiddenTwoStreamBuilder(2, 2, 48).motion("tiny").temporal("tiny").build()
    assert model.image_size == (48, 48)


def test_instances_are_used_themselves():
    motion = MotionNet(3, "tiny")
    inputs = keras.Input((None, None, 4))
    flow_net = keras.Model(inputs, keras.layers.Conv2D(6, 3)(inputs))
    inputs = keras.Input((None, None, 3))
    image_net = keras.Model(inputs, keras.layers.Conv2D(6, 3)(inputs))
    model = start().motion(motion).temporal(flow_net).spatial(image_net).build()
    assert model.motion is motion
    assert flow_net in model.temporal.layers and image_net in model.spatial.layers
    assert model.spatial_preprocessing.mode == "none"
    assert model(np.zeros((1, 3, 32, 32, 3), "uint8"))["logits"].shape == (1, 5)


def test_two_models_of_one_builder_share_nothing():
    builder = start().motion("tiny", intermediate_convolution=False).temporal("tiny")
    stacked = builder.build(rematerialize=True)
    both = builder.spatial("tiny").build()
    assert both.motion is not stacked.motion and both.adapter is not stacked.adapter
    assert not both.motion.intermediate_convolution
    assert stacked.motion.rematerialize and not both.motion.rematerialize
    kernels = [to_numpy(model.motion.convolutions[0].kernel) for model in (stacked, both)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3


def test_numbers_from_numpy():
    builder = HiddenTwoStreamBuilder(5, np.int64(3), np.int64(32))
    model = builder.motion("tiny").temporal("tiny").build()
    assert model.get_config()["motion"]["config"]["num_frames"] == 3
    assert model.image_size == (32, 32)


class Subclassed(keras.Model):
    def call(self, images):
        return images


@pytest.mark.parametrize(
    "backbone", [Subclassed(name="mine"), keras.Sequential([keras.layers.Flatten()])]
)
def test_a_backbone_that_does_not_know_its_input(backbone):
    with pytest.raises(ValueError, match=r"^\.temporal\(\): .*wrap it: inputs = keras"):
        start().motion("tiny").temporal(backbone).build()


def test_streams_that_are_not_functional():
    with pytest.raises(ValueError, match="received Subclassed 'mine'"):
        HiddenTwoStream(MotionNet(3, "tiny"), Subclassed(name="mine"))


@pytest.mark.parametrize("name", ["tiny", "vgg16", "bn_inception", "i3d", "resnet50"])
def test_keras_may_be_set_to_channels_first(name):
    """What is built then answers as the same weights do under the usual setting."""

    def make():
        keras.utils.set_random_seed(3)
        model = start().motion("tiny").temporal("tiny").spatial(name)
        return model.build()

    clips = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32, 3), "uint8")
    expected = to_numpy(make()(clips)["logits"])
    keras.config.set_image_data_format("channels_first")
    try:
        model = make()
        assert keras.config.image_data_format() == "channels_first"
        assert_close(model(clips)["logits"], expected, atol=1e-5)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("shape", [(5, 32, 32, 3), (32, 32, 3), (3, 30, 32, 3)])
def test_symbolic_clips_are_checked_too(shape):
    model = start().motion("tiny").temporal("tiny").build()
    for network in (model, model.motion):
        with pytest.raises(ValueError, match="MotionNet takes clips|must be a multiple of"):
            network(keras.Input(shape))


def test_options_reach_motion_net():
    model = start().motion("tiny", intermediate_convolution=False).temporal("tiny").build()
    assert model.motion.intermediate_convolution is False


@pytest.mark.parametrize("size", [(32, 40), (64, 72), (16, 24)])
def test_sizes_that_fit_the_tiny_variant(size):
    model = start(size=size).motion("tiny").temporal("tiny").build()
    assert model(np.zeros((1, 3, *size, 3), "uint8"))["flow2"].shape == (
        1,
        2,
        size[0] // 2,
        size[1] // 2,
        2,
    )


def flow_backbone(channels):
    inputs = keras.Input((None, None, channels))
    return keras.Model(inputs, keras.layers.Conv2D(6, 3)(inputs))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: start(1), "num_classes must be at least 2, .*received 1"),
        (lambda: start(["only"]), "num_classes must be at least 2, .*received 1"),
        (lambda: start("101"), "whole number or a list of class names; received '101'"),
        (lambda: start(5.0), "whole number or a list of class names; received 5.0"),
        (lambda: start(size=(8, 32)), "image_size is .height, width., at least 16"),
        (lambda: start(size=(32, 32, 3)), "image_size is .height, width."),
        (lambda: start(size=(36, 32)).motion("tiny"), r"\.motion\(\): .*multiples of 8"),
        (
            lambda: start(size=(48, 64)).motion("motionnet"),
            r"\.motion\(\): .*multiples of 32",
        ),
        (lambda: start().motion("huge"), r"\.motion\(\): .*huge"),
        (lambda: start().motion(5), r"\.motion\(\) takes a name.*received int"),
        (
            lambda: start().motion(MotionNet(4, "tiny")),
            r"\.motion\(\): .*4 frames.*num_frames=3",
        ),
        (lambda: start(frames=1).motion("tiny"), r"\.motion\(\): .*at least 2 frames"),
        (
            lambda: start().motion(MotionNet(3, "tiny"), intermediate_convolution=False),
            r"\.motion\(\): .*intermediate_convolution",
        ),
        (lambda: start().adapter(bound=-1), r"\.adapter\(\): bound must be"),
        (lambda: start().adapter(scale=4), r"\.adapter\(\): the scale is"),
        (
            lambda: (
                start().motion("tiny").adapter().temporal("tiny", branched=True).build()
            ),
            r"\.adapter\(\): the branched variant .* has no adapter",
        ),
        (lambda: start().temporal("tiny").build(), r"step \.motion\(\) is missing"),
        (lambda: start().motion("tiny").build(), r"step \.temporal\(\) is missing"),
        (
            lambda: start().motion("tiny").temporal("nonsense").build(),
            r"\.temporal\(\): Unknown backbone 'nonsense'",
        ),
        (
            lambda: start().motion("tiny").temporal(flow_backbone(3)).build(),
            r"\.temporal\(\): This backbone takes images .*2\*\(num_frames-1\)",
        ),
        (
            lambda: start().motion("tiny").temporal("tiny").spatial("nonsense").build(),
            r"\.spatial\(\): Unknown backbone 'nonsense'",
        ),
        (
            lambda: (
                start().motion("tiny").temporal("tiny").spatial(flow_backbone(4)).build()
            ),
            r"\.spatial\(\): This backbone takes images",
        ),
        (
            lambda: start().motion("tiny").temporal("vgg16", weights="gone.h5").build(),
            r"\.temporal\(\): No weights file 'gone.h5'",
        ),
        (
            lambda: (
                start()
                .motion("tiny")
                .temporal("tiny")
                .spatial("tiny", preprocessing="mystery")
                .build()
            ),
            r"\.spatial\(\): preprocessing must be one of",
        ),
        (
            lambda: start().temporal("vgg16", weights="imagenet", branched=True),
            r"\.temporal\(\): the branched variant",
        ),
        (
            lambda: start().motion("tiny").temporal("resnet50", branched=True).build(),
            r"\.temporal\(\): the branched variant has the heads",
        ),
        (lambda: start().fusion(-1, 1), r"\.fusion\(\) takes weights >= 0"),
        (lambda: start().fusion(0, 0), r"\.fusion\(\) takes weights >= 0"),
    ],
)
def test_every_mistake_names_its_step(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_the_bound_of_flow_follows_the_size_of_the_clips():
    def bound(size, **options):
        builder = HiddenTwoStreamBuilder(2, 3, size).motion("tiny").temporal("tiny")
        if options:
            builder.adapter(**options)
        return builder.build().adapter.bound

    assert flow_bound((224, 224)) == 20.0
    assert bound((56, 80)) == 5.0
    assert bound((56, 80), levels=256) == 5.0
    assert bound((56, 80), bound=2.0) == 2.0


def test_the_small_temporal_network_reads_flow_on_its_own_grid():
    model = HiddenTwoStreamBuilder(2, 3, (48, 64)).motion("tiny").temporal("small").build()
    assert model.temporal.input_shape == (None, 24, 32, 4)
    assert model(np.zeros((1, 3, 48, 64, 3), "uint8"))["logits"].shape == (1, 2)
