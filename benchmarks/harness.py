"""Timing in turns: warm-up skipped, peers interleaved, ratios within a round.

Other work on a machine slows whatever runs at the moment. Every round runs every function
once, in an order that changes, and ratios are taken within a round, so that such work meets
all of them; a bare time means little, and is kept only for the spread that it shows.
"""

import dataclasses
import statistics
import sys
import time

WARM_UP = 2
# Threads that wait actively for more work go to sleep before the next function runs.
PAUSE = 0.01


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the user asks of a suite.

    Attributes:
        rounds: how often everything is measured, at least 2; 10 or more for figures that
            are published.
        threads: cores that every peer may use.
        smoke: small inputs, to try the suite itself in seconds; its figures mean nothing.
        options: argparse.Namespace with the suite's own options, or None.
    """

    rounds: int = 12
    threads: int = 1
    smoke: bool = False
    options: object = None


def timed(function):
    """A function that runs `function` and returns the seconds that it took."""

    def run():
        started = time.perf_counter()
        function()
        return time.perf_counter() - started

    return run


def measure(functions, rounds, warm_up=WARM_UP, pause=PAUSE):
    """Seconds of every function in every round.

    Args:
        functions: dict from name to a function of nothing that returns the seconds of one
            run of what it measures; `timed` makes one.
        rounds: measured runs of each.
        warm_up: runs before that are not counted: compilation, first touches of memory.
        pause: seconds between two runs.

    Returns:
        dict from name to a list of `rounds` floats, in the order of the rounds.

    Example:
        >>> measure({"sum": timed(lambda: sum(range(1000)))}, rounds=10)
        {"sum": [1.1e-05, ...]}
    """
    for function in functions.values():
        for _ in range(warm_up):
            function()
    names, seconds = list(functions), {name: [] for name in functions}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(pause)
            seconds[name].append(functions[name]())
    return seconds


def summary(values):
    """Median, quartiles, range and number of values, rounded to four digits."""
    values = [float(value) for value in values]
    if len(values) > 1:
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    else:
        low = middle = high = values[0]
    return {
        "median": rounded(middle),
        "quartiles": [rounded(low), rounded(high)],
        "range": [rounded(min(values)), rounded(max(values))],
        "runs": len(values),
    }


def rounded(value):
    return float(f"{value:.4g}")


class Figures:
    """What a suite found: ratios first, times behind them, and what was missing.

    Attributes:
        stopped: set where the user wants an end. The next figure then raises
            KeyboardInterrupt: one that comes while Python frees a TensorFlow function is
            printed and lost.

    Example:
        >>> figures = Figures()
        >>> seconds = measure(functions, rounds=12)
        >>> figures.ratio("forward", seconds, "ours", "grid_sample", aim=0.8)
    """

    def __init__(self):
        self.ratios, self.seconds, self.values, self.missing = [], {}, [], {}
        self.tables = []
        self.stopped = False

    def add_seconds(self, case, seconds):
        """Keeps the times of a case; its ratios are taken from them."""
        self.seconds[case] = {name: summary(times) for name, times in seconds.items()}

    def ratio(self, case, seconds, name, against, aim=None):
        """Adds time of `name` over time of `against`, round by round.

        Args:
            case: of `seconds`.
            seconds: of `measure`; nothing is added where one of the two is missing.
            name, against: of `seconds`.
            aim: the ratio that is wanted at most, or None.
        """
        if name not in seconds or against not in seconds:
            return
        self.add_seconds(case, seconds)
        pairs = zip(seconds[name], seconds[against], strict=True)
        self.add(
            case, f"time of {name} / {against}", [one / two for one, two in pairs], aim
        )

    def add(self, case, what, values, aim=None, at_least=False):
        """Adds a ratio that was measured round by round.

        Args:
            case, what: two columns of the table.
            values: one a round.
            aim: what is wanted of the median: at most this, or `at_least` this.
        """
        if self.stopped:
            raise KeyboardInterrupt
        row = {"case": case, "what": what, **summary(values)}
        if aim is not None:
            middle = float(statistics.median(values))
            row["aim"] = f"{'>=' if at_least else '<='} {aim:g}"
            row["reached"] = bool(middle >= aim if at_least else middle <= aim)
        self.ratios.append(row)
        # A suite takes minutes; who ends it early has seen something.
        print(f"{case}: {what} {row['median']:.4g}", file=sys.stderr, flush=True)

    def value(self, name, value):
        """Adds a fact that is no ratio: a check, a size, a number of operations."""
        self.values.append({"name": name, "value": value})

    def table(self, name, header, rows):
        """Adds facts of several columns; every row is a list of texts."""
        self.tables.append({"name": name, "header": header, "rows": rows})

    def miss(self, peer, reason):
        """Names a peer that could not be measured, and why."""
        self.missing[peer] = reason

    def as_dict(self):
        return {
            "ratios": self.ratios,
            "seconds": self.seconds,
            "values": self.values,
            "tables": self.tables,
            "missing_peers": self.missing,
        }
