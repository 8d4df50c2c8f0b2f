"""What is too much to be drawn one by one: charts of how many, and bars that stand for many runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pgjobs_testing.pictures.axis import Axis
from pgjobs_testing.pictures.kinds import KINDS
from pgjobs_testing.pictures.rows import THINNEST, Bar, kind_of
from pgjobs_testing.pictures.story import Span

COLUMN = 2.0
"""The width of a column of a chart, in pixels."""

_CELL = 2.5
"""Runs that begin closer to each other than that are one bar."""


@dataclass(frozen=True, slots=True)
class Chart:
    """For each kind, how many spans of it there were at once at most in each column.

    ``peak`` is the most of all kinds at one instant, ``top`` the highest column: within a column kinds
    may have their most at different instants.
    """

    counts: tuple[tuple[str, tuple[int, ...]], ...]
    peak: int
    top: int
    spans: tuple[tuple[int, Span], ...]


def chart(spans: Sequence[tuple[int, Span]], along: Axis) -> Chart:
    """How many spans of each kind (given with their jobs' numbers) lie over each column."""
    columns = int(along.width // COLUMN) + 1
    by_kind: dict[str, list[tuple[int, int]]] = {}
    for _, span in spans:
        steps = by_kind.setdefault(span.kind, [])
        steps.append((span.begin, 1))
        steps.append((span.end, -1))
    counts = []
    for kind in (kind.name for kind in KINDS if kind.name in by_kind):
        tops = [0] * columns
        now, column = 0, 0
        for at, step in sorted(by_kind[kind], key=lambda each: (each[0], -each[1])):
            reached = min(int(along.x(at) // COLUMN), columns - 1)
            for each in range(column, reached + 1):
                tops[each] = max(tops[each], now)
            column, now = reached, now + step
            tops[column] = max(tops[column], now)
        counts.append((kind, tuple(tops)))
    top = max(sum(tops) for tops in zip(*(tops for _, tops in counts), strict=True))
    return Chart(tuple(counts), _peak(by_kind.values()), max(top, 1), tuple(spans))


def _peak(changes: Iterable[Iterable[tuple[int, int]]]) -> int:
    """The most at once; what ends where another begins is not there with it."""
    now = most = 0
    for _, step in sorted(change for each in changes for change in each):
        now += step
        most = max(most, now)
    return most


def merged(runs: Sequence[tuple[int, Span]], along: Axis) -> list[Bar]:
    """The bars of one row, of runs (with their jobs' numbers) in the order of their beginnings."""
    groups: list[tuple[float, float, list[tuple[int, Span]]]] = []
    for run in runs:
        x, end = along.x(run[1].begin), along.x(run[1].end)
        if groups and x - groups[-1][0] < _CELL:
            first, last, of = groups[-1]
            of.append(run)
            groups[-1] = (first, max(last, end), of)
        else:
            groups.append((x, end, [run]))
    found = []
    for number, (x, end, of) in enumerate(groups):
        limit = groups[number + 1][0] if number + 1 < len(groups) else along.width
        kind = kind_of(span for _, span in of)
        found.append(Bar(kind, x, min(max(end, x + THINNEST), limit), tuple(of)))
    return found
