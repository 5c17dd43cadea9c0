"""What each part of a scorer of behaviours buys, from the features that its runs kept.

Command: python -m benchmarks.ethogram_figures RUN... (of h2s ethogram train, one per seed)
For every run, on its test videos: each stream alone, both streams, both smoothed over 9
frames, and the temporal heads. Rules of the streams are chosen on the validation videos,
which no stream saw; those of the heads are the run's. Of several runs the mean and, in
brackets, the least and the largest.
"""

import sys

import numpy as np

from h2s_keras.ethogram import BehaviorScorer, choose_rules, decide, measure
from h2s_keras.ethogram.frame_network import probabilities
from h2s_keras.ethogram.labelled_videos import LabelledVideo, load_labels
from h2s_keras.ethogram.scorer import read_videos

NAMES = ("f1", "average_precision", "bout_f1", "onset_error")
SMOOTHED = 9


def smoothed(values, width=SMOOTHED):
    """Mean over `width` frames around each; at the ends the first and last repeat."""
    padded = np.pad(values, ((width // 2, width // 2), (0, 0)), "edge")
    sums = np.cumsum(np.pad(padded, ((1, 0), (0, 0))), axis=0, dtype="float64")
    return ((sums[width:] - sums[:-width]) / width).astype("float32")


def figures_of(folder):
    """dict of part of the scorer to `Figures` of the run's test videos."""
    scorer = BehaviorScorer.from_run(folder)
    rows = [row for row in read_videos(folder) if row["part"] in ("validation", "test")]
    videos = [LabelledVideo(row["video"], row["labels"], row["group"]) for row in rows]
    labels = load_labels(videos, scorer.behaviors)
    features = [scorer.features(one.video)[0] for one in videos]
    count = len(scorer.behaviors)
    temporal = [one[:, -2 * count : -count].astype("float32") for one in features]
    spatial = [one[:, -count:].astype("float32") for one in features]
    both = [(one + two) / 2 for one, two in zip(temporal, spatial, strict=True)]
    variants = {
        "picture stream": [probabilities(one) for one in spatial],
        "flow stream": [probabilities(one) for one in temporal],
        "both streams": [probabilities(one) for one in both],
        f"both, mean of {SMOOTHED} frames": [smoothed(probabilities(one)) for one in both],
        "temporal heads": [scorer.probabilities(one) for one in features],
    }
    parts = np.array([row["part"] for row in rows])
    found = {}
    for name, scores in variants.items():

        def of(part, values):
            return [values[index] for index in np.flatnonzero(parts == part)]

        if name == "temporal heads":
            rules = scorer.rules
        else:
            rules = choose_rules(of("validation", labels), of("validation", scores))
        marks = [decide(one, rules) for one in of("test", scores)]
        found[name] = measure(of("test", labels), marks, of("test", scores), samples=0)
    return found


def main(folders):
    runs = [figures_of(folder) for folder in folders]
    print("| part | F1 | mAP | bout F1 | onset error, frames |\n|---|---|---|---|---|")
    for part in runs[0]:
        cells = [_cell([run[part].macro[name].value for run in runs]) for name in NAMES]
        print(f"| {part} | {' | '.join(cells)} |")
    behaviors = runs[0]["temporal heads"].behaviors
    print("\n| behaviour | F1 | average precision | bout F1 | onset error |")
    print("|---|---|---|---|---|")
    for behavior in behaviors:
        cells = []
        for name in NAMES:
            found = [run["temporal heads"].behaviors[behavior][name].value for run in runs]
            cells.append(_cell(found))
        print(f"| {behavior} | {' | '.join(cells)} |")


def _cell(values):
    known = [value for value in values if value is not None]
    if not known:
        return "not measurable"
    mean = f"{np.mean(known):.3f}"
    return mean if len(known) == 1 else f"{mean} ({min(known):.3f} to {max(known):.3f})"


if __name__ == "__main__":
    main(sys.argv[1:])
