"""Suite `record_pipeline`: packed records against the same clips from the videos.

    python -m benchmarks record_pipeline --root VIDEOS --rounds 10

Both pipelines take 11 frames of 224x224 from frames of short side 256, eight clips at a
time, with crop and flip; nothing is cached between clips (`cache_bytes=0`), as with a
dataset larger than memory.
"""

import os
import tempfile

from benchmarks.harness import measure, timed
from benchmarks.synthetic_video import write_class_folders
from h2s_keras.data import class_folder_source, video_clip_dataset
from h2s_keras.data.clips.augmentation import ClipAugmentation
from h2s_keras.data.clips.sampling import ClipSampling
from h2s_keras.data.datasets.dataset_list import DatasetList
from h2s_keras.data.records.pack import pack_records
from h2s_keras.data.records.packing import PackSettings, list_plan
from h2s_keras.data.records.record_clips import RecordClips

CLIP = {"num_frames": 11, "image_size": (224, 224)}
BATCH = 8


def add_arguments(parser):
    parser.add_argument("--root", help="folder of class folders (synthetic videos)")
    parser.add_argument("--batches", type=int, default=6, help="in a round (6)")


def run(settings, figures):
    with tempfile.TemporaryDirectory() as folder:
        root = settings.options.root
        if root is None:
            frames = 30 if settings.smoke else 150
            root = write_class_folders(os.path.join(folder, "videos"), 2 * BATCH, frames)
        _measure(figures, settings, root, os.path.join(folder, "records"))


def _measure(figures, settings, root, folder):
    examples, names = class_folder_source(root)
    listed = DatasetList(root, names, examples, ())
    index = pack_records(list_plan({"1": listed}, root, PackSettings(), 4), folder)
    figures.value("videos", len(examples))
    figures.value("frames", index.counts()["frames"])
    count = 1 if settings.smoke else settings.options.batches
    sampling = ClipSampling(CLIP["num_frames"])
    augment = ClipAugmentation(CLIP["image_size"])
    records = RecordClips(index, index.examples(), sampling, augment)
    videos = video_clip_dataset(
        examples, batch_size=BATCH, seed=1, decode_size=256, cache_bytes=0, **CLIP
    )
    # Finite ones: an endless one would go on filling its buffers while the other is
    # measured, to its own gain and the other's loss.
    datasets = {
        "records": records.training(BATCH, seed=1, steps=count),
        "videos": videos.take(count),
    }
    # The first time, videos are also scanned for their frames; that is not compared.
    for _ in videos.take(-(-len(examples) // BATCH)):
        pass
    functions = {
        name: timed(lambda dataset=dataset: _read(dataset, count))
        for name, dataset in datasets.items()
    }
    seconds = measure(functions, settings.rounds, warm_up=1)
    case = f"{count} batches of {BATCH}"
    for name, values in seconds.items():
        rates = [BATCH * count / one for one in values]
        figures.add(case, f"clips per second from {name}", rates)
    # As rates: how many times as fast.
    pairs = zip(seconds["videos"], seconds["records"], strict=True)
    what = "clips per second from records / videos"
    figures.add(case, what, [videos / records for videos, records in pairs])
    figures.add_seconds(case, seconds)


def _read(dataset, count):
    found = sum(len(labels) for _, labels in dataset)
    if found != BATCH * count:
        raise RuntimeError(f"{found} clips were read, not {BATCH * count}")
