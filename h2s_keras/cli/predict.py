"""`h2s predict`: names the action in videos, folders of videos, a camera or a stream."""

import json
import sys
import time

from h2s_keras.cli.inputs import check_rate, find_videos
from h2s_keras.cli.quiet import import_keras, print_device
from h2s_keras.errors import UserError
from h2s_keras.model_files import check_model
from h2s_keras.runtimes import RUNTIMES

HELP = "name the action in video files, in a camera's picture or in a stream"
EXAMPLE = "h2s predict jump.mp4 --model h2s_runs/mine/model.keras --top_k 3"


def add_arguments(parser):
    parser.add_argument(
        "videos",
        nargs="*",
        metavar="VIDEO",
        help="video files, folders of them, or - for a list of names on stdin",
    )
    parser.add_argument(
        "--model",
        required=True,
        help="a .keras file, the folder of a training run, a preset, or what h2s export "
        "wrote",
    )
    parser.add_argument(
        "--top_k",
        type=int,
        default=5,
        metavar="K",
        help="number of classes to print (default 5)",
    )
    parser.add_argument(
        "--clips",
        type=int,
        metavar="N",
        help="evenly spaced clips per video (default: as many as the model's run used)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        metavar="R",
        help="frames per second to read videos at (default: what the model was trained at)",
    )
    parser.add_argument(
        "--timeline",
        action="store_true",
        help="print what happens when, by sliding windows over long videos",
    )
    parser.add_argument(
        "--step",
        type=int,
        metavar="N",
        help="frames between sliding windows (default: the span of a clip)",
    )
    parser.add_argument(
        "--reuse_flow",
        action="store_true",
        help="compute flow once for all windows that share it: faster with a small --step",
    )
    parser.add_argument(
        "--camera",
        metavar="N|URL",
        help="watch camera N (0 is the first) or a stream (rtsp://, http://)",
    )
    parser.add_argument(
        "--max_frames", type=int, metavar="N", help="with --camera, stop after N frames"
    )
    parser.add_argument(
        "--annotate",
        metavar="OUT.mp4",
        help="write the video with label, score and learned flow",
    )
    add_runtime_argument(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one line of JSON per video"
    )


def run(arguments):
    _check(arguments)
    check_model(arguments.model)
    videos = find_videos(arguments.videos) if arguments.camera is None else []
    if arguments.annotate and arguments.camera is None and len(videos) != 1:
        raise UserError(f"--annotate takes one video; received {len(videos)}")
    import_keras()
    from h2s_keras.cli.progress import Progress
    from h2s_keras.evaluation.video_classifier import VideoClassifier

    classifier = VideoClassifier.from_saved(
        arguments.model,
        clips_per_video=arguments.clips,
        runtime=arguments.runtime,
        rate=arguments.rate,
    )
    print_device(Progress().message)
    if arguments.camera is not None:
        return _watch(arguments, classifier.model)
    sliding = arguments.timeline or arguments.annotate
    if not sliding:
        print(classifier.describe(), file=sys.stderr)
    failed, seconds, started = 0, 0.0, time.monotonic()
    for video in videos:
        try:
            if isinstance(video, UserError):
                raise video
            if sliding:
                record, length = _slide(arguments, classifier, video)
            else:
                best = classifier.predict(video, arguments.top_k)
                record, length = {"video": video, "predictions": best}, classifier.seconds
                record["protocol"] = classifier.describe()
        except UserError as error:
            # One bad file among many is reported, and the others are predicted.
            if arguments.debug:
                raise
            failed += 1
            print(f"h2s: {error}", file=sys.stderr)
            if arguments.json:
                name = getattr(error, "path", str(video))
                print(json.dumps({"video": name, "error": str(error)}), flush=True)
            continue
        seconds += length
        _print(record, arguments.json)
    _print_speed(seconds, time.monotonic() - started)
    return 2 if failed else 0


def _check(arguments):
    """Raises a UserError where the command line makes no sense."""
    for name in ("top_k", "clips", "step", "max_frames"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} takes a number from 1; received {value}")
    check_rate(arguments.rate)
    if arguments.camera is not None:
        if arguments.videos:
            raise UserError("give videos or --camera, not both")
        if arguments.rate is not None:
            raise UserError("--rate is for videos; a camera gives frames as they come")
        return
    if arguments.max_frames is not None:
        raise UserError("--max_frames goes with --camera")
    if arguments.step is not None and not (arguments.timeline or arguments.annotate):
        raise UserError("--step goes with --timeline, --annotate or --camera")
    if arguments.reuse_flow and not (arguments.timeline or arguments.annotate):
        raise UserError("--reuse_flow goes with --timeline, --annotate or --camera")
    if not arguments.videos:
        raise UserError("name one video or more, a folder, -, or --camera")


def _slide(arguments, classifier, video):
    """(record, seconds of video) by sliding windows, with the annotated video."""
    import contextlib

    import numpy as np

    from h2s_keras.data.clips.video_clips import frame_size
    from h2s_keras.data.video.frame_times import NotedTimes
    from h2s_keras.data.video.reading import iterate_frames
    from h2s_keras.data.video.video_info import probe_video
    from h2s_keras.evaluation.annotated_video import AnnotatedVideo
    from h2s_keras.evaluation.streaming import merged_timeline, sliding_windows

    model = classifier.model
    times = NotedTimes(video, classifier.rate, lambda: probe_video(video).rate)
    # Frames of their full size are needed only where they are written again.
    side = None if arguments.annotate else frame_size(model.image_size)
    reading = {"on_broken": "keep", "rate": classifier.rate, "times": times}
    frames = iterate_frames(video, side, **reading)
    answers = []
    with contextlib.ExitStack() as stack:
        writer = None
        if arguments.annotate:
            writer = AnnotatedVideo(arguments.annotate, model.class_names)
            stack.enter_context(writer)
        for window in sliding_windows(model, frames, arguments.step, arguments.reuse_flow):
            answers.append((window.start, window.stop, window.probabilities))
            if writer is not None:
                writer.add(window, times.of(window))
    mean = np.mean([probabilities for *_, probabilities in answers], axis=0)
    record = {"video": video, "predictions": _best(mean, model, arguments.top_k)}
    answers = [(times.at(start), times.at(stop), scores) for start, stop, scores in answers]
    record["timeline"] = merged_timeline(answers, model.class_names)
    if arguments.annotate:
        record["annotated"] = arguments.annotate
    return record, answers[-1][1]


def _watch(arguments, model):
    """Prints a line a window of a camera or stream, until it ends or Ctrl-C."""
    import contextlib

    from h2s_keras.data.video.frame_times import NotedTimes
    from h2s_keras.evaluation.annotated_video import AnnotatedVideo
    from h2s_keras.evaluation.streaming import sliding_windows, stream_frames

    times = NotedTimes(arguments.camera)
    _, frames = stream_frames(
        arguments.camera, max_frames=arguments.max_frames, times=times
    )
    started, last = time.monotonic(), 0.0
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: _print_speed(last, time.monotonic() - started))
        writer = None
        if arguments.annotate:
            writer = AnnotatedVideo(arguments.annotate, model.class_names)
            stack.callback(writer.close)
        try:
            for window in sliding_windows(
                model, frames, arguments.step, arguments.reuse_flow
            ):
                best = _best(window.probabilities, model, arguments.top_k)
                last = times.at(window.stop)
                record = {
                    "camera": arguments.camera,
                    "start": round(times.at(window.start), 3),
                    "end": round(last, 3),
                    "predictions": best,
                }
                if arguments.json:
                    print(json.dumps(record), flush=True)
                else:
                    shown = "  ".join(f"{row['class']} {row['score']:.0%}" for row in best)
                    print(f"{record['start']:9.2f} s  {shown}", flush=True)
                if writer is not None:
                    writer.add(window, times.of(window))
        except KeyboardInterrupt:
            # The usual end of watching a camera.
            pass
    return 0


def _best(probabilities, model, top_k):
    order = (-probabilities).argsort(kind="stable")[:top_k]
    return [
        {"class": model.class_names[index], "score": float(probabilities[index])}
        for index in order
    ]


def _print(record, as_json):
    if as_json:
        print(json.dumps(record), flush=True)
        return
    print(record["video"])
    for row in record["predictions"]:
        print(f"  {row['score']:6.1%}  {row['class']}", flush=True)
    for row in record.get("timeline", ()):
        print(
            f"  {row['start']:8.2f} - {row['end']:8.2f} s  {row['score']:6.1%}  "
            f"{row['class']}",
            flush=True,
        )


def _print_speed(video_seconds, wall_seconds):
    if video_seconds > 0 and wall_seconds > 0:
        print(
            f"{video_seconds:.1f} s of video in {wall_seconds:.1f} s: real-time factor "
            f"{video_seconds / wall_seconds:.2f} (above 1 is faster than real time)",
            file=sys.stderr,
        )


def add_runtime_argument(parser):
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="keras",
        help="what computes the network (default keras); litert_8bit takes about a third "
        "of the time and rounds",
    )
