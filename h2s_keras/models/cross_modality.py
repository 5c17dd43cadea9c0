"""Image weights for inputs that are not images: cross-modality initialisation."""

import os

import numpy as np


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


def copy_image_weights(build, model, weights):
    """Fills `model` from the RGB weights of the same architecture.

    Args:
        build: builder of keras.applications that made `model`.
        model: without a top, with any number of input channels.
        weights: "imagenet" (from Keras' cache, else downloaded) or a weights file.

    Raises:
        ValueError: if the weights cannot be read or do not fit.
    """
    shape = tuple(model.input_shape[1:3]) + (3,)
    if weights != "imagenet" and not os.path.exists(weights):
        raise ValueError(
            f"No weights file {weights!r}; give a path, 'imagenet', or None for random "
            "initialisation."
        )
    try:
        source = build(include_top=False, weights=weights, input_shape=shape)
    except Exception as error:
        raise ValueError(
            f"The weights {weights!r} of {model.name} could not be had ({error}). Without "
            "a network, pass the path of a downloaded no-top weights file."
        ) from error
    for mine, theirs in zip(model.layers, source.layers, strict=True):
        values = theirs.get_weights()
        for index, (value, own) in enumerate(zip(values, mine.weights, strict=True)):
            if tuple(own.shape) != value.shape:
                if value.ndim != 4 or value.shape[2] != 3:
                    raise ValueError(
                        f"{mine.name}: weights of shape {value.shape} do not fit "
                        f"{tuple(own.shape)}."
                    )
                values[index] = inflate_channels(value, own.shape[2])
        mine.set_weights(values)
