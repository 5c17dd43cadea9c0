"""State events: two moments that together make a bout."""

import itertools

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Interval


def pair_marked(found, events):
    """Adds the bouts of events that are marked START, STOP or POINT.

    Args:
        found: the `Annotation` to fill.
        events: (seconds, subject, behaviour, modifiers, mark) each.

    A START or STOP without its other half is the annotation's `problem`.
    """
    _pair(found, events)


def pair_by_order(found, events, states):
    """As `pair_marked`, of events that are not marked: the first starts, the next stops.

    Args:
        found: the `Annotation` to fill.
        events: (seconds, subject, behaviour, modifiers) each.
        states: names of the behaviours that have a duration.
    """
    running, marked = set(), []
    for event in sorted(events, key=lambda event: event[0]):
        key = event[1:4]
        if event[2] not in states:
            mark = "POINT"
        elif key in running:
            running.remove(key)
            mark = "STOP"
        else:
            running.add(key)
            mark = "START"
        marked.append((*event, mark))
    _pair(found, marked)


def _pair(found, events):
    open_bouts, points = {}, 0
    events = sorted(events, key=lambda event: event[0])
    for seconds, moment in itertools.groupby(events, key=lambda event: event[0]):
        marks = {}
        for _, *key, mark in moment:
            if mark == "POINT":
                points += 1
            else:
                marks.setdefault(tuple(key), []).append(mark)
        for key, left in marks.items():
            # At one moment a running bout stops before the next starts, whatever the order.
            while left:
                mark = "STOP" if key in open_bouts else "START"
                if mark not in left:
                    since = open_bouts.get(key, seconds)
                    found.problem = _unpaired(found, key[1], left[0], since, mark)
                    return
                left.remove(mark)
                if mark == "START":
                    open_bouts[key] = seconds
                else:
                    start = open_bouts.pop(key)
                    found.intervals.append(Interval(key[1], start, seconds, key[0]))
    for (_, behavior, _), seconds in open_bouts.items():
        found.problem = _unpaired(found, behavior, "START", seconds, "STOP")
    found.intervals.sort(key=lambda interval: interval.start)
    if points:
        found.notes.append(
            f"{points} point events have no duration and were left out"
            if points > 1
            else "1 point event has no duration and was left out"
        )
    if not found.behaviors:
        found.behaviors = tuple(dict.fromkeys(bout.behavior for bout in found.intervals))


def _unpaired(found, behavior, mark, seconds, other):
    where = f"{found.entry}: " if found.entry else ""
    return FileError(
        found.path,
        f"{where}the {mark} of {behavior!r} at {seconds:g} s has no {other}; correct the "
        "state events in the program that wrote them",
    )
