"""Classifiers of one image-like input, also with activations computed again per block."""

from typing import Any

import keras

from h2s_keras.models.bn_inception import bn_inception
from h2s_keras.models.cross_modality import (
    copy_dense_layers,
    copy_image_weights,
    copy_named_weights,
)
from h2s_keras.models.finished_classifier import finished_logits
from h2s_keras.models.i3d import i3d, inception_v1
from h2s_keras.models.image_format import channels_last
from h2s_keras.ops.rematerialize import rematerialize
from h2s_keras.tensor_types import Tensor

# Networks of this package; those after the name give weights to its kernels by inflation.
_OWN = {"bn_inception": bn_inception, "inception_v1": inception_v1, "i3d": i3d}
_PARENTS = {"i3d": inception_v1}

# How keras.applications families were trained; the rest scale their input inside.
_FAMILY_MODES = {
    "caffe": ("vgg", "resnet50", "resnet101", "resnet152"),
    "tf": ("resnet50v2", "resnet101v2", "resnet152v2", "inception", "xception")
    + ("mobilenet", "mobilenetv2", "nasnet", "i3d"),
    "tsn": ("bn_inception",),
    "torch": ("densenet",),
}
_OWN_SCALING = ("mobilenetv3", "efficientnet", "convnext")


def application_names() -> dict[str, Any]:
    """Lower-case names of the models of keras.applications, with their builders."""
    return {
        name.lower(): getattr(keras.applications, name)
        for name in dir(keras.applications)
        if name[0].isupper() and callable(getattr(keras.applications, name))
    }


def preprocessing_mode(backbone: str | keras.Model) -> str:
    """Mode of `ImagePreprocessing` for a spatial stream with this backbone."""
    if not isinstance(backbone, str):
        return "none"
    name = backbone.lower()
    if name in _SMALL:
        return "unit"
    if name.startswith(_OWN_SCALING):
        return "none"
    best = max(
        (
            (len(prefix), mode)
            for mode, prefixes in _FAMILY_MODES.items()
            for prefix in prefixes
            if name.startswith(prefix)
        ),
        default=(0, "none"),
    )
    return best[1]


def reads_clips(backbone: str | keras.Model) -> bool:
    """Whether a backbone over RGB takes the whole clip instead of one frame."""
    if isinstance(backbone, str):
        return backbone.lower() == "i3d"
    return len(getattr(backbone, "input_shape", ())) == 5


@channels_last()
def build_backbone(
    backbone: Any,
    input_shape: Any,
    num_classes: int,
    dropout: Any = None,
    weights: Any = None,
    name: str | None = None,
    partial_batch_normalization: bool = False,
    rematerialize: bool = False,
) -> keras.Model:
    """A classifier (batch, height, width, channels) -> logits (batch, num_classes).

    Args:
        backbone: "vgg16" (published heads: two layers of 4096 with dropout),
            "bn_inception" (TSN's), "i3d" and its 2D parent "inception_v1", "small" (0.2 M
            parameters, with batch normalization, for tens of videos), "small_max" (the
            same, its maps pooled by mean and by maximum, for details of a few pixels),
            "tiny" (0.3 M, for the synthetic clips), the name of any keras.applications
            model, or a functional keras.Model of one input and one output. From images to
            maps, or to features (batch, n) that end in a pooling or a non-linearity, it
            gets a head: pooling, dropout and a new Dense. From images to logits (batch,
            num_classes) it is used as it is, and to probabilities without its softmax, that
            is with its own logits.
            A classifier of other classes, one that ends in a sigmoid, and a model that does
            not say what it gives are refused.
        input_shape: (height, width, channels); channels 3 or 2*(frames-1). For "i3d" over
            RGB (time, height, width, 3).
        num_classes: size of the logits.
        dropout: rate before the last layer, or for "vgg16" the pair (after fc6, after
            fc7). Default: 0.9 and 0.8 for the published temporal stream is the
            builder's choice; 0.5 here.
        weights: None (random), "imagenet", or the path of a file of the backbone with 3
            channels: .keras, .weights.h5 or keras.applications' .h5, with or without its
            top. The first convolution is adapted to other numbers of channels by
            cross-modality initialisation. "vgg16" takes fc6 and fc7 from the top, for
            images of 224x224 pixels. "bn_inception", "inception_v1" and "i3d" take a
            .keras or .weights.h5 file of the network or of a stream with it, over images
            or flow, as `h2s convert` writes of a .caffemodel; "i3d" also that of
            "inception_v1", which is inflated.
        name: name of the model.
        partial_batch_normalization: for "bn_inception", "inception_v1", "i3d": keep mean
            and variance of all batch normalisations but the first as they are.
        rematerialize: in training, compute the activations inside each block of the
            backbone again in the backward pass instead of keeping them.

    Returns:
        keras.Model with float32 logits.

    Raises:
        ValueError: for an unknown name, an instance whose input or output does not fit,
            weights that cannot be had, or an option that the backbone does not have.

    Example:
        >>> build_backbone("tiny", (64, 64, 20), num_classes=5).output_shape
        (None, 5)
    """
    inputs, top = keras.Input(tuple(input_shape), name="images"), None
    rates = dropout if isinstance(dropout, (tuple, list)) else (dropout, dropout)
    rates = [0.5 if rate is None else rate for rate in rates]
    layers = keras.layers
    if isinstance(backbone, str):
        backbone = backbone.lower()
    if partial_batch_normalization and (
        not isinstance(backbone, str) or backbone not in _OWN
    ):
        raise ValueError(
            f"partial_batch_normalization goes with {', '.join(_OWN)}; received the "
            f"backbone {backbone!r}."
        )
    finished = False
    if not isinstance(backbone, str):
        network = _instance(backbone, inputs, weights)
        classifier = finished_logits(network, num_classes)
        finished, network = classifier is not None, classifier or network
    elif backbone in _SMALL:
        if weights is not None:
            raise ValueError(
                f"The backbone {backbone!r} has no trained weights; leave weights out."
            )
        network = _SMALL[backbone]
    elif backbone in _OWN:
        network = _own(backbone, input_shape, weights, partial_batch_normalization)
    elif backbone in application_names():
        network, top = _application(backbone, inputs, weights)
    else:
        raise ValueError(
            f"Unknown backbone {backbone!r}. Use 'vgg16', {', '.join((*_SMALL, *_OWN))}, a "
            "keras.Model, or a model of keras.applications: "
            f"{', '.join(sorted(application_names()))}."
        )
    if rematerialize and network not in _SMALL.values():
        network = rematerialize_model(network)
    features = network(inputs)
    if finished:
        if dropout is not None:
            raise ValueError(
                f"{backbone.name!r} is a finished classifier of {num_classes} classes and "
                "gets no new head; leave dropout out."
            )
        logits = keras.layers.Activation("linear", name="logits", dtype="float32")
        return keras.Model(inputs, logits(features), name=name)
    if len(features.shape) not in (2, 4, 5):
        raise ValueError(
            "A backbone gives features (batch, n) or maps (batch, height, width, n), 3D "
            f"ones (batch, time, height, width, n); this one gives {tuple(features.shape)}."
        )

    # === Head ===
    if backbone == "vgg16":
        hidden = layers.Flatten()(features)
        for number, rate in zip((6, 7), rates, strict=True):
            hidden = layers.Dense(4096, "relu", name=f"fc{number}")(hidden)
            hidden = layers.Dropout(rate, name=f"drop{number}")(hidden)
        last = "fc8"
    else:
        hidden = features
        if len(features.shape) == 4:
            hidden = layers.GlobalAveragePooling2D()(hidden)
        elif len(features.shape) == 5:
            hidden = layers.GlobalAveragePooling3D()(hidden)
        hidden = layers.Dropout(rates[0])(hidden)
        last = "logits"
    # Logits are float32 under every policy: softmax of float16 loses small classes.
    logits = layers.Dense(num_classes, name=last, dtype="float32")(hidden)
    model = keras.Model(inputs, logits, name=name)
    if backbone == "vgg16" and weights is not None:
        copy_dense_layers(model, ("fc6", "fc7"), top, weights)
    return model


def _tiny(inputs):
    layers = keras.layers
    # He initialisation expects inputs of about unit size. Adapted flow spans -128..127
    # with most of it within a few pixels (6.4 levels each); images span about -0.5..0.6.
    # Flow always has an even number of channels, so 3 channels are an image.
    scale = 4.0 if inputs.shape[-1] == 3 else 1.0 / 32
    hidden = layers.Rescaling(scale, name="input_scale")(inputs)
    for index, (filters, stride) in enumerate(((32, 2), (64, 2), (96, 2), (128, 1))):
        hidden = layers.Conv2D(
            filters,
            5 if index == 0 else 3,
            strides=stride,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"conv{index + 1}",
        )(hidden)
    return hidden


def _small(inputs):
    """Five convolutions, each with batch normalization, at an eighth of the input's size.

    The normalization makes it indifferent to how large the motions of the videos are.
    """
    layers, hidden = keras.layers, inputs
    for index, (filters, stride) in enumerate(
        ((32, 2), (48, 2), (64, 1), (96, 2), (128, 1))
    ):
        hidden = layers.Conv2D(
            filters,
            5 if index == 0 else 3,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"conv{index + 1}",
        )(hidden)
        # A run of a few hundred steps: the usual momentum of 0.99 would lag behind.
        hidden = layers.BatchNormalization(momentum=0.9, name=f"norm{index + 1}")(hidden)
        hidden = layers.ReLU(name=f"relu{index + 1}")(hidden)
    return hidden


def _small_max(inputs):
    """Features of "small" by mean and maximum: a mean loses what is seen in one place."""
    maps = _small(inputs)
    pooled = [keras.layers.GlobalAveragePooling2D()(maps)]
    pooled.append(keras.layers.GlobalMaxPooling2D()(maps))
    return keras.layers.Concatenate(name="mean_and_maximum")(pooled)


_SMALL = {"tiny": _tiny, "small": _small, "small_max": _small_max}


def _application(name, inputs, weights):
    build = application_names()[name]
    shape = tuple(inputs.shape[1:])
    # weights=None keeps keras.applications from downloading anything by itself.
    try:
        model = build(include_top=False, weights=None, input_shape=shape)
    except ValueError as error:
        raise ValueError(f"{name} cannot take input {shape}: {error}") from error
    if weights is None:
        return model, []
    return copy_image_weights(build, model, weights)


def _own(name, input_shape, weights, partial):
    network = _OWN[name](input_shape, partial_batch_normalization=partial)
    if weights is not None:
        sources = [_OWN[name], *([_PARENTS[name]] if name in _PARENTS else [])]
        copy_named_weights(sources, network, weights)
    return network


def _instance(backbone, inputs, weights):
    if weights is not None:
        raise ValueError("A backbone instance brings its own weights; leave weights out.")
    if not isinstance(backbone, keras.Model):
        raise ValueError(
            f"backbone must be a name or a keras.Model; received {type(backbone).__name__}."
        )
    expected = getattr(backbone, "input_shape", None)
    for what in ("input", "output"):
        tensors = getattr(backbone, f"{what}s", None) or []
        structures = (dict,) if what == "input" else (dict, list, tuple)
        if len(tensors) > 1 or (
            tensors and isinstance(getattr(backbone, what, None), structures)
        ):
            raise ValueError(
                f"{backbone.name!r} has several {what}s, or a list or dict of them; a "
                f"backbone has one: choose it by keras.Model({backbone.name}.inputs[0], "
                f"{backbone.name}.outputs[0])."
            )
    if not isinstance(expected, tuple):
        # A subclassed model, or a Sequential that has not seen its input.
        raise ValueError(
            f"{backbone.name!r} does not say what it takes; wrap it: inputs = "
            f"keras.Input({tuple(inputs.shape[1:])}); keras.Model(inputs, "
            f"{backbone.name}(inputs))."
        )
    expected = expected[1:]
    given = tuple(inputs.shape[1:])
    if len(expected) != len(given) or any(
        one not in (None, two) for one, two in zip(expected, given, strict=True)
    ):
        raise ValueError(
            f"This backbone takes images {expected}; the stream gives {given}. For the "
            "temporal stream the channels are 2*(num_frames-1)."
        )
    return backbone


# Where a block may end: behind these the tensor is small, or paths have met.
_ENDS = ("Pooling", "Concatenate", "Add")


@keras.saving.register_keras_serializable(package="h2s_keras")
class RematerializedBlock(keras.Model):
    """A part of a functional model whose activations are not kept while it trains.

    Args:
        inputs, outputs: of the part, as for keras.Model.
    """

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Any:
        if not training:
            return super().call(inputs, training=training, mask=mask)

        def run(tensor):
            return super(RematerializedBlock, self).call(tensor, training=True)

        return rematerialize(run, self.layers, inputs)


def rematerialize_model(model: keras.Model) -> keras.Model:
    """The same functional model, cut into blocks that rematerialise.

    Cuts lie behind pooling, concatenation and addition, wherever a single tensor carries
    everything on: behind each block of VGG, ResNet and the Inceptions.

    Args:
        model: functional keras.Model of one input and one output.

    Returns:
        keras.Model with the layers of `model` themselves, weights in the same order.

    Raises:
        ValueError: if the model is not functional or has several inputs or outputs.

    Example:
        >>> small = rematerialize_model(keras.applications.VGG16(weights=None))
        >>> [layer.name for layer in small.layers][1:3]
        ['block_1', 'block_2']
    """
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if len(getattr(model, "inputs", ()) or ()) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{model.name!r} cannot be rematerialised block by block: it is not a "
            "functional model of one input and one output."
        )
    inputs = keras.Input(model.inputs[0].shape[1:], dtype=model.inputs[0].dtype)
    hidden, begin = inputs, model.inputs[0]
    for number, end in enumerate(_cuts(model), start=1):
        block = RematerializedBlock(begin, end, name=f"block_{number}")
        hidden, begin = block(hidden), end
    return keras.Model(inputs, hidden, name=model.name)


def _cuts(model):
    """Ends of the blocks: tensors that everything behind them depends on alone."""
    depths = sorted(model._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in model._nodes_by_depth[depth]]
    last = {}
    for position, node in enumerate(nodes):
        for tensor in node.input_tensors:
            last[id(tensor)] = position
    last[id(model.outputs[0])] = len(nodes)
    alive, cuts = set(), []
    for position, node in enumerate(nodes):
        alive |= {id(tensor) for tensor in node.output_tensors}
        alive = {tensor for tensor in alive if last.get(tensor, -1) > position}
        name = type(node.operation).__name__
        if len(alive) == 1 and any(end in name for end in _ENDS):
            cuts.append(node.output_tensors[0])
    if not cuts or cuts[-1] is not model.outputs[0]:
        cuts.append(model.outputs[0])
    return cuts
