"""Turns a trained network into the one that is exported: float32 and folded.

The caller's model is never changed; what has to differ is built anew and gets its weights.
"""

import keras
import numpy as np

from h2s_keras.errors import UserError
from h2s_keras.layers.synchronized_batch_normalization import (
    SynchronizedBatchNormalization,
)
from h2s_keras.models.two_stream import HiddenTwoStream

_NORMALIZATIONS = (keras.layers.BatchNormalization, SynchronizedBatchNormalization)
_FOLDABLE = (
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
)


def inference_network(model):
    """The network to export: same answers, float32 variables of one device, folded.

    Args:
        model: built HiddenTwoStream, trained under any dtype policy and strategy.

    Returns:
        (network, folded): HiddenTwoStream, which is `model` itself where nothing had to
        change, and the number of batch normalisations folded into their convolutions.

    Raises:
        UserError: not a HiddenTwoStream, or its float32 twin cannot be built.

    Example:
        >>> network, folded = inference_network(trained)
    """
    if getattr(model, "multi_label", False):
        raise UserError(
            "a network of behaviours is not exported: its answers are not a softmax; use "
            "h2s ethogram predict"
        )
    if not isinstance(model, HiddenTwoStream):
        raise UserError(
            f"a {type(model).__name__} cannot be exported; give the HiddenTwoStream that "
            "HiddenTwoStreamBuilder(...).build() makes (for a StageModel: its .network)"
        )
    network = model
    if _reduced_precision(model) or _distributed(model):
        network = _float32_twin(model)
    return _fold(network)


def _layers(model):
    return list(model._flatten_layers())


def _reduced_precision(model):
    names = {layer.dtype_policy.name for layer in _layers(model)}
    quantized = sorted(name for name in names if name.startswith(("int", "quant")))
    if quantized:
        raise UserError(
            f"this model is quantized ({quantized[0]}); export the float model and use "
            "export_lite for int8"
        )
    return names != {"float32"} or any(w.dtype == "float16" for w in model.weights)


def _distributed(model):
    import tensorflow as tf

    return any(
        isinstance(weight.value, tf.distribute.DistributedValues)
        for weight in model.weights
    )


def _float32_twin(model):
    """The model rebuilt from its config with float32 policies, and its weights copied."""
    try:
        config = _in_float32(keras.saving.serialize_keras_object(model))
        twin = keras.saving.deserialize_keras_object(config)
        twin.set_weights([np.asarray(value, "float32") for value in model.get_weights()])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            "the float32 twin of this model cannot be built from its config, which export "
            f"needs after mixed-precision or multi-device training ({reason}); register "
            "custom layers with keras.saving.register_keras_serializable and use no Lambda"
        ) from error
    return twin


def _in_float32(config):
    """A serialised object with every dtype policy and float dtype made float32."""
    if isinstance(config, dict):
        if config.get("class_name") in ("DTypePolicy", "FloatDTypePolicy"):
            return {**config, "config": {**config["config"], "name": "float32"}}
        return {
            key: "float32" if key == "dtype" and _is_reduced(value) else _in_float32(value)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_in_float32(value) for value in config)
    return config


def _is_reduced(value):
    return isinstance(value, str) and value.removeprefix("mixed_") in (
        "float16",
        "bfloat16",
    )


# === Batch normalisation into the convolution before it ===


def _fold(network):
    changed, folded = {}, 0
    for stream in ("temporal", "spatial"):
        source = getattr(network, stream)
        if source is None:
            continue
        target, count = fold_batch_norms(source)
        if count:
            changed[stream], folded = target, folded + count
    if not changed:
        return network, 0
    parts = {
        "motion": network.motion,
        "temporal": network.temporal,
        "spatial": network.spatial,
        "adapter": network.adapter,
        "spatial_preprocessing": network.spatial_preprocessing.mode,
        "fusion": network.fusion,
        "image_size": network.image_size,
        "branched": network.branched,
        "class_names": network.class_names,
        "frame_stride": network.frame_stride,
        "frame_rate": network.frame_rate,
        "test_protocol": network.test_protocol,
        "name": network.name,
        "dtype": network.dtype_policy,
    }
    return HiddenTwoStream(**{**parts, **changed}), folded


def fold_batch_norms(model):
    """A functional model whose batch normalisations went into their convolutions.

    A batch normalisation is folded where it alone reads a linear convolution or dense
    layer, each used once; the others stay. The result is checked on random input.

    Args:
        model: functional keras.Model, also with functional models inside.

    Returns:
        (model, count): a new model and how many were folded, or `model` itself and 0.

    Example:
        >>> folded, count = fold_batch_norms(keras.applications.ResNet50(weights=None))
    """
    pairs = _foldable_pairs(model)
    if not pairs:
        return model, 0
    by_convolution = {id(convolution): norm for convolution, norm in pairs}
    norms = {id(norm) for _, norm in pairs}
    copies = []

    def clone(layer):
        config = layer.get_config()
        if id(layer) in norms:
            return keras.layers.Identity(name=layer.name, dtype=layer.dtype_policy)
        if id(layer) in by_convolution:
            config["use_bias"] = True
        new = type(layer).from_config(config)
        copies.append((layer, new))
        return new

    def call(layer, *arguments, **options):
        if isinstance(layer, keras.layers.Identity):
            return layer(arguments[0])  # the normalisation took training and mask, too
        return layer(*arguments, **options)

    try:
        target = keras.models.clone_model(
            model, clone_function=clone, call_function=call, recursive=True
        )
        for old, new in copies:
            norm = by_convolution.get(id(old))
            new.set_weights(old.get_weights() if norm is None else _folded(old, norm))
        same = _same_answers(model, target)
    except (TypeError, ValueError, NotImplementedError):
        # A layer that cannot be cloned: the model is exported as it is, which is right
        # and only slower.
        return model, 0
    return (target, len(pairs)) if same else (model, 0)


def _foldable_pairs(model):
    """[(convolution, batch normalisation)] of a functional model and those inside it."""
    pairs, readers = [], {}
    # A layer also has nodes of the models that its model was put into; only these count.
    depths = getattr(model, "_nodes_by_depth", {})
    nodes = [node for level in depths.values() for node in level]
    by_layer = {}
    for node in nodes:
        by_layer.setdefault(id(node.operation), []).append(node)
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node)
    outputs = {id(tensor) for tensor in model.outputs} if nodes else set()
    for node in nodes:
        norm = node.operation
        if isinstance(norm, keras.Model):
            pairs += _foldable_pairs(norm)
        if type(norm) not in _NORMALIZATIONS:
            continue
        (read,) = node.input_tensors
        source = read._keras_history.operation
        once = len(by_layer[id(norm)]) == len(by_layer[id(source)]) == 1
        alone = len(readers[id(read)]) == 1 and id(read) not in outputs
        if once and alone and _is_linear(source) and norm.axis in (-1, len(read.shape) - 1):
            pairs.append((source, norm))
    return pairs


def _is_linear(layer):
    return (
        type(layer) in _FOLDABLE
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
    )


def _folded(layer, norm):
    """[kernel, bias] of `layer` with `norm` in them, computed in float64."""
    mean, variance = (np.asarray(w, "float64") for w in norm.get_weights()[-2:])
    gain = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        gain = gain * np.asarray(norm.gamma, "float64")
    kernel, *bias = layer.get_weights()
    bias = (bias[0].astype("float64") if bias else 0.0) - mean
    beta = np.asarray(norm.beta, "float64") if norm.center else 0.0
    kind = type(layer).__name__
    if kind == "DepthwiseConv2D":
        factor = gain.reshape(kernel.shape[2:])
    else:
        factor = gain[:, None] if kind == "Conv2DTranspose" else gain
    return [
        (kernel * factor).astype("float32"),
        (bias * gain + beta).astype("float32"),
    ]


def _same_answers(model, target):
    generator = np.random.default_rng(0)
    shapes = [tuple(tensor.shape)[1:] for tensor in model.inputs]
    if any(side is None for shape in shapes for side in shape):
        return True
    images = [generator.uniform(-100, 100, (1, *shape)) for shape in shapes]
    images = [image.astype("float32") for image in images]
    images = images[0] if len(images) == 1 else images
    one, two = (np.asarray(net(images, training=False)) for net in (model, target))
    return bool(np.allclose(one, two, rtol=1e-3, atol=1e-4 * (1 + np.abs(one).max())))
