"""Grad-CAM: which places of a clip speak for a class, in both streams."""

import keras
import numpy as np
from keras import ops


def grad_cam(model, clips, classes=None):
    """Maps of the places that speak for a class.

    The last feature map of each stream's CNN is weighted by the mean gradient of the
    class's logit with respect to each of its channels; what speaks against is cut off.
    Maps of a 3D network are averaged over time.

    Args:
        model: HiddenTwoStream, not branched for a temporal map over flow.
        clips: array (batch, num_frames, height, width, 3), RGB 0..255, of the model's
            image_size.
        classes: int (batch,); default the model's own fused prediction.

    Returns:
        dict "temporal" and, with a spatial stream, "spatial": float32 (batch, height,
        width), each map scaled to 0..1 (all 0 where nothing speaks for the class).

    Example:
        >>> grad_cam(model, clips)["spatial"].shape
        (2, 64, 64)

    Reference: Selvaraju et al., "Grad-CAM", 2017, equations 1 and 2.
    """
    clips = np.asarray(clips)
    if classes is None:
        logits = model.predict_on_batch(clips)["logits"]
        classes = np.argmax(logits, axis=-1)
    classes = np.asarray(classes)
    tensor = ops.convert_to_tensor(clips)
    if model.branched:
        source = model.motion.encode(tensor)[-1]
    else:
        source = model.adapter(model.motion(tensor)["flow2"])
    maps = {"temporal": _stream_map(model.temporal, source, classes, clips.shape[2:4])}
    if model.spatial is not None:
        source = model.spatial_images(tensor)
        maps["spatial"] = _stream_map(model.spatial, source, classes, clips.shape[2:4])
    return maps


def _stream_map(network, source, classes, size):
    maps = _last_map(network)
    body = keras.Model(network.inputs, maps)
    # The gradient is taken with respect to the map, so what follows is a model of its own.
    head = keras.Model(maps, network.output)
    value = ops.convert_to_numpy(body(source, training=False))
    chosen = ops.one_hot(classes, network.output_shape[-1])

    def score(tensor):
        return ops.sum(head(tensor, training=False) * chosen)

    slope = gradient(score, value)
    weights = slope.mean(axis=tuple(range(1, slope.ndim - 1)), keepdims=True)
    heat = np.maximum((weights * value).sum(axis=-1, keepdims=True), 0)
    if heat.ndim == 5:
        heat = heat.mean(axis=1)
    heat = ops.image.resize(heat.astype("float32"), size, interpolation="bilinear")
    heat = ops.convert_to_numpy(heat)[..., 0]
    highest = heat.max(axis=(1, 2), keepdims=True)
    return (heat / np.where(highest > 0, highest, 1)).astype("float32")


def _last_map(network):
    """The last feature map on the way through a functional network.

    In a head without one, as the branched "vgg16" has, that is what the head reads.

    A backbone inside the network has an `output` of its own as well, which does not
    depend on the network's input; the nodes of the network know the right tensor.
    """
    for depth in sorted(network._nodes_by_depth):
        for node in network._nodes_by_depth[depth]:
            for tensor in node.output_tensors:
                if len(tensor.shape) in (4, 5):
                    return tensor


def gradient(function, array):
    """d function(tensor) / d tensor, on whichever backend runs.

    Args:
        function: from a float32 tensor to a scalar tensor.
        array: NumPy float array, where the gradient is taken.

    Returns:
        NumPy float32 array of the same shape.
    """
    array = np.asarray(array, "float32")
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tensor = tf.constant(array)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tensor)
            value = function(tensor)
        return tape.gradient(value, tensor).numpy()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(function)(array))
    import torch

    tensor = ops.convert_to_tensor(array).detach().requires_grad_()
    (slope,) = torch.autograd.grad(function(tensor), tensor)
    return ops.convert_to_numpy(slope)


def heat_overlay(picture, heat):
    """A picture with a map over it, from clear (0) to red (1).

    Args:
        picture: uint8 (height, width, 3) RGB.
        heat: float (height, width), 0..1.

    Returns:
        uint8 (height, width, 3) RGB.
    """
    cover = 0.65 * np.clip(np.asarray(heat, "float64"), 0, 1)[..., None]
    grey = picture.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    # Grey where the map is clear, so that its red is never the picture's own.
    mixed = (1 - cover) * (0.5 * picture + 0.5 * grey) + cover * np.array(
        [255.0, 40.0, 0.0]
    )
    return np.clip(np.rint(mixed), 0, 255).astype("uint8")
