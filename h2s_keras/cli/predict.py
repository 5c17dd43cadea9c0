"""`h2s predict`: names the action in videos."""

import json
import sys

from h2s_keras.errors import UserError

HELP = "name the action in video files"
EXAMPLE = "h2s predict jump.mp4 --model h2s_runs/mine/model.keras --top_k 3"


def add_arguments(parser):
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files")
    parser.add_argument(
        "--model", required=True, help="a .keras file, or the folder of a training run"
    )
    parser.add_argument(
        "--top_k", type=int, default=5, metavar="K", help="classes shown (default 5)"
    )
    parser.add_argument(
        "--clips", type=int, default=10, metavar="N", help="clips a video (default 10)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON line a video")


def run(arguments):
    if arguments.top_k < 1 or arguments.clips < 1:
        raise UserError("--top_k and --clips take numbers from 1")
    from h2s_keras.evaluation.video_classifier import VideoClassifier

    classifier = VideoClassifier.from_saved(
        arguments.model, clips_per_video=arguments.clips
    )
    failed = 0
    for video in arguments.videos:
        try:
            best = classifier.predict(video, arguments.top_k)
        except UserError as error:
            # One bad file among many is told, and the rest goes on.
            if arguments.debug:
                raise
            failed += 1
            print(f"h2s: {error}", file=sys.stderr)
            if arguments.json:
                print(json.dumps({"video": video, "error": str(error)}), flush=True)
            continue
        if arguments.json:
            print(json.dumps({"video": video, "predictions": best}), flush=True)
        else:
            print(video)
            for row in best:
                print(f"  {row['score']:6.1%}  {row['class']}", flush=True)
    return 2 if failed else 0
