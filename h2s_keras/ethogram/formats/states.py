"""State events: two moments that together make a bout."""

from h2s_keras.errors import FileError
from h2s_keras.ethogram.annotation import Interval


def pair_marked(found, events):
    """Adds the bouts of events that are marked START, STOP or POINT.

    Args:
        found: the `Annotation` to fill.
        events: (seconds, subject, behaviour, modifiers, mark) each.

    Raises:
        FileError: a START or STOP without its other half.
    """
    # Where one bout stops and the next starts, the stop comes first.
    order = {"STOP": 0, "POINT": 1, "START": 2}
    _pair(found, sorted(events, key=lambda event: (event[0], order[event[4]])))


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
    for seconds, subject, behavior, modifiers, mark in events:
        key = subject, behavior, modifiers
        if mark == "POINT":
            points += 1
        elif mark == "START":
            if key in open_bouts:
                raise _unpaired(found, behavior, "START", open_bouts[key], "STOP")
            open_bouts[key] = seconds
        elif key not in open_bouts:
            raise _unpaired(found, behavior, "STOP", seconds, "START")
        else:
            found.intervals.append(
                Interval(behavior, open_bouts.pop(key), seconds, subject)
            )
    for (_, behavior, _), seconds in open_bouts.items():
        raise _unpaired(found, behavior, "START", seconds, "STOP")
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
