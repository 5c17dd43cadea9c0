"""Clips per second of the video pipeline against plain decode loops, in one process.

Command: python benchmarks/data_pipeline.py --json FILE [--videos FOLDER] [--rounds 12]

Every round measures every peer on the same clips, in an order that changes, so that other
work on the machine meets all of them; ratios are taken within a round. The peers are what
one would write: open the file, decode forward to the last frame wanted, convert the frames
wanted to RGB, two threads. They neither crop, resize, augment nor batch. The pipeline works
ahead by a batch or two that are not counted, so that a round should have many.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np

from h2s_keras.benchmarking.made_up_video import write_video

CLIP = dict(num_frames=11, image_size=(224, 224), decode_size=(256, 340))
BATCH, THREADS = 8, 2


def pyav_clip(path, indices):
    import av

    wanted, frames = set(indices), {}
    with av.open(path) as container:
        stream = container.streams.video[0]
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                frames[number] = frame.to_ndarray(format="rgb24")
            if len(frames) == len(wanted):
                break
    return np.stack([frames[number] for number in indices])


def opencv_clip(path, indices):
    import cv2

    wanted, frames, capture = set(indices), {}, cv2.VideoCapture(path)
    for number in itertools.count():
        if len(frames) == len(wanted) or not capture.grab():
            break
        if number in wanted:
            frames[number] = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
    capture.release()
    return np.stack([frames[number] for number in indices])


def decord_clip(path, indices):
    import decord

    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    return reader.get_batch(list(indices)).asnumpy()


def loop_peers():
    """The decode loops whose libraries are installed."""
    peers = {"pyav": pyav_clip}
    for name, function, library in (
        ("opencv", opencv_clip, "cv2"),
        ("decord", decord_clip, "decord"),
    ):
        try:
            __import__(library)
        except ImportError:
            continue
        peers[name] = function
    if "opencv" in peers:
        import cv2

        cv2.setNumThreads(1)
    return peers


def timed(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def speed(examples, rounds, batches):
    """Clips per second of every peer in every round."""
    from h2s_keras.data import ClipReport, video_clip_dataset
    from h2s_keras.data.clips.dataset import frame_size
    from h2s_keras.data.clips.training_stream import TrainingStream
    from h2s_keras.data.video.video_store import VideoStore

    def new_store():
        return VideoStore(frame_size(CLIP["image_size"], CLIP["decode_size"]), 0)

    store = new_store()
    options = dict(num_frames=CLIP["num_frames"], stride=1, image_size=CLIP["image_size"])
    stream = TrainingStream(
        examples,
        store,
        ClipReport(),
        augment=None,
        seed=0,
        on_bad_file="raise",
        short="loop",
        segments=None,
        max_skip=1,
        **options,
    )

    def consume(start, count, store):
        dataset = video_clip_dataset(
            examples,
            batch_size=BATCH,
            start_step=start,
            store=store,
            num_parallel_calls=THREADS,
            **options,
        )
        for _ in dataset.take(count):
            pass

    epoch = len(examples) // BATCH
    consume(0, epoch, store)  # Now every video has been seen once.

    def clips_of(start):
        for number in range(start * BATCH, (start + batches) * BATCH):
            index = stream._candidates(number)[0]
            count = store.counts[examples[index].path]
            generator = stream._generator(number)
            numbers = stream.frame_numbers(examples[index], generator, count)
            yield examples[index].path, [int(n) for n in numbers]

    rates = {}
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for turn in range(rounds):
            start = (turn + 1) * batches
            clips = list(clips_of(start))
            runs = {
                "pipeline": lambda start=start: consume(start, batches, store),
                "pipeline, first epoch": lambda: consume(0, epoch, new_store()),
            }
            for name, function in loop_peers().items():
                runs[name] = lambda function=function, clips=clips: list(
                    pool.map(function, *zip(*clips, strict=True))
                )
            names = list(runs)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                count = epoch if name == "pipeline, first epoch" else batches
                rates.setdefault(name, []).append(count * BATCH / timed(runs[name]))
    return rates


def waiting(examples, rounds, load):
    """Share of a step that waits for data, where a step takes `load` times a batch's time.

    The step sleeps, as a processor does that hands its work to an accelerator.
    """
    from h2s_keras.data import video_clip_dataset

    dataset = video_clip_dataset(
        examples, batch_size=BATCH, num_parallel_calls=THREADS, cache_bytes=0, **CLIP
    )
    iterator = iter(dataset)
    for _ in range(len(examples) // BATCH + 2):
        next(iterator)
    seconds = np.median([timed(lambda: next(iterator)) for _ in range(10)])
    shares = []
    for _ in range(rounds):
        waited = 0.0
        for _ in range(4):
            time.sleep(load * seconds)
            waited += timed(lambda: next(iterator))
        shares.append(waited / (waited + 4 * load * seconds))
    return shares


def peak_memory(frames, folder):
    """Most MiB that a fresh process takes to read clips of a video of so many frames."""
    path = os.path.join(folder, f"{frames}.avi")
    if not os.path.exists(path):
        write_video(path, frames, seed=1)
    done = subprocess.run(
        [sys.executable, __file__, "--memory_of", path],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def print_memory(path):
    from h2s_keras.data.video.video_store import VideoStore

    indices = np.arange(11)
    store = VideoStore(256, cache_bytes=50e6)
    for share in (0.9, 0.1, 0.5):
        store.read(path, lambda count, share=share: int(share * count) - 11 + indices)
    # The peak of getrusage would count what the parent held when it started this.
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    print(int(line.split()[1]) / 1024)


def summary(values):
    low, middle, high = np.percentile(values, (25, 50, 75))
    return {
        "median": round(float(middle), 3),
        "quartiles": [round(float(low), 3), round(float(high), 3)],
        "range": [round(float(min(values)), 3), round(float(max(values)), 3)],
        "runs": len(values),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--videos", help="folder of class folders; made up by default")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--batches", type=int, default=40, help="in a round (40)")
    parser.add_argument("--memory_of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        return print_memory(arguments.memory_of)
    import av
    import tensorflow as tf

    import h2s_keras
    from h2s_keras.data import VideoExample, class_folder_source

    with tempfile.TemporaryDirectory() as folder:
        if arguments.videos:
            examples, _ = class_folder_source(arguments.videos)
            examples = examples[: len(examples) // BATCH * BATCH]
        else:
            examples = [
                VideoExample(
                    write_video(f"{folder}/{n}.avi", 150 + 10 * (n % 16), seed=n), 0
                )
                for n in range(8 * BATCH)
            ]
        rates = speed(examples, arguments.rounds, arguments.batches)
        results = {
            "suite": "data_pipeline",
            "version": h2s_keras.__version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "packages": {"av": av.__version__, "tensorflow": tf.__version__},
            "videos": arguments.videos or f"{len(examples)} made up, 320x240, MPEG-4",
            "clip": {name: str(value) for name, value in CLIP.items()},
            "load_average": os.getloadavg()[0],
            "clips_per_second": {name: summary(values) for name, values in rates.items()},
            "ratios": {
                f"{name} / {peer}": summary(np.divide(rates[name], rates[peer]))
                for name in ("pipeline", "pipeline, first epoch")
                for peer in rates
                if not peer.startswith("pipeline")
            },
            "waiting_share_of_step": {
                str(load): summary(waiting(examples, 10, load)) for load in (1.25, 2.0)
            },
            "peak_memory_mib": {
                str(frames): round(peak_memory(frames, folder), 1)
                for frames in (500, 2000, 8000)
            },
        }
    text = json.dumps(results, indent=2)
    if arguments.json:
        with open(arguments.json, "w") as file:
            file.write(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
