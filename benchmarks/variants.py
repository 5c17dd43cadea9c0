"""Runs the variants of an ablation recipe over several seeds and tabulates them."""

import copy
import dataclasses
import os
import statistics

from h2s_keras.data.clips.video_clips import frame_size
from h2s_keras.data.datasets.dataset_list import DatasetList
from h2s_keras.data.records.pack import pack_records
from h2s_keras.data.records.packing import PackSettings, list_plan, synthetic_plan
from h2s_keras.data.training_data import make_data
from h2s_keras.errors import UserError
from h2s_keras.evaluation.flow_estimators import flow_checksum, flow_estimator
from h2s_keras.options import DataOptions, StageOptions, run_options
from h2s_keras.training.groups import train_each_group, trainer
from h2s_keras.training.run import check_run, recipe_data
from h2s_keras.training.run_folder import RunFolder

# What an ablation has beside the values of an ordinary recipe.
_OWN = ("variants", "seeds", "figures", "table")


def train_variants(config, out, resume=False, progress=None):
    """One `train` for each variant and seed, in a folder of its own, and a table of all.

    Args:
        config: an ablation recipe's values: those of an ordinary recipe, and "seeds",
            "variants" and "figures". A variant is {"name", "question", and any of "data",
            "model", "stages"}: the first two change single values, stages are replaced. A
            model value "initial": "VARIANT" starts from that variant's network of the same
            seed; "stored_flow": METHOD (see `PackSettings`) packs the data with flow first
            and trains on that (of synthetic data "packed_clips", 2000). "figures" is
            {final figure: heading of its column}.
        out, resume, progress: as `train`; a run that was cut goes on with the first
            variant that is not finished.

    Returns:
        dict "results" (also in results.json; the table is in table.md) and "run".

    Raises:
        UserError: for variants that do not make sense, and as `train`.
    """
    config = None if resume else complete_ablation(config)
    run = RunFolder(out, resume)
    with run.alone():
        if resume:
            config = run.read_config()
        check_variants(config)
        if not resume:
            # Before anything is written, so that a mistake leaves the folder free.
            _check_runs(config)
            run.write_config(config)
        return {"results": _train_all(config, run, progress), "run": run}


def complete_ablation(config):
    """`run_options` of an ablation: of its own values and of its variants' stages.

    Raises:
        UserError: as `run_options`, and for values of an ablation that are missing.
    """
    for key in ("variants", "seeds", "figures"):
        if key not in config:
            raise UserError(f"this ablation lacks {key!r}")
    _check_seeds(config)
    own = {key: config[key] for key in _OWN if key in config}
    plain = {key: value for key, value in config.items() if key not in _OWN}
    own["variants"] = [_complete_variant(one) for one in config["variants"]]
    return {**run_options(plain).to_dict(), **own}


def _complete_variant(variant):
    if "stages" not in variant:
        return variant
    try:
        stages = [StageOptions.of(stage).to_dict() for stage in variant["stages"]]
    except UserError as error:
        raise UserError(f"variant {variant['name']!r}: {error}") from error
    return {**variant, "stages": stages}


def _check_seeds(config):
    """Raises a UserError where it cannot be told how often the variants run."""
    seeds = config["seeds"]
    if (
        not isinstance(seeds, (tuple, list))
        or not seeds
        or not all(type(seed) is int and seed >= 0 for seed in seeds)
    ):
        raise UserError(
            "recipe: seeds takes whole numbers from 0, one for each repetition, such as "
            f"[1, 2, 3]; received {seeds!r}"
        )


def _check_runs(config):
    """Raises a UserError for what a variant would be refused for once it starts."""
    names = recipe_data({**config["data"], "test_group": None}).class_names
    for variant in config["variants"]:
        try:
            plain = run_options(variant_config(config, variant, config["seeds"][0]))
            check_run(plain, names)
        except UserError as error:
            raise UserError(f"variant {variant['name']!r}: {error}") from error


def _train_all(config, run, progress):
    results = {"name": config["name"], "seeds": config["seeds"], "variants": {}}
    count = len(config["seeds"]) * len(config["variants"])
    for place, seed in enumerate(config["seeds"]):
        for number, variant in enumerate(config["variants"], start=1):
            folder = _folder(run, variant["name"], seed)
            if _finished(folder, variant_config(config, variant, seed)):
                done = RunFolder(folder, resume=True).read_json("results.json")
            else:
                if progress is not None:
                    number += place * len(config["variants"])
                    progress.runs(f"{variant['name']}, seed {seed}", number, count)
                done = _train_variant(config, variant, seed, run, folder, progress)
            results["test"] = done["test"]
            kept = results["variants"].setdefault(
                variant["name"], {"question": variant["question"], "seeds": {}}
            )
            kept["seeds"][str(seed)] = done["final"]
        # After every seed, so that a long run shows what it has.
        _tabulate(config, results, run)
    return results


def _tabulate(config, results, run):
    results["final"] = {
        name: {
            figure: _mean_and_spread(variant["seeds"].values(), figure)
            for figure in config["figures"]
        }
        for name, variant in results["variants"].items()
    }
    run.write_json("results.json", results)
    text = table(config, results)
    for path in (run.file("table.md"), config.get("table")):
        if path:
            with open(path, "w") as file:
                file.write(text)


def check_variants(config):
    """Raises a UserError where a variant starts from one that does not come before it."""
    known = []
    for variant in config["variants"]:
        initial = variant.get("model", {}).get("initial")
        if initial is not None and initial not in known:
            raise UserError(
                f"variant {variant['name']!r} starts from {initial!r}, which is no variant "
                f"before it; there are {', '.join(known) or 'none'}"
            )
        if variant["name"] in known:
            raise UserError(f"two variants are called {variant['name']!r}")
        known.append(variant["name"])


def variant_config(config, variant, seed):
    """The ordinary configuration of one variant and seed."""
    plain = {key: value for key, value in config.items() if key not in _OWN}
    plain = copy.deepcopy(plain)
    plain["name"], plain["seed"] = f"{config['name']}-{variant['name']}", seed
    for key in ("data", "model"):
        plain[key].update(copy.deepcopy(variant.get(key, {})))
    if "stages" in variant:
        plain["stages"] = copy.deepcopy(variant["stages"])
    return plain


def _train_variant(config, variant, seed, run, folder, progress):
    plain = variant_config(config, variant, seed)
    go = trainer(run_options(plain))
    if plain["model"].get("initial"):
        source = _folder(run, plain["model"]["initial"], seed)
        inner = "group-{group}" if go is train_each_group else ""
        plain["model"]["initial"] = os.path.join(source, inner)
    begun = os.path.exists(os.path.join(folder, "config.json"))
    if "stored_flow" in variant and not begun:
        plain["data"] = _pack_flow(plain["data"], variant, run)
    return go(None if begun else plain, folder, begun, progress)["results"]


def _finished(folder, config):
    # The last that each of them writes.
    last = (
        "results.json"
        if trainer(run_options(config)) is train_each_group
        else "model.keras"
    )
    return os.path.exists(os.path.join(folder, last))


def _pack_flow(settings, variant, run):
    """Packs the clips of `settings` with their flow; the data of a run on that flow."""
    method = variant["stored_flow"]
    root = run.file(f"stored-flow-{os.path.basename(method)}")
    pack = PackSettings(
        size=None,
        flow=method,
        # Steps of 1 / 6 pixel would hide the small motions of small clips.
        flow_format="float16",
        flow_sha256=flow_checksum(method),
    )
    if settings["kind"] == "synthetic":
        clips = DataOptions.of(settings).given()
        for name in ("test_count", "segments", "targets"):
            clips.pop(name, None)
        count = variant.get("packed_clips", 2000)
        names = make_data(settings).class_names
        plan = synthetic_plan(clips, count, settings["test_count"], names, pack, 4)
    else:
        # The frames that the other variants see: flow of full frames takes an hour.
        size = frame_size(settings["image_size"], settings.get("decode_size"))
        size = size if isinstance(size, int) else min(size)
        videos = make_data({**settings, "test_group": None})
        # Stored flow is that of neighbours, so frames that a stride skips are not packed.
        steps = {key: settings[key] for key in ("rate", "stride") if key in settings}
        pack = dataclasses.replace(pack, size=size, **steps)
        listed = DatasetList("videos", videos.class_names, videos.train, videos.test)
        plan = list_plan({"1": listed}, settings.get("root"), pack, 4)
    pack_records(plan, root, flow_estimator=flow_estimator)
    kept = ("num_frames", "image_size", "flip", "clips_per_video")
    kept += ("group_pattern", "test_group")
    return {
        "kind": "records",
        "root": root,
        "contents": "flow",
        **{key: settings[key] for key in kept if key in settings},
    }


def _folder(run, name, seed):
    return run.file(f"{name.replace(' ', '-')}-seed{seed}")


def _mean_and_spread(runs, figure):
    values = [figures[figure] for figures in runs if figure in figures]
    if not values:
        return None
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "spread": spread, "runs": len(values)}


def table(config, results):
    """Markdown: a row a variant, mean and standard deviation over the seeds."""
    seeds = next(iter(results["variants"].values()))["seeds"]
    headings = ["question", "variant", *config["figures"].values()]
    lines = [
        f"Measured on {results['test']}. Seeds {', '.join(seeds)}: mean and standard "
        "deviation over them.",
        "",
        "| " + " | ".join(headings) + " |",
        "|" + "---|" * len(headings),
    ]
    for name, figures in results["final"].items():
        cells = [results["variants"][name]["question"], name]
        cells += [_cell(figure, figures[figure]) for figure in config["figures"]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(name, value):
    if value is None:
        return ""
    share = name.endswith("accuracy")
    digits, factor, unit = (1, 100, " %") if share else (3, 1, "")
    text = f"{factor * value['mean']:.{digits}f}{unit}"
    if value["spread"] is not None:
        text += f" ± {factor * value['spread']:.{digits}f}"
    return text
