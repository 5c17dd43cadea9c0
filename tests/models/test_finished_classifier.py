"""A classifier of one's own keeps its answers in a stream; what is none is refused."""

import keras
import numpy as np
import pytest
from checks import to_numpy

from h2s_keras.models import HiddenTwoStreamBuilder, build_backbone

SHAPE = (8, 8, 3)
layers = keras.layers


@keras.saving.register_keras_serializable(package="tests")
class Own(keras.Model):
    """Subclassed; gives probabilities of 4 classes, or with another activation others."""

    def __init__(self, activation="softmax", **kwargs):
        super().__init__(**kwargs)
        self.activation_name = activation
        self.pool = layers.GlobalAveragePooling2D()
        self.dense = layers.Dense(4, activation)

    def call(self, images):
        return self.dense(self.pool(images / 255.0))

    def get_config(self):
        return {**super().get_config(), "activation": self.activation_name}


def body():
    inputs = keras.Input(SHAPE)
    hidden = layers.Rescaling(1 / 255)(inputs)
    hidden = layers.Conv2D(6, 3, activation="relu")(hidden)
    return inputs, layers.GlobalAveragePooling2D()(hidden)


def ending(*ends):
    inputs, hidden = body()
    for layer in ends:
        hidden = layer(hidden)
    return keras.Model(inputs, hidden, name="mine")


def nested():
    inner = ending(layers.Dense(4, "softmax"))
    images = keras.Input(SHAPE)
    return keras.Model(
        images, inner(layers.Rescaling(1 / 255)(images) * 255.0), name="mine"
    )


def convolutions():
    inputs = keras.Input(SHAPE)
    hidden = layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(inputs))
    hidden = layers.GlobalAveragePooling2D()(hidden)
    return keras.Model(inputs, layers.Softmax()(hidden), name="mine")


def subclassed():
    images = keras.Input(SHAPE)
    return keras.Model(images, Own()(images), name="mine")


def by_operation():
    inputs, hidden = body()
    return keras.Model(inputs, keras.ops.softmax(layers.Dense(4)(hidden)), name="mine")


PROBABILITIES = {
    "dense": lambda: ending(layers.Dense(4, "softmax")),
    "layer": lambda: ending(layers.Dense(4), layers.Softmax()),
    "activation": lambda: ending(layers.Dense(4), layers.Activation("softmax")),
    "operation": by_operation,
    "behind": lambda: ending(layers.Dense(4, "softmax"), layers.Dropout(0.1)),
    "convolutions": convolutions,
    "sequential": lambda: keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(4, "softmax"),
        ]
    ),
    "nested": nested,
    "subclassed": subclassed,
}


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype("float32")


@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_become_logits_that_mean_the_same(name, images, tmp_path):
    keras.utils.set_random_seed(1)
    mine = PROBABILITIES[name]()
    expected = mine.predict(images, verbose=0)
    stream = build_backbone(mine, SHAPE, 4)
    logits = stream.predict(images, verbose=0)
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    # The same weights, no others, and the given model still gives probabilities.
    assert {id(w) for w in stream.weights} == {id(w) for w in mine.weights}
    np.testing.assert_allclose(mine.predict(images, verbose=0), expected, rtol=1e-6)
    stream.save(tmp_path / "stream.keras")
    again = keras.models.load_model(tmp_path / "stream.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), logits, atol=1e-5)


def test_logits_are_used_as_they_are(images):
    for mine in (
        ending(layers.Dense(4)),
        ending(layers.Dense(4), layers.Activation("linear")),
        build_backbone("tiny", SHAPE, 4),
    ):
        stream = build_backbone(mine, SHAPE, 4)
        np.testing.assert_allclose(
            stream.predict(images, verbose=0), mine.predict(images, verbose=0), rtol=1e-6
        )
        assert len(stream.weights) == len(mine.weights)


def test_a_sure_and_wrong_classifier_still_learns(images):
    """Of a probability of exactly 0 the logarithm has no gradient; of the logit it has."""
    mine = ending(layers.Dense(4, "softmax"))
    mine.layers[-1].set_weights([np.zeros((6, 4)), np.array([300.0, 0, 0, 0])])
    stream = build_backbone(mine, SHAPE, 4)
    assert to_numpy(mine(images))[0, 1] == 0
    np.testing.assert_allclose(to_numpy(stream(images))[0], [300, 0, 0, 0])
    stream.compile(
        keras.optimizers.SGD(1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    stream.fit(images, np.ones(5), batch_size=5, verbose=0)
    np.testing.assert_allclose(mine.layers[-1].get_weights()[1], [299, 1, 0, 0], atol=1e-3)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ending(layers.Dense(7, "softmax")), "probabilities of 7 classes .* has 4"),
        (lambda: ending(layers.Dense(7)), "logits of 7 classes .* has 4"),
        (lambda: ending(layers.Dense(4, "sigmoid")), "ends in a sigmoid of 4"),
        (lambda: ending(layers.Dense(1, "sigmoid")), "ends in a sigmoid of 1"),
        (lambda: ending(layers.Dense(4, "relu")), "ends in a non-linearity of 4"),
        (lambda: Own(name="mine"), "does not say what it takes; wrap it"),
        (
            lambda: keras.Model((x := keras.Input(SHAPE)), Own("sigmoid")(x), name="mine"),
            "ends in a sigmoid of 4",
        ),
        (
            lambda: keras.Model((made := body())[0], [made[1], made[1]], name="mine"),
            "several outputs",
        ),
        (
            lambda: keras.Model((made := body())[0], {"a": made[1]}, name="mine"),
            "several outputs",
        ),
        (
            lambda: keras.Model(
                [(made := body())[0], (two := keras.Input((6,)))],
                layers.Add()([made[1], two]),
                name="mine",
            ),
            "several inputs",
        ),
    ],
)
def test_what_is_neither_features_nor_such_a_classifier(make, text):
    with pytest.raises(ValueError, match=text):
        build_backbone(make(), SHAPE, 4)


@pytest.mark.parametrize(
    "make", [lambda: ending(), lambda: ending(layers.Dense(9, "relu"))]
)
def test_features_get_a_head(make):
    mine = make()
    stream = build_backbone(mine, SHAPE, 4)
    assert stream.output_shape == (None, 4)
    assert len(stream.weights) == len(mine.weights) + 2


def test_a_finished_classifier_takes_no_dropout():
    with pytest.raises(ValueError, match="leave dropout out"):
        build_backbone(ending(layers.Dense(4)), SHAPE, 4, dropout=0.5)


def test_the_spatial_stream_of_a_network_answers_as_the_classifier(tmp_path):
    inputs = keras.Input((16, 16, 3))
    hidden = layers.GlobalAveragePooling2D()(inputs)
    mine = keras.Model(inputs, layers.Dense(4, "softmax")(hidden))
    mine.layers[-1].set_weights([np.zeros((3, 4)), np.array([0.0, 9.0, 0.0, 0.0])])
    builder = HiddenTwoStreamBuilder(4, 2, (16, 16)).motion("tiny").temporal("tiny")
    network = builder.spatial(mine).build()
    clips = np.random.default_rng(0).integers(0, 256, (3, 2, 16, 16, 3)).astype("uint8")
    logits = to_numpy(network(clips)["spatial_logits"])
    np.testing.assert_allclose(logits, [[0, 9, 0, 0]] * 3, atol=1e-6)
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(to_numpy(again(clips)["spatial_logits"]), logits, atol=1e-6)
    with pytest.raises(ValueError, match=r"\.temporal\(\): .*8 classes"):
        flow = keras.Input((16, 16, 2))
        other = keras.Model(flow, layers.Dense(8)(layers.Flatten()(flow)))
        HiddenTwoStreamBuilder(4, 2, (16, 16)).motion("tiny").temporal(other).build()
