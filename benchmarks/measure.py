"""Times of several ways to do one thing, and what is made of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Seconds that one way took, round by round.

    Examples
    --------
    >>> Times((2.0, 1.0, 4.0)).median
    2.0
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    def __add__(self, other: Times) -> Times:
        """Two things done one after the other, round by round."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return Times(tuple(mine + its for mine, its in pairs))

    def __str__(self) -> str:
        low, high = min(self.seconds), max(self.seconds)
        return f"{duration(self.median)} ({duration(low)} to {duration(high)})"


def duration(seconds: float) -> str:
    """Write seconds with three digits and a unit.

    Examples
    --------
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
) -> tuple[dict[str, float], dict[str, Times]]:
    """Time each way once a round, one after the other, so that a slow minute hits all of them.

    Parameters
    ----------
    ways : mapping from name to callable
    rounds : int
        Rounds after the warm-up.
    after : callable
        Called after each way, off the clock, to clear away what it left.
    clock : callable
        Returns seconds.

    Returns
    -------
    warm_up : dict from name to float
        Seconds of the first call of each, which counts for nothing.
    times : dict from name to Times
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            started = clock()
            way()
            seconds[name].append(clock() - started)
            after()
    warm_up = {name: found[0] for name, found in seconds.items()}
    return warm_up, {name: Times(tuple(found[1:])) for name, found in seconds.items()}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    what : str
        What was done, and with how many clips.
    theirs, ours : str
        What each way took.
    found : str
        The figure that the bound is about.
    bound : str
    met : bool or None
        None where there is no bound.
    """

    what: str
    theirs: str
    ours: str
    found: str
    bound: str
    met: bool | None


def at_least(what: str, theirs: Times, ours: Times, factor: float) -> Row:
    """Return a row whose ratio of medians, theirs to ours, is to be `factor` or more."""
    ratio = theirs.median / ours.median
    return Row(
        what=what,
        theirs=str(theirs),
        ours=str(ours),
        found=f"{ratio:.3g} ×",
        bound=f"≥ {factor:g} ×",
        met=ratio >= factor,
    )


HEADINGS = ("what", "the article's way", "ours", "found", "must be", "met")


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    verdict = {True: "yes", False: "**no**", None: ""}
    lines = [HEADINGS, ("---",) * len(HEADINGS)]
    lines += [(r.what, r.theirs, r.ours, r.found, r.bound, verdict[r.met]) for r in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
