"""Progress of long work on stderr: a live line in a terminal, plain lines elsewhere."""

import sys
import time

import rich.console
import rich.live
import rich.progress_bar
import rich.table
import rich.text

_WIDEST_BAR = 30
# Narrower than this a bar shows nothing.
_NARROWEST_BAR = 5
# How often work that is only counted is reported where there is no terminal.
_REPORTS = 10


class Progress:
    """Shows what every command does: steps, time left, and what is measured meanwhile.

    In a terminal one line is kept up to date; step and time left are never cut, however
    narrow it is. Into a file or pipe a line is written now and then, so that a log stays
    readable.

    Args:
        stream: text stream; stderr by default.
    """

    def __init__(self, stream=None):
        self.console = rich.console.Console(file=stream or sys.stderr, highlight=False)
        self._spent, self._done = 0.0, 0
        self._runs_left = 0

    def message(self, text):
        """A line of its own, above the live one."""
        self.console.print(text, markup=False, soft_wrap=True)

    def runs(self, name, number, count):
        """Says which of several training runs begins, of which the time left counts all."""
        self.message(f"{name} ({number} of {count})")
        self._runs_left = count - number
        self._spent, self._done = 0.0, 0

    def stage(self, name, steps, done=0, place=(1, 1), later=0):
        """A Keras callback that shows a stage of training.

        Args:
            name: name of the stage.
            steps, done: batches in all and already trained.
            place: (number of the stage from 1, number of stages).
            later: batches of all stages after it.
        """
        import keras

        line = _Line(self.console, name, steps, done, "")
        if place[1] > 1:
            line.head = f"stage {place[0]} of {place[1]}: {name}"
        progress = self

        class StageProgress(keras.callbacks.Callback):
            """Counts the batches in `done`, which a guard may set back."""

            def __init__(self):
                super().__init__()
                self.done, self._rate = done, {}

            def on_train_begin(self, logs=None):
                line.start()

            def on_train_batch_end(self, batch, logs=None):
                self.done += 1
                self._show({**(logs or {}), **self._rate})

            def on_epoch_end(self, epoch, logs=None):
                # The learning rate is known once an epoch.
                self._rate = {
                    key: value for key, value in (logs or {}).items() if key == _RATE
                }
                self._show(logs)
                line.report()

            def _show(self, logs):
                line.update(self.done, _terms(logs), self._all_left())

            def _all_left(self):
                """Seconds left of all stages and runs, at the speed so far, or None."""
                batches = progress._done + line.worked()
                if place[1] == 1 and not progress._runs_left or not batches:
                    return None
                # A run that goes on in its middle knows only what is still to come of it.
                whole = steps + later + progress._done
                left = steps - self.done + later + progress._runs_left * whole
                return (progress._spent + line.elapsed()) / batches * left

            def close(self):
                """Leaves the terminal as it was, also after Ctrl-C."""
                progress._spent += line.elapsed()
                progress._done += line.worked()
                line.stop()

        return StageProgress()

    def count(self, things, total=None):
        """A counter of finished things, for work other than training.

        Args:
            things: what is counted, such as "videos".
            total: how many there are, or None where that is not known.

        Returns:
            context manager with the function `update(done)`.

        Example:

        ```python
        with Progress().count("videos", 27) as counter:
            counter.update(1)
        ```
        """
        return _Counter(_Line(self.console, things, total, 0, ""), total)

    def track(self, items, things):
        """Yields the items of a list, each counted when the next is asked for."""
        with self.count(things, len(items)) as counter:
            for item in items:
                yield item
                counter.advance()


class _Counter:
    def __init__(self, line, total):
        self.line, self.done = line, 0
        self.every = max(1, total // _REPORTS) if total else 100

    def __enter__(self):
        self.line.start()
        return self

    def update(self, done):
        self.done = done
        self.line.update(done)
        if done % self.every == 0 or done == self.line.total:
            self.line.report()

    def advance(self, count=1):
        """Counts more things; larger steps are reported as they come."""
        before, self.done = self.done, self.done + count
        self.line.update(self.done)
        if self.done // self.every > before // self.every or self.done == self.line.total:
            self.line.report()

    def __exit__(self, *exception):
        self.line.stop()


class _Line:
    """The state of one piece of work, drawn live or reported as text."""

    def __init__(self, console, head, total, done, terms):
        self.console, self.head = console, head
        self.total, self.first, self.done, self.terms = total, done, done, terms
        self.all_left = self.started = self.live = self.reported = None

    def start(self):
        if self.started is None:
            self.started = time.monotonic()
        if self.console.is_terminal and self.live is None:
            self.live = rich.live.Live(
                console=self.console,
                get_renderable=self._draw,
                refresh_per_second=4,
                # Results go to stdout as they are, wherever it leads.
                redirect_stdout=False,
            )
            self.live.start()

    def stop(self):
        if self.live is not None:
            self.live.stop()
            self.live = None

    def update(self, done, terms="", all_left=None):
        # A guard that goes back to an earlier state also takes back what was counted.
        self.first = min(self.first, done)
        self.done, self.terms, self.all_left = done, terms, all_left

    def report(self):
        """A line of its own, unless the live line shows it."""
        if self.live is not None:
            return
        text = f"{self.head} {self._steps()}"
        if self.terms:
            text += f" {self.terms}"
        times = [f"{self.elapsed():.0f} s", self._left(), self._all()]
        text += f" ({', '.join(part for part in times if part)})"
        self.console.print(text, markup=False, soft_wrap=True)

    def elapsed(self):
        return 0.0 if self.started is None else time.monotonic() - self.started

    def worked(self):
        """Steps done since this began."""
        return self.done - self.first

    def _steps(self):
        return f"{self.done}" if self.total is None else f"{self.done}/{self.total}"

    def _left(self):
        if self.total is None or not self.worked():
            return ""
        left = self.elapsed() / self.worked() * (self.total - self.done)
        return f"{readable_duration(left)} left"

    def _all(self):
        if self.all_left is None:
            return ""
        return f"{readable_duration(self.all_left)} in all"

    def _draw(self):
        """Head, bar, step and time left in one line; what does not fit goes below."""
        width = self.console.width
        figures = "  ".join(part for part in (self._steps(), self._left()) if part)
        if self._all():
            figures += f", {self._all()}"
        room = width - len(figures) - 2
        head = rich.text.Text(self.head, no_wrap=True, overflow="ellipsis")
        bar = min(_WIDEST_BAR, room - len(self.head) - 2)
        table = rich.table.Table.grid(padding=(0, 2, 0, 0))
        with_bar = self.total is not None and bar >= _NARROWEST_BAR
        table.add_column(width=len(self.head) if with_bar else min(len(self.head), room))
        cells = [head]
        if with_bar:
            table.add_column(width=bar)
            cells.append(rich.progress_bar.ProgressBar(self.total, self.done, width=bar))
        table.add_column(width=len(figures), no_wrap=True)
        table.add_row(*cells, figures)
        if not self.terms:
            return table
        terms = rich.text.Text(f"  {self.terms}", no_wrap=True, overflow="ellipsis")
        return rich.console.Group(table, terms)


_RATE = "learning_rate"


def _terms(logs):
    return " ".join(f"{name} {readable(value)}" for name, value in (logs or {}).items())


def readable(value):
    """A figure with three digits after the point, or three that are not 0.

    >>> readable(1.23456), readable(0.000032), readable(32768.0)
    ('1.235', '3.2e-05', '32768')
    """
    value = float(value)
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if 0 < abs(value) < 0.1 else f"{value:.3f}"


def readable_duration(seconds):
    """Seconds as minutes and hours.

    >>> readable_duration(7.2), readable_duration(3723), readable_duration(200000)
    ('0:07', '1:02:03', '2 d 7 h')
    """
    seconds = round(max(0.0, seconds))
    if seconds >= 86400:
        return f"{seconds // 86400} d {seconds % 86400 // 3600} h"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}:{seconds:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
