"""Walks one clip from its file to logits: calls between files, openings, time per clip.

    python -m benchmarks.tools.clip_path

A crossing is a Python call (a generator's resumption is one) from one file of the package
straight into another, as `sys.setprofile` sees it. `--calls` lists them. For a comparison
run it in turns in two checkouts.
"""

import argparse
import collections
import os
import sys
import tempfile
import time

import numpy as np

from benchmarks.synthetic_video import write_class_folders, write_video

CLIP, BATCH = {"num_frames": 11, "image_size": (112, 112)}, 8


def crossings(function):
    """Counter of (caller, callee) over the calls that cross files while `function` runs."""
    import h2s_keras

    root = os.path.dirname(h2s_keras.__file__) + os.sep
    found = collections.Counter()

    def note(frame, event, _):
        if event != "call" or frame.f_back is None:
            return
        one, other = frame.f_back.f_code, frame.f_code
        if one.co_filename != other.co_filename:
            if one.co_filename.startswith(root) and other.co_filename.startswith(root):
                names = [code.co_filename[len(root) :] for code in (one, other)]
                found[(names[0], f"{names[1]}:{other.co_name}")] += 1

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return found


def openings(function):
    """How often PyAV opens a file and how many frames it decodes while `function` runs."""
    import av

    from h2s_keras.data.video import decoder

    counts = collections.Counter()
    opened, decoded = av.open, decoder.decoded_batches

    def counting_open(*arguments, **options):
        counts["opened"] += 1
        return opened(*arguments, **options)

    def counting_batches(*arguments):
        batches = decoded(*arguments)
        while True:
            try:
                frames = next(batches)
            except StopIteration as end:
                return end.value
            counts["decoded"] += len(frames)
            yield frames

    av.open, decoder.decoded_batches = counting_open, counting_batches
    try:
        function()
    finally:
        av.open, decoder.decoded_batches = opened, decoded
    return dict(counts)


def first_clip(root):
    """The function that tf.data calls for a training clip of the videos below a folder."""
    import tensorflow as tf

    from h2s_keras.data.training_data import make_data

    captured, plain, plain_map = [], tf.numpy_function, tf.data.Dataset.map

    def capture(function, *arguments, **options):
        captured.append(function)
        return plain(function, *arguments, **options)

    def unconverted(dataset, function, **options):
        function = tf.autograph.experimental.do_not_convert(function)
        return plain_map(dataset, function, **options)

    tf.numpy_function, tf.data.Dataset.map = capture, unconverted
    try:
        data = make_data({"kind": "videos", "root": root, **CLIP})
        data.training(1)
    finally:
        tf.numpy_function, tf.data.Dataset.map = plain, plain_map
    return captured[0]


def speed(function, count):
    """Seconds and processor seconds of one of `count` calls."""
    started, spent = time.perf_counter(), time.process_time()
    for _ in range(count):
        function()
    return (
        (time.perf_counter() - started) / count,
        (time.process_time() - spent) / count,
    )


def classifier():
    import h2s_keras as h2s

    builder = h2s.models.HiddenTwoStreamBuilder(["left", "right"], 11, (112, 112))
    builder = builder.motion("tiny").temporal("small").spatial("small").fusion(1.0, 1.0)
    return h2s.VideoClassifier(builder.build())


def pack(root, folder):
    from h2s_keras.data import class_folder_source
    from h2s_keras.data.datasets.dataset_list import DatasetList
    from h2s_keras.data.records.pack import pack_records
    from h2s_keras.data.records.packing import PackSettings, list_plan

    examples, names = class_folder_source(root)
    listed = DatasetList(root, names, examples, ())
    pack_records(list_plan({"1": listed}, root, PackSettings(), 4), folder)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--calls", action="store_true", help="list the crossings")
    parser.add_argument("--batches", type=int, default=60, help="timed per stream (60)")
    parser.add_argument("--videos", help="folder to keep the made videos in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = options.videos or folder
        for name, count, frames in (("one", 2, 30), ("many", 16, 100)):
            if not os.path.isdir(os.path.join(place, name)):
                write_class_folders(os.path.join(place, name), count, frames)
        if not os.path.isdir(os.path.join(place, "packed")):
            pack(os.path.join(place, "many"), os.path.join(place, "packed"))
        one = os.path.join(place, "one")
        video = write_video(os.path.join(folder, "30.avi"), 30)
        network = classifier()
        network.predict(write_video(os.path.join(folder, "other.avi"), 30))
        first, again = first_clip(one), first_clip(one)
        number = np.int64(0)
        for name, walk, other in (
            ("first reading", lambda: first(number), lambda: again(number)),
            ("predict", *[lambda: network.predict(video)] * 2),
        ):
            count = crossings(walk)
            print(f"{name}: {sum(count.values())} crossings, {openings(other)}")
            if options.calls:
                for (caller, callee), times in count.most_common():
                    print(f"    {times:4} {caller} -> {callee}")
        from h2s_keras.data.training_data import make_data

        many = {"kind": "videos", "root": os.path.join(place, "many"), **CLIP}
        for name, settings in {
            "videos, cached": many,
            "videos, not cached": {**many, "cache_bytes": 0},
            "records": {**many, "kind": "records", "root": os.path.join(place, "packed")},
        }.items():
            clips = iter(make_data(settings).training(BATCH))
            speed(lambda clips=clips: next(clips), 4)  # Every video was read once.
            wall, spent = speed(lambda clips=clips: next(clips), options.batches)
            print(
                f"{name}: {BATCH / wall:.1f} clips per second, "
                f"{1000 * spent / BATCH:.2f} ms of processor time per clip"
            )
        wall, spent = speed(lambda: network.predict(video), options.batches)
        print(f"predict: {1000 * wall:.1f} ms, of processor time {1000 * spent:.1f} ms")


if __name__ == "__main__":
    main()
