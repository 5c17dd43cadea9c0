"""Finished classifiers given as a backbone: what they answer with, and their logits."""

from typing import Any

import keras
import numpy as np
from keras import ops

from h2s_keras.tensor_types import Tensor

# What may stand behind the last activation and leaves its meaning as it is.
_TRANSPARENT = ("Dropout", "Identity", "Flatten", "Reshape")
_ACTIVATIONS = {
    "Softmax": "softmax",
    "LogSoftmax": "linear",
    "Sigmoid": "sigmoid",
    "ReLU": "other",
    "Relu": "other",
}
# Of a model whose own logits are out of reach: the least probability.
_LEAST = 1e-7


def finished_logits(model: keras.Model, num_classes: int) -> keras.Model | None:
    """A model of the same input that gives logits, or None for a model of features.

    Args:
        model: functional keras.Model of one input and one output.
        num_classes: classes that the stream answers with.

    Returns:
        `model` itself where it gives logits (batch, num_classes); where it gives
        probabilities, a model of the same layers without the last softmax; None where it
        gives features.

    Raises:
        ValueError: it is a classifier of other classes, or ends in a sigmoid or another
            non-linearity that gives neither logits nor probabilities.
    """
    shape = tuple(model.output_shape)
    if len(shape) != 2:
        return None
    fits, kind = shape[-1] == num_classes, _kind(model.outputs[0])
    if fits and kind in (None, "features"):
        # A custom layer, a subclassed model, pooled probabilities: the answers tell.
        kind = _measured(model) or kind
    cure = (
        "for features leave its last layer out: "
        f"keras.Model({model.name}.input, {model.name}.layers[-2].output)"
    )
    if kind in ("softmax", "linear") and not fits:
        what = "probabilities" if kind == "softmax" else "logits"
        raise ValueError(
            f"{model.name!r} ends in {what} of {shape[-1]} classes and this stream has "
            f"{num_classes}; {cure}."
        )
    if kind == "sigmoid" or (kind == "other" and fits):
        what = "sigmoid" if kind == "sigmoid" else "non-linearity"
        raise ValueError(
            f"{model.name!r} ends in a {what} of {shape[-1]} values, which are neither "
            f"logits nor probabilities of one class out of {num_classes}. Let it end in "
            f"logits or softmax, or {cure}."
        )
    if kind == "softmax":
        return keras.Model(model.inputs, _logits(model.outputs[0]), name=model.name)
    return model if fits else None


def _kind(tensor):
    """What a tensor holds, by the operation that it comes from.

    Returns:
        "softmax", "sigmoid", "linear" (logits), "other" (of another non-linearity),
        "features", or None where that is not known.
    """
    operation = tensor._keras_history.operation
    name = type(operation).__name__
    if isinstance(operation, keras.Model):
        inner = getattr(operation, "outputs", None)
        return _kind(inner[0]) if inner and len(inner) == 1 else None
    if name in _ACTIVATIONS:
        return _ACTIVATIONS[name]
    if name in _TRANSPARENT:
        return _kind(_before(tensor))
    activation = _activation(operation)
    if activation == "linear" and isinstance(operation, keras.layers.Activation):
        return _kind(_before(tensor))
    if activation is not None:
        known = {"softmax": "softmax", "log_softmax": "linear", "sigmoid": "sigmoid"}
        if activation == "linear":
            # Of a map that is pooled or flattened afterwards nothing says "classes".
            return "linear" if hasattr(operation, "units") else "features"
        return known.get(activation, "other")
    is_of_keras = type(operation).__module__.split(".")[0] == "keras"
    return "features" if is_of_keras and name != "Lambda" else None


def _activation(operation):
    function = getattr(operation, "activation", None)
    return getattr(function, "__name__", "") if callable(function) else None


def _before(tensor):
    """The tensor that the operation of this one was called on."""
    for node in tensor._keras_history.operation._inbound_nodes:
        if any(output is tensor for output in node.output_tensors):
            return node.input_tensors[0]
    raise ValueError(f"{tensor} comes from no call that Keras remembers.")


def _measured(model):
    """What answers to noise look like: "softmax", "sigmoid" or None."""
    shape = [side or 32 for side in model.input_shape[1:]]
    noise = np.random.default_rng(0).uniform(0, 255, (4, *shape)).astype("float32")
    answers = ops.convert_to_numpy(ops.cast(model(noise, training=False), "float32"))
    if (answers < 0).any() or (answers > 1).any():
        return None
    if np.allclose(answers.sum(axis=1), 1.0, atol=1e-2):
        return "softmax"
    return "sigmoid" if _kind(model.outputs[0]) is None else None


def _logits(tensor):
    """Logits from in front of a softmax; of other probabilities the logarithm.

    A probability that was rounded to 0 has lost its logit, and its gradient.
    """
    operation = tensor._keras_history.operation
    name = type(operation).__name__
    if name in _TRANSPARENT:
        return operation(_logits(_before(tensor)))
    if _kind(tensor) == "softmax":
        if isinstance(operation, keras.Model):
            inner = keras.Model(operation.inputs, _logits(operation.outputs[0]))
            return inner(_before(tensor))
        if name == "Softmax" or isinstance(operation, keras.layers.Activation):
            return _before(tensor)
        return WithoutActivation(operation)(_before(tensor))
    probabilities = ops.cast(tensor, "float32")
    return ops.log(ops.maximum(probabilities, _LEAST))


@keras.saving.register_keras_serializable(package="h2s_keras")
class WithoutActivation(keras.layers.Layer):
    """A layer with the same weights whose activation is left out.

    Args:
        layer: built layer with an `activation`, such as Dense; it keeps its own.

    Input shape, output shape:
        those of `layer`.

    Example:
        >>> dense = keras.layers.Dense(4, activation="softmax")
        >>> dense.build((None, 3))
        >>> WithoutActivation(dense)(keras.ops.ones((1, 3))).shape
        (1, 4)
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any) -> None:
        kwargs.setdefault("name", f"{layer.name}_logits")
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)

    def call(self, inputs: Tensor) -> Any:
        activation = self.layer.activation
        self.layer.activation = keras.activations.linear
        try:
            return self.layer(inputs)
        finally:
            self.layer.activation = activation

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        layer = keras.saving.deserialize_keras_object(config["layer"])
        return cls(**{**config, "layer": layer})
