"""Bouts of labels and predictions matched to each other, within what is labelled."""

import numpy as np

from h2s_keras.ethogram.labels import runs


def match_bouts(true, predicted, overlap=0.5):
    """Pairs of bouts whose temporal intersection over union is `overlap` or more.

    Each bout is in one pair at most; the pairs that overlap most are made first.

    Args:
        true, predicted: int (bouts, 2), rising starts and stops, stops exclusive.
        overlap: above 0, at most 1.

    Returns:
        int (pairs, 2), indices into `true` and `predicted`.

    Example:
        >>> match_bouts(np.array([[0, 10]]), np.array([[1, 10], [20, 30]])).tolist()
        [[0, 0]]
    """
    true, predicted = np.reshape(true, (-1, 2)), np.reshape(predicted, (-1, 2))
    pairs = []
    first = 0
    for index, (start, stop) in enumerate(true):
        while first < len(predicted) and predicted[first, 1] <= start:
            first += 1
        other = first
        while other < len(predicted) and predicted[other, 0] < stop:
            begin, end = predicted[other]
            both = min(stop, end) - max(start, begin)
            union = max(stop, end) - min(start, begin)
            if both >= overlap * union:
                pairs.append((-both / union, index, other))
            other += 1
    taken_true, taken_predicted, kept = set(), set(), []
    for _, index, other in sorted(pairs):
        if index not in taken_true and other not in taken_predicted:
            taken_true.add(index)
            taken_predicted.add(other)
            kept.append((index, other))
    return np.array(sorted(kept), int).reshape(-1, 2)


def compare_bouts(labels, predicted, overlap=0.5):
    """Counts and edge errors of the bouts of one behaviour in one video.

    Frames that are not labelled belong to no bout, neither a true nor a predicted one, and
    part a bout that they lie in. An edge at the first or last frame of a labelled stretch
    has no error: nobody saw where the bout began or ended.

    Args:
        labels: int (frames,), 1, 0 or -1.
        predicted: bool (frames,).
        overlap: as for `match_bouts`.

    Returns:
        (matched, true, predicted bouts, onset errors, offset errors); errors are int
        arrays, in frames, positive where the prediction is late.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted, bool)
    matched, true_count, predicted_count = 0, 0, 0
    onsets, offsets = [], []
    for begin, end in runs(labels != -1):
        true = runs(labels[begin:end] == 1)
        guessed = runs(predicted[begin:end])
        pairs = match_bouts(true, guessed, overlap)
        matched += len(pairs)
        true_count += len(true)
        predicted_count += len(guessed)
        for index, other in pairs:
            if true[index, 0] > 0:
                onsets.append(guessed[other, 0] - true[index, 0])
            if true[index, 1] < end - begin:
                offsets.append(guessed[other, 1] - true[index, 1])
    return matched, true_count, predicted_count, np.array(onsets), np.array(offsets)
