"""`h2s ethogram convert`: labels from one format to another, exact to the frame."""

import json
import os
import sys

from h2s_keras.cli.inputs import check_rate
from h2s_keras.errors import UserError
from h2s_keras.files import new_file

HELP = (
    "convert labels of behaviours between formats; the format of IN is recognised by its "
    "content, and what OUT cannot hold is refused or reported"
)
EXAMPLE = "h2s ethogram convert mouse1.boris mouse1_labels.csv --video mouse1.mp4"

FORMATS = (
    "deepethogram boris boris_tabular boris_aggregated vtrace feral calms21 bento caltech "
    "observer elan activitynet"
).split()


def add_arguments(parser):
    parser.add_argument("input", metavar="IN", help="file of labels")
    parser.add_argument(
        "out", metavar="OUT", help="file to write, or a folder for one file per video of IN"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help="format of OUT: " + ", ".join(FORMATS) + " (default: by the ending of OUT: "
        ".boris, .eaf, .annot, .vtrace.csv, or .csv for deepethogram)",
    )
    parser.add_argument(
        "--video",
        metavar="V",
        help="the labelled video; its time stamps decide which frame a time means (with a "
        "folder as OUT, the folder of the videos)",
    )
    parser.add_argument(
        "--entry",
        metavar="NAME",
        help="video or observation to take from IN where it has several, or other names",
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="FPS",
        help="frames per second, where neither IN nor a video says them",
    )
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help="number of frames, where neither IN nor a video says it",
    )
    parser.add_argument(
        "--behaviors",
        metavar="A,B,...",
        help="names of the behaviours in the wanted order; others in IN are an error",
    )
    parser.add_argument(
        "--subject", metavar="NAME", help="the subject whose bouts to take (default: all)"
    )
    parser.add_argument(
        "--lossy",
        action="store_true",
        help="write what the format can hold: of overlapping behaviours the one begun "
        "last, frames that are not labelled as frames without behaviour",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments):
    from h2s_keras.ethogram.formats import choose, read_annotations

    check_rate(arguments.rate)
    if arguments.frames is not None and arguments.frames < 1:
        raise UserError(f"--frames is 1 or more; received {arguments.frames}")
    found = read_annotations(arguments.input)
    out = arguments.out
    if os.path.isdir(out) or out.endswith(("/", os.sep)):
        reports = _convert_all(arguments, found)
    else:
        one = choose(found, arguments.input, arguments.video, arguments.entry)
        reports = [_convert(arguments, one, out, arguments.video)]
    for report in reports:
        for note in report["notes"]:
            print(f"h2s: note: {report['out']}: {note}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(reports if len(reports) > 1 else reports[0]))
        return 0
    for report in reports:
        print(
            f"{report['out']}: {report['frames']} frames, "
            + ", ".join(f"{count} x {name}" for name, count in report["bouts"].items())
        )
    return 0


def _convert_all(arguments, found):
    from h2s_keras.ethogram.annotation import file_name
    from h2s_keras.ethogram.formats import file_ending

    if arguments.format is None:
        raise UserError(
            f"{arguments.out}: is a folder; give the format of its files with --format"
        )
    if arguments.entry is not None:
        raise UserError("--entry takes one video; give a file as OUT")
    ending = file_ending(arguments.format)
    places = {}
    for one in found:
        stem = os.path.splitext(file_name(one.video or one.name))[0]
        place = os.path.join(arguments.out, stem + ending)
        if place in places:
            raise UserError(
                f"{arguments.input}: {places[place].name} and {one.name} would both be "
                f"{place}; convert them one by one with --entry"
            )
        places[place] = one
    os.makedirs(arguments.out, exist_ok=True)
    reports = []
    for place, one in places.items():
        video = arguments.video and os.path.join(arguments.video, one.video or one.name)
        reports.append(_convert(arguments, one, place, video))
    return reports


def _convert(arguments, annotation, out, video):
    from h2s_keras.ethogram.formats import resolved, write_labels

    new_file(out)
    notes = []
    if video is None and not annotation.video:
        video = _video_name(arguments.input)
    elif video is not None and not os.path.exists(video):
        notes.append(f"there is no file {video}; only its name was used")
    names = arguments.behaviors
    labels = resolved(
        annotation,
        video,
        notes,
        rate=arguments.rate,
        frames=arguments.frames,
        behaviors=names and tuple(name.strip() for name in names.split(",")),
        subject=arguments.subject,
    )
    notes += write_labels(labels, out, arguments.format, arguments.lossy)
    bouts = {name: len(labels.bouts(name)) for name in labels.behaviors}
    return {
        "out": out,
        "video": labels.video,
        "frames": labels.frames,
        "rate": labels.times and labels.times.rate,
        "bouts": bouts,
        "notes": notes,
    }


def _video_name(path):
    """What a video is called whose labels' file names none: as that file."""
    name = os.path.basename(path)
    for ending in ("_labels.csv", ".vtrace.csv", "_vtrace.csv"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return os.path.splitext(name)[0]
