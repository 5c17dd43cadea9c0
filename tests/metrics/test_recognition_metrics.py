"""MeanClassAccuracy and VideoMeanAveragePrecision against scikit-learn and the toolkits."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from checks import init_arguments

from h2s_keras.metrics import MeanClassAccuracy, VideoMeanAveragePrecision

RANDOM = np.random.default_rng(5)
LABELS = RANDOM.integers(0, 4, 57)
SCORES = RANDOM.normal(size=(57, 4)).astype("float32")
SCORES[np.arange(57), LABELS] += 1
MULTI = (RANDOM.uniform(size=(57, 4)) < 0.3).astype("float32")


def average_precision(truth, scores, rule):
    """One class as the toolkits do it, in their own steps."""
    hits = truth[np.argsort(-scores, kind="stable")] > 0
    true, false = np.cumsum(hits), np.cumsum(~hits)
    precision, recall = true / (true + false), true / hits.sum()
    if rule == "thumos":
        return precision[hits].mean()
    # ActivityNet's interpolated_prec_rec.
    precision = np.hstack([[0], precision, [0]])
    recall = np.hstack([[0], recall, [1]])
    for place in range(len(precision) - 1)[::-1]:
        precision[place] = max(precision[place], precision[place + 1])
    steps = np.where(recall[1:] != recall[:-1])[0] + 1
    return np.sum((recall[steps] - recall[steps - 1]) * precision[steps])


def mean_ap(truth, scores, rule):
    values = [
        average_precision(truth[:, index], scores[:, index], rule)
        for index in range(truth.shape[1])
        if truth[:, index].any()
    ]
    return np.mean(values)


def test_mean_class_accuracy_against_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    metric = MeanClassAccuracy(4)
    for part in (slice(0, 40), slice(40, 57)):
        metric.update_state(LABELS[part], SCORES[part])
    expected = metrics.balanced_accuracy_score(LABELS, SCORES.argmax(axis=1))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    assert abs(np.mean(LABELS == SCORES.argmax(axis=1)) - expected) > 1e-4


def test_mean_class_accuracy_details():
    metric = MeanClassAccuracy(5)
    metric.update_state([0, 0, 0, 1], np.eye(5)[[0, 0, 0, 0]])
    assert float(metric.result()) == 0.5
    metric.reset_state()
    metric.update_state([[0], [1]], np.eye(5)[[0, 0]], sample_weight=[1, 0])
    assert float(metric.result()) == 1
    with pytest.raises(ValueError, match="num_classes"):
        MeanClassAccuracy(0)


@pytest.mark.parametrize("rule", ["thumos", "activitynet"])
@pytest.mark.parametrize("several", [False, True])
def test_map_against_the_toolkits(rule, several):
    truth = MULTI if several else np.eye(4, dtype="float32")[LABELS]
    metric = VideoMeanAveragePrecision(4, 57, rule)
    metric.update_state(MULTI if several else LABELS, SCORES, np.arange(57))
    expected = mean_ap(truth, SCORES, rule)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_the_rules_differ():
    found = []
    for rule in ("thumos", "activitynet"):
        metric = VideoMeanAveragePrecision(4, 57, rule)
        metric.update_state(LABELS, SCORES, np.arange(57))
        found.append(float(metric.result()))
    assert found[1] > found[0] + 1e-3


def test_thumos_equals_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    metric = VideoMeanAveragePrecision(4, 57)
    metric.update_state(MULTI, SCORES, np.arange(57))
    expected = metrics.average_precision_score(MULTI, SCORES, average="macro")
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_views_are_averaged_whatever_their_batches():
    videos = np.arange(57) % 19
    mean = np.stack([SCORES[videos == video].mean(axis=0) for video in range(19)])
    truth = np.eye(4)[np.arange(19) % 4]
    expected = mean_ap(truth, mean, "thumos")
    order = RANDOM.permutation(57)
    metric = VideoMeanAveragePrecision(4, 19)
    for part in np.array_split(order, 5):
        metric.update_state(truth[videos[part]], SCORES[part], videos[part])
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_unseen_videos_padding_and_absent_classes():
    metric = VideoMeanAveragePrecision(6, 80)
    scores = np.pad(SCORES, ((0, 3), (0, 2)))
    labels, weight = np.pad(LABELS, (0, 3)), np.pad(np.ones(57), (0, 3))
    metric.update_state(labels, scores, np.arange(60), sample_weight=weight)
    expected = mean_ap(np.eye(4)[LABELS], SCORES, "thumos")
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_memory_grows_with_videos_and_not_with_their_square():
    count = 300_000  # whose square takes 360 GB
    truth = np.arange(count) % 2
    scores = np.eye(2, dtype="float32")[truth]
    metric = VideoMeanAveragePrecision(2, count)
    metric.update_state(truth, scores, np.arange(count))
    assert float(metric.result()) == 1


def test_equal_scores_are_ranked_by_number():
    metric = VideoMeanAveragePrecision(1, 4)
    metric.update_state([[0.0], [1.0], [0.0], [1.0]], np.zeros((4, 1)), np.arange(4))
    assert float(metric.result()) == pytest.approx((1 / 2 + 2 / 4) / 2)


@pytest.mark.parametrize(
    "metric",
    [
        MeanClassAccuracy(3, name="mca"),
        VideoMeanAveragePrecision(3, 7, "activitynet", name="map"),
    ],
)
def test_config(metric):
    config = metric.get_config()
    assert all(name in config for name in init_arguments(type(metric)))
    text = keras.saving.serialize_keras_object(metric)
    assert keras.saving.deserialize_keras_object(text).get_config() == config


@pytest.mark.parametrize(
    "arguments", [(0, 1), (1, 0), (1, 1, "pascal")], ids=["classes", "videos", "rule"]
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError):
        VideoMeanAveragePrecision(*arguments)


TWO_REPLICAS = """
import numpy as np
import tensorflow as tf

devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(
    devices[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from h2s_keras import metrics

rng = np.random.default_rng(0)
labels = rng.integers(0, 3, 22)
scores = rng.normal(size=(22, 3)).astype("float32")
flows = rng.normal(scale=5, size=(22, 8, 8, 2)).astype("float32")
guess = flows + rng.normal(scale=3, size=flows.shape).astype("float32")
makers = {
    "mca": lambda: metrics.MeanClassAccuracy(3),
    "map": lambda: metrics.VideoMeanAveragePrecision(3, 11),
    "aae": lambda: metrics.AngularError(),
    "fl": lambda: metrics.FlowOutlierRate(),
    "region": lambda: metrics.RegionEndPointError(),
    "epe": lambda: metrics.EndPointError(),
}

def update(all_of_them, rows):
    all_of_them["mca"].update_state(tf.gather(labels, rows), tf.gather(scores, rows))
    all_of_them["map"].update_state(
        tf.gather(labels, rows % 11), tf.gather(scores, rows), rows % 11
    )
    for name in ("aae", "fl", "region", "epe"):
        all_of_them[name].update_state(tf.gather(flows, rows), tf.gather(guess, rows))

one = {name: make() for name, make in makers.items()}
update(one, tf.range(22))
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    two = {name: make() for name, make in makers.items()}
data = strategy.experimental_distribute_dataset(tf.data.Dataset.range(22).batch(8))

@tf.function
def step(rows):
    strategy.run(lambda one: update(two, tf.cast(one, tf.int32)), args=(rows,))

for rows in data:  # 4 + 4, 4 + 4 and 3 + 3 rows
    step(rows)
for name in makers:
    a, b = float(one[name].result()), float(two[name].result())
    print(name, a, b)
    assert abs(a - b) < 1e-5 * max(1, abs(a)) and a > 0, (name, a, b)
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute")
def test_two_replicas_measure_as_one():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", TWO_REPLICAS],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_labels_of_one_column_are_labels():
    metrics = VideoMeanAveragePrecision(4, 57), VideoMeanAveragePrecision(4, 57)
    videos = np.arange(57)
    metrics[0].update_state(LABELS, SCORES, videos)
    metrics[1].update_state(LABELS[:, None], SCORES, videos)
    assert float(metrics[0].result()) == float(metrics[1].result()) > 0.3


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        (np.eye(3)[[1]], np.eye(3)[[1]]),
        (np.eye(3)[[1, 0]], np.eye(3)[[1, 0]]),
        ([1, 0], np.eye(4)[[1, 0]]),
    ],
)
def test_mean_class_accuracy_takes_numbered_labels(labels, scores):
    """And leaves its counts alone when it refuses."""
    metric = MeanClassAccuracy(3)
    with pytest.raises(ValueError, match=r"labels \(batch,\) counted from 0"):
        metric.update_state(labels, scores)
    assert not np.any(metric.total)


@pytest.mark.parametrize(("labels", "scores"), [([[1, 0]], [[0.1] * 4]), ([1], [[0.3]])])
def test_map_of_other_shapes(labels, scores):
    metric = VideoMeanAveragePrecision(4, 2)
    with pytest.raises(ValueError, match=r"0/1 \(batch, 4\)"):
        metric.update_state(labels, scores, [0])


@pytest.mark.parametrize("label", [-1, 2, 7, 0.5])
def test_a_label_of_no_class_is_refused(label):
    metric = MeanClassAccuracy(2)
    scores = np.eye(2, dtype="float32")
    with pytest.raises(ValueError, match=f"{label} is outside the 2|received {label}"):
        metric.update_state([0, label], scores)
    metric.update_state([0, label], scores, sample_weight=[1.0, 0.0])
    assert float(metric.result()) == 1.0


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="compiles by TensorFlow"
)
def test_a_label_of_no_class_makes_a_compiled_result_nan():
    import tensorflow as tf

    metric = MeanClassAccuracy(2)
    update = tf.function(lambda labels: metric.update_state(labels, tf.eye(2)))
    update(tf.constant([0, 1]))
    assert float(metric.result()) == 1.0
    update(tf.constant([0, 2]))
    assert np.isnan(float(metric.result()))
