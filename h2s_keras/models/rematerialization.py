"""Backbones whose activations are computed again in the backward pass, block by block."""

from typing import Any

import keras

from h2s_keras.ops.rematerialize import rematerialize
from h2s_keras.tensor_types import Tensor

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
            f"{model.name!r} cannot be rematerialised block by block: it is no functional "
            "model of one input and one output."
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
