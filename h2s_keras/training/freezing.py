"""Sets which weights of a network a stage trains."""

import fnmatch

import keras

from h2s_keras.errors import UserError
from h2s_keras.training.optimizers import PARTS, part_of


def set_trainable(network, stage):
    """Freezes all but what `stage` trains.

    Args:
        network: a built HiddenTwoStream.
        stage: `StageOptions`: "train" holds the parts that learn (None: the streams), and
            "freeze" patterns of layers that do not, such as "motion/conv1*" (part/name of
            the layer); with "freeze_normalization" no batch normalization does.

    Raises:
        UserError: for a part that the network lacks, or a pattern that matches no layer
            with weights in the parts that learn.

    Example:

    ```python
    stage = StageOptions(name="a", streams=["temporal"], freeze=["temporal/block1_*"])
    set_trainable(network, stage)
    ```
    """
    trained = stage.train or stage.streams
    for part in PARTS:
        model = part_of(network, part)
        if model is not None:
            mark_trainable(model, part in trained)
    missing = [part for part in trained if part_of(network, part) is None]
    if missing:
        raise UserError(
            f"it trains {missing[0]!r}, which the model does not have; leave the stage out "
            f"(--set stages.{stage.name}=none) or give the model one"
        )
    layers = {
        f"{part}/{layer.name}": layer
        for part in trained
        for layer in _leaves(network, part)
    }
    if stage.freeze_normalization:
        for layer in layers.values():
            if isinstance(layer, keras.layers.BatchNormalization):
                # A frozen one computes with its moving statistics.
                layer.trainable = False
    for pattern in stage.freeze:
        matched = fnmatch.filter(layers, pattern)
        if not matched:
            shown = ", ".join(list(layers)[:6])
            raise UserError(
                f"freeze names {pattern!r}, which matches no layer that would learn; there "
                f"are {shown}, ..."
            )
        for name in matched:
            layers[name].trainable = False


def mark_trainable(model, value):
    """Sets `trainable` of a model and of all its layers, whatever they had.

    TensorFlow drops a value that an object has already, and with it Keras' setting of the
    layers inside, which may have another.
    """
    model.trainable = not value
    model.trainable = value


def _leaves(network, part):
    """Layers with weights of their own, also those inside nested models."""
    return [
        layer
        for layer in part_of(network, part)._flatten_layers()
        if layer._trainable_variables
    ]
