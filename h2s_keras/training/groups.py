"""Runs that leave every group of the data out of training in turn."""

import dataclasses
import os

import keras

from h2s_keras.data.datasets.sources import natural_order
from h2s_keras.errors import UserError
from h2s_keras.options import run_options
from h2s_keras.training.run import check_run, recipe_data, train
from h2s_keras.training.run_folder import RunFolder


def trainer(config):
    """`train`, or `train_each_group` where the data's test_group is "each"."""
    return train_each_group if config.data.test_group == "each" else train


def train_each_group(config, out, resume=False, progress=None, processes=None):
    """Leaves every group out in turn: one `train` a group, in a folder of its own.

    Args, raises: as `train`; `config.data` names how groups are found, and a run that
    was cut goes on with the first group that is not finished.

    Returns:
        dict "results" with the mean of the final figures over the groups ("final"), those
        of each group ("groups") and "run", the folder of all.
    """
    config = None if resume else run_options(config)
    run = RunFolder(out, resume)
    with run.alone():
        if resume:
            config = run_options(run.read_config())
        return _train_groups(config, run, resume, progress, processes)


def _train_groups(config, run, resume, progress, processes):
    # Without validation, which may be a whole group.
    listed = recipe_data(dataclasses.replace(config.data, test_group=None, validation=0.0))
    groups = sorted(listed.groups, key=natural_order)
    if groups == [None]:
        raise UserError(
            "test_group=each needs data.group_pattern (a regular expression over file "
            "names) or data.group_column (of the CSV file)"
        )
    if not resume:
        check_run(config, listed.class_names, processes)
        run.write_config(config.to_dict())
    results = {"name": config.name, "groups": {}}
    for number, group in enumerate(groups, start=1):
        folder = run.file(f"group-{group}")
        data, model = dataclasses.replace(config.data, test_group=group), config.model
        if model.initial:
            initial = str(model.initial).replace("{group}", str(group))
            model = dataclasses.replace(model, initial=initial)
        one = dataclasses.replace(config, data=data, model=model)
        finished = os.path.exists(os.path.join(folder, "model.keras"))
        begun = os.path.exists(os.path.join(folder, "config.json"))
        if finished:
            done = RunFolder(folder, resume=True).read_json("results.json")
        else:
            if progress is not None:
                progress.runs(f"group {group} left out", number, len(groups))
            again = None if begun else one
            done = train(again, folder, begun, progress, processes)["results"]
            _free_memory()
        results["groups"][group] = {**done["final"], "seconds": done["seconds"]}
        if "tested" in done["final"]:
            results["test"] = done["test"]
    measured = [figures for figures in results["groups"].values() if "tested" in figures]
    if not measured:
        raise UserError(
            f"{run.path}: no video of any group can be read, so nothing is measured"
        )
    unread = len(groups) - len(measured)
    results["test"] = (
        f"each of {len(groups)} groups left out of training in turn, mean over groups"
        + (f" but {unread}, of which no video can be read; " if unread else "; ")
        + results["test"].split("; ", 1)[1]
    )
    results["final"] = {
        name: sum(figures[name] for figures in measured) / len(measured)
        for name in measured[0]
        if name not in ("seconds", "tested")
    }
    results["final"]["tested"] = sum(figures["tested"] for figures in measured)
    run.write_json("results.json", results)
    return {"results": results, "run": run}


def _free_memory():
    """Frees what Keras and TensorFlow keep of a network that nobody has any more.

    Without it each run adds some hundred megabytes to those of all runs before.
    """
    policy, distribution = keras.config.dtype_policy(), keras.distribution.distribution()
    keras.utils.clear_session()
    # These are the caller's.
    keras.config.set_dtype_policy(policy)
    keras.distribution.set_distribution(distribution)
