"""What simple methods get on a folder of videos, in the folds of `h2s train videos`.

Command: python benchmarks/simple_methods.py TABLE.csv [--test GROUP | --each] [--seeds 3]
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

Printed: videos right over all groups left out, and seconds of the processor for all folds.
Only the order of the videos depends on a seed here, and none of these methods on it.
"""

import argparse
import csv
import json
import os
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("table")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--test", help="group left out")
    which.add_argument("--each", action="store_true", help="each group left out in turn")
    parser.add_argument("--out", help="JSON file")
    options = parser.parse_args()
    with open(options.table, newline="") as file:
        rows = list(csv.DictReader(file))
    folder = os.path.dirname(os.path.abspath(options.table))
    labels = np.array([row["class"] for row in rows])
    groups = np.array([row["group"] for row in rows])
    features = {name: [] for name in METHODS}
    seconds = dict.fromkeys(METHODS, 0.0)
    for row in rows:
        grey, shape = grey_frames(os.path.join(folder, row["path"]))
        features["shape"].append(shape)
        for name, function in FEATURES.items():
            started = time.process_time()
            features[name].append(function(grey))
            seconds[name] += time.process_time() - started
    left_out = sorted(set(groups)) if options.each else [options.test]
    table = {}
    for name, make in METHODS.items():
        values, right, count = np.array(features[name], "float64"), 0, 0
        for group in left_out:
            test = groups == group
            model = make().fit(values[~test], labels[~test])
            right += int((model.predict(values[test]) == labels[test]).sum())
            count += int(test.sum())
        table[name] = {"right": right, "videos": count, "seconds": seconds[name]}
        print(f"{name:16} {right} of {count} ({100 * right / count:.1f} %)", flush=True)
    if options.out:
        with open(options.out, "w") as file:
            json.dump(table, file, indent=1)


if __name__ == "__main__":
    main()
