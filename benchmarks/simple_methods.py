"""What simple methods get on a folder of videos, in the folds of `h2s train videos`.

Command: python benchmarks/simple_methods.py TABLE.csv (--test GROUP | --each)
    [--per_class 2 5 10 --draws 5] [--ours MINUTES] [--out FILE]
    (TABLE.csv has the columns path, class and group, as data.csv of the recipe `videos`;
    needs opencv-contrib-python-headless and scikit-learn.)

Methods, each with the settings that its library ships with:
- shape: length, height and width of the file, 5 nearest neighbours: what a set gives away
  before a single pixel is looked at;
- thumbnails: 10x10 grey pictures at 8 moments of the video, ridge regression;
- differences: mean absolute difference of neighbouring frames on a 16x16 grid in 4 parts of
  the video, logistic regression;
- flow histograms: DIS flow at 128 pixels, 8 directions weighted by length on a 4x4 grid in
  3 parts of the video, square roots, support vector machine.

With --per_class only so many videos of a class are trained on, drawn anew for each draw;
with --ours the recipe `videos` learns from the same ones with so many minutes as --budget.

Printed: videos right over all groups left out and all draws, and seconds of the processor,
those for the features of all videos with them.
"""

import argparse
import csv
import functools
import json
import os
import tempfile
import time
import warnings

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from h2s_keras.data.video.reading import read_frames

SIDE = 128  # of the short side, for flow


def grey_frames(path):
    """(frames, height, width) uint8 with a short side of 128, and the shape of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = read_frames(path, on_broken="keep")
    shape = frames.shape[:3]
    scale = SIDE / min(shape[1:])
    size = round(shape[2] * scale), round(shape[1] * scale)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    return np.stack(
        [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in grey]
    ), shape


def parts(values, count):
    """Means of `count` parts in time, joined; a part of a short video may be empty."""
    edges = np.linspace(0, len(values), count + 1).round().astype(int)
    return np.concatenate(
        [
            values[a : max(b, a + 1)].mean(0).ravel()
            for a, b in zip(edges[:-1].clip(max=len(values) - 1), edges[1:], strict=True)
        ]
    )


def thumbnails(grey):
    moments = np.linspace(0, len(grey) - 1, 8).round().astype(int)
    small = [
        cv2.resize(grey[i], (10, 10), interpolation=cv2.INTER_AREA).ravel() for i in moments
    ]
    return np.concatenate(small).astype("float64")


def differences(grey):
    steps = np.abs(np.diff(grey.astype("float32"), axis=0))
    small = [cv2.resize(step, (16, 16), interpolation=cv2.INTER_AREA) for step in steps]
    return parts(np.stack(small), 4)


def flow_histograms(grey):
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = []
    for one, two in zip(grey[:-1], grey[1:], strict=True):
        flow = dis.calc(one, two, None)
        length = np.hypot(flow[..., 0], flow[..., 1])
        direction = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi) * 8
        histogram = np.zeros((4, 4, 8))
        rows = np.arange(flow.shape[0]) * 4 // flow.shape[0]
        columns = np.arange(flow.shape[1]) * 4 // flow.shape[1]
        cells = (
            np.broadcast_to(rows[:, None], length.shape),
            np.broadcast_to(columns[None], length.shape),
        )
        np.add.at(histogram, (*cells, np.floor(direction).astype(int) % 8), length)
        found.append(histogram)
    values = parts(np.stack(found), 3)
    return np.sqrt(values / max(values.sum(), 1e-9))


METHODS = {
    "shape": lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
    "thumbnails": lambda: make_pipeline(StandardScaler(), RidgeClassifier(100.0)),
    "differences": lambda: make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=2000)
    ),
    "flow histograms": lambda: make_pipeline(StandardScaler(), SVC(C=10.0)),
}
FEATURES = {
    "thumbnails": thumbnails,
    "differences": differences,
    "flow histograms": flow_histograms,
}


def read_table(path):
    """Paths, classes and groups of the videos of a table, as arrays."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    folder = os.path.dirname(os.path.abspath(path))
    paths = [os.path.join(folder, row["path"]) for row in rows]
    return (
        np.array(paths),
        np.array([row["class"] for row in rows]),
        np.array([row["group"] for row in rows]),
    )


def folds(groups, labels, left_out, per_class, draws):
    """Yields (places to train on, places to test on) of every group left out and draw."""
    for group in left_out:
        test = np.flatnonzero(groups == group)
        others = np.flatnonzero(groups != group)
        if per_class is None:
            yield others, test
            continue
        for draw in range(draws):
            generator = np.random.default_rng([draw, per_class])
            shuffled = generator.permutation(others)
            drawn = [
                shuffled[labels[shuffled] == name][:per_class] for name in np.unique(labels)
            ]
            yield np.sort(np.concatenate(drawn)), test


def ours(paths, labels, train, test, minutes):
    """How many videos of `test` the recipe `videos` names right, with both streams."""
    from h2s_keras import train_videos

    with tempfile.TemporaryDirectory() as scratch:
        table = os.path.join(scratch, "table.csv")
        with open(table, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "class", "group"))
            for part, places in (("train", train), ("test", test)):
                for place in places:
                    writer.writerow((paths[place], labels[place], part))
        options = {"group_column": "group", "test_group": "test"}
        out = os.path.join(scratch, "run")
        results = train_videos(table, out, minutes=minutes, **options)
    return round(results["final"]["fused_accuracy"] * len(test))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("table")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--test", help="group left out")
    which.add_argument("--each", action="store_true", help="each group left out in turn")
    parser.add_argument("--per_class", type=int, nargs="*", help="training videos a class")
    parser.add_argument("--draws", type=int, default=5, help="of these videos")
    parser.add_argument("--ours", type=float, metavar="MINUTES", help="the recipe `videos`")
    parser.add_argument("--out", help="JSON file")
    options = parser.parse_args()
    paths, labels, groups = read_table(options.table)
    features = {name: [] for name in METHODS}
    seconds = dict.fromkeys(METHODS, 0.0)
    for path in paths:
        grey, shape = grey_frames(path)
        features["shape"].append(shape)
        for name, function in FEATURES.items():
            started = time.process_time()
            features[name].append(function(grey))
            seconds[name] += time.process_time() - started
    features = {name: np.array(values, "float64") for name, values in features.items()}
    left_out = sorted(set(groups)) if options.each else [options.test]

    def simple(name, train, test):
        model = METHODS[name]().fit(features[name][train], labels[train])
        return int((model.predict(features[name][test]) == labels[test]).sum())

    methods = {name: functools.partial(simple, name) for name in METHODS}
    if options.ours is not None:
        methods["ours"] = functools.partial(ours, paths, labels, minutes=options.ours)
    table = []
    for per_class in options.per_class or [None]:
        for name, count_right in methods.items():
            started, right, count = time.process_time(), 0, 0
            for train, test in folds(groups, labels, left_out, per_class, options.draws):
                right += count_right(train=train, test=test)
                count += len(test)
            spent = seconds.get(name, 0.0) + time.process_time() - started
            table.append(
                {
                    "method": name,
                    "per_class": per_class,
                    "right": right,
                    "videos": count,
                    "seconds": spent,
                }
            )
            print(
                f"{per_class or 'all'} a class, {name:16} {right} of {count} "
                f"({100 * right / count:.1f} %), {spent:.0f} s",
                flush=True,
            )
    if options.out:
        with open(options.out, "w") as file:
            json.dump(table, file, indent=1)


if __name__ == "__main__":
    main()
