"""Image weights for inputs that are not images: cross-modality initialisation."""

import contextlib
import os
import sys

import keras
import numpy as np

from h2s_keras.errors import UserError


def inflate_channels(kernel, channels):
    """Adapts a first convolution from RGB to any number of channels.

    The filters are averaged over RGB and repeated, so that the layer answers a stack of
    equal channels as it answered a grey image, up to the factor channels/3.

    Args:
        kernel: array (height, width, 3, filters).
        channels: input channels wanted.

    Returns:
        Array (height, width, channels, filters).

    Raises:
        ValueError: if kernel has another rank.

    Source: arXiv 1704.00389, section 4.1; Wang et al. 2016, section 3.2.
    """
    kernel = np.asarray(kernel)
    if kernel.ndim != 4:
        raise ValueError(
            f"A convolution kernel is (height, width, 3, filters); received {kernel.shape}."
        )
    mean = kernel.mean(axis=2, keepdims=True)
    return np.repeat(mean, channels, axis=2)


def inflate_kernel(kernel, time):
    """A 2D kernel as a 3D one that answers a still clip as it answered the image.

    It is repeated over time and divided by it.

    Args:
        kernel: array (height, width, channels, filters).
        time: steps of the 3D kernel.

    Returns:
        Array (time, height, width, channels, filters).

    Raises:
        ValueError: if kernel has another rank or time is below 1.

    Example:
        >>> inflate_kernel(np.ones((3, 3, 4, 8)), 3).shape
        (3, 3, 3, 4, 8)

    Source: Carreira & Zisserman 2017, section 2.4.
    """
    kernel = np.asarray(kernel)
    if kernel.ndim != 4 or time < 1:
        raise ValueError(
            "inflate_kernel takes a kernel (height, width, channels, filters) and time >= "
            f"1; received {kernel.shape} and {time}."
        )
    return np.repeat(kernel[None], time, axis=0) / time


def copy_named_weights(builders, network, weights):
    """Fills `network` from a weights file of the same architecture over RGB images.

    Layers are matched by name; the first convolution is adapted to its channels by
    `inflate_channels` and 2D kernels to 3D ones by `inflate_kernel`.

    Args:
        builders: functions of this package from an input shape to a network; the file is
            of one of them, tried in turn.
        network: keras.Model to fill, without a classifier.
        weights: path of a .weights.h5 file.

    Raises:
        UserError: if the file cannot be read or is of another network.
    """
    weights = os.fspath(weights)
    name = network.name
    if weights == "imagenet":
        raise UserError(
            f"There are no ImageNet weights of {name} to download; pass the path of a "
            ".weights.h5 file of this network over RGB without its classifier."
        )
    if not os.path.isfile(weights):
        raise UserError(f"No weights file {weights!r}; give a path or None.")
    reasons = []
    for build in builders:
        # Weights do not depend on the size; 3D networks read RGB from clips.
        shape = (8, 32, 32, 3) if build.__name__ == "i3d" else (32, 32, 3)
        source = build(shape)
        try:
            source.load_weights(weights)
        except Exception as error:
            reasons.append(f"{build.__name__}: {' '.join(str(error).split())[:200]}")
            continue
        theirs = {layer.name: layer for layer in source.layers}
        for layer in network.layers:
            if layer.weights:
                layer.set_weights(_adapted(layer, theirs[layer.name].get_weights()))
        return
    raise UserError(
        f"The weights {weights!r} do not fit {name} ({'; '.join(reasons)}). Give what "
        "save_weights of the network over RGB without its classifier wrote."
    )


def copy_image_weights(build, model, weights):
    """Gives `model` the RGB weights of the same architecture.

    Args:
        build: builder of keras.applications that made `model`.
        model: without a top, with any number of input channels.
        weights: "imagenet" (from Keras' cache, else downloaded) or a weights file of the
            network without its top.

    Returns:
        The model to use: `model`, filled, its first convolution by `inflate_channels`;
        or for 3 channels the RGB model itself, which in some families holds more than
        weights (EfficientNet scales its input once more with "imagenet"; with a file of
        those weights its normalisation does).

    Raises:
        UserError: if the weights cannot be read or do not fit.
    """
    shape = tuple(model.input_shape[1:3]) + (3,)
    weights = os.fspath(weights)
    if weights != "imagenet" and not os.path.isfile(weights):
        raise UserError(
            f"No weights file {weights!r}; give a path, 'imagenet', or None for random "
            "initialisation."
        )
    source = _image_model(build, model.name, shape, weights)
    if model.input_shape[-1] == 3:
        if weights != "imagenet":
            _divide_by_deviation(source)
        return source
    theirs, mine = _weighted(source), _weighted(model)
    if len(theirs) != len(mine):
        raise UserError(
            f"The weights {weights!r} are of another network than {model.name}: "
            f"{len(theirs)} layers with weights where {len(mine)} are needed."
        )
    for own, other in zip(mine, theirs, strict=True):
        own.set_weights(_adapted(own, other.get_weights()))
    return model


def _image_model(build, name, shape, weights):
    """The RGB network. Keras tells of its download on stdout, which is for results."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return build(include_top=False, weights=weights, input_shape=shape)
    except Exception as error:
        reason = " ".join(str(error).split())
        if weights != "imagenet":
            cure = "Give a weights file of this network without its top (no-top)."
        else:
            home = os.environ.get("KERAS_HOME", os.path.join("~", ".keras"))
            cache = os.path.join(home, "models")
            cure = (
                f"Without a network, pass the path of a downloaded no-top weights file, or "
                f"put that file into {cache}, where Keras looks first."
            )
        raise UserError(
            f"The weights {weights!r} of {name} could not be had ({reason}). {cure}"
        ) from error


# Of RGB in ImageNet. EfficientNet's released weights hold it where a variance belongs.
_DEVIATION = np.array([0.229, 0.224, 0.225])


def _divide_by_deviation(model):
    """Makes a normalisation by the root of the deviation one by the deviation.

    EfficientNet's released weights leave a second root to a layer that Keras adds for
    weights="imagenet" only; from a file the same weights would get inputs half as large.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            mean, variance, *count = layer.get_weights()
            if np.allclose(variance.ravel(), _DEVIATION, atol=1e-3):
                layer.set_weights([mean, np.square(variance), *count])
                layer.finalize_state()


def _weighted(model):
    """Layers in order, without the statistics of RGB images, which flow has no use for."""
    return [
        layer
        for layer in model.layers
        if layer.weights and not isinstance(layer, keras.layers.Normalization)
    ]


def _adapted(layer, values):
    """`values` with an RGB kernel widened to the input of `layer`."""
    values = list(values)
    if len(values) != len(layer.weights):
        raise UserError(
            f"{layer.name}: {len(values)} arrays do not fit {len(layer.weights)}."
        )
    for index, (value, own) in enumerate(zip(values, layer.weights, strict=True)):
        wanted = tuple(own.shape)
        if len(wanted) == 5 and value.ndim == 4:
            value = _widened(value, wanted[3])
            values[index] = value = inflate_kernel(value, wanted[0])
        elif len(wanted) == 5 and value.shape[3] == 3:
            values[index] = value = np.stack([_widened(v, wanted[3]) for v in value])
        if value.shape == wanted:
            continue
        if len(wanted) != 4 or value.shape != (*wanted[:2], 3, wanted[3]):
            raise UserError(
                f"{layer.name}: weights of shape {value.shape} do not fit {wanted}."
            )
        values[index] = inflate_channels(value, wanted[2])
    return values


def _widened(kernel, channels):
    """The kernel itself, or one over RGB made one over `channels`."""
    return kernel if kernel.shape[2] == channels else inflate_channels(kernel, channels)
