"""Times of several ways to do one thing, and what is made of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Seconds that one way took, round by round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    def __add__(self, other: Times) -> Times:
        """Two things done one after the other, round by round."""
        return Times(tuple(a + b for a, b in zip(self.seconds, other.seconds, strict=True)))

    def __truediv__(self, n: int) -> Times:
        """One of `n` equal parts."""
        return Times(tuple(seconds / n for seconds in self.seconds))

    def __str__(self) -> str:
        low, high = min(self.seconds), max(self.seconds)
        return f"{duration(self.median)} ({duration(low)} to {duration(high)})"


def duration(seconds: float) -> str:
    """Write seconds with three digits and a unit.

    >>> duration(0.01234), duration(3.456), duration(123.4)
    ('12.3 ms', '3.46 s', '123 s')
    """
    if seconds < 1:
        return f"{1_000 * seconds:.3g} ms"
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def megabytes(size: float) -> str:
    """Write bytes as MB."""
    return f"{size / 1e6:,.0f} MB"


def alternate(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    after: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
    """Time each way once a round, one after the other, so that a slow minute hits all of them.

    A round before the first one warms up and does not count. `after` is called after each way, off
    the clock, to clear away what it left.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            started = clock()
            way()
            seconds[name].append(clock() - started)
            after()
    return {name: Times(tuple(found[1:])) for name, found in seconds.items()}


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    """What was done, and with how many clips."""
    theirs: str = ""
    ours: str = ""
    found: str = ""
    """The figure that the bound is about."""
    bound: str = ""
    met: bool | None = None
    """None where there is no bound."""


def at_least(what: str, theirs: Times, ours: Times, factor: float) -> Row:
    """Return a row whose ratio of medians, theirs to ours, must be `factor` or more."""
    ratio = theirs.median / ours.median
    found, bound = f"{ratio:.3g} ×", f"≥ {factor:g} ×"
    return Row(what, str(theirs), str(ours), found, bound, ratio >= factor)


def at_most(what: str, ours: Times, seconds: float, *, parts: str = "") -> Row:
    """Return a row whose median must be less than so many seconds; `parts` says how it is made."""
    shown, bound = f"{ours}: {parts}" if parts else str(ours), f"< {duration(seconds)}"
    return Row(what, "", shown, duration(ours.median), bound, ours.median < seconds)


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    headings = ("what", "the article's way", "ours", "found", "must be", "met")
    verdict = {True: "yes", False: "**no**", None: ""}
    lines = [headings, ("---",) * len(headings)]
    lines += [(r.what, r.theirs, r.ours, r.found, r.bound, verdict[r.met]) for r in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
