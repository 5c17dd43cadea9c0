"""A part of the training videos that a run learns nothing from, to choose by."""

import collections
import dataclasses
import os
import re

import numpy as np

from h2s_keras.data.video.video_info import probe_video
from h2s_keras.errors import UserError

# Parts of file names that say who or where, with their number: person03, s1, cam2, ...
_GROUP_WORDS = (
    "person|subject|subj|actor|speaker|user|participant|patient|animal|mouse|rat|scene|"
    "session|sequence|seq|camera|cam|day|house|room|group|p|s|g"
)


def split_validation(examples, share, seed=0):
    """Sets some videos aside, of every class, and of whole groups where they are small.

    Args:
        examples: `VideoExample`s to train on.
        share: share of the videos, 0 to 0.5; 0 for no validation.
        seed: seed of the draw.

    Returns:
        (training, validation), tuples of `VideoExample`s in their order. The validation is
        as many whole groups as come closest to the share, and single videos where there
        are no groups or each is too large; empty for a share of 0 and where every class
        has one video only.

    Raises:
        UserError: the share is out of range.

    Example:

    ```python
    training, validation = split_validation(examples, share=0.2)
    ```
    """
    _check_share(share)
    examples = tuple(examples)
    generator = np.random.default_rng([seed, 3])
    groups = {example.group for example in examples}
    if share == 0 or not examples:
        chosen = set()
    else:
        chosen = set()
        if groups != {None} and len(groups) > 1:
            chosen = _chosen_groups(examples, share, generator)
        if not chosen:
            chosen = _chosen_videos(examples, share, generator)
    return (
        tuple(e for number, e in enumerate(examples) if number not in chosen),
        tuple(e for number, e in enumerate(examples) if number in chosen),
    )


def split_in_time(example, share, rate=None):
    """Sets the end of a single video aside.

    Args:
        example: `VideoExample` of a whole video.
        share: share of its seconds, 0 to 0.5.
        rate: frames per second that a folder of frames was extracted at, or None.

    Returns:
        (training, validation), tuples of one `VideoExample` each. The validation is empty
        for a share of 0, and where nothing says how long the video is.

    Raises:
        UserError: the share is out of range.
        VideoError: the video cannot be read.
    """
    _check_share(share)
    if share == 0:
        return (example,), ()
    info = probe_video(example.path)
    seconds = info.duration
    if os.path.isdir(example.path) and rate and info.frame_count_claimed:
        seconds = info.frame_count_claimed / rate
    if not seconds:
        return (example,), ()
    cut = (1 - share) * seconds
    return (
        (dataclasses.replace(example, start=0.0, end=cut),),
        (dataclasses.replace(example, start=cut, end=seconds),),
    )


def _check_share(share):
    if not 0 <= share <= 0.5:
        raise UserError(f"data.validation takes a share from 0 to 0.5; received {share}")


def _chosen_videos(examples, share, generator):
    by_class = collections.defaultdict(list)
    for number, example in enumerate(examples):
        by_class[example.label].append(number)
    chosen = set()
    for numbers in by_class.values():
        count = min(max(1, round(share * len(numbers))), len(numbers) - 1)
        chosen.update(generator.permutation(numbers)[:count].tolist())
    return chosen


def _chosen_groups(examples, share, generator):
    """Whole groups in random order while each brings their number closer to the share.

    Every class keeps videos to train on. Of two people no one is set aside: half of the
    videos would be a high price for choosing weights.
    """
    names = sorted({str(example.group) for example in examples})
    members = {name: [] for name in names}
    for number, example in enumerate(examples):
        members[str(example.group)].append(number)
    left = collections.Counter(example.label for example in examples)
    chosen, wanted = set(), share * len(examples)
    for name in generator.permutation(names):
        missing = wanted - len(chosen)
        if abs(missing - len(members[name])) >= abs(missing):
            continue
        labels = collections.Counter(examples[number].label for number in members[name])
        if all(left[label] > count for label, count in labels.items()):
            left -= labels
            chosen.update(members[name])
    return chosen


def suggested_group_pattern(paths):
    r"""A pattern over file names that seems to say who or where, or None.

    Videos of one person, animal or recording resemble each other; where they lie on both
    sides of a split, its figures are too good. Names such as `person03_walk.avi` or
    `walk_s2_t1.mp4` show such groups.

    Args:
        paths: paths of the videos.

    Returns:
        a regular expression with one group for `data.group_pattern`, found in every name
        and with 2 to half as many values as there are videos; None where there is none.

    Example:

    ```python
    suggested_group_pattern(["a/person1_x.avi", "a/person2_x.avi", "b/person1_y.avi", ...])
    # 'person(\\d+)'
    ```
    """
    stems = [os.path.splitext(os.path.basename(path))[0].lower() for path in paths]
    for word in _GROUP_WORDS.split("|"):
        pattern = rf"(?i)(?:^|[^a-z]){word}[-_]?(\d+)"
        found = [re.search(pattern, stem) for stem in stems]
        if all(found) and 2 <= len({match[1] for match in found}) <= len(stems) // 2:
            return pattern
    return None
