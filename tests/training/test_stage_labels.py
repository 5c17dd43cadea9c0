"""Labels, weights and `compile` of a stage mean what they mean to Keras."""

import keras
import numpy as np
import pytest

from h2s_keras.errors import UserError
from h2s_keras.layers import UnsupervisedFlowLoss
from h2s_keras.models import HiddenTwoStreamBuilder, MotionNet
from h2s_keras.ops.class_labels import check_labels
from h2s_keras.training import StageModel
from h2s_keras.training.flow_objective import FlowObjective

LABELS = np.arange(8) % 4
WEIGHTS = np.array([0, 0, 0.5, 0, 1, 1, 1, 5.0], "float32")


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (8, 2, 16, 16, 3)).astype("uint8")


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    builder = HiddenTwoStreamBuilder(4, 2, (16, 16)).motion("tiny")
    return builder.temporal("tiny", dropout=0.0).spatial("tiny", dropout=0.0).build()


def stage(network, streams=("temporal",), jit_compile="auto", **compiled):
    model = StageModel(network, streams)
    model.compile("sgd", jit_compile=jit_compile, **compiled)
    return model


def evaluated(model, clips, labels, **options):
    return model.evaluate(clips, labels, verbose=0, return_dict=True, **options)


def logits_of(network, clips, name="temporal_logits"):
    return np.asarray(network.predict(clips, verbose=0)[name], "float64")


def losses_by_hand(network, clips, targets, name="temporal_logits"):
    logits = logits_of(network, clips, name)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -(targets * logs).sum(axis=1)


# === Labels ===


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (LABELS + 1, "label 4 is outside the 4 classes of this network, 0 to 3 .*from 1"),
        (LABELS - 1, "label -1 is outside.*without a class"),
        (np.where(LABELS == 2, 1000, LABELS), "label 1000 is outside.*same list"),
        (LABELS[:, None] + 1, "label 4 is outside"),
        (LABELS + 0.5, "whole numbers from 0 to 3; received 0.5"),
        (np.full(8, np.nan), "whole numbers from 0 to 3; received nan"),
        (np.eye(5)[LABELS], r"one-hot \(batch, 4\).*received shape \(8, 5\)"),
        (np.zeros((8, 4)), "row 0 sums to 0.*makes a row of zeros"),
        (np.eye(4)[LABELS] * 2, "row 0 sums to 2"),
    ],
)
def test_labels_that_are_no_classes(labels, text):
    with pytest.raises(UserError, match=text):
        check_labels(labels, 4)


@pytest.mark.parametrize(
    "labels", [LABELS, LABELS[:, None], LABELS.astype("float32"), np.eye(4)[LABELS]]
)
def test_labels_that_are_classes(labels):
    check_labels(labels, 4)


def dataset(clips, labels):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((clips, labels)).batch(4)


def generator(clips, labels):
    def batches():
        for first in (0, 4):
            yield clips[first : first + 4], labels[first : first + 4]

    return batches()


class Batches(keras.utils.PyDataset):
    def __init__(self, clips, labels):
        super().__init__()
        self.pair = clips, labels

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return tuple(part[4 * index : 4 * index + 4] for part in self.pair)


@pytest.mark.parametrize("make", [dataset, generator, Batches])
def test_every_kind_of_data_is_looked_at(network, clips, make):
    model = stage(network)
    right = evaluated(model, make(clips, LABELS), None)["loss"]
    assert right == pytest.approx(evaluated(model, clips, LABELS)["loss"], rel=1e-5)
    wrong = LABELS.copy()
    wrong[6] = 4
    before = network.get_weights()
    with pytest.raises(UserError, match="label 4 is outside the 4 classes"):
        evaluated(model, make(clips, wrong), None)
    wrong[1] = 4
    with pytest.raises(UserError, match="label 4 is outside the 4 classes"):
        model.fit(make(clips, wrong), verbose=0)
    for one, two in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_validation_data_and_single_batches_are_looked_at(network, clips):
    model = stage(network)
    for data in ((clips, LABELS + 1), dataset(clips, LABELS + 1)):
        with pytest.raises(UserError, match="label 4"):
            model.fit(clips, LABELS, validation_data=data, verbose=0)
    for method in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(UserError, match="label 4"):
            method(clips, LABELS + 1)
    found = model.fit(clips, LABELS, validation_data=dataset(clips, LABELS), verbose=0)
    assert np.isfinite(found.history["val_loss"][0])


@pytest.mark.parametrize("jit", [False, True])
def test_a_label_that_nobody_looked_at_makes_the_loss_nan(network, clips, jit):
    """As from a loader of another library: never a cost of 0, inside of any graph."""
    if jit and keras.backend.backend() == "torch":
        pytest.skip("PyTorch runs eagerly, and raises")
    model = stage(network, jit_compile=jit)
    try:
        loss = keras.Model.evaluate(model, clips, LABELS + 1, verbose=0, return_dict=True)
    except UserError as error:
        assert keras.backend.backend() == "torch" and "label 4" in str(error)
    else:
        assert np.isnan(loss["loss"])


def test_numbers_columns_and_one_hot_rows_mean_the_same(network, clips):
    expected = losses_by_hand(network, clips, np.eye(4)[LABELS]).mean()
    right = (logits_of(network, clips).argmax(axis=1) == LABELS).mean()
    for labels in (LABELS, LABELS[:, None], np.eye(4)[LABELS].astype("float32")):
        found = evaluated(stage(network), clips, labels)
        assert found["loss"] == pytest.approx(expected, rel=1e-4)
        assert found["accuracy"] == pytest.approx(right)


def test_soft_labels(network, clips):
    soft = 0.75 * np.eye(4)[LABELS] + 0.25 * np.eye(4)[LABELS[::-1]]
    expected = losses_by_hand(network, clips, soft).mean()
    found = evaluated(stage(network), clips, soft.astype("float32"))
    assert found["loss"] == pytest.approx(expected, rel=1e-4)


def test_labels_that_are_missing_are_named(network, clips):
    with pytest.raises(UserError, match="'temporal_logits' learns from labels"):
        stage(network).evaluate(clips, verbose=0)


# === Weights ===


def test_weights_are_factors_as_in_keras(network, clips):
    losses = losses_by_hand(network, clips, np.eye(4)[LABELS])
    expected = (WEIGHTS * losses).sum() / 8
    of_keras = keras.losses.CategoricalCrossentropy(from_logits=True)(
        np.eye(4, dtype="float32")[LABELS],
        logits_of(network, clips).astype("float32"),
        sample_weight=WEIGHTS,
    )
    assert float(of_keras) == pytest.approx(expected, rel=1e-4)
    model = stage(network)
    for weights in (WEIGHTS, WEIGHTS[:, None]):
        found = evaluated(model, clips, LABELS, sample_weight=weights)
        assert found["loss"] == pytest.approx(expected, rel=1e-4)
        weighted = (WEIGHTS * losses).sum() / WEIGHTS.sum()
        assert found["action"] == pytest.approx(weighted, rel=1e-4)
    with pytest.raises(UserError, match="one weight per clip"):
        evaluated(model, clips, LABELS, sample_weight=np.ones((8, 3)))


def test_class_weights(network, clips):
    losses = losses_by_hand(network, clips, np.eye(4)[LABELS])
    factors = np.array([1.0, 2.0, 0.0, 4.0])[LABELS]
    for labels in (LABELS, LABELS[:, None], np.eye(4)[LABELS]):
        model = StageModel(network, ["temporal"])
        model.compile(keras.optimizers.SGD(0.0))
        weights = {0: 1.0, 1: 2.0, 2: 0.0, 3: 4.0}
        found = model.fit(clips, labels, class_weight=weights, batch_size=8, verbose=0)
        expected = (factors * losses).sum() / 8
        assert found.history["loss"][0] == pytest.approx(expected, rel=1e-4)


# === compile ===


def test_loss_and_weights_of_compile_are_those_of_the_step(network, clips):
    losses = losses_by_hand(network, clips, np.eye(4)[LABELS]).mean()
    given = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for loss in (given, "sparse_categorical_crossentropy", "categorical_crossentropy"):
        model = stage(network, loss=loss, loss_weights=[100.0])
        assert evaluated(model, clips, LABELS)["loss"] == pytest.approx(
            100 * losses, rel=1e-4
        )
    squares = (logits_of(network, clips) - np.eye(4)[LABELS]) ** 2
    found = evaluated(stage(network, loss="mse"), clips, LABELS)
    assert found["loss"] == pytest.approx(squares.mean(), rel=1e-4)

    def own(labels, logits):
        return keras.ops.cast(labels, "float32") + 0.0 * logits[:, 0]

    found = evaluated(stage(network, loss=own), clips, LABELS)
    assert found["loss"] == pytest.approx(LABELS.mean())


def test_losses_of_two_outputs_by_name(network, clips):
    targets = np.eye(4)[LABELS]
    spatial = losses_by_hand(network, clips, targets, "spatial_logits").mean()
    squares = ((logits_of(network, clips) - targets) ** 2).mean()
    model = stage(
        network,
        ("temporal", "spatial"),
        loss={"temporal_logits": "mse"},
        loss_weights={"temporal_logits": 2.0, "spatial_logits": 0.5},
    )
    found = evaluated(model, clips, LABELS)["loss"]
    assert found == pytest.approx(2 * squares + 0.5 * spatial, rel=1e-4)


def test_metrics_of_compile(network, clips):
    order = np.argsort(-logits_of(network, clips), axis=1)
    in_two = (order[:, :2] == LABELS[:, None]).any(axis=1)
    right = order[:, 0] == LABELS
    top = keras.metrics.SparseTopKCategoricalAccuracy
    for metrics in ([top(2, name="top2")], {"temporal_logits": [top(2, name="top2")]}):
        model = stage(
            network, metrics=metrics, weighted_metrics=[top(2, name="weighted_top2")]
        )
        found = evaluated(model, clips, LABELS, sample_weight=WEIGHTS[:, None])
        assert found["top2"] == pytest.approx(in_two.mean())
        weighted = (WEIGHTS * in_two).sum() / WEIGHTS.sum()
        assert found["weighted_top2"] == pytest.approx(weighted, rel=1e-5)
    # The user's accuracy is not weighted, as in Keras; ours is.
    found = evaluated(
        stage(network, metrics=["accuracy"]), clips, LABELS, sample_weight=WEIGHTS
    )
    assert found["accuracy"] == pytest.approx(right.mean())
    model = stage(
        network,
        ("temporal", "spatial"),
        metrics={"spatial_logits": ["accuracy"]},
    )
    found = model.fit(clips, LABELS, batch_size=4, verbose=0).history
    assert "spatial_logits_accuracy" in found and "accuracy" in found


def test_what_compile_cannot_honour_is_refused(network):
    wrong = (
        ({"loss": keras.losses.SparseCategoricalCrossentropy()}, "from_logits=True"),
        ({"loss": keras.losses.MeanSquaredError(reduction="sum")}, "reduction='sum'"),
        ({"loss": {"logits": "mse"}}, "names the output 'logits'"),
        ({"loss": ["mse", "mse"]}, "2 entries for the 1 outputs"),
        ({"loss_weights": {"flow2": 1.0}}, "names the output 'flow2'"),
        (
            {"metrics": {"spatial_logits": ["accuracy"]}},
            "names the output 'spatial_logits'",
        ),
    )
    for arguments, text in wrong:
        with pytest.raises(ValueError, match=text):
            stage(network, **arguments)
    smooth = StageModel(network, ["temporal"], label_smoothing=0.1)
    with pytest.raises(ValueError, match="label_smoothing belongs to the built-in loss"):
        smooth.compile("sgd", loss="mse")
    motion = StageModel(MotionNet(2, "tiny"), ["motion"], UnsupervisedFlowLoss())
    for arguments in ({"loss": "mse"}, {"loss_weights": [1.0]}, {"metrics": ["accuracy"]}):
        with pytest.raises(ValueError, match="and this stage has none"):
            motion.compile("sgd", **arguments)


def test_what_compile_was_given_survives_a_file(network, clips, tmp_path):
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    model = stage(network, loss=loss, loss_weights=[3.0])
    model.save(tmp_path / "stage.keras")
    again = keras.models.load_model(tmp_path / "stage.keras")
    expected = evaluated(model, clips, LABELS)["loss"]
    plain = evaluated(stage(network), clips, LABELS)["loss"]
    assert abs(expected - plain) > 1.0
    assert evaluated(again, clips, LABELS)["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("floatx", ["float64", "float16", "bfloat16"])
def test_floatx(floatx, clips):
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)
    try:
        builder = HiddenTwoStreamBuilder(4, 2, (16, 16)).motion("tiny").temporal("tiny")
        network = builder.build()
        if floatx != "float64":
            with pytest.raises(ValueError, match="mixed_float16"):
                StageModel(network, ["temporal"])
            return
        model = StageModel(
            network,
            ["temporal"],
            FlowObjective(UnsupervisedFlowLoss(), smoothness_ramp=10),
        )
        model.compile("adam")
        found = model.fit(clips, LABELS, batch_size=4, verbose=0).history
        assert np.isfinite(found["loss"][0]) and found["loss"][0] > 0
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
