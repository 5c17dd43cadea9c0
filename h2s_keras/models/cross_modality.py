"""Image weights for inputs that are not images: cross-modality initialisation."""

import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import h5py
import keras
import numpy as np

from h2s_keras.errors import UserError, UserFacingWarning
from h2s_keras.tensor_types import Tensor


def inflate_channels(kernel: Any, channels: int) -> Tensor:
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

    Reference: arXiv 1704.00389, section 4.1; Wang et al. 2016, section 3.2.
    """
    kernel = np.asarray(kernel)
    if kernel.ndim != 4:
        raise ValueError(
            f"A convolution kernel is (height, width, 3, filters); received {kernel.shape}."
        )
    mean = kernel.mean(axis=2, keepdims=True)
    return np.repeat(mean, channels, axis=2)


def adapt_flow_channels(kernel: Any, channels: int) -> Tensor:
    """Adapts a first convolution from flow of some pairs to flow of others.

    The filters of x and those of y are averaged apart and repeated, and scaled so that the
    layer answers constant motion as before.

    Args:
        kernel: array (height, width, 2 * pairs, filters), channels u0 v0 u1 v1 ...
        channels: input channels wanted, an even number.

    Returns:
        Array (height, width, channels, filters).

    Example:
        >>> adapt_flow_channels(np.ones((7, 7, 10, 64)), 20)[0, 0, 0, 0]
        0.5
    """
    kernel = np.asarray(kernel)
    means = [kernel[:, :, part::2].mean(axis=2) for part in (0, 1)]
    scale = kernel.shape[2] / channels
    return scale * np.tile(np.stack(means, axis=2), (1, 1, channels // 2, 1))


def inflate_kernel(kernel: Any, time: int) -> Tensor:
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

    Reference: Carreira & Zisserman 2017, section 2.4.
    """
    kernel = np.asarray(kernel)
    if kernel.ndim != 4 or time < 1:
        raise ValueError(
            "inflate_kernel takes a kernel (height, width, channels, filters) and time >= "
            f"1; received {kernel.shape} and {time}."
        )
    return np.repeat(kernel[None], time, axis=0) / time


def copy_named_weights(builders: Any, network: keras.Model, weights: Any) -> None:
    """Fills `network` from a file of the same architecture, or of its 2D parent.

    Layers are matched by name, so that a whole stream with its classifier serves as well.
    The first convolution is adapted to its channels by `inflate_channels` or
    `adapt_flow_channels`, and 2D kernels become 3D ones by `inflate_kernel`.

    Args:
        builders: functions of this package from an input shape to a network; a
            .weights.h5 file is of one of them, tried in turn.
        network: keras.Model to fill, without a classifier.
        weights: path of a .keras file of the network or of a stream with it (as `h2s
            convert` and `build_backbone(...).save` write), or of a .weights.h5 file of
            either.

    Raises:
        UserError: if the file cannot be read or is of another network.
    """
    weights, name = os.fspath(weights), network.name
    if weights == "imagenet":
        raise UserError(
            f"There are no ImageNet weights of {name} to download; convert a .caffemodel "
            "of BN-Inception by h2s convert, or pass a .keras or .weights.h5 file of "
            f"{' or '.join(build.__name__ for build in builders)}."
        )
    _check_file(weights)
    reasons = []
    for read in _readings(builders, weights):
        try:
            layers = read()
        except Exception as error:
            reasons.append(_short(error))
            continue
        theirs = {layer.name: layer for layer in layers}
        wanted = [layer for layer in network.layers if layer.weights]
        missing = [layer.name for layer in wanted if layer.name not in theirs]
        if missing:
            reasons.append(f"it has no layer {missing[0]!r}")
            continue
        if len(theirs) < len(layers):
            raise UserError(
                f"{weights}: holds several networks with layers of the same names; give "
                "one stream, or start from the whole model by model.initial"
            )
        values = [
            (layer, _adapted(layer, theirs[layer.name].get_weights(), layer is wanted[0]))
            for layer in wanted
        ]
        for layer, arrays in values:
            layer.set_weights(arrays)
        return
    raise UserError(
        f"The weights {weights!r} do not fit {name} ({'; '.join(dict.fromkeys(reasons))}). "
        "Give a .keras file of this network or of a stream with it, as h2s convert writes, "
        "or what its save_weights wrote."
    )


def _readings(builders, path):
    """Functions that each try to read a file as layers with weights."""
    if path.endswith(".keras"):
        return [lambda: _saved_layers(path)]
    shapes = _shapes_in(path)
    # What the first kernel reads and the classifier gives, where there is one.
    channels = next((s[-2] for s in shapes if len(s) >= 4 and s[-3] == 7), 3)
    classes = next((s[-1] for s in shapes if len(s) == 2), None)
    return [
        lambda build=build: _loaded_layers(_empty(build, channels, classes), path)
        for build in builders
    ]


def _empty(build, channels, classes):
    """The network of a file, or the stream of it if the file has a classifier."""
    # Weights do not depend on the size; 3D networks read RGB from clips and flow, of
    # which they see two channels at a time, from a stack.
    shape: tuple[int, ...] = (32, 32, channels)
    if build.__name__ == "i3d":
        shape = (8, 32, 32, 3) if channels == 3 else (32, 32, 20)
    network = build(shape)
    if classes is None:
        return network
    # As `build_backbone` makes it.
    inputs = keras.Input(shape)
    hidden = network(inputs)
    pool = keras.layers.GlobalAveragePooling2D
    if len(hidden.shape) == 5:
        pool = keras.layers.GlobalAveragePooling3D
    hidden = keras.layers.Dropout(0.5)(pool()(hidden))
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(hidden))


def _loaded_layers(model, path):
    model.load_weights(path)
    return _weighted(model)


def _saved_layers(path):
    """Layers with weights of a whole saved model."""
    return _weighted(keras.saving.load_model(path, compile=False))


def copy_image_weights(build: Any, model: keras.Model, weights: Any) -> Any:
    """Gives `model` the RGB weights of the same architecture.

    Args:
        build: builder of keras.applications that made `model`.
        model: without a top, with any number of input channels.
        weights: "imagenet" (from Keras' cache, else downloaded), or a file of the network
            with or without its top: .keras, .weights.h5 or keras.applications' .h5.

    Returns:
        (model to use, weights of each dense layer of the top that came with it). The model
        is `model`, filled, its first convolution by `inflate_channels`; or for 3 channels
        and "imagenet" the RGB model itself, which in some families holds more than weights
        (EfficientNet scales its input once more; with a file of those weights its
        normalisation does).

    Raises:
        UserError: if the weights cannot be read or do not fit.
    """
    weights = os.fspath(weights)
    if weights != "imagenet":
        _check_file(weights)
    shape = tuple(model.input_shape[1:3]) + (3,)
    # Flow has no use for the statistics of RGB images.
    images = model.input_shape[-1] == 3
    source = _image_model(build, model.name, shape, weights)
    mine, layers = _weighted(model, images), _weighted(source, images)
    layers, top = layers[: len(mine)], layers[len(mine) :]
    dense = all(isinstance(layer, keras.layers.Dense) for layer in top)
    if len(layers) < len(mine) or not dense:
        raise UserError(
            f"The weights {weights!r} are of another network than {model.name}: "
            f"{len(layers) + len(top)} layers with weights where {len(mine)} are needed."
        )
    top = [layer.get_weights() for layer in top]
    if images and weights == "imagenet" and not top:
        return source, top
    values = [
        (own, _adapted(own, other.get_weights()))
        for own, other in zip(mine, layers, strict=True)
    ]
    for own, arrays in values:
        own.set_weights(arrays)
        if isinstance(own, keras.layers.Normalization):
            own.finalize_state()
    if images:
        _divide_by_deviation(model)
    return model, top


def copy_dense_layers(
    model: keras.Model, names: Sequence[str], top: Any, weights: Any
) -> None:
    """Gives dense layers of `model` those that came with image weights, where they fit.

    Args:
        model: the whole classifier.
        names: names of its dense layers before the last, in order.
        top: list of (kernel, bias) of `copy_image_weights`.
        weights: what they were read from, for the warning that they do not fit.
    """
    layers = [model.get_layer(name) for name in names]
    shapes = [tuple(tuple(w.shape) for w in layer.weights) for layer in layers]
    given = [tuple(array.shape for array in arrays) for arrays in top[: len(names)]]
    if given == shapes:
        for layer, arrays in zip(layers, top, strict=False):
            layer.set_weights(arrays)
        return
    reason = "came without its top"
    if top:
        reason = f"has a top for images of another size ({given[0][0]})"
    warnings.warn(
        f"{' and '.join(names)} of {model.name!r} begin at random: {weights!r} {reason}. "
        "Give weights with their top; ImageNet's read images of 224x224 pixels.",
        UserFacingWarning,
        stacklevel=2,
    )


def _image_model(build, name, shape, weights):
    """The RGB network, with its top where that is wanted or all there is."""
    if weights.endswith(".keras"):
        try:
            return keras.saving.load_model(weights, compile=False)
        except Exception as error:
            raise _not_had(name, weights, error) from error
    bare = {"include_top": False, "input_shape": shape}
    attempts = [bare]
    if weights == "imagenet":
        if name == "vgg16" and shape == (224, 224, 3):
            # The dense layers are most of it.
            attempts = [{}, bare]
    else:
        shapes = [shape for shape in _shapes_in(weights) if len(shape) == 2]
        if shapes:
            attempts = [_top_of_vgg16(shapes), bare] if name == "vgg16" else [bare, {}]
    problems = []
    for options in attempts:
        try:
            # Keras reports its download on stdout, which is for results.
            with contextlib.redirect_stdout(sys.stderr):
                return build(weights=weights, **options)
        except Exception as error:
            problems.append(error)
    raise _not_had(name, weights, problems[-1]) from problems[-1]


def _top_of_vgg16(shapes):
    """Options of the VGG16 whose dense kernels have these shapes."""
    rows = next((rows for rows, count in shapes if rows != 4096 == count), 25088)
    side = 32 * round((rows / 512) ** 0.5)
    classes = next((count for rows, count in shapes if rows == 4096 != count), 1000)
    return {"input_shape": (side, side, 3), "classes": classes}


def _not_had(name, weights, error):
    if weights != "imagenet":
        cure = "Give a weights file of this network, with or without its top."
    else:
        home = os.environ.get("KERAS_HOME", os.path.join("~", ".keras"))
        cache = os.path.join(home, "models")
        cure = (
            "Without a network, pass the path of a downloaded weights file, or put that "
            f"file into {cache}, where Keras looks first."
        )
    return UserError(
        f"The weights {weights!r} of {name} could not be had ({_short(error)}). {cure}"
    )


def _check_file(weights):
    if not os.path.isfile(weights):
        raise UserError(
            f"No weights file {weights!r}; give a path, 'imagenet', or None for random "
            "initialisation."
        )


def _short(error):
    return " ".join(str(error).split())[:200]


def _shapes_in(path):
    """Shapes of all arrays of an HDF5 file; none if it is not such a file."""
    shapes = []

    def note(_, item):
        if isinstance(item, h5py.Dataset):
            shapes.append(tuple(item.shape))

    try:
        with h5py.File(path) as file:
            file.visititems(note)
    except OSError:
        return []
    return shapes


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


def _weighted(model, normalization=False):
    """Layers with weights in order, also those inside nested models.

    Args:
        normalization: whether to keep those that hold the statistics of RGB images.
    """
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += _weighted(layer, normalization)
        elif layer.weights and (
            normalization or not isinstance(layer, keras.layers.Normalization)
        ):
            found.append(layer)
    return found


def _adapted(layer, values, first=False):
    """`values` with the kernel of a first convolution adapted to the input of `layer`."""
    values = list(values)
    if len(values) != len(layer.weights):
        raise UserError(
            f"{layer.name}: {len(values)} arrays do not fit {len(layer.weights)}."
        )
    for index, (value, own) in enumerate(zip(values, layer.weights, strict=True)):
        wanted = tuple(own.shape)
        if len(wanted) == 5 and value.ndim == 4:
            value = inflate_kernel(_widened(value, wanted[3], first), wanted[0])
        elif len(wanted) == 5 and value.ndim == 5:
            value = np.stack([_widened(step, wanted[3], first) for step in value])
        elif len(wanted) == 4 and value.ndim == 4 and value.shape[:2] == wanted[:2]:
            value = _widened(value, wanted[2], first)
        if value.shape != wanted:
            raise UserError(
                f"{layer.name}: weights of shape {values[index].shape} do not fit {wanted}."
            )
        values[index] = value
    return values


def _widened(kernel, channels, first):
    """The kernel, or one over RGB (a first one also over flow) made one over `channels`."""
    given = kernel.shape[2]
    if given == 3 and channels != 3:
        return inflate_channels(kernel, channels)
    if first and given != channels and given % 2 == channels % 2 == 0:
        return adapt_flow_channels(kernel, channels)
    return kernel
