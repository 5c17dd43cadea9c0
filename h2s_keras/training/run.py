"""A whole training run: data, network, stages, measurement, saved model."""

import contextlib
import dataclasses
import functools
import shutil
import time
import warnings

import keras

from h2s_keras.data.training_data import make_data
from h2s_keras.errors import UserError
from h2s_keras.evaluation.fusion import choose_fusion
from h2s_keras.evaluation.measure import collect_scores
from h2s_keras.evaluation.report_pages import middle_clip
from h2s_keras.evaluation.scores import VideoScores
from h2s_keras.models.motion_net_of import motion_net_of
from h2s_keras.options import run_options
from h2s_keras.training.advice import advice
from h2s_keras.training.devices import (
    find_devices,
    make_strategy,
    out_of_memory,
    run_header,
    share_statistics,
    unsynchronized_layers,
)
from h2s_keras.training.initial_weights import (
    RandomStartWarning,
    copy_initial_weights,
    random_start,
)
from h2s_keras.training.preparation import check_stages, mark_trainable, prepare_stage
from h2s_keras.training.recipe_network import build_network, with_available_weights
from h2s_keras.training.run_figures import (
    accuracy_intervals,
    action_figures,
    held_out_scores,
    measure,
    measure_batch,
    motion_figures,
    one_line,
    protocol_of,
)
from h2s_keras.training.run_folder import RunFolder
from h2s_keras.training.run_report import STREAMS, write_run_report
from h2s_keras.training.stages import run_stages
from h2s_keras.training.state import find_states
from h2s_keras.training.training_videos import FILE as TRAINING_VIDEOS
from h2s_keras.training.training_videos import TrainingVideos
from h2s_keras.training.validation import best_path, motion_sentence, read_best


def train(config, out, resume=False, progress=None, processes=None):
    """Trains by a recipe's configuration and leaves everything in the folder `out`.

    Args:
        config: `RunOptions` as from a recipe's `get_config()`, or a dict of them.
        out: run folder, new or empty; with `resume` one that an earlier run left.
        resume: go on where the run was cut; `config` must be None, the run's own is read.
        progress: object with `stage(...)` giving a Keras callback, see `run_stages`,
            `runs(name, number, count)` where a run is one of several, `message(text)`, and
            with cached flow `count` and `track` of `h2s_keras.cli.progress.Progress`; None
            is silent.
        processes: `Processes` that train together, each calling this; None for one process.

    Returns:
        dict "results" (also in results.json), "network" and "data".

    Raises:
        UserError: for bad data, a folder in use, or values that do not fit together.

    Example:
        >>> from h2s_keras.recipes import quickstart
        >>> done = train(quickstart.get_config(smoke=True), "runs/smoke")
        >>> done["results"]["stages"]["motion"]["end_point_error"]
    """
    config = None if resume else run_options(config)
    run = RunFolder(out, resume)
    with run.alone():
        if resume:
            config = run_options(run.read_config())
        with _policy(config):
            return _train(config, run, resume, progress, processes)


def check_run(config, class_names, processes=None):
    """Makes the network of a complete recipe and prepares all stages, to find mistakes.

    For runs that consist of several: what is wrong with the last is reported before the
    first starts.

    Raises:
        UserError: as `train`.
    """
    with _policy(config):
        config = with_available_weights(config, lambda line: None)
        _make_network(config, class_names, make_strategy(config.strategy), processes)


@contextlib.contextmanager
def _policy(config):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.dtype_policy)
    try:
        yield
    finally:
        # What a caller builds next should not depend on what was trained before.
        keras.config.set_dtype_policy(policy)


def _train(config, run, resume, progress, processes):
    strategy = make_strategy(config.strategy)
    say = (lambda text: None) if progress is None else progress.message
    keras.utils.set_random_seed(config.seed)
    data = recipe_data(config.data)
    # What was left to the videos is known now, and a resumed run finds it again.
    chosen = getattr(data, "chosen_settings", {})
    if chosen:
        options = dataclasses.replace(config.data, **chosen, clip_seconds=None)
        config = dataclasses.replace(config, data=options)
    config = config.with_steps_for(len(getattr(data, "train", ())))
    config = with_available_weights(config, say)
    network, synchronized = _make_network(
        config, data.class_names, strategy, processes, find_states(run.path), say
    )
    devices = find_devices()
    for line in run_header(config, data, devices):
        say(line)
    if any(stage.cached_flow for stage in config.stages):
        # Each of these videos is read whole in any case, most of them minutes later.
        data.read_all(
            iter
            if progress is None
            else functools.partial(progress.track, things="videos read")
        )
    if not resume:
        run.write_config(config.to_dict(), devices)
    refit = config.refit and getattr(data, "validates", False)
    everything = data.of_all_videos() if refit else data
    _write_training_videos(config, everything, run, say)
    results = run.read_json("results.json") if resume else None
    results = results or {"name": config.name, "seconds": {}, "stages": {}}
    if refit:
        results["refit"] = len(everything.train)
    # The stages of `refit` come after all others.
    count = len(config.stages)
    plan = config
    if refit:
        again = [dataclasses.replace(s, name=f"{s.name}_all") for s in config.stages]
        plan = dataclasses.replace(config, stages=[*config.stages, *again])

    def run_part(network, data, part):
        for stage, seconds, validation in run_stages(
            network, plan, data, run, progress, strategy, processes, part
        ):
            results["seconds"][stage.name] = round(seconds, 1)
            if validation is not None:
                results["stages"][stage.name] = validation.figures()
            elif part[0] < count:
                with _local(network, processes) as own:
                    figures = measure(own, data, measure_batch(config), stage)
                results["stages"][stage.name] = figures
            run.write_json("results.json", results)
            figures = one_line(results["stages"].get(stage.name, {}))
            if figures:
                say(f"{stage.name}: {figures}")
        mark_trainable(network, True)

    with _explained(data, processes):
        if refit and "fusion" in results:
            # The run was cut when these were known.
            config = _with_fusion(config, network, results["fusion"])
        else:
            run_part(network, data, range(count))
            # Other backends refuse to load layers that share their statistics.
            share_statistics(synchronized, False)
            with _local(network, processes) as own:
                config = _with_chosen_fusion(config, own, data, say)
                if not refit or not data.test:
                    _measure(own, config, data, run, results)
                if not refit:
                    run.save_model(own)
        if refit:
            results["fusion"] = list(config.model.fusion)
            run.write_json("results.json", results)
            keras.utils.set_random_seed(config.seed)
            with warnings.catch_warnings():
                # Reported for the first network.
                warnings.simplefilter("ignore", RandomStartWarning)
                network, synchronized = _make_network(
                    config, data.class_names, strategy, processes, say=lambda text: None
                )
            with contextlib.nullcontext() if strategy is None else strategy.scope():
                _keep_motion(network, config, results["stages"], run)
            places = _refit_places(config, results["stages"])
            names = " and ".join(config.stages[place].name for place in places)
            say(f"training again on all {len(everything.train)} videos: {names}")
            run_part(network, everything, [count + place for place in places])
            # Cached flow was kept for stages that may have been left out.
            shutil.rmtree(run.file("flow"), ignore_errors=True)
            share_statistics(synchronized, False)
            with _local(network, processes) as own:
                if data.test:
                    _measure(own, config, data, run, results)
                run.save_model(own)
        network = own
    report = getattr(data, "report", None)
    if report is not None and report.bad_files:
        say(report.summary())
    return {"results": results, "network": network, "data": data, "run": run}


def _refit_places(config, figures):
    """Places in config.stages of those that are worth training again.

    Left out are a stream that has no weight in the fusion, tuning that did not help, and
    what needed no labels (`_keep_motion`).
    """
    spatial, temporal = config.model.fusion
    weights = {"spatial": spatial, "temporal": temporal}
    places, begun = [], {"motion"}
    for place, stage in enumerate(config.stages):
        stream = next((name for name in stage.streams if name != "motion"), "motion")
        tuned_in_vain = stream in begun and figures[stage.name].get("best_step") == 0
        known = "warped_error" in figures[stage.name]
        if weights.get(stream, 1) and not tuned_in_vain and not known:
            places.append(place)
        begun.add(stream)
    return places


def _keep_motion(network, config, figures, run):
    """Gives a new network the motion that stages without labels chose on held-out frames.

    Whoever trains on all videos has no frames left to choose by.
    """
    motion = {id(weight) for weight in motion_net_of(network).weights}
    for stage in config.stages:
        if "warped_error" in figures[stage.name]:
            kept, _ = read_best(best_path(run, stage))
            weights = prepare_stage(network, stage).weights
            for weight, value in zip(weights, kept, strict=True):
                if id(weight) in motion:
                    weight.assign(value)


def _measure(network, config, data, run, results):
    """Adds the final figures to `results`, and writes the report and them."""
    started, batch = time.monotonic(), measure_batch(config)
    scores, labels = {}, None
    if hasattr(data, "validation") and hasattr(network, "temporal"):
        scores, labels = held_out_scores(network, data, batch)
        results["final"] = action_figures(scores, labels, STREAMS)
    else:
        results["final"] = measure(network, data, batch)
        if config.model.temporal is None:
            figures = motion_figures(results["stages"])
            results["final"].update(figures)
            results["advice"] = [motion_sentence(figures)] if figures else []
    results["intervals"] = accuracy_intervals(results["final"])
    results["seconds"]["measuring"] = round(time.monotonic() - started, 1)
    results["test"] = protocol_of(config, data)
    if not results["final"] and getattr(data, "test", ()) and len(data.class_names) > 1:
        results["test"] = "no figures: none of the test videos can be read"
    if scores:
        results["advice"] = advice(data, results, scores, labels)
        _write_report(network, data, run, results, scores, labels)
    run.write_json("results.json", results)


def _write_report(network, data, run, results, streams, labels):
    """Writes the report; with pictures where it is known which video has which scores."""
    videos = data.test or data.validation
    # Not where broken videos were passed over, which have no scores.
    known = len(videos) == len(labels)
    names = tuple(video.path for video in videos) if known else None
    scores = VideoScores(streams, names, labels, data.class_names)
    write_run_report(
        run.file("report.html"),
        results,
        scores,
        run.curves(),
        network if known else None,
        lambda row: middle_clip(network, videos[row]),
    )


def _with_chosen_fusion(config, network, data, say):
    """`config` with the weights of fusion that fit the validation videos, if there are."""
    if not getattr(data, "validates", False) or getattr(network, "spatial", None) is None:
        return config
    scores, labels = collect_scores(network, data.validation_batches(measure_batch(config)))
    streams = {name: scores[name] for name in ("spatial", "temporal")}
    config = _with_fusion(config, network, choose_fusion(streams, labels))
    spatial, temporal = network.fusion
    say(
        f"fusion by {len(labels)} validation videos: spatial {spatial}, temporal {temporal}"
    )
    return config


def _with_fusion(config, network, fusion):
    """`config` with these weights of fusion, which `network` gets too."""
    network.fusion = tuple(fusion)
    # The weights are constants of the compiled function.
    network.make_predict_function(force=True)
    model = dataclasses.replace(config.model, fusion=network.fusion)
    return dataclasses.replace(config, model=model)


def _write_training_videos(config, data, run, say):
    """Keeps which videos were trained on, also by a run that this one starts from."""
    examples = getattr(data, "train", None)
    if examples is None:
        return  # Synthetic clips.
    before = TrainingVideos([])
    if config.model.initial:
        before = TrainingVideos.of_model(config.model.initial) or before
        if not hasattr(data, "index"):
            known = sum(before.holds(example) for example in data.test)
            if known:
                say(
                    f"warning: {known} of the {len(data.test)} test videos were in the "
                    f"training of {config.model.initial}, which this run starts from"
                )
    videos = before | TrainingVideos.of_examples(examples)
    # A run that goes on may find other videos than it began with.
    begun = TrainingVideos.of_model(run.path) or videos
    gone, new = len((begun - videos).records), len((videos - begun).records)
    if gone or new:
        say(
            f"warning: since the run began {gone} videos have gone or changed and {new} "
            "are new, so it may choose by videos that it learned from; a new run (another "
            "--out) splits them afresh"
        )
    run.write_json(TRAINING_VIDEOS, (videos | begun).to_json())


def _make_network(config, class_names, strategy, processes, states=(), say=None):
    """The network, which every stage fits, and its layers that share their statistics."""
    scope = contextlib.nullcontext if strategy is None else strategy.scope
    initial = config.model.initial
    try:
        with scope():
            network, parts = build_network(config, class_names), ()
            # Resumed before the first state, a run starts from the beginning.
            if initial and say is not None and not states:
                parts = copy_initial_weights(network, initial)
                say(f"started from {initial}: {', '.join(parts)}")
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"the model of this recipe does not fit: {error}") from error
    line = random_start(config, parts)
    if line and say is not None and not states:
        warnings.warn(line, RandomStartWarning, stacklevel=2)
    layers = [] if strategy is None else unsynchronized_layers(network)
    share_statistics(layers, True)
    with scope():
        check_stages(network, config, processes)
    return network, layers


@contextlib.contextmanager
def _explained(data, processes):
    """Tells what a user can do about what went wrong while training and measuring."""
    try:
        yield
    except Exception as error:
        explained = data.explain(error) or out_of_memory(error)
        explained = explained or (processes and processes.explain(error))
        if explained:
            raise explained from None
        raise


def recipe_data(settings):
    """`make_data`, whose complaints about values are the user's."""
    try:
        return make_data(settings)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"the data of this recipe cannot be made: {error}") from error


@contextlib.contextmanager
def _local(network, processes):
    """`network` itself, or where processes share its weights a copy of this one's own."""
    if processes is None:
        yield network
        return
    weights = [keras.ops.convert_to_numpy(weight.value) for weight in network.weights]
    keras.distribution.set_distribution(None)
    try:
        copy = type(network).from_config(network.get_config())
        copy.set_weights(weights)
        yield copy
    finally:
        keras.distribution.set_distribution(processes.distribution)
