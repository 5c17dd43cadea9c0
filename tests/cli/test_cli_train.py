"""`h2s train` and `h2s quickstart`: values set by hand, and the way back into a run."""

import os
import shlex

import pytest

from h2s_keras.cli import main, quickstart, train
from h2s_keras.errors import UserError
from h2s_keras.option_types import apply_setting
from h2s_keras.options import run_options
from h2s_keras.recipes import ucf101
from h2s_keras.recipes import videos as videos_recipe
from h2s_keras.training import run as run_module


def parse(line):
    return main.build_parser().parse_args(shlex.split(line))


# === --set ===


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("data.root=2024", "2024"),
        ("data.root=20.10", "20.10"),
        ("data.test_group=1", "1"),
        ("data.group_pattern=7", "7"),
        ("model.initial=5", "5"),
        ("stages.temporal.train=motion", ("motion",)),
        ("stages.temporal.freeze=motion/conv1*", ("motion/conv1*",)),
        ("stages.temporal.streams=motion", ("motion",)),
        ("stages.temporal.train=none", None),
        ("data.image_size=112", (112, 112)),
    ],
)
def test_texts_stay_texts_and_one_stands_for_several(text, value):
    config = run_options(videos_recipe.get_config())
    apply_setting(config, text)
    found = run_options(config)
    for part in text.split("=")[0].split("."):
        if isinstance(found, list):
            found = next(stage for stage in found if stage.name == part)
        else:
            found = getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("stages.temporal.boundaries=10000", "boundaries takes the steps"),
        ("stages.spatial.optimizer=adamw", "optimizer takes 'adam' or 'sgd'; .* did you"),
        ("stages.temporal.ema=high", "ema takes a number between 0 and 1"),
        ("model.fusion=1", "model.fusion takes two numbers"),
        ('stages.motion.flow_loss={"kind":"supervised"}', "data.targets='flow' gives"),
        ("data.image_size=(112, 112, 3)", "image_size takes .height, width."),
    ],
)
def test_what_does_not_fit_is_reported_without_starting(text, error, tmp_path):
    with pytest.raises(UserError, match=error):
        train.run(parse(f"train ucf101 --set '{text}' --out {tmp_path / 'run'}"))
    assert not (tmp_path / "run").exists()


def test_a_late_mistake_is_reported_before_the_first_step(h2s, tmp_path):
    settings = ["--set", "stages.spatial.freeze=spatial/blok*"]
    done = h2s("train", "quickstart", "--smoke", *settings, "--out", tmp_path / "run")
    # The line before says which parts begin at random.
    assert done.code == 2 and len(done.error_lines) == 2, done.err
    assert "stage 'spatial': freeze names 'spatial/blok*'" in done.error_lines[-1]
    assert not (tmp_path / "run").exists()


# === The way back into a run ===


def test_the_command_that_goes_on_can_be_parsed_and_names_the_same_run():
    command = train.resume_command("train", "my runs/a")
    assert command == "h2s train --resume --out 'my runs/a'"
    words = train.resume_command("train", "my runs/a", (3, 2, "10.0.0.1:12")).split(" ", 2)
    assert words[:2] == ["KERAS_BACKEND=jax", "h2s"]
    arguments = parse(words[2])
    # The folder of the run, not that of this process inside it.
    assert (arguments.out, arguments.resume) == ("my runs/a", True)
    assert (arguments.processes, arguments.process) == (3, 2)
    assert arguments.coordinator == "10.0.0.1:12"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (train, "train quickstart --smoke --out {out}"),
        (quickstart, "quickstart --smoke --out {out}"),
    ],
)
def test_after_ctrl_c_the_command_to_go_on_is_reported(
    command, line, tmp_path, capsys, monkeypatch
):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "run_stages", stopped)
    out = os.path.join(tmp_path, "run")
    with pytest.raises(KeyboardInterrupt):
        command.run(parse(line.format(out=out)))
    said = capsys.readouterr().err.splitlines()[-1]
    name = line.split()[0]
    assert said == (
        f"h2s: go on from what was saved last with: h2s {name} --resume --out {out}"
    )
    with pytest.raises(KeyboardInterrupt):
        command.run(parse(said.split(": h2s ")[1]))


def test_quickstart_asks_which_run_to_go_on_with():
    with pytest.raises(UserError, match="--resume needs --out, the folder of the run"):
        quickstart.run(parse("quickstart --resume"))


# === Recipes ===


def test_an_update_of_tsn_can_be_had():
    """What the header of the recipe says makes batches of 128 clips."""
    config = run_options(ucf101.get_config())
    for text in ucf101.__doc__.split("--set ")[1:]:
        if text.startswith("stages."):
            apply_setting(config, text.split()[0].rstrip(".,:;)"))
    sizes = {
        stage.name: (stage.batch_size or config.batch_size)
        * stage.gradient_accumulation_steps
        for stage in config.stages
    }
    assert sizes == {"motion": 16, "temporal": 128, "end_to_end": 128, "spatial": 128}
