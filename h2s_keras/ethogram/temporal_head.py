"""Small temporal convolutions from the features of all frames to behaviours."""

import keras
import numpy as np

from h2s_keras.ethogram.frame_network import (
    FrameCrossentropy,
    positive_weights,
    probabilities,
)
from h2s_keras.training.backend_steps import jit_compile

# Frames computed at a time over long videos.
_CHUNK = 4096


def build_head(
    columns,
    behaviors,
    settings,
    causal=False,
    exclusive=False,
    scale=None,
    name="temporal_head",
):
    """A keras.Model from features (batch, frames, columns) to logits of every frame.

    Blocks of a dilated convolution and one of width 1, each added to what it reads.

    Args:
        columns: width of the features.
        behaviors: number of behaviours.
        settings: values "head" of the recipe.
        causal: whether no frame sees later ones.
        exclusive: whether there is one more logit, the first, for the absence of all.
        scale: (mean, variance) of each column, float (columns,), or None.
        name: name of the model.
    """
    layers, filters, dropout = keras.layers, settings["filters"], settings["dropout"]
    padding = "causal" if causal else "same"
    mean, variance = scale or (np.zeros(columns), np.ones(columns))
    inputs = keras.Input((None, columns), name="features")
    hidden = layers.Normalization(mean=mean, variance=variance, name="scale")(inputs)
    hidden = layers.SpatialDropout1D(dropout, name="drop")(hidden)
    hidden = layers.Conv1D(filters, 1, name="conv0")(hidden)
    for number, dilation in enumerate(settings["dilations"], start=1):
        block = layers.Conv1D(
            filters,
            3,
            dilation_rate=dilation,
            padding=padding,
            activation="relu",
            name=f"conv{number}",
        )(hidden)
        block = layers.Dropout(dropout, name=f"drop{number}")(block)
        block = layers.Conv1D(filters, 1, name=f"mix{number}")(block)
        hidden = layers.Add(name=f"add{number}")([hidden, block])
    outputs = layers.Dense(behaviors + exclusive, name="logits", dtype="float32")(hidden)
    return keras.Model(inputs, outputs, name=name)


def train_head(
    features, matrices, settings, causal=False, exclusive=False, seed=0, callbacks=()
):
    """Trains a head on the features and labels of videos.

    Args:
        features: per video float (frames, columns).
        matrices: per video int (frames, behaviours) of 1, 0 and -1.
        settings: values "head" of the recipe.
        causal, exclusive: as `build_head`.
        seed: seed of the weights and the draws.
        callbacks: callbacks of Keras.

    Returns:
        The trained keras.Model.
    """
    parts = _untrained(features, matrices, settings, causal, exclusive, seed)
    (head,) = _train_together([parts], settings, callbacks)
    return head


def train_heads(
    features,
    matrices,
    folds,
    settings,
    causal=False,
    exclusive=False,
    seed=0,
    callbacks=(),
):
    """Trains a head per fold on the videos of the other folds.

    The mean of the heads varies less from seed to seed than one of them, and what each
    says of the videos that it did not see is what rules can be chosen on. The heads are
    trained side by side, which fills more than one core, and share nothing.

    Args:
        features, matrices, settings, causal, exclusive, seed, callbacks: as `train_head`.
        folds: number of the fold of each video, from 0.

    Returns:
        (keras.Model, the mean of the heads' logits; per video float32 (frames, behaviours),
        the probabilities by the head that did not see it).
    """
    parts, held_out = [], [None] * len(features)
    for fold in range(max(folds) + 1):
        seen = [index for index, one in enumerate(folds) if one != fold]
        chosen = [[values[index] for index in seen] for values in (features, matrices)]
        # Runs of other seeds share no draws.
        number, name = 1000 * seed + fold, f"head{fold}"
        parts.append(_untrained(*chosen, settings, causal, exclusive, number, name))
    heads = _train_together(parts, settings, callbacks)
    for index, fold in enumerate(folds):
        held_out[index] = run_head(heads[fold], features[index], causal, exclusive)
    inputs = keras.Input(heads[0].input_shape[1:], name="features")
    logits = [head(inputs) for head in heads]
    mean = keras.layers.Average(name="logits", dtype="float32")(logits)
    return keras.Model(inputs, mean, name="temporal_heads"), held_out


def _untrained(features, matrices, settings, causal, exclusive, seed, name="head"):
    """A head of a name, its loss and its batches."""
    keras.utils.set_random_seed(seed)
    features = [centred(one, causal) for one in features]
    together = np.concatenate(features)
    # A column that hardly changes would be blown up.
    scale = together.mean(axis=0), together.var(axis=0) + 1e-6
    labels = np.concatenate(matrices)
    head = build_head(
        together.shape[1], labels.shape[1], settings, causal, exclusive, scale, name
    )
    weights = positive_weights(labels, settings["positive_weight"])
    loss = FrameCrossentropy(weights, exclusive, settings["smoothness"])
    return head, loss, _Windows(features, matrices, settings, seed)


def _train_together(parts, settings, callbacks):
    """Trains heads of different names, which share nothing, as one model."""
    heads, losses, windows = zip(*parts, strict=True)
    inputs = [
        keras.Input(head.input_shape[1:], name=f"features{number}")
        for number, head in enumerate(heads)
    ]
    model = keras.Model(
        inputs, [head(one) for head, one in zip(heads, inputs, strict=True)]
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        settings["learning_rate"], settings["steps"]
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=settings["weight_decay"]),
        list(losses),
        jit_compile=jit_compile(False),
    )
    model.fit(_Together(windows), verbose=0, callbacks=list(callbacks))
    return heads


class _Together(keras.utils.PyDataset):
    """Batches of several datasets beside each other."""

    def __init__(self, datasets):
        super().__init__()
        self.datasets = datasets

    def __len__(self):
        return len(self.datasets[0])

    def __getitem__(self, number):
        batches = [dataset[number] for dataset in self.datasets]
        return tuple(tuple(part) for part in zip(*batches, strict=True))


class _Windows(keras.utils.PyDataset):
    """Random stretches of videos; frames beyond a short one's end are not labelled."""

    def __init__(self, features, matrices, settings, seed):
        super().__init__()
        self.features, self.matrices, self.settings = features, matrices, settings
        labelled = np.array([(matrix != -1).any(axis=1).sum() for matrix in matrices])
        self.shares = labelled / labelled.sum()
        self.random = np.random.default_rng(seed)

    def __len__(self):
        return self.settings["steps"]

    def __getitem__(self, number):
        batch, window = self.settings["batch_size"], self.settings["window"]
        columns, behaviors = self.features[0].shape[1], self.matrices[0].shape[1]
        values = np.zeros((batch, window, columns), "float32")
        labels = np.full((batch, window, behaviors), -1, "int8")
        for row in range(batch):
            video = self.random.choice(len(self.shares), p=self.shares)
            frames = len(self.matrices[video])
            start = self.random.integers(max(1, frames - window + 1))
            part = slice(start, min(frames, start + window))
            values[row, : part.stop - start] = self.features[video][part]
            labels[row, : part.stop - start] = self.matrices[video][part]
        return values, labels


def centred(features, causal=False):
    """float32 features less their mean over the video.

    What a camera shows all the time, such as its background, its light and the coat of an
    animal, moves all features of a video by the same amount; the mean takes that away.

    Args:
        features: float (frames, columns) of one video.
        causal: whether the mean is that of the frames so far.
    """
    features = features.astype("float32")
    if not causal:
        return features - features.mean(axis=0)
    counts = np.arange(1, len(features) + 1)[:, None]
    return features - (np.cumsum(features, axis=0, dtype="float64") / counts).astype(
        "float32"
    )


def receptive_field(head):
    """Frames to either side that an answer depends on."""
    own = sum(
        layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
        for layer in head.layers
        if isinstance(layer, keras.layers.Conv1D)
    )
    inner = (one for one in head.layers if isinstance(one, keras.Model))
    return max([own, *map(receptive_field, inner)])


def run_head(head, features, causal=False, exclusive=False, chunk=_CHUNK):
    """float32 (frames, behaviours): probabilities of a video of any length.

    Args:
        head: of `train_head` or `train_heads`.
        features: float (frames, columns).
        causal, exclusive: as `build_head`.
        chunk: frames computed at a time; the answers do not depend on it.
    """
    features = centred(features, causal)
    reach, found = receptive_field(head), []
    for start in range(0, len(features), chunk):
        first = max(0, start - reach)
        part = features[first : start + chunk + reach]
        logits = keras.ops.convert_to_numpy(head(part[None], training=False))[0]
        found.append(logits[start - first : start - first + chunk])
    return probabilities(np.concatenate(found)[: len(features)], exclusive)
