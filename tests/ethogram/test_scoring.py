"""Streams over every frame, the temporal head, and the loss of partly labelled frames."""

import keras
import numpy as np
import pytest
from keras import ops

from h2s_keras.ethogram.frame_network import (
    FrameCrossentropy,
    FrameNetwork,
    build_network,
    positive_weights,
    probabilities,
)
from h2s_keras.ethogram.frame_training import sample_pairs
from h2s_keras.ethogram.temporal_head import (
    build_head,
    centred,
    receptive_field,
    run_head,
    train_head,
    train_heads,
)
from h2s_keras.models import HiddenTwoStreamBuilder
from h2s_keras.recipes import ethogram as recipe

HEAD = {**recipe.get_config()["head"], "filters": 8, "dilations": [1, 2, 4]}


def network(exclusive=False):
    keras.utils.set_random_seed(0)
    config = recipe.get_config(smoke=True)
    data = {**config["data"], "exclusive": exclusive}
    return build_network(("walk", "groom"), (32, 40), data, config["model"])


def footage(frames, size=(32, 40)):
    """A texture that moves by a pixel per frame."""
    random = np.random.default_rng(0)
    texture = random.integers(0, 256, (size[0] // 4, size[1] // 4, 3)).astype("uint8")
    texture = texture.repeat(4, axis=0).repeat(4, axis=1)
    return np.stack([np.roll(texture, number, axis=1) for number in range(frames)])


# === Loss ===


def test_the_loss_is_that_of_keras_where_everything_is_labelled():
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, (6, 3))
    logits = random.normal(size=(6, 3)).astype("float32")
    expected = keras.losses.BinaryCrossentropy(from_logits=True)(truth, logits)
    assert float(FrameCrossentropy()(truth, logits)) == pytest.approx(float(expected))
    # By hand: a positive frame counts twice.
    loss = FrameCrossentropy([2.0])(np.array([[1], [0]]), np.array([[0.0], [0.0]]))
    assert float(loss) == pytest.approx((2 * np.log(2) + np.log(2)) / 2)


@pytest.mark.parametrize("exclusive", [False, True])
def test_frames_that_are_not_labelled_touch_neither_loss_nor_gradient(exclusive):
    random = np.random.default_rng(2)
    truth = np.eye(3, dtype=int)[random.integers(0, 3, 40)]
    logits = random.normal(size=(40, 3 + exclusive)).astype("float32")
    hidden = random.permutation(40) < 20
    partly = np.where(hidden[:, None], -1, truth)
    loss = FrameCrossentropy([1.5, 1.0, 2.0], exclusive)
    assert float(loss(partly, logits)) == pytest.approx(
        float(loss(truth[~hidden], logits[~hidden])), rel=1e-6
    )
    changed = np.where(hidden[:, None], 7 * logits, logits)
    assert float(loss(partly, changed)) == float(loss(partly, logits))
    # Negative control: where all is labelled, the same change costs something.
    assert float(loss(truth, changed)) != pytest.approx(float(loss(truth, logits)))
    assert float(loss(np.full_like(truth, -1), logits)) == 0


def test_exclusive_behaviours_share_one_softmax():
    logits = np.array([[1.0, 2.0, 0.5]], "float32")
    log_softmax = logits - np.log(np.exp(logits).sum())
    for truth, column in (([0, 0], 0), ([1, 0], 1), ([0, 1], 2)):
        loss = FrameCrossentropy(exclusive=True)(np.array([truth]), logits)
        assert float(loss) == pytest.approx(-float(log_softmax[0, column]), rel=1e-5)
    shares = probabilities(logits, exclusive=True)
    assert shares == pytest.approx(np.exp(log_softmax[:, 1:]), rel=1e-6)
    assert probabilities(logits) == pytest.approx(1 / (1 + np.exp(-logits)), rel=1e-6)


def test_smoothness_counts_changes_only():
    truth = np.full((1, 4, 1), -1)
    still, moving = (
        np.ones((1, 4, 1), "float32"),
        np.array([1.0, -1, 1, -1]).reshape(1, 4, 1),
    )
    loss = FrameCrossentropy(smoothness=0.5)
    assert float(loss(truth, still)) == 0
    # By hand: log-sigmoid of 1 and -1 differ by 1, on both sides.
    assert float(loss(truth, moving.astype("float32"))) == pytest.approx(0.5 * 2, rel=1e-5)


def test_weights_of_rare_behaviours_are_tempered():
    matrix = np.zeros((100, 3), int)
    matrix[:20, 0], matrix[50:, 1] = 1, -1
    matrix[:1, 1] = 1
    assert positive_weights(matrix) == pytest.approx([4**0.25, 49**0.25, 1.0])
    assert positive_weights(matrix, 0) == [1, 1, 1]


# === Builder ===


def test_multi_label_fusion_is_the_mean_of_the_log_odds():
    model = network()
    outputs = model(footage(11)[None])
    mean = (outputs["temporal_logits"] + outputs["spatial_logits"]) / 2
    assert ops.convert_to_numpy(outputs["logits"]) == pytest.approx(
        ops.convert_to_numpy(mean), abs=1e-5
    )
    again = type(model).from_config(model.get_config())
    assert again.multi_label and again.class_names == ["walk", "groom"]


def test_one_behaviour_alone_needs_multi_label():
    with pytest.raises(ValueError, match="at least 2, or 1 with multi_label"):
        HiddenTwoStreamBuilder(1)
    HiddenTwoStreamBuilder(["groom"], multi_label=True)


def test_h2s_predict_refuses_a_network_of_behaviours():
    from h2s_keras import VideoClassifier
    from h2s_keras.errors import UserError

    with pytest.raises(UserError, match="use h2s ethogram predict"):
        VideoClassifier(network())


# === Every frame ===


def test_a_frame_gets_what_the_network_says_of_the_window_around_it():
    model, frames = network(), footage(30)
    rows = np.concatenate(list(FrameNetwork(model).frame_features(frames)))
    assert len(rows) == 30 and rows.dtype == np.float16
    for middle in (5, 13, 24):
        outputs = model(frames[None, middle - 5 : middle + 6])
        expected = np.concatenate(
            [outputs["temporal_logits"][0], outputs["spatial_logits"][0]]
        )
        assert rows[middle, -4:] == pytest.approx(expected, rel=2e-2, abs=2e-2)
    # Causal: the window ends with the frame.
    causal = np.concatenate(list(FrameNetwork(model, causal=True).frame_features(frames)))
    assert causal[18, -4:-2] == pytest.approx(rows[13, -4:-2], rel=2e-2, abs=2e-2)
    assert not np.allclose(rows[13, -4:-2], rows[24, -4:-2], rtol=2e-2, atol=2e-2)


def test_chunks_and_known_flow_change_nothing():
    scorer, frames = FrameNetwork(network()), footage(23)
    whole = np.concatenate(list(scorer.frame_features(frames)))
    for chunk in (1, 4, 7, 22, 23):
        parts = list(scorer.frame_features(iter(frames), chunk=chunk))
        assert np.concatenate(parts) == pytest.approx(whole, rel=2e-3, abs=2e-3)
    flow = scorer.flow_of(frames)
    known = np.concatenate(list(scorer.frame_features(frames, flow, chunk=5)))
    assert known == pytest.approx(whole, rel=2e-3, abs=2e-3)
    # The training's windows are those of the answers; outside of the video nothing moves.
    windows = scorer.windows(flow, [0, 22])
    assert not windows[0, :5].any() and windows[0, 5] == pytest.approx(flow[0])
    assert not windows[1, 5:].any() and windows[1, 4] == pytest.approx(flow[-1])
    assert len(np.concatenate(list(scorer.frame_features(frames[:1])))) == 1


def test_pairs_are_neighbours_and_drawn_from_everywhere():
    random = np.random.default_rng(0)
    frames = (np.full((2, 2, 3), number, "uint8") for number in range(200))
    pairs = np.stack(sample_pairs(frames, random, 40))
    first, second = pairs[:, 0, 0, 0, 0].astype(int), pairs[:, 1, 0, 0, 0].astype(int)
    assert len(set(first)) == 40 and (second - first == 1).all()
    assert first.min() < 40 and first.max() > 160


# === Temporal head ===


def test_answers_do_not_depend_on_the_chunks_nor_reach_further_than_reported():
    keras.utils.set_random_seed(0)
    head = build_head(5, 2, HEAD)
    features = np.random.default_rng(0).normal(size=(90, 5)).astype("float32")
    whole = run_head(head, features)
    assert whole.shape == (90, 2)
    assert run_head(head, features, chunk=17) == pytest.approx(whole, abs=1e-6)
    assert receptive_field(head) == 2 * (1 + 2 + 4)


def test_a_causal_head_sees_no_later_frame():
    keras.utils.set_random_seed(0)
    features = np.random.default_rng(0).normal(size=(60, 5)).astype("float32")
    later = np.where(np.arange(60)[:, None] < 40, features, features + 3)
    for causal in (True, False):
        head = build_head(5, 2, HEAD, causal)
        one, two = run_head(head, features, causal), run_head(head, later, causal)
        assert np.allclose(one[:40], two[:40], atol=1e-6) == causal
        assert not np.allclose(one[40:], two[40:], atol=1e-3)


def test_features_are_centred_on_their_video():
    features = np.random.default_rng(0).normal(size=(50, 3))
    assert centred(features + 9) == pytest.approx(centred(features), abs=1e-5)
    assert centred(features).mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)
    running = centred(features, causal=True)
    assert running[10] == pytest.approx(features[10] - features[:11].mean(axis=0), abs=1e-5)


@pytest.mark.parametrize("exclusive", [False, True])
def test_each_video_is_judged_by_the_head_that_did_not_see_it(exclusive, tmp_path):
    random = np.random.default_rng(0)
    features = [random.normal(size=(40, 3)) for _ in range(4)]
    matrices = [random.integers(0, 2, (40, 1)) for _ in range(4)]
    settings = {**HEAD, "steps": 2, "window": 20}
    mean, held_out = train_heads(
        features, matrices, [1, 0, 0, 1], settings, exclusive=exclusive, seed=3
    )
    # Alone, the head of each fold is the same.
    heads = [
        train_head(
            [features[index] for index in seen],
            [matrices[index] for index in seen],
            settings,
            exclusive=exclusive,
            seed=3000 + fold,
        )
        for fold, seen in ((0, (0, 3)), (1, (1, 2)))
    ]
    for index, fold in enumerate([1, 0, 0, 1]):
        expected = run_head(heads[fold], features[index], exclusive=exclusive)
        assert held_out[index] == pytest.approx(expected, abs=1e-5)
        other = run_head(heads[1 - fold], features[index], exclusive=exclusive)
        assert not np.allclose(held_out[index], other, atol=1e-3)
    inputs = centred(features[0])[None]
    logits = [ops.convert_to_numpy(head(inputs))[0] for head in heads]
    expected = probabilities(np.mean(logits, axis=0), exclusive)
    mean.save(tmp_path / "head.keras")
    again = keras.saving.load_model(tmp_path / "head.keras", compile=False)
    for one in (mean, again):
        found = run_head(one, features[0], exclusive=exclusive, chunk=11)
        assert found == pytest.approx(expected, abs=1e-5)
        assert receptive_field(one) == receptive_field(heads[0])


@pytest.mark.long
def test_a_head_learns_from_half_of_the_labels():
    """Bouts that a noisy column tells of; half of the frames are not labelled."""
    random = np.random.default_rng(0)
    features, truth = [], []
    for _ in range(4):
        labels = np.repeat(random.integers(0, 2, 20), 20)[:, None]
        noise = random.normal(0, 1.0, (400, 4))
        noise[:, :1] += 2 * labels
        features.append(noise)
        truth.append(labels)
    partly = [np.where(random.random(len(one))[:, None] < 0.5, -1, one) for one in truth]
    settings = {**HEAD, "steps": 120, "window": 100}
    head = train_head(features[:3], partly[:3], settings)
    found = run_head(head, features[3])
    plain = ((features[3][:, :1] > 1) == truth[3]).mean()
    assert ((found > 0.5) == truth[3]).mean() > plain + 0.05
