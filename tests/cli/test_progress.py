"""Progress in terminals of several widths, and as lines of a log."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest

from h2s_keras.cli.progress import Progress, readable, readable_duration

WIDTHS = (60, 80, 120)
SCRIPT = """
import fcntl, struct, sys, termios, time
from h2s_keras.cli.progress import Progress

for width in map(int, sys.argv[1:]):
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    print(f"width {width}", file=sys.stderr, flush=True)
    progress = Progress()
    stage = progress.stage("end_to_end", 500, 117, (2, 4), 800)
    stage.on_train_begin()
    for step in range(3):
        time.sleep(0.1)
        logs = {"loss": 1.23456, "photometric": 0.5, "smoothness": 2.5e-05}
        stage.on_train_batch_end(step, {**logs, "accuracy": 0.25})
    stage.on_epoch_end(0, {**logs, "learning_rate": 3.2e-05})
    time.sleep(0.3)
    stage.close()
    with progress.count("videos", 27) as counter:
        for number in range(1, 10):
            time.sleep(0.05)
            counter.update(number)
        print("to stdout")
        time.sleep(0.3)
"""


@pytest.fixture(scope="module")
def screens():
    """dict of width to the lines that were drawn in a terminal of so many columns."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, WIDTHS)],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        env=environment,
    )
    os.close(slave)
    said = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says so at the end.
            break
        if not part:
            break
        said += part
    os.close(master)
    out = child.stdout.read()
    assert child.wait() == 0, said.decode()
    assert out == b"to stdout\n" * len(WIDTHS)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", said.decode())
    found = {}
    for line in filter(None, map(str.rstrip, re.split(r"[\r\n]+", plain))):
        if line.startswith("width "):
            lines = found.setdefault(int(line.split()[1]), [])
        elif found:
            lines.append(line)
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_step_and_time_left_are_seen_at_every_width(screens, width):
    # Colours cut a line into pieces; put those of one drawing together again.
    text = " ".join(screens[width])
    assert "stage 2 of 4: end_to_end" in text
    assert re.search(r"120/500 +\d+:\d\d left, \d+:\d\d in all", text)
    assert re.search(r"videos .*9/27 +0:\d\d left", text)
    assert "loss 1.235 photometric 0.500" in text
    assert max(map(len, screens[width])) <= width
    # What there is room for is shown: all terms, and the learning rate as a number.
    assert ("learning_rate 3.2e-05" in text) == (width >= 80)


def test_a_log_has_whole_lines():
    stream = io.StringIO()
    progress = Progress(stream)
    stage = progress.stage("motion", 8, 0, (1, 2), 12)
    stage.on_train_begin()
    for step in range(4):
        stage.on_train_batch_end(step, {"loss": 2.0})
    stage.on_epoch_end(0, {"loss": 2.0, "learning_rate": 0.00032})
    stage.close()
    (line,) = stream.getvalue().splitlines()
    pattern = (
        r"stage 1 of 2: motion 4/8 loss 2\.000 learning_rate 0\.00032 "
        r"\(\d+ s, \d:\d\d left, \d:\d\d in all\)"
    )
    assert re.fullmatch(pattern, line)


def test_time_left_of_all_stages_and_runs(monkeypatch):
    """At one second per batch the batches still to come are the seconds."""
    clock = [0.0]
    monkeypatch.setattr("h2s_keras.cli.progress.time.monotonic", lambda: clock[0])
    stream = io.StringIO()
    progress = Progress(stream)
    progress.runs("group 1 left out", 1, 3)
    for name, steps, place, later in (("a", 10, (1, 2), 20), ("b", 20, (2, 2), 0)):
        stage = progress.stage(name, steps, 0, place, later)
        stage.on_train_begin()
        for step in range(steps // 2):
            clock[0] += 1
            stage.on_train_batch_end(step, {})
        stage.on_epoch_end(0, {})
        for step in range(steps // 2):
            clock[0] += 1
            stage.on_train_batch_end(step, {})
        stage.close()
    first, *lines = stream.getvalue().splitlines()
    assert first == "group 1 left out (1 of 3)"
    # 5 + 20 batches of this run, then 10 of it; 30 of each of two more.
    assert lines == [
        "stage 1 of 2: a 5/10 (5 s, 0:05 left, 1:25 in all)",
        "stage 2 of 2: b 10/20 (10 s, 0:10 left, 1:10 in all)",
    ]


def test_a_guard_that_goes_back_is_followed(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("h2s_keras.cli.progress.time.monotonic", lambda: clock[0])
    stream = io.StringIO()
    stage = Progress(stream).stage("a", 20, 10)
    stage.on_train_begin()
    stage.done = 5
    clock[0] += 2
    stage.on_train_batch_end(0, {})
    stage.on_epoch_end(0, {})
    assert "a 6/20" in stream.getvalue()


@pytest.mark.parametrize(
    "value, text",
    [(1.23456, "1.235"), (3.2e-5, "3.2e-05"), (0.00097, "0.00097"), (0.0, "0.000")]
    + [(0.05432, "0.0543"), (32768.0, "32768"), (float("nan"), "nan"), (-2.5, "-2.500")],
)
def test_figures_can_be_read(value, text):
    assert readable(value) == text


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0:00"), (7.2, "0:07"), (59.9, "1:00"), (3723, "1:02:03"), (200000, "2 d 7 h")],
)
def test_durations(seconds, text):
    assert readable_duration(seconds) == text
