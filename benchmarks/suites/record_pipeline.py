"""Clips a second from packed records against the same clips from the videos.

    python benchmarks/record_pipeline.py --root VIDEOS [--runs 10] [--json FILE]

VIDEOS is a folder of class folders. Both pipelines take 11 frames of 224x224 from frames of
short side 256, two clips at a time, with crop and flip; nothing is cached between clips
(`cache_bytes=0`), as with a dataset larger than memory. Runs alternate, so that other work
on the machine meets both.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time

import av
import tensorflow as tf

from h2s_keras.data import class_folder_source, video_clip_dataset
from h2s_keras.data.datasets.dataset_list import DatasetList
from h2s_keras.data.records.pack import pack_records
from h2s_keras.data.records.packing import PackSettings, list_plan
from h2s_keras.data.records.record_clips import RecordClips

CLIP = {"num_frames": 11, "image_size": (224, 224)}
BATCH = 8


def clips_per_second(dataset, count):
    """Of a finite data set, from its start to its end.

    An endless one would go on filling its buffers while the other pipeline is measured,
    to its own gain and the other's loss.
    """
    started = time.perf_counter()
    found = sum(len(labels) for _, labels in dataset)
    seconds = time.perf_counter() - started
    assert found == BATCH * count
    return found / seconds


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("--root", required=True)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--batches", type=int, default=6, help="in a run")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    examples, names = class_folder_source(arguments.root)
    listed = DatasetList(arguments.root, names, examples, ())
    with tempfile.TemporaryDirectory() as folder:
        plan = list_plan({"1": listed}, arguments.root, PackSettings(), 4)
        index = pack_records(plan, os.path.join(folder, "records"))
        count = arguments.batches
        records = RecordClips(index, index.examples(), **CLIP)
        videos = video_clip_dataset(
            examples, batch_size=BATCH, seed=1, decode_size=256, cache_bytes=0, **CLIP
        )
        datasets = {
            "records": records.training(BATCH, seed=1, steps=count),
            "videos": videos.take(count),
        }
        rates = {name: [] for name in datasets}
        # The first time, videos are also scanned for their frames; that is not compared.
        for _ in videos.take(-(-len(examples) // BATCH)):
            pass
        for dataset in datasets.values():
            clips_per_second(dataset, count)
        for _ in range(arguments.runs):
            for name, dataset in datasets.items():
                rates[name].append(clips_per_second(dataset, count))
    ratios = [a / b for a, b in zip(rates["records"], rates["videos"], strict=True)]
    result = {
        "command": "python benchmarks/record_pipeline.py --root VIDEOS "
        f"--runs {arguments.runs} --batches {arguments.batches}",
        "videos": f"{len(examples)} videos, {index.counts()['frames']} frames",
        "clips_per_second": {
            name: {
                "median": round(statistics.median(values), 1),
                "least": round(min(values), 1),
                "most": round(max(values), 1),
            }
            for name, values in rates.items()
        },
        "ratio": {
            "median": round(statistics.median(ratios), 2),
            "least": round(min(ratios), 2),
            "most": round(max(ratios), 2),
        },
        "runs": arguments.runs,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, no GPU",
        "load_average": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "av": av.__version__,
        },
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json:
        with open(arguments.json, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
