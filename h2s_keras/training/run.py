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
from h2s_keras.training.training_videos import write_training_videos
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
    training = _Training(config, run, resume, progress, processes)
    data, results = training.data, training.results
    with _explained(data, processes):
        # A run that was cut while it trained again knows its fusion.
        if not training.refit or "fusion" not in results:
            network = training.train()
        if training.refit:
            network = training.train_again()
    report = getattr(data, "report", None)
    if report is not None and report.bad_files:
        training.say(report.summary())
    return {"results": results, "network": network, "data": data, "run": run}


class _Training:
    """A run on its way: one round of all stages, and with `refit` one on all videos.

    Attributes:
        data: what `recipe_data` made.
        config: `RunOptions`, with what was left to the data.
        refit: whether there is a second round.
        results: dict, as in results.json.
    """

    def __init__(self, config, run, resume, progress, processes):
        self.run, self.progress, self.processes = run, progress, processes
        self.say = (lambda text: None) if progress is None else progress.message
        self.strategy = make_strategy(config.strategy)
        keras.utils.set_random_seed(config.seed)
        self.data = data = recipe_data(config.data)
        # What was left to the videos is known now, and a resumed run finds it again.
        chosen = getattr(data, "chosen_settings", {})
        if chosen:
            options = dataclasses.replace(config.data, **chosen, clip_seconds=None)
            config = dataclasses.replace(config, data=options)
        config = config.with_steps_for(len(getattr(data, "train", ())))
        self.config = config = with_available_weights(config, self.say)
        self._renew_network(find_states(run.path), self.say)
        devices = find_devices()
        for line in run_header(config, data, devices):
            self.say(line)
        if any(stage.cached_flow for stage in config.stages):
            # Each of these videos is read whole in any case, most of them minutes later.
            data.read_all(
                iter
                if progress is None
                else functools.partial(progress.track, things="videos read")
            )
        if not resume:
            run.write_config(config.to_dict(), devices)
        self.refit = config.refit and getattr(data, "validates", False)
        self.everything = data.of_all_videos() if self.refit else data
        write_training_videos(config, self.everything, run, self.say)
        results = run.read_json("results.json") if resume else None
        self.results = results or {"name": config.name, "seconds": {}, "stages": {}}
        self.plan = config
        if self.refit:
            self.results["refit"] = len(self.everything.train)
            # The stages of the second round come after all others.
            again = [dataclasses.replace(s, name=f"{s.name}_all") for s in config.stages]
            self.plan = dataclasses.replace(config, stages=[*config.stages, *again])

    def train(self):
        """The first round, measured; returns the network, saved where it is the last."""
        count = len(self.config.stages)
        with self._trained(self.data, range(count)) as network:
            config = _with_chosen_fusion(self.config, network, self.data, self.say)
            if not self.refit or not self.data.test:
                _measure(network, config, self.data, self.run, self.results)
            if not self.refit:
                self.run.save_model(network)
        self.config = config
        if self.refit:
            self.results["fusion"] = list(config.model.fusion)
            self.run.write_json("results.json", self.results)
        return network

    def train_again(self):
        """The second round, on all videos, by the stages that helped in the first."""
        model = dataclasses.replace(self.config.model, fusion=tuple(self.results["fusion"]))
        self.config = config = dataclasses.replace(self.config, model=model)
        keras.utils.set_random_seed(config.seed)
        with warnings.catch_warnings():
            # Reported for the first network.
            warnings.simplefilter("ignore", RandomStartWarning)
            self._renew_network((), lambda text: None)
        with contextlib.nullcontext() if self.strategy is None else self.strategy.scope():
            _keep_motion(self.network, config, self.results["stages"], self.run)
        places = _refit_places(config, self.results["stages"])
        names = " and ".join(config.stages[place].name for place in places)
        self.say(f"training again on all {len(self.everything.train)} videos: {names}")
        count = len(config.stages)
        with self._trained(self.everything, [count + n for n in places]) as network:
            # Cached flow was kept for stages that may have been left out.
            shutil.rmtree(self.run.file("flow"), ignore_errors=True)
            if self.data.test:
                _measure(network, config, self.data, self.run, self.results)
            self.run.save_model(network)
        return network

    def _renew_network(self, states, say):
        self.network, self.synchronized = _make_network(
            self.config, self.data.class_names, self.strategy, self.processes, states, say
        )

    @contextlib.contextmanager
    def _trained(self, data, places):
        """Fits the stages of the plan at these places; gives the network that is done."""
        for stage, seconds, validation in run_stages(
            self.network,
            self.plan,
            data,
            self.run,
            self.progress,
            self.strategy,
            self.processes,
            places,
        ):
            self.results["seconds"][stage.name] = round(seconds, 1)
            if validation is not None:
                self.results["stages"][stage.name] = validation.figures()
            elif places[0] < len(self.config.stages):
                with _local(self.network, self.processes) as own:
                    figures = measure(own, data, measure_batch(self.config), stage)
                self.results["stages"][stage.name] = figures
            self.run.write_json("results.json", self.results)
            figures = one_line(self.results["stages"].get(stage.name, {}))
            if figures:
                self.say(f"{stage.name}: {figures}")
        mark_trainable(self.network, True)
        # Other backends refuse to load layers that share their statistics.
        share_statistics(self.synchronized, False)
        with _local(self.network, self.processes) as own:
            yield own


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
    network.fusion = choose_fusion(streams, labels)
    # The weights are constants of the compiled function.
    network.make_predict_function(force=True)
    spatial, temporal = network.fusion
    say(
        f"fusion by {len(labels)} validation videos: spatial {spatial}, temporal {temporal}"
    )
    model = dataclasses.replace(config.model, fusion=network.fusion)
    return dataclasses.replace(config, model=model)


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
