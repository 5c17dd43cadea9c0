"""The optimiser of a stage against NumPy, and its own properties."""

import keras
import numpy as np
import pytest

from h2s_keras.models import HiddenTwoStreamBuilder, MotionNet
from h2s_keras.options import StageOptions
from h2s_keras.training.optimizers import StageAdam, StageSchedule, StageSGD
from h2s_keras.training.preparation import prepare_stage

SHAPES = ((3, 4), (4,))


def variables():
    rng = np.random.default_rng(0)
    return [
        keras.Variable(rng.normal(size=shape).astype("float32"), name=name)
        for shape, name in zip(SHAPES, ("kernel", "bias"), strict=True)
    ]


def gradients(count, seed=1, size=1.0):
    rng = np.random.default_rng(seed)
    return [
        [(size * rng.normal(size=shape)).astype("float32") for shape in SHAPES]
        for _ in range(count)
    ]


def feed(optimizer, weights, steps):
    optimizer.build(weights)
    for step in steps:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in step], weights)
    return [keras.ops.convert_to_numpy(weight.value) for weight in weights]


def number(variable):
    return keras.ops.convert_to_numpy(variable.value).item()


def numpy_sgd(weights, steps, rate, factors, decays, coupled, clip, momentum=0.9):
    """Caffe's order: clip by the global norm, decay, momentum with the rate inside."""
    weights = [weight.astype("float64") for weight in weights]
    history = [np.zeros_like(weight) for weight in weights]
    for step, values in enumerate(steps):
        norm = np.sqrt(sum(np.sum(g.astype("float64") ** 2) for g in values))
        for i, gradient in enumerate(values):
            local = rate(step) * factors[i]
            gradient = gradient * min(1.0, clip / norm)
            if coupled:
                gradient = gradient + decays[i] * weights[i]
            else:
                weights[i] = weights[i] * (1 - decays[i] * local)
            history[i] = momentum * history[i] - local * gradient
            weights[i] = weights[i] + history[i]
    return weights


def test_no_step_runs_operation_by_operation_on_jax():
    stage = StageOptions.of(
        {"name": "motion", "streams": ["motion"], "steps": 1, "learning_rate": 1e-3}
        | {"flow_loss": {"kind": "mixed"}, "jit_compile": False}
    )
    network = MotionNet(2, "small", coarse_to_fine=True)
    network.build((None, 2, 32, 32, 3))
    on_jax = keras.backend.backend() == "jax"
    assert prepare_stage(network, stage).jit_compile is on_jax


@pytest.mark.parametrize("kind", ["coupled", "decoupled"])
def test_sgd_follows_caffes_order(kind):
    weights, steps = variables(), gradients(6)
    start = [keras.ops.convert_to_numpy(weight.value) for weight in weights]
    schedule = StageSchedule(0.1, 6, warmup_steps=2, kind="multistep", boundaries=(3,))
    optimizer = StageSGD(
        schedule,
        momentum=0.9,
        lr_multipliers=[1.0, 20.0],
        decays=[0.05, 0.0],
        decay_kind=kind,
        global_clipnorm=2.0,
    )

    def rate(step):
        return 0.1 * (0.1 if step >= 3 else 1.0) * min(1.0, (step + 1) / 2)

    expected = numpy_sgd(
        start, steps, rate, (1.0, 20.0), (0.05, 0.0), kind == "coupled", 2.0
    )
    found = feed(optimizer, weights, steps)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    other = numpy_sgd(start, steps, rate, (1, 1), (0.05, 0), kind == "coupled", 2.0)
    assert np.abs(found[1] - other[1]).max() > 1e-2


@pytest.mark.parametrize(
    ("ours", "keras_own", "options"),
    [
        (StageAdam, keras.optimizers.Adam, {}),
        (StageAdam, keras.optimizers.Adam, {"beta_1": 0.7, "epsilon": 1e-2}),
        (StageAdam, keras.optimizers.Adam, {"amsgrad": True}),
        (StageSGD, keras.optimizers.SGD, {}),
        (StageSGD, keras.optimizers.SGD, {"momentum": 0.9}),
        (StageSGD, keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
    ],
)
def test_without_extras_the_rule_is_that_of_keras(ours, keras_own, options):
    steps = gradients(5)
    expected = feed(keras_own(0.01, **options), variables(), steps)
    found = feed(ours(0.01, **options), variables(), steps)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", [StageSGD, StageAdam])
def test_accumulating_is_one_large_batch(kind):
    """16 batches make one update, and nothing moves before the last of them."""
    steps = gradients(48, size=3.0)
    options = {
        "learning_rate": StageSchedule(0.05, 3, kind="cosine"),
        "decays": [0.1, 0.1],
        "decay_kind": "coupled",
        "global_clipnorm": 1.0,
        "average": 0.9,
    }
    large = [
        [np.mean([step[i] for step in steps[n : n + 16]], axis=0) for i in range(2)]
        for n in (0, 16, 32)
    ]
    expected = feed(kind(**options), variables(), large)
    weights = variables()
    start = [keras.ops.convert_to_numpy(weight.value) for weight in weights]
    optimizer = kind(**options, gradient_accumulation_steps=16)
    for one, two in zip(feed(optimizer, weights, steps[:15]), start, strict=True):
        np.testing.assert_array_equal(one, two)
    found = feed(optimizer, weights, steps[15:])
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    assert number(optimizer.iterations) == 3 and number(optimizer.batches) == 48
    assert np.abs(found[0] - start[0]).max() > 0.01


def test_averages_follow_the_weights():
    weights, steps = variables(), gradients(4)
    optimizer = StageSGD(0.1, average=0.75)
    optimizer.build(weights)
    average = None
    for step in steps:
        feed(optimizer, weights, [step])
        now = keras.ops.convert_to_numpy(weights[0].value)
        average = now if average is None else 0.75 * average + 0.25 * now
    assert np.abs(average - now).max() > 1e-2
    optimizer.use_averages()
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(weights[0].value), average, rtol=1e-5
    )


def test_averages_leave_weights_without_a_gradient_as_they_are(batch):
    """The decoder of MotionNet in a branched model that learns actions alone."""
    builder = HiddenTwoStreamBuilder(4, 3, (32, 32)).motion("tiny")
    network = builder.temporal("tiny", branched=True, dropout=0.0).build()
    stage = {"name": "a", "streams": ["temporal"], "train": ["motion", "temporal"]}
    stage.update(steps=2, learning_rate=1e-3, ema=0.5)
    model = prepare_stage(network, stage)
    head, encoder = network.motion.head, network.motion.convolutions[0]
    before = [part.get_weights() for part in (head, encoder)]
    model.fit(*batch, batch_size=2, verbose=0)
    model.optimizer.use_averages()
    for one, two in zip(before[0], head.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert np.abs(before[0][0]).max() > 0
    # The control: what has a gradient moved.
    assert np.abs(before[1][0] - encoder.get_weights()[0]).max() > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_gradient_stops_all_updates_and_is_noted(bad):
    steps = gradients(5)
    steps[2][1][3] = bad
    weights = variables()
    optimizer = StageAdam(0.1, average=0.9)
    before = feed(optimizer, weights, steps[:2])
    slots = [keras.ops.convert_to_numpy(v.value) for v in optimizer._momentums]
    after = feed(optimizer, weights, steps[2:])
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(slots, optimizer._momentums, strict=True):
        np.testing.assert_array_equal(one, keras.ops.convert_to_numpy(two.value))
    assert number(optimizer.bad_batch) == 2 and number(optimizer.bad_gradient) == 1
    assert number(optimizer.iterations) == 2


def test_a_bad_batch_among_accumulated_ones_stops_the_update():
    steps = gradients(4)
    steps[1][0][0, 0] = np.nan
    weights = variables()
    start = [keras.ops.convert_to_numpy(weight.value) for weight in weights]
    optimizer = StageSGD(0.1, gradient_accumulation_steps=4)
    for one, two in zip(feed(optimizer, weights, steps), start, strict=True):
        np.testing.assert_array_equal(one, two)
    assert number(optimizer.bad_batch) == 1


def test_loss_scale_is_undone_and_follows_overflow():
    steps = gradients(6)
    expected = feed(StageSGD(0.1), variables(), [s for n, s in enumerate(steps) if n != 3])
    weights = variables()
    optimizer = StageSGD(0.1, dynamic_scale=True)
    optimizer.build(weights)
    assert number(optimizer.dynamic_scale) == 2.0**15
    for n, step in enumerate(steps):
        scale = number(optimizer.dynamic_scale)
        assert float(optimizer.scale_loss(keras.ops.ones(()))) == scale
        scaled = [g * scale for g in step]
        if n == 3:
            scaled[0][0, 0] = np.inf
        found = feed(optimizer, weights, [scaled])
        assert number(optimizer.dynamic_scale) == (2.0**15 if n < 3 else 2.0**14)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    assert number(optimizer.bad_batch) == -1  # A smaller scale may still help.
    optimizer.updates_since_overflow.assign(1999)
    feed(optimizer, weights, steps[:1])
    assert number(optimizer.dynamic_scale) == 2.0**15


def test_overflow_at_the_least_scale_is_hopeless():
    weights = variables()
    optimizer = StageSGD(0.1, dynamic_scale=True)
    optimizer.build(weights)
    bad = [[np.full(shape, np.nan, "float32") for shape in SHAPES]]
    feed(optimizer, weights, bad * 15)
    assert number(optimizer.dynamic_scale) == 1.0 and number(optimizer.bad_batch) == -1
    feed(optimizer, weights, bad)
    assert number(optimizer.bad_batch) == 15


def test_every_argument_is_in_the_config():
    optimizer = StageSGD(
        0.1,
        momentum=0.8,
        lr_multipliers=[1.0, 2.0],
        decays=[0.1, 0.0],
        decay_kind="coupled",
        global_clipnorm=3.0,
        gradient_accumulation_steps=2,
        average=0.5,
        dynamic_scale=True,
    )
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(optimizer)
    )
    assert type(again) is StageSGD and again.get_config() == optimizer.get_config()
    steps = [[64 * g for g in step] for step in gradients(4)]
    for one, two in zip(
        feed(optimizer, variables(), steps), feed(again, variables(), steps), strict=True
    ):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"decay_kind": "l1"}, "decay_kind must be one of"),
        (
            {"gradient_accumulation_steps": 0},
            "gradient_accumulation_steps must be 1 or more",
        ),
        ({"average": 1.0}, "average must lie between 0 and 1"),
        ({"lr_multipliers": [1.0]}, "one number for each of 2 trainable variables"),
    ],
)
def test_wrong_options(options, text):
    with pytest.raises(ValueError, match=text):
        StageSGD(0.1, **options).build(variables())


def test_no_gradient_at_all_is_an_error():
    optimizer, weights = StageSGD(0.1), variables()
    optimizer.build(weights)
    with pytest.raises(ValueError, match="No trainable variable has a gradient"):
        optimizer.apply([None, None], weights)


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_normalization_keeps_its_statistics(frozen):
    """What follows from it learns all the same; MotionNet's layers have none to keep."""
    keras.utils.set_random_seed(0)
    builder = HiddenTwoStreamBuilder(2, 3, (32, 32)).motion("tiny").temporal("small")
    network = builder.build()
    stage = StageOptions(
        name="end_to_end",
        streams=("temporal",),
        train=("motion", "temporal"),
        freeze_normalization=frozen,
        steps=2,
        learning_rate=1e-2,
    )
    model = prepare_stage(network, stage)
    weights = network.temporal.weights
    before = {weight.path: keras.ops.convert_to_numpy(weight) for weight in weights}
    clips = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32, 3)).astype("uint8")
    model.fit(clips, np.array([0, 1, 0, 1]), batch_size=4, epochs=2, verbose=0)
    changed = {
        weight.path
        for weight in weights
        if (before[weight.path] != keras.ops.convert_to_numpy(weight)).any()
    }
    norms = {path for path in before if "norm" in path}
    assert len(norms) == 20  # four weights in each of five layers
    assert changed & norms == (set() if frozen else norms)
    assert set(before) - norms <= changed
