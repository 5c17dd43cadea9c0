"""A whole training run: data, network, stages, measurement, saved model."""

import contextlib
import os
import time

import keras

from h2s_keras.data.sources import natural_order
from h2s_keras.data.synthetic import CLASS_NAMES
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import UserError
from h2s_keras.evaluation.measure import (
    accuracy,
    collect_scores,
    grouped_accuracy,
    measure_flow,
)
from h2s_keras.layers.quantized_flow_adapter import QuantizedFlowAdapter
from h2s_keras.models.backbones import build_backbone
from h2s_keras.models.builder import HiddenTwoStreamBuilder
from h2s_keras.models.motion_net import VARIANTS, MotionNet, motion_net_of
from h2s_keras.models.stored_flow import StoredFlowStream
from h2s_keras.training.freezing import mark_trainable
from h2s_keras.training.initial_weights import copy_initial_weights
from h2s_keras.training.run_folder import RunFolder
from h2s_keras.training.stage_options import check_recipe, complete_config
from h2s_keras.training.stages import run_stages
from h2s_keras.training.state import find_states
from h2s_keras.training.strategy import make_strategy, synchronize_batch_normalization

MEASURE_BATCH = 32


def train(config, out, resume=False, progress=None, hosts=None):
    """Trains by a recipe's configuration and leaves everything in the folder `out`.

    Args:
        config: plain values as from a recipe's `get_config()`.
        out: run folder, new or empty; with `resume` one that an earlier run left.
        resume: go on where the run was cut; `config` must be None, the run's own is read.
        progress: object with `stage(name, steps, done)` giving a Keras callback, and
            `message(text)`; None is silent.
        hosts: `Hosts` that train together, each calling this; None for one process.

    Returns:
        dict "results" (also in results.json), "network" and "data".

    Raises:
        UserError: for bad data, a folder in use, or values that do not fit together.

    Example:
        >>> from h2s_keras.recipes import quickstart
        >>> done = train(quickstart.get_config(smoke=True), "runs/smoke")
        >>> done["results"]["stages"]["motion"]["end_point_error"]
    """
    config = None if resume else check_recipe(config)
    run = RunFolder(out, resume)
    if resume:
        config = check_recipe(run.read_config())
    policy = keras.config.dtype_policy()
    try:
        return _train(config, run, resume, progress, hosts)
    finally:
        # What a caller builds next should not depend on what was trained before.
        keras.config.set_dtype_policy(policy)


def _train(config, run, resume, progress, hosts):
    strategy = make_strategy(config["strategy"])
    say = (lambda text: None) if progress is None else progress.message
    keras.utils.set_random_seed(config["seed"])
    keras.config.set_dtype_policy(config["dtype_policy"])
    data = recipe_data(config["data"])
    try:
        with contextlib.nullcontext() if strategy is None else strategy.scope():
            network = build_network(config, data.class_names)
            initial = config["model"]["initial"]
            # Resumed before the first state, a run starts from the beginning.
            if initial and not find_states(run.path):
                parts = copy_initial_weights(network, initial)
                say(f"started from {initial}: {', '.join(parts)}")
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"the model of this recipe does not fit: {error}") from error
    if strategy is not None:
        synchronize_batch_normalization(network)
    if not resume:
        run.write_config(config)
    results = run.read_json("results.json") if resume else None
    results = results or {"name": config["name"], "seconds": {}, "stages": {}}
    report = getattr(data, "report", None)
    stages = run_stages(network, config, data, run, progress, resume, strategy, hosts)
    while True:
        try:
            stage, seconds = next(stages)
        except StopIteration:
            break
        except Exception as error:
            told = data.explain(error) or (hosts and hosts.explain(error))
            if told:
                raise told from None
            raise
        results["seconds"][stage["name"]] = round(seconds, 1)
        with _local(network, hosts) as own:
            results["stages"][stage["name"]] = measure(own, data, stage)
        run.write_json("results.json", results)
        figures = _one_line(results["stages"][stage["name"]])
        if figures:
            say(f"{stage['name']}: {figures}")
    mark_trainable(network, True)
    started = time.monotonic()
    with _local(network, hosts) as own:
        results["final"] = measure(own, data)
        results["seconds"]["measuring"] = round(time.monotonic() - started, 1)
        results["test"] = _protocol(config, data)
        run.write_json("results.json", results)
        run.save_model(own)
        network = own
    if report is not None and report.bad_files:
        say(report.summary())
    return {"results": results, "network": network, "data": data, "run": run}


def recipe_data(settings):
    """`make_data`, whose complaints about values are the user's."""
    try:
        return make_data(settings)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"the data of this recipe cannot be made: {error}") from error


@contextlib.contextmanager
def _local(network, hosts):
    """`network` itself, or where hosts share its weights a copy of this host's own."""
    if hosts is None:
        yield network
        return
    weights = [keras.ops.convert_to_numpy(weight.value) for weight in network.weights]
    keras.distribution.set_distribution(None)
    try:
        copy = type(network).from_config(network.get_config())
        copy.set_weights(weights)
        yield copy
    finally:
        keras.distribution.set_distribution(hosts.distribution)


def trainer(config):
    """`train`, or `train_each_group` where the data's test_group is "each"."""
    return train_each_group if config["data"].get("test_group") == "each" else train


def train_each_group(config, out, resume=False, progress=None, hosts=None):
    """Leaves every group out in turn: one `train` a group, in a folder of its own.

    Args, raises: as `train`; `config["data"]` names how groups are found, and a run that
    was cut goes on with the first group that is not finished.

    Returns:
        dict "results" with the mean of the final figures over the groups ("final"), those
        of each group ("groups") and "run", the folder of all.
    """
    config = None if resume else check_recipe(config)
    run = RunFolder(out, resume)
    if resume:
        config = run.read_config()
    listed = recipe_data({**config["data"], "test_group": None})
    groups = sorted(listed.groups, key=natural_order)
    if groups == [None]:
        raise UserError(
            "test_group=each needs data.group_pattern (a regular expression over file "
            "names) or data.group_column (of the CSV file)"
        )
    if not resume:
        run.write_config(config)
    results = {"name": config["name"], "groups": {}}
    for group in groups:
        folder = run.file(f"group-{group}")
        one = {**config, "data": {**config["data"], "test_group": group}}
        if config["model"].get("initial"):
            initial = config["model"]["initial"].replace("{group}", str(group))
            one["model"] = {**config["model"], "initial": initial}
        finished = os.path.exists(os.path.join(folder, "model.keras"))
        begun = os.path.exists(os.path.join(folder, "config.json"))
        if finished:
            done = RunFolder(folder, resume=True).read_json("results.json")
        else:
            if progress is not None:
                progress.message(f"group {group} of {', '.join(map(str, groups))}")
            again = None if begun else one
            done = train(again, folder, begun, progress, hosts)["results"]
        results["groups"][group] = {**done["final"], "seconds": done["seconds"]}
        results["test"] = done["test"]
    results["test"] = (
        f"each of {len(groups)} groups left out of training in turn, mean over groups; "
        + results["test"].split("; ", 1)[1]
    )
    names = done["final"]
    results["final"] = {
        name: sum(figures[name] for figures in results["groups"].values()) / len(groups)
        for name in names
    }
    results["final"]["tested"] = sum(
        figures["tested"] for figures in results["groups"].values()
    )
    run.write_json("results.json", results)
    return {"results": results, "run": run}


def build_network(config, class_names):
    """The untrained network of a recipe's "model" values."""
    config = complete_config(config)
    model, data = config["model"], config["data"]
    size, frames = tuple(data["image_size"]), data["num_frames"]
    if model["motion"] == "stored":
        temporal = build_backbone(
            model["temporal"],
            (*size, 2 * (frames - 1)),
            len(class_names),
            model["temporal_dropout"],
            model["temporal_weights"],
            "temporal",
            model["temporal_partial_batch_normalization"],
            model["rematerialize"],
        )
        adapter = QuantizedFlowAdapter(scale=1, **model["adapter"])
        return StoredFlowStream(temporal, adapter, class_names)
    if model["temporal"] is None:
        return _motion_alone(model, frames, size)
    builder = HiddenTwoStreamBuilder(class_names, frames, size)
    builder.motion(model["motion"], **model["motion_options"])
    if model["adapter"]:
        builder.adapter(**model["adapter"])
    builder.temporal(
        model["temporal"],
        weights=model["temporal_weights"],
        dropout=model["temporal_dropout"],
        branched=model["branched"],
        partial_batch_normalization=model["temporal_partial_batch_normalization"],
    )
    if model["spatial"]:
        builder.spatial(
            model["spatial"],
            weights=model["spatial_weights"],
            dropout=model["spatial_dropout"],
            partial_batch_normalization=model["spatial_partial_batch_normalization"],
        )
    spatial_weight, temporal_weight = model["fusion"]
    builder.fusion(spatial=spatial_weight, temporal=temporal_weight)
    return builder.build(
        frame_stride=data.get("stride", 1), rematerialize=model["rematerialize"]
    )


def _motion_alone(model, frames, size):
    """The MotionNet of a recipe that trains nothing else."""
    motion = model["motion"]
    if motion in VARIANTS:
        motion_net = MotionNet(frames, motion, **model["motion_options"])
        motion_net.rematerialize = model["rematerialize"]
    else:
        motion_net = MotionNet.from_preset(motion, frames)
    motion_net.build((None, frames, *size, 3))
    return motion_net


def measure(network, data, stage=None):
    """Figures on held-out clips: of what `stage` trains, or of everything."""
    streams = ("motion", "temporal", "spatial") if stage is None else stage["streams"]
    trained = streams if stage is None else stage["train"] or streams
    figures = {}
    synthetic = tuple(data.class_names) == CLASS_NAMES
    if hasattr(data, "test_clips") and "motion" in trained:
        figures.update(measure_flow(motion_net_of(network), data.evaluation(MEASURE_BATCH)))
    names = [name for name in ("temporal", "spatial") if name in streams]
    if not names or len(data.class_names) < 2:
        return figures
    batches = data.evaluation(MEASURE_BATCH)
    first = next(batches, None)
    if first is None:
        return figures
    scores, labels = collect_scores(network, _chain(first, batches))
    if stage is None:
        names.append("fused")
    for name in names:
        if name not in scores:
            continue
        figures[f"{name}_accuracy"] = accuracy(scores[name], labels)
        if synthetic:
            for by in ("motion", "appearance"):
                value = grouped_accuracy(scores[name], labels, by)
                figures[f"{name}_{by}_accuracy"] = value
    figures["tested"] = len(labels)
    return figures


def _chain(first, rest):
    yield first
    yield from rest


def _protocol(config, data):
    """How the figures were taken, in words, to stand beside every number."""
    size = "x".join(str(side) for side in config["data"]["image_size"])
    frames = config["data"]["num_frames"]
    if hasattr(data, "test_clips"):
        return f"{data.test_count} held-out synthetic clips, {frames} frames of {size}"
    if not data.test:
        return "no test: set data.test_group to leave a group out"
    group, clips = (
        config["data"].get("test_group"),
        config["data"].get("clips_per_video", 5),
    )
    which = "of the test list, which is no part"
    if group is not None:
        which = f"of the group {group!r} left out"
    return (
        f"{len(data.test)} videos {which} of training; {clips} evenly spaced clips of "
        f"{frames} frames a video, centre crop {size}, log-probabilities averaged"
    )


def _one_line(figures):
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.3f}" if isinstance(value, float) else f"{value}"
        for name, value in figures.items()
        if name != "tested"
    )
