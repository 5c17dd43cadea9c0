"""Suite `data_pipeline`: clips of the video pipeline against plain decoding loops.

    python -m benchmarks data_pipeline --rounds 10

The peers are what one would write: open the file, decode forward to the last frame wanted,
convert the frames wanted to RGB, two threads. They neither crop, resize, augment nor batch.
In a round all of them read the same clips. The pipeline works ahead by a batch or two that
are not counted, so that a round should have many.
"""

import concurrent.futures
import functools
import itertools
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.harness import measure, timed
from benchmarks.synthetic_video import write_class_folders, write_video
from h2s_keras.data import class_folder_source, video_clip_dataset
from h2s_keras.data.clips.augmentation import ClipAugmentation
from h2s_keras.data.clips.sampling import ClipSampling
from h2s_keras.data.clips.video_clips import VideoClips, frame_size
from h2s_keras.data.video.frame_source import FrameSource

CLIP = dict(num_frames=11, image_size=(224, 224), decode_size=(256, 340))
BATCH, THREADS = 8, 2
OURS, FIRST = "pipeline", "pipeline, first epoch"


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


def add_arguments(parser):
    parser.add_argument("--videos", help="folder of class folders (synthetic videos)")
    parser.add_argument("--batches", type=int, default=40, help="in a round (40)")


def run(settings, figures):
    with tempfile.TemporaryDirectory() as folder:
        root = settings.options.videos
        if root is None:
            count, frames = (BATCH, 30) if settings.smoke else (8 * BATCH, 150)
            root = write_class_folders(os.path.join(folder, "videos"), count, frames)
        examples, _ = class_folder_source(root)
        examples = examples[: len(examples) // BATCH * BATCH]
        figures.value("videos", len(examples))
        batches = 1 if settings.smoke else settings.options.batches
        speed(figures, examples, settings.rounds, batches)
        for load in (1.25,) if settings.smoke else (1.25, 2.0):
            shares = waiting(examples, settings.rounds, load)
            case = f"a step of {load} times a batch's time"
            figures.add(case, "share that waits for data", shares)
        for frames in (60,) if settings.smoke else (500, 2000, 8000):
            peak = round(peak_memory(frames, folder), 1)
            figures.value(f"peak MiB of reading clips of {frames} frames", peak)


def speed(figures, examples, rounds, batches):
    """Adds clips per second of every peer, and of the pipeline over those of the loops."""
    size = frame_size(CLIP["image_size"], CLIP["decode_size"])

    def clips_from(source):
        sampling = ClipSampling(CLIP["num_frames"])
        augment = ClipAugmentation(CLIP["image_size"])
        return VideoClips(examples, sampling, augment, source, num_parallel_calls=THREADS)

    seen = clips_from(FrameSource(size, 0))

    def consume(start, count, clips):
        for _ in clips.training(BATCH, start).take(count):
            pass

    epoch = len(examples) // BATCH
    consume(0, epoch, seen)  # Now every video has been seen once.

    @functools.lru_cache(maxsize=1)
    def clips_of(turn):
        clips = []
        for number in range(turn * batches * BATCH, (turn + 1) * batches * BATCH):
            index = seen._candidates(number, 0)[0]
            count = seen.source.counts[examples[index].path]
            generator = seen._generator(number, 0)
            numbers = seen._frame_numbers(examples[index], count, generator)
            clips.append((examples[index].path, [int(n) for n in numbers]))
        return clips

    def in_turns(work):
        """A function for `measure` that goes on with the next clips in every round."""
        turns = itertools.count(1)

        def run():
            turn = next(turns)
            clips = clips_of(turn)
            return timed(lambda: work(turn, clips))()

        return run

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        functions = {
            OURS: in_turns(lambda turn, clips: consume(turn * batches, batches, seen)),
            FIRST: timed(lambda: consume(0, epoch, clips_from(FrameSource(size, 0)))),
        }
        for name, decode in loop_peers().items():
            functions[name] = in_turns(
                lambda turn, clips, decode=decode: list(
                    pool.map(decode, *zip(*clips, strict=True))
                )
            )
        seconds = measure(functions, rounds, warm_up=0)
    clips = {name: (epoch if name == FIRST else batches) * BATCH for name in seconds}
    rates = {name: clips[name] / np.asarray(times) for name, times in seconds.items()}
    case = f"{len(examples)} videos"
    figures.add_seconds(case, seconds)
    for name, values in rates.items():
        figures.add(case, f"clips per second, {name}", values)
    for name in (OURS, FIRST):
        for peer in rates.keys() - {OURS, FIRST}:
            what = f"clips per second, {name} / {peer}"
            figures.add(case, what, rates[name] / rates[peer])


def waiting(examples, rounds, load):
    """Share of a step that waits for data, where a step takes `load` times a batch's time.

    The step sleeps, as a processor does that hands its work to an accelerator.
    """
    dataset = video_clip_dataset(
        examples, batch_size=BATCH, num_parallel_calls=THREADS, cache_bytes=0, **CLIP
    )
    iterator = iter(dataset)
    following = timed(lambda: next(iterator))
    for _ in range(len(examples) // BATCH + 2):
        following()
    seconds = np.median([following() for _ in range(10)])
    shares = []
    for _ in range(rounds):
        waited = 0.0
        for _ in range(4):
            time.sleep(load * seconds)
            waited += following()
        shares.append(waited / (waited + 4 * load * seconds))
    return shares


def peak_memory(frames, folder):
    """Most MiB that a fresh process takes to read clips of a video of so many frames."""
    path = write_video(os.path.join(folder, f"{frames}.avi"), frames, seed=1)
    done = subprocess.run(
        [sys.executable, __file__, path],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return float(done.stdout)


def print_memory(path):
    indices = np.arange(11)
    source = FrameSource(256, cache_bytes=50e6)
    for share in (0.9, 0.1, 0.5):
        source.read(path, lambda count, share=share: int(share * count) - 11 + indices)
    # The peak of getrusage would count what the parent held when it started this.
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    print(int(line.split()[1]) / 1024)


if __name__ == "__main__":
    print_memory(sys.argv[1])
