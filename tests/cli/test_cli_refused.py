"""What the command line refuses before it starts, in words, and without a trace."""

import ast
import json
import os
import pathlib
import shlex

import pytest

from h2s_keras import model_files
from h2s_keras.cli import evaluate, export, flow, main, predict, quiet, train
from h2s_keras.data.clips.augmentation import class_numbers
from h2s_keras.errors import UserError
from h2s_keras.option_types import apply_setting
from h2s_keras.recipes import tiny_synthetic, ucf101_tsn
from h2s_keras.recipes import videos as videos_recipe
from h2s_keras.training.run_folder import RunFolder

ROOT = pathlib.Path(__file__).parents[2]


def parse(line):
    return main.build_parser().parse_args(shlex.split(line))


# === Names of options ===


@pytest.mark.parametrize(
    "line",
    [
        "train videos --data_serv grpc://a:1",
        "train videos --smo",
        "predict a.mp4 --mod m",
        "data verify folders --roo x",
        "--vers",
    ],
)
def test_a_part_of_a_name_is_no_option(line, capsys):
    with pytest.raises(SystemExit) as end:
        parse(line)
    assert end.value.code == 2
    assert "unrecognized arguments: --" in (said := capsys.readouterr().err) or (
        "required" in said
    )


def test_every_program_reads_whole_names_only():
    calls = [
        node
        for path in [*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("h2s_keras/**/*.py")]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and "ArgumentParser" in ast.unparse(node.func)
    ]
    assert len(calls) >= 4
    for call in calls:
        assert "allow_abbrev=False" in ast.unparse(call)


def test_data_of_a_training_are_values_of_its_recipe(tmp_path):
    with pytest.raises(UserError, match=r"give --set data.root='my videos'"):
        train.run(parse(f"train videos --data 'my videos' --out {tmp_path / 'run'}"))


# === Values ===


@pytest.mark.parametrize("number", [0, -1])
def test_no_pairs_are_not_all_pairs(tmp_path, number):
    arguments = parse(f"flow v.mp4 --out {tmp_path / 'out'} --max_pairs={number}")
    with pytest.raises(UserError, match="--max_pairs takes a number from 1; received"):
        flow.run(arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("recipe", "setting", "expected"),
    [
        (videos_recipe, "data.no_flip_classes=clap", ("clap",)),
        (videos_recipe, "data.no_flip_classes=['a', 'b']", ("a", "b")),
        (tiny_synthetic, "data.motions=zoom", ("zoom",)),
    ],
)
def test_one_name_stands_for_several(recipe, setting, expected):
    config = recipe.get_config()
    apply_setting(config, setting)
    assert getattr(config.data, setting.split("=")[0].split(".")[1]) == expected


def test_one_class_by_name_or_number():
    names = ("clap", "wave", "7")
    assert class_numbers("clap", names, "x") == [0]
    assert class_numbers(1, names, "x") == [1]
    assert class_numbers("7", names, "x") == [2]
    with pytest.raises(UserError, match="x: no class 'cl'; there are clap, wave"):
        class_numbers("cl", names, "x")


@pytest.mark.parametrize(
    ("recipe", "setting"),
    [
        (videos_recipe, "stages=1"),
        (videos_recipe, "stages=none"),
        (videos_recipe, "data=none"),
        (videos_recipe, "data={'root': 'x'}"),
        (videos_recipe, "model=tiny"),
    ],
)
def test_what_holds_values_is_no_value(recipe, setting):
    config = recipe.get_config()
    with pytest.raises(UserError, match=r"of several values; set one of them, such"):
        apply_setting(config, setting)
    assert config == recipe.get_config()


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_a_backend_that_is_not_installed(monkeypatch, name):
    monkeypatch.setattr(quiet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"the package {name} is not installed here; inst"):
        quiet.check_backend(name)
    quiet.check_backend(None)
    quiet.check_backend("")


def test_a_backend_that_there_is_not(cold_h2s, monkeypatch, files, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    pair = [files / "a.png", files / "b.png"]
    done = cold_h2s("flow", *pair, "--out", tmp_path / "out")
    assert done.code == 2 and len(done.error_lines) == 1, done.err
    assert "KERAS_BACKEND=theano: is not supported; it may be tensorflow, jax" in done.err
    assert not (tmp_path / "out").exists()


# === --smoke on data of one's own ===


def smoke_config(monkeypatch, line):
    """The recipe that a command line would train."""
    found = []

    def caught(config, *rest):
        found.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "run_training", caught)
    with pytest.raises(KeyboardInterrupt):
        train.run(parse(line))
    return found[0]


@pytest.mark.parametrize(
    ("line", "kind", "value"),
    [
        ("videos --set data.root=mine", "videos", ("root", "mine")),
        ("videos --set data.csv=mine.csv", "videos", ("csv", "mine.csv")),
        ("gestures --set data.root=mine", "videos", ("test_group", "each")),
        (
            "videos --set data.kind=list --set data.train_list=mine.txt",
            "list",
            ("train_list", "mine.txt"),
        ),
        ("ucf101 --set data.annotations=lists", "ucf101", ("annotations", "lists")),
    ],
)
def test_a_smoke_run_is_a_short_run_on_the_data_given(monkeypatch, line, kind, value):
    config = smoke_config(monkeypatch, f"train {line} --smoke --out run")
    assert config.data.kind == kind and getattr(config.data, value[0]) == value[1]
    assert (config.data.num_frames, config.data.image_size) == (3, (32, 32))
    assert config.data.clips_per_video == 1
    assert max(stage.steps for stage in config.stages) <= 4


def test_a_smoke_run_without_data_is_on_synthetic_clips(monkeypatch):
    config = smoke_config(monkeypatch, "train videos --smoke --set seed=2 --out run")
    assert config.data.kind == "synthetic" and config.seed == 2


def test_a_smoke_run_keeps_what_its_recipe_makes_small(monkeypatch):
    config = smoke_config(monkeypatch, "train ucf101_tsn --smoke --set data.root=x --out r")
    assert config.data.segments == 2 and config.data.kind == "ucf101"
    assert ucf101_tsn.get_config().data.segments == 3


# === Folders ===


def test_a_refused_run_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match="no such data"):
        with RunFolder(tmp_path / "runs" / "mine").alone():
            raise UserError("no such data")
    assert not (tmp_path / "runs").exists()
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError), RunFolder(tmp_path / "there").alone():
        raise UserError("no such data")
    assert (tmp_path / "there").is_dir()


def test_a_run_that_began_stays(tmp_path):
    run = RunFolder(tmp_path / "runs" / "mine")
    with pytest.raises(KeyboardInterrupt), run.alone():
        run.write_config({"name": "mine"})
        raise KeyboardInterrupt
    assert os.listdir(tmp_path / "runs" / "mine") == ["config.json"]


def test_flow_of_a_broken_video_leaves_no_folder(h2s, files, tmp_path):
    done = h2s("flow", files / "broken.mp4", "--out", tmp_path / "new" / "flow")
    assert done.code == 2 and not (tmp_path / "new").exists()


# === A run that was killed ===


def begun(folder, command="h2s train videos --out run"):
    folder.mkdir()
    record = {"config": {"name": "mine"}, "command": command}
    (folder / "config.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("module", "line"),
    [
        (predict, "predict v.mp4 --model {}"),
        (evaluate, "evaluate --data videos --model {}"),
        (export, "export --out models/h2s --model {}"),
        (flow, "flow {video} --out flows --model {}"),
    ],
)
def test_an_unfinished_run_is_to_be_resumed(tmp_path, files, module, line):
    run = begun(tmp_path / "run 1")
    line = line.replace("{video}", str(files / "good.mp4"))
    arguments = parse(line.format(shlex.quote(str(run))))
    with pytest.raises(UserError) as told:
        module.run(arguments)
    assert str(told.value) == (
        f"{run}: the run 'mine' is unfinished and has no model yet; resume it with: h2s "
        f"train --resume --out '{run}'"
    )


def test_which_command_resumes(tmp_path):
    run = begun(tmp_path / "quick", "h2s quickstart --out quick --smoke")
    with pytest.raises(UserError, match=f"with: h2s quickstart --resume --out {run}"):
        model_files.check_model(run)
    (run / "model.keras").write_bytes(b"x")
    model_files.check_model(run)


def test_a_folder_of_several_runs_names_one(tmp_path):
    run = begun(tmp_path / "each")
    (begun(run / "group-1") / "model.keras").write_bytes(b"x")
    with pytest.raises(UserError, match="each: the run 'mine' is unfinished"):
        model_files.check_model(run)
    (run / "results.json").write_text("{}")
    with pytest.raises(UserError, match=r"holds several runs; .* such as .*each/group-1"):
        model_files.check_model(run)


# === Learned flow, from the very start ===


def test_packing_loads_a_model_in_a_process_of_its_own(cold_h2s, tmp_path, files):
    for name in ("a", "b"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        os.link(files / "good.mp4", tmp_path / "videos" / name / "good.mp4")
    from h2s_keras.evaluation.flow_estimators import check_flow_method
    from h2s_keras.models import MotionNet

    model = tmp_path / "run" / "model.keras"
    model.parent.mkdir()
    MotionNet(3, "tiny").save(model)
    for number, flow_model in enumerate([model, "tiny_synthetic"]):
        out = tmp_path / f"out{number}"
        packing = ["--flow", flow_model, "--out", out, "--size", "32"]
        done = cold_h2s("data", "pack", "folders", "--root", tmp_path / "videos", *packing)
        assert done.code == 0, done.err
        settings = json.loads((out / "index.json").read_text())["settings"]
        assert settings["flow"] == str(flow_model)
        assert len(settings["flow_sha256"]) == 64
    check_flow_method(str(model.parent))
    check_flow_method("quickstart")
    with pytest.raises(UserError, match="no flow method 'tvl'; there are tvl1, .* preset"):
        check_flow_method("tvl")
