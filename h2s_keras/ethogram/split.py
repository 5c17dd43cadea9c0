"""Groups of videos divided into parts that all show every behaviour, where they can."""

import numpy as np

from h2s_keras.errors import UserError

PARTS = ("train", "validation", "test")
_DRAWS = 300
# Parts whose shares are off by less in all are good enough to stop at.
_CLOSE = 0.02


def draw_split(truth, groups, shares=(0.6, 0.2, 0.2), parts=PARTS, excused=(), seed=0):
    """Divides labelled videos into parts by their groups.

    Every behaviour is in each part, and among the divisions for which that holds one is
    taken whose parts have about the wanted shares of the labelled frames.

    Args:
        truth: `FrameLabels` of each video, with the same behaviours.
        groups: name of each video's group; a group is in one part only.
        shares: of the labelled frames, one per part; they need not sum to 1.
        parts: names of the parts.
        excused: behaviours that need not be in every part.
        seed: of the draws.

    Returns:
        List of part names, one per video.

    Raises:
        UserError: says in words why there is no such division: fewer groups than parts, or
            which behaviours are in too few groups.

    Example:
        >>> labels = [FrameLabels(f"{n}", ("x",), np.ones((9, 1))) for n in range(3)]
        >>> sorted(draw_split(labels, ["a", "b", "c"]))
        ['test', 'train', 'validation']
    """
    shares = np.asarray(shares, "float64")
    if len(shares) != len(parts) or not (shares > 0).all():
        raise UserError(f"{len(parts)} parts need as many shares above 0; got {shares}")
    if len(groups) != len(truth):
        raise UserError(f"{len(truth)} labelled videos, but {len(groups)} groups")
    names = list(dict.fromkeys(groups))
    if len(names) < len(parts):
        raise UserError(
            f"{len(parts)} parts ({', '.join(parts)}) need as many groups of videos, but "
            f"there are {len(names)}; label more videos, or leave a part out"
        )
    behaviors = truth[0].behaviors
    row = np.array([names.index(group) for group in groups])
    shown, frames = np.zeros((len(names), len(behaviors))), np.zeros(len(names))
    for group, labels in zip(row, truth, strict=True):
        shown[group] += (labels.matrix == 1).sum(axis=0)
        frames[group] += (labels.matrix != -1).any(axis=1).sum()
    needed = [index for index, name in enumerate(behaviors) if name not in excused]
    _check_enough(shown[:, needed], [behaviors[index] for index in needed], names, parts)
    assigned = _draw(shown[:, needed] > 0, frames, shares / shares.sum(), seed)
    held = _shown_in(shown > 0, assigned, len(parts))
    missing = [
        f"{behaviors[index]!r} in {parts[part]}"
        for part, index in np.argwhere(~held)
        if index in needed
    ]
    if missing:
        raise UserError(
            f"no division of {len(names)} groups was found in which all {len(needed)} "
            f"behaviours are in each of {len(parts)} parts; the best lacks "
            f"{', '.join(missing)}; label more groups, or excuse these behaviours"
        )
    return [parts[assigned[group]] for group in row]


def _check_enough(shown, behaviors, names, parts):
    few = [
        f"{name!r} is in {count} ({', '.join(names[g] for g in np.flatnonzero(column))})"
        if count
        else f"{name!r} is in none"
        for name, column in zip(behaviors, shown.T, strict=True)
        if (count := int((column > 0).sum())) < len(parts)
    ]
    if few:
        raise UserError(
            f"a behaviour has to be in {len(parts)} groups to be in each of "
            f"{', '.join(parts)}, but of {len(names)} groups {'; '.join(few)}; label it in "
            "more groups, or excuse it"
        )


def _shown_in(shown, assigned, parts):
    """bool (parts, behaviours), whether any group of a part shows a behaviour."""
    return np.array([shown[assigned == part].any(axis=0) for part in range(parts)])


def _draw(shown, frames, shares, seed):
    """Part number of each group: the best of many random divisions."""
    random = np.random.default_rng(seed)
    best, assigned = None, None
    for _ in range(_DRAWS):
        candidate = _one_division(shown, frames, shares, random)
        absent = int((~_shown_in(shown, candidate, len(shares))).sum())
        held = np.bincount(candidate, frames, len(shares)) / max(frames.sum(), 1)
        worth = (absent, np.abs(held - shares).sum())
        if best is None or worth < best:
            best, assigned = worth, candidate
        if best < (0, _CLOSE):
            break
    return assigned


def _one_division(shown, frames, shares, random):
    """The rarest behaviours first, each to the parts that lack it; then by share."""
    parts = len(shares)
    candidate = np.full(len(shown), -1)
    rarity = shown.sum(axis=0) + random.random(shown.shape[1])
    for behavior in np.argsort(rarity):
        for part in random.permutation(parts):
            if shown[candidate == part, behavior].any():
                continue
            free = np.flatnonzero((candidate == -1) & shown[:, behavior])
            if len(free):
                candidate[random.choice(free)] = part
    for group in random.permutation(np.flatnonzero(candidate == -1)):
        held = np.bincount(candidate[candidate >= 0], frames[candidate >= 0], parts)
        empty = np.bincount(candidate[candidate >= 0], minlength=parts) == 0
        wanting = shares - held / max(frames.sum(), 1) + 10 * empty
        candidate[group] = int(np.argmax(wanting + 0.05 * random.random(parts)))
    return candidate
