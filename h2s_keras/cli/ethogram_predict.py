"""`h2s ethogram predict`: behaviours of new videos, frame by frame, as files."""

import json
import os
import sys
import time

from h2s_keras.cli.ethogram_convert import FORMATS
from h2s_keras.cli.inputs import find_videos
from h2s_keras.errors import UserError

HELP = (
    "score new videos frame by frame: probabilities, labels, bouts and a time budget as "
    "files; a call that was cut goes on where it stopped"
)
EXAMPLE = "h2s ethogram predict new/*.mp4 --model runs/mice --out scored --format boris"


def add_arguments(parser):
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="video files, folders of them, or - for a list of names on stdin",
    )
    parser.add_argument(
        "--model", required=True, metavar="RUN", help="folder of h2s ethogram train"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--format",
        action="append",
        default=[],
        choices=FORMATS,
        metavar="FORMAT",
        help="write labels in this format, too; may be given several times: "
        + ", ".join(FORMATS),
    )
    parser.add_argument(
        "--lossy",
        action="store_true",
        help="write what a format can hold: of overlapping behaviours the one begun last",
    )
    parser.add_argument(
        "--review", action="store_true", help="write a page to review each video, too"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one line of JSON per video"
    )


def run(arguments):
    from h2s_keras.ethogram.scorer import read_record

    videos = find_videos(arguments.videos)
    if len(videos) == 1 and isinstance(videos[0], UserError):
        raise videos[0]
    read_record(arguments.model)
    from h2s_keras.cli.quiet import import_keras

    import_keras()
    from h2s_keras.ethogram.predict import BUDGET, predict_videos

    failed, begun = 0, time.monotonic()
    found = predict_videos(
        [video for video in videos if not isinstance(video, UserError)],
        arguments.model,
        arguments.out,
        arguments.format,
        arguments.lossy,
        arguments.review,
    )
    refused = [
        (video.path, video, False) for video in videos if isinstance(video, UserError)
    ]
    frames = 0
    for video, prediction, known in (*refused, *found):
        if isinstance(prediction, UserError):
            if arguments.debug:
                raise prediction
            failed += 1
            print(f"h2s: {prediction}", file=sys.stderr)
            if arguments.json:
                print(json.dumps({"video": video, "error": str(prediction)}), flush=True)
            continue
        frames += 0 if known else prediction.labels.frames
        _print(video, prediction, known, arguments.json)
    seconds = time.monotonic() - begun
    if frames:
        print(
            f"{frames} frames in {seconds:.1f} s ({frames / seconds:.0f} per second)",
            file=sys.stderr,
        )
    print(f"results: {os.path.join(arguments.out, BUDGET)}", file=sys.stderr)
    return 2 if failed else 0


def _print(video, prediction, known, as_json):
    from h2s_keras.ethogram.predict import time_budget

    rows = time_budget(prediction.labels)
    if as_json:
        budget = {
            name: {"bouts": bouts, "frames": frames, "seconds": round(seconds, 3)}
            for name, bouts, frames, seconds, _ in rows
        }
        record = {"video": video, "frames": prediction.labels.frames, "behaviors": budget}
        print(json.dumps({**record, "known": known}), flush=True)
        return
    print(f"{video}: {prediction.labels.frames} frames" + (", known" if known else ""))
    for name, bouts, _, seconds, share in rows:
        print(f"  {name:20} {bouts:4} bouts  {seconds:9.2f} s  {share:6.1%}", flush=True)
