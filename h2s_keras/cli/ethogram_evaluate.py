"""`h2s ethogram evaluate`: figures of predictions against labels."""

import json
import os
import sys

from h2s_keras.cli.ethogram_train import check_source
from h2s_keras.errors import UserError

HELP = "measure predictions of labelled videos, per behaviour, with intervals over videos"
EXAMPLE = "h2s ethogram evaluate test.csv --model runs/mice --review pages"


def add_arguments(parser):
    parser.add_argument("source", metavar="TABLE|FOLDER", help="labelled videos")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--model", metavar="RUN", help="folder of h2s ethogram train")
    given.add_argument(
        "--predictions", metavar="DIR", help="folder that h2s ethogram predict wrote"
    )
    parser.add_argument(
        "--part",
        choices=("train", "validation", "test"),
        help="only videos of this part of the table",
    )
    parser.add_argument(
        "--review",
        metavar="DIR",
        help="write a page per video with labels and predictions",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(arguments):
    check_source(arguments.source)
    if arguments.model is not None:
        from h2s_keras.ethogram.scorer import read_record

        read_record(arguments.model)
        from h2s_keras.cli.quiet import import_keras

        import_keras()
    elif not os.path.isdir(arguments.predictions):
        raise UserError(f"{arguments.predictions}: no such folder of predictions")
    from h2s_keras.ethogram.predict import evaluate_videos

    figures, rows = evaluate_videos(
        arguments.source, arguments.model, arguments.predictions, arguments.part
    )
    seen = _trained_on(arguments.model, [video for video, *_ in rows])
    if seen:
        print(
            f"h2s: warning: {len(seen)} of {len(rows)} videos were trained on, such as "
            f"{seen[0]}; the figures say little about new videos",
            file=sys.stderr,
        )
    if arguments.review is not None:
        from h2s_keras.ethogram.review import write_review

        os.makedirs(arguments.review, exist_ok=True)
        for video, labels, found in rows:
            stem = os.path.splitext(os.path.basename(video))[0]
            page = os.path.join(arguments.review, stem + ".html")
            write_review(page, video, found, truth=labels)
            print(f"page: {page}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"videos": len(rows), "trained_on": seen, **figures.as_dict()}))
    else:
        print("\n".join(figures.lines()))
    return 0


def _trained_on(model, videos):
    if model is None:
        return []
    from h2s_keras.ethogram.scorer import read_videos

    # The temporal heads learn from the videos for validation, too.
    seen = {
        row["video"] for row in read_videos(model) if row["part"] in ("train", "validation")
    }
    return [one for one in videos if os.path.realpath(one) in seen]
