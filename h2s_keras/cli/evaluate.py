"""`h2s evaluate`: figures of a classifier on labelled videos, or of flow against truth."""

import csv
import dataclasses
import json
import sys
import time

from h2s_keras.cli.evaluate_data import (
    add_data_arguments,
    data_kind,
    read_examples,
    synthetic_test,
    untrained,
)
from h2s_keras.cli.inputs import check_rate
from h2s_keras.cli.quiet import import_keras, print_device
from h2s_keras.errors import UserError
from h2s_keras.files import new_file
from h2s_keras.model_files import check_model

HELP = "measure a trained model: recognition on videos, or flow on pairs of frames"
EXAMPLE = "h2s evaluate --model h2s_runs/mine --data my_videos --report report.html"


def add_arguments(parser):
    parser.add_argument("--model", help="a .keras file, or the folder of a training run")
    add_data_arguments(parser)
    parser.add_argument(
        "--rate",
        type=float,
        metavar="FPS",
        help="frames per second to read videos at, as data.rate in training",
    )
    parser.add_argument(
        "--protocol",
        metavar="P",
        help="paper (25 clips x 10 crops, published fusion), fast (middle clip, centre "
        "crop) or CLIPSxCROPS such as 5x2 (default: the clips that the model's run was "
        "measured on)",
    )
    parser.add_argument(
        "--include_training",
        action="store_true",
        help="also measure videos that the model was trained on (default: leave them out)",
    )
    parser.add_argument(
        "--sampling",
        choices=("even", "segments", "sliding"),
        help="where the clips lie; segments and sliding windows are for untrimmed video",
    )
    parser.add_argument(
        "--step", type=int, metavar="N", help="frames between sliding windows"
    )
    parser.add_argument(
        "--pool_top_k",
        type=int,
        metavar="K",
        help="pool the K highest views of each class instead of all",
    )
    parser.add_argument(
        "--batch_size",
        type=int,
        default=8,
        metavar="N",
        help="number of views computed at a time (default 8)",
    )
    parser.add_argument(
        "--on_bad_file",
        choices=("raise", "skip"),
        default="raise",
        help="stop at a bad video (default), or leave it out and list it",
    )
    parser.add_argument("--scores", metavar="FILE.npz", help="file to write the scores to")
    parser.add_argument(
        "--compare",
        metavar="FILE.npz",
        help="file of scores to compare with by a paired test",
    )
    parser.add_argument(
        "--confusion",
        metavar="FILE",
        help="file to write the confusion matrix to, .csv or .png",
    )
    parser.add_argument("--report", metavar="FILE.html", help="file to write a report to")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(arguments):
    kind = _check(arguments)
    if kind == "flow":
        return run_flow(arguments)
    from h2s_keras.evaluation.scores import VideoScores, align, align_classes
    from h2s_keras.evaluation.statistics import table_lines

    other = VideoScores.load(arguments.compare) if arguments.compare else None
    measured = _measured(arguments, kind)
    scores = measured.scores
    import_keras()
    from h2s_keras.evaluation.recognition_results import (
        compared,
        figure_rows,
        recognition_results,
    )
    from h2s_keras.evaluation.report_pages import write_recognition_report

    # What took hours is saved before anything else can fail.
    problem = None
    if arguments.scores:
        try:
            scores.save(arguments.scores)
        except UserError as error:
            problem = error
    results = recognition_results(scores)
    if measured.seconds is not None:
        results["seconds"] = round(measured.seconds, 1)
        results["trained_on"] = measured.trained_on
    if other is not None:
        try:
            if scores.labels.ndim != 1:
                raise UserError("--compare needs one label per video")
            rows = align(arguments.compare, other, scores)
            columns = align_classes(arguments.compare, other, scores)
            results["comparison"] = compared(scores, other, rows, columns)
        except UserError as error:
            problem = problem or error
    if arguments.json:
        print(json.dumps(results, indent=2), flush=True)
    else:
        print(f"{results['videos']} videos; {results['protocol'] or 'protocol unknown'}")
        print("\n".join(table_lines(*figure_rows(results))), flush=True)
        _print_pairs(arguments, results)
    if problem is not None:
        raise problem
    if arguments.confusion:
        _write_confusion(arguments.confusion, results)
    if arguments.report:
        write_recognition_report(
            arguments.report, results, scores, measured.model, measured.clip_of
        )
    if not arguments.json:
        print_files(arguments)
    return 0


def _print_pairs(arguments, results):
    """The classes that are confused most, and the comparison."""
    if results.get("confused"):
        true, guess, videos, share = results["confused"][0]
        print(f"most confused: {true} taken for {guess}, {videos} videos ({share:.0%})")
    if "comparison" in results:
        test = results["comparison"]
        print(
            f"paired test: only these right {test['first_only']}, only "
            f"{arguments.compare} right {test['second_only']}, p = {test['p_value']:.3g}"
        )


def _check(arguments):
    """The kind of what is measured on, once the command line makes sense."""
    kind = data_kind(arguments)
    if not arguments.model and kind != "scores":
        raise UserError("--model is missing; only saved scores can do without")
    if arguments.batch_size < 1 or (arguments.count is not None and arguments.count < 1):
        raise UserError("--batch_size and --count take numbers from 1")
    check_rate(arguments.rate)
    if arguments.model:
        check_model(arguments.model)
    for path, endings in (
        (arguments.scores, (".npz",)),
        (arguments.confusion, (".csv", ".png")),
        (arguments.report, ()),
    ):
        if path:
            new_file(path, *endings)
    return kind


@dataclasses.dataclass
class _Measured:
    """Scores, and what is known of how they came about; of saved ones nothing is."""

    scores: object  # VideoScores
    model: object = None  # with its parts, for the pictures of a report
    clip_of: object = None  # function of a row to a clip of its video
    seconds: float | None = None
    trained_on: dict | None = None


def _measured(arguments, kind):
    """What is evaluated, measured anew or read from a file."""
    from h2s_keras.evaluation.protocol import Protocol

    changes = {
        "sampling": arguments.sampling,
        "step": arguments.step,
        "top_k": arguments.pool_top_k,
    }
    # A mistake answers before the model is loaded, which knows the run's own protocol.
    Protocol.parse(arguments.protocol or "1x1", **changes)
    if kind == "scores":
        return _Measured(_saved_scores(arguments))
    listed = None if kind == "synthetic" else read_examples(arguments, kind)
    import_keras()
    from h2s_keras.evaluation.score_videos import model_checksum
    from h2s_keras.evaluation.video_classifier import VideoClassifier

    model = VideoClassifier.from_saved(arguments.model).model
    protocol = Protocol.of_model(model, arguments.protocol, **changes)
    if protocol.fusion == "published" and not hasattr(model, "fuse"):
        raise UserError(
            f"{arguments.model}: --protocol paper fuses the scores of each stream, but an "
            "export gives fused scores alone; give the .keras model, or --protocol 25x10"
        )
    checksum, started = model_checksum(arguments.model), time.monotonic()
    if listed is None:
        measured = _measure_synthetic(arguments, model)
    else:
        measured = _measure_videos(arguments, kind, model, protocol, *listed)
    measured.seconds, measured.scores.checksum = time.monotonic() - started, checksum
    # An exported network does not show its streams.
    measured.model = model if hasattr(model, "motion") else None
    return measured


def _saved_scores(arguments):
    from h2s_keras.evaluation.scores import VideoScores, load_labels

    scores = VideoScores.load(arguments.data)
    if arguments.labels:
        count, classes = next(iter(scores.streams.values())).shape
        scores.labels = load_labels(arguments.labels, classes)
        if len(scores.labels) != count:
            raise UserError(
                f"{arguments.labels}: {len(scores.labels)} labels, but {count} videos"
            )
    if scores.labels is None:
        raise UserError(f"{arguments.data}: has no labels; give them by --labels")
    return scores


def _measure_synthetic(arguments, model):
    from h2s_keras.data.synthetic.action_clips import CLASS_NAMES, SyntheticClips
    from h2s_keras.evaluation.protocol import Protocol
    from h2s_keras.evaluation.score_videos import score_clips

    if tuple(model.class_names) != CLASS_NAMES:
        raise UserError(
            f"{arguments.model}: was not trained on the synthetic classes; give --data "
            "the videos of its own classes"
        )
    options, count = synthetic_test(arguments)
    clips = SyntheticClips(model.num_frames, model.image_size, split="test", **options)
    batches = clips.dataset(32, count, with_flow=True).as_numpy_iterator()
    protocol = Protocol(sampling="segments")
    scores = score_clips(model, batches, protocol, bool(arguments.scores))
    seed = options["seed"]
    scores.protocol = f"{count} synthetic test clips of seed {seed}; {scores.protocol}"
    return _Measured(scores, clip_of=lambda row: clips.example(row)["clip"].numpy())


def _measure_videos(arguments, kind, model, protocol, examples, names):
    from h2s_keras.cli.progress import Progress
    from h2s_keras.evaluation.report_pages import middle_clip
    from h2s_keras.evaluation.score_videos import (
        PROTOCOLS,
        example_name,
        matched_examples,
        score_videos,
        untrimmed_examples,
    )

    examples = matched_examples(examples, names, model.class_names)
    labels, unit = None, None
    if any(example.start is not None for example in examples):
        # A user's own list names segments because they are what is to be recognised.
        unit = arguments.untrimmed or ("segments" if kind == "csv" else "videos")
    examples, about, trained_on = untrained(arguments, examples, unit)
    if unit is not None:
        examples, labels = untrimmed_examples(examples, len(model.class_names), unit)
        if labels.ndim == 2 and (arguments.compare or arguments.confusion):
            raise UserError(
                "--compare and --confusion need one label per video; some of "
                f"{arguments.data} have several"
            )
    progress = Progress()
    print_device(progress.message)
    with progress.count("videos", len(examples)) as counter:
        scores, bad = score_videos(
            model,
            examples,
            protocol,
            arguments.batch_size,
            arguments.on_bad_file,
            keep_views=bool(arguments.scores),
            done=counter.update,
            rate=arguments.rate,
        )
    place = {example_name(example): row for row, example in enumerate(examples)}
    if labels is not None:
        scores.labels = labels[[place[name] for name in scores.names]]
    parts = [scores.protocol, about]
    if unit is not None:
        parts.insert(0, PROTOCOLS[unit])
    if arguments.test_group is not None:
        parts.insert(0, f"only group {arguments.test_group}")
    scores.protocol = "; ".join(parts)
    for error in bad:
        print(f"h2s: left out: {error}", file=sys.stderr)

    def clip_of(row):
        return middle_clip(model, examples[place[scores.names[row]]], arguments.rate)

    return _Measured(scores, clip_of=clip_of, trained_on=trained_on)


def _write_confusion(path, results):
    if "confusion" not in results:
        raise UserError("--confusion needs one label per video")
    names = results["class_names"]
    if path.lower().endswith(".png"):
        from h2s_keras.data.video.images import write_png
        from h2s_keras.visualization import confusion_picture

        write_png(path, confusion_picture(results["confusion"], names))
        return
    with open(path, "x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["true class", *names])
        for name, row in zip(names, results["confusion"], strict=True):
            writer.writerow([name, *row])


def run_flow(arguments):
    """Measures flow and prints or writes what the command line asks for."""
    from h2s_keras.evaluation.flow_pairs import find_flow_pairs

    pairs = find_flow_pairs(arguments.flow_data)
    import_keras()
    from h2s_keras.cli.progress import Progress
    from h2s_keras.evaluation.flow_estimators import load_flow_network
    from h2s_keras.evaluation.flow_results import flow_results, flow_rows, pair_flow
    from h2s_keras.evaluation.report_pages import write_flow_report
    from h2s_keras.evaluation.score_videos import model_checksum
    from h2s_keras.evaluation.statistics import table_lines

    motion_net = load_flow_network(arguments.model)

    def estimator(frames):
        return pair_flow(motion_net, frames)

    progress = Progress()
    print_device(progress.message)
    with progress.count("pairs", len(pairs)) as counter:
        results = flow_results(pairs, estimator, counter.update)
    about = (
        f"{len(pairs)} pairs at full resolution; a network of {motion_net.num_frames} "
        "frames that sees the pair, its second frame repeated; unknown pixels left out"
    )
    if motion_net.num_frames == 2:
        about = f"{len(pairs)} pairs at full resolution; unknown pixels left out"
    results["protocol"] = about
    results["model_sha256"] = model_checksum(arguments.model)
    if arguments.json:
        print(json.dumps(results, indent=2), flush=True)
    else:
        print(about)
        print("\n".join(table_lines(*flow_rows(results))), flush=True)
    if arguments.report:
        write_flow_report(arguments.report, results, pairs, estimator, about)
    if not arguments.json:
        print_files(arguments)
    return 0


def print_files(arguments):
    """Names the files that were written."""
    for name in ("scores", "confusion", "report"):
        if getattr(arguments, name):
            print(f"{name}: {getattr(arguments, name)}")
