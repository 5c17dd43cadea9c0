"""Mistakes in a recipe are told before the first step, also those of a late stage."""

import json
import types

import keras
import pytest

from h2s_keras.errors import UserError
from h2s_keras.models import backbones
from h2s_keras.options import RunOptions, StageOptions
from h2s_keras.training import run as run_module
from h2s_keras.training import train
from h2s_keras.training.devices import out_of_memory
from h2s_keras.training.preparation import check_stages
from h2s_keras.training.processes import Processes
from h2s_keras.training.run_folder import RunFolder

# === A late stage ===

LATE = [
    ({"optimizer": "adamw"}, "optimizer takes 'adam' or 'sgd'.*did you mean 'adam'"),
    ({"schedule": "linear"}, "schedule takes 'constant', 'cosine' or 'multis"),
    ({"lr_multipliers": {"tempral": 1.0}}, "lr_multipliers names 'tempral'"),
    ({"lr_multipliers": {"temporal": None}}, "lr_multipliers takes a dict of numbers"),
    ({"freeze": ["temporal/blok*"]}, "freeze names 'temporal/blok"),
    ({"flow_loss": {"weigthing": "paper"}}, "'weigthing'"),
    ({"consensus": "median"}, "median"),
    ({"streams": ["spatial"], "train": None}, "it trains 'spatial'"),
]


def with_late_mistake(config, changes):
    config["stages"][-1].update(changes)
    return config


@pytest.mark.parametrize(("changes", "text"), LATE)
def test_a_mistake_in_the_last_stage_leaves_the_folder_free(
    small_config, tmp_path, changes, text
):
    config = with_late_mistake(small_config(), changes)
    with pytest.raises(UserError, match=text) as error:
        train(config, tmp_path / "run")
    assert str(error.value).startswith("stage 'temporal': ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kind": "records"}, "needs videos .* set stages.temporal.cached_flow=False"),
        ({"kind": "videos"}, r"decode_size as \(height, width\).* received None"),
        ({"kind": "videos", "decode_size": 64}, "received 64"),
    ],
)
def test_cached_flow_needs_videos_of_one_size(small_config, changes, text):
    config = small_config()
    data = {"num_frames": 2, "image_size": [16, 16], "root": "videos"}
    config["stages"][-1]["cached_flow"] = True
    config["data"] = {**data, "kind": "videos", "decode_size": (32, 32)}
    RunOptions.of(config)
    config["data"] = {**data, **changes}
    with pytest.raises(UserError, match=f"stage 'temporal': cached_flow .*{text}"):
        RunOptions.of(config)


def test_a_mistake_that_was_written_into_a_run_is_reported_on_resume(
    small_config, tmp_path
):
    config = with_late_mistake(small_config(), {"optimizer": "adamw"})
    RunFolder(tmp_path / "run").write_config(config)
    with pytest.raises(UserError, match="stage 'temporal': optimizer takes"):
        train(None, tmp_path / "run", resume=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_a_batch_that_hosts_cannot_share_is_reported_for_every_stage(network, small_config):
    config = RunOptions.of(small_config())
    processes = types.SimpleNamespace(index=1, count=2)
    check_stages(network, config, processes)
    config.stages[1].batch_size = 3
    with pytest.raises(UserError, match="stage 'temporal': a batch of 3 cannot be shared"):
        check_stages(network, config, processes)


# === Single values ===


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"boundaries": 10_000},
            r"boundaries takes the steps .* \(1000,\); received 10000",
        ),
        ({"ema": "high"}, "ema takes a number between 0 and 1, or None; received 'high'"),
        ({"ema": 1.0}, "ema takes a number between 0 and 1"),
        (
            {"global_clipnorm": 0},
            "global_clipnorm takes a number above 0, or None; received 0",
        ),
        ({"global_clipnorm": -1.0}, "global_clipnorm takes"),
        (
            {"weight_decay": -1e-4},
            "weight_decay takes a number from 0, or None; ",
        ),
        ({"label_smoothing": 1.1}, "label_smoothing takes a number from 0 to 1"),
        ({"label_smoothing": -0.1}, "label_smoothing takes"),
        ({"learning_rate": float("nan")}, "learning_rate takes a number from 0"),
        (
            {"flow_loss": "census"},
            "flow_loss takes a dict of options, or None",
        ),
    ],
)
def test_values_of_a_stage(values, text):
    stage = {"name": "a", "streams": ["motion"], "steps": 1, "learning_rate": 1.0}
    with pytest.raises(UserError, match=f"stage 'a': {text}"):
        StageOptions.of({**stage, **values})


def test_one_name_needs_no_brackets():
    stage = {"name": "a", "streams": "motion", "steps": 1, "learning_rate": 1.0}
    complete = StageOptions.of({**stage, "train": "motion", "freeze": "motion/conv1*"})
    assert complete.streams == complete.train == ("motion",)
    assert complete.freeze == ("motion/conv1*",)
    edges = {
        "global_clipnorm": None,
        "ema": None,
        "weight_decay": None,
        "label_smoothing": 1,
    }
    StageOptions.of({**stage, **edges})


@pytest.mark.parametrize(
    ("part", "values", "text"),
    [
        ("data", {"image_size": (16,)}, "image_size takes .height, width. in pixels, or"),
        ("data", {"image_size": "large"}, "image_size takes .* received 'large'"),
        ("model", {"fusion": 1}, "model.fusion takes two numbers.* received 1"),
        (
            "data",
            {"targets": "flow"},
            "'temporal': learns classes, and data.targets='flow'",
        ),
    ],
)
def test_values_of_data_and_model(small_config, part, values, text):
    config = small_config()
    config[part].update(values)
    with pytest.raises(UserError, match=text):
        RunOptions.of(config)


def test_one_side_of_a_square():
    config = {"stages": [], "data": {"kind": "videos", "image_size": 112}}
    assert RunOptions.of(config).data.image_size == (112, 112)
    assert config["data"]["image_size"] == 112


def test_true_flow_is_needed_where_it_is_learned_from(small_config):
    config = small_config()
    config["stages"] = config["stages"][:1]
    config["stages"][0]["flow_loss"] = {"kind": "supervised"}
    with pytest.raises(UserError, match="stage 'motion': flow_loss.kind='supervised'"):
        RunOptions.of(config)
    config["data"]["targets"] = "flow"
    RunOptions.of(config)


# === Memory ===


@keras.saving.register_keras_serializable(package="h2s_keras_tests")
class TooLarge(keras.layers.Layer):
    """Asks for more memory than there are addresses, once it runs."""

    def call(self, inputs):
        many = keras.ops.sum(keras.ops.zeros_like(inputs)) + 2.0**29
        many = keras.ops.cast(many, "int64")
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return inputs + tf.reduce_sum(tf.random.uniform([many, many]))
        return inputs


@pytest.mark.long  # TensorFlow waits ten seconds for memory to come free.
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="allocates through TensorFlow"
)
def test_memory_that_runs_out_is_reported_with_what_helps(
    small_config, tmp_path, monkeypatch
):
    plain = backbones._tiny
    too_large = {"tiny": lambda inputs: TooLarge()(plain(inputs))}
    monkeypatch.setattr(backbones, "_SMALL", too_large)
    config = small_config(tensorboard=False)
    config["stages"] = [{**config["stages"][1], "jit_compile": False}]
    with pytest.raises(UserError, match="not enough memory for a step.*rematerialize=True"):
        train(config, tmp_path / "run")


def raised(name, text):
    return type(name, (RuntimeError,), {})(text)


@pytest.mark.parametrize(
    ("name", "text", "memory"),
    [
        ("JaxRuntimeError", "RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes", True),
        ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Failed to allocate", True),
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 GiB", True),
        ("ResourceExhaustedError", "OOM when allocating tensor", True),
        ("ResourceExhaustedError", "log; No space left on device", False),
        ("JaxRuntimeError", "UNAVAILABLE: connection reset by peer", False),
    ],
)
def test_what_backends_call_it(name, text, memory):
    told = out_of_memory(raised(name, text))
    assert (told is not None) == memory
    assert told is None or "lower batch_size" in str(told)


def test_a_host_without_memory_did_not_lose_the_others():
    """JAX has one class for both, and the text tells them apart."""
    data = types.SimpleNamespace(explain=lambda error: None)
    this = types.SimpleNamespace(index=0, count=2)
    processes = types.SimpleNamespace(explain=lambda error: Processes.explain(this, error))
    for text, told in (
        ("RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes", "not enough memory"),
        ("UNAVAILABLE: connection reset by peer", "the processes lost each other"),
    ):
        with pytest.raises(UserError, match=told), run_module._explained(data, processes):
            raise raised("JaxRuntimeError", text)


# === What is written first ===


def test_a_recipe_of_other_things_than_plain_values_leaves_no_half_file(tmp_path):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match="config.json: cannot be written.*numbers, texts"):
        run.write_config({"root": {1, 2}})
    assert not list((tmp_path / "run").iterdir())
    # What a start that was killed left is not a run.
    (tmp_path / "run" / ".h2s-half.part").write_text("{half")
    RunFolder(tmp_path / "run").write_config({"root": tmp_path / "videos"})
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["config"] == {"root": str(tmp_path / "videos")}
