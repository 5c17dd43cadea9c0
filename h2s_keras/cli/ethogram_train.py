"""`h2s ethogram train` and `refine`: learning behaviours from labelled videos."""

import contextlib
import json
import os
import sys

from h2s_keras.errors import UserError

HELP = (
    "train on labelled videos: a table with the columns video, labels and, if wanted, "
    "group and part, or a folder of videos with their labels beside them; training that is "
    "stopped begins anew"
)
EXAMPLE = "h2s ethogram train videos.csv --out runs/mice"
FLIPS = ("horizontal", "both", "none")


def add_common_arguments(parser):
    """What `train` and `refine` share."""
    parser.add_argument("source", metavar="TABLE|FOLDER", help="labelled videos")
    parser.add_argument(
        "--out", required=True, metavar="RUN", help="folder of the run, new or empty"
    )
    parser.add_argument(
        "--behaviors",
        metavar="A,B,...",
        help="names of the behaviours in the wanted order (default: all in the labels)",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def add_arguments(parser):
    add_common_arguments(parser)
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the run (default 1)")
    parser.add_argument(
        "--flip",
        choices=FLIPS,
        help="mirror windows at random: horizontal (default), both for a camera from "
        "above, none where left and right are different behaviours",
    )
    parser.add_argument(
        "--exclusive",
        action="store_true",
        help="one behaviour per frame at most (default: any number of them)",
    )
    parser.add_argument(
        "--causal",
        action="store_true",
        help="score a frame by itself and those before it, without the ones after it",
    )
    parser.add_argument(
        "--shares",
        metavar="V,T",
        help="shares of the labelled frames for validation and testing, drawn by group, "
        "where the table has no column part (default 0.2,0.2)",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="a few steps on small frames, to try the command; the result is of no use",
    )
    parser.add_argument(
        "--spatial_weights",
        metavar="FILE",
        help="MobileNetV2 with these ImageNet weights as the spatial network (default: a "
        "small network that begins at random)",
    )


def run(arguments):
    config = recipe_values(arguments)
    check_source(arguments.source)
    from h2s_keras.cli.quiet import import_keras

    import_keras()
    from h2s_keras.cli.progress import Progress
    from h2s_keras.ethogram.train import train_ethogram

    with report_interruption():
        results = train_ethogram(
            arguments.source, arguments.out, config, names_of(arguments), Progress()
        )
    print_results(results, arguments)
    return 0


@contextlib.contextmanager
def report_interruption():
    """After Ctrl-C, prints that nothing was kept."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            "h2s: training does not resume and nothing was kept; give the same command to "
            "begin anew",
            file=sys.stderr,
        )
        raise


def recipe_values(arguments):
    """Values of the recipe `ethogram` with what the command line changes."""
    from h2s_keras.recipes import ethogram

    config = ethogram.get_config(arguments.smoke)
    data = config["data"]
    data["exclusive"], data["causal"] = arguments.exclusive, arguments.causal
    if arguments.flip is not None:
        data["flip"] = arguments.flip
    if arguments.seed is not None:
        config["seed"] = arguments.seed
    if arguments.shares is not None:
        data["validation"], data["test"] = _shares(arguments.shares)
    if arguments.spatial_weights is not None:
        if not os.path.isfile(arguments.spatial_weights):
            raise UserError(f"{arguments.spatial_weights}: no such file of weights")
        config["model"]["spatial"] = "mobilenetv2"
        config["model"]["spatial_weights"] = arguments.spatial_weights
    return config


def _shares(text):
    try:
        validation, test = map(float, text.split(","))
    except ValueError:
        raise UserError(f"--shares takes two numbers, as 0.2,0.2; got {text!r}") from None
    if not (0 < validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise UserError(
            f"--shares are above 0 (testing may be 0) and leave a rest to train on; got "
            f"{text!r}"
        )
    return validation, test


def names_of(arguments):
    """Names of --behaviors, or None."""
    if arguments.behaviors is None:
        return None
    return tuple(name.strip() for name in arguments.behaviors.split(","))


def check_source(source):
    """Raises what is wrong with a table or folder before Keras is imported."""
    from h2s_keras.ethogram.labelled_videos import find_videos

    find_videos(source)


def print_results(results, arguments):
    """Figures and rules on stdout, the folder on stderr."""
    if arguments.json:
        print(json.dumps({"run": arguments.out, **results}))
        return
    count, part = results["videos"], results["part"]
    print(f"{count} {part} video{'s' if count > 1 else ''}:")
    print("\n".join(results["lines"]))
    for name, rule in zip(results["behaviors"], results["rules"], strict=True):
        why = f" ({rule['reason']})" if rule["reason"] else ""
        print(
            f"{name}: from probability {rule['threshold']:.2f}, bouts of "
            f"{rule['shortest']} frames and more{why}"
        )
    total = sum(results["seconds"].values())
    print(f"run folder: {arguments.out} ({total:.0f} s)", file=sys.stderr)
