"""How a failed scenario reads: the file's line, expected and actual side by side, what happened around."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pgjobs_testing.scenarios.mistakes import Place, shortened
from pgjobs_testing.scenarios.source import Source
from pgjobs_testing.trace import Moment, Trace, elapsed, line

BEFORE, AFTER = 8, 4
"""Events of the timeline that are shown before and after an instant."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was compared."""

    name: str
    expected: str
    actual: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that is not as the scenario says. ``around`` is the timeline, ready to print."""

    place: Place
    what: str
    rows: tuple[Row, ...] = ()
    around: tuple[str, ...] = ()
    sides: tuple[str, str] = ("expected", "actual")

    def text(self, source: Source) -> str:
        """The whole story, as the command and the plugin print it."""
        lines = [f"{source.file}:{self.place.line}:{self.place.column}: {self.what}"]
        lines += _quoted(source.lines, self.place.line)
        lines += self._table()
        lines += self.around
        return "\n".join(lines)

    def _table(self) -> Iterable[str]:
        if not self.rows:
            return []
        head = Row("", *self.sides, holds=True)
        names = max(len(row.name) for row in self.rows)
        left = max(len(row.expected) for row in (head, *self.rows))
        return [
            f"    {' ' if row.holds else '!'} {row.name:<{names}}  "
            f"{row.expected:<{left}}  {row.actual}".rstrip()
            for row in (head, *self.rows)
        ]


def around(trace: Trace, at: datetime) -> tuple[str, ...]:
    """The timeline about an instant, as lines; what happened at it is marked."""
    moments = trace.moments
    first = bisect_left(moments, at, key=lambda moment: moment.at)
    behind = bisect_right(moments, at, key=lambda moment: moment.at)
    before = moments[:first][-BEFORE:]
    then = moments[first:behind][-2 * BEFORE :]
    after = moments[behind : behind + AFTER]
    if not (before or then or after):
        return ("    the timeline is empty: nothing has happened",)
    head = f"    the timeline around {elapsed(at - trace.start)}:"
    marked: Sequence[Moment] = [*before, *then, *after]
    return (
        head,
        *(
            f"    {'>' if moment.at == at else ' '} {line(moment, trace.start)}"
            for moment in marked
        ),
    )


def shown(value: Any, start: datetime) -> str:
    """A value as both sides of a comparison show it; instants count from the start."""
    if value is None:
        return "nothing"
    if isinstance(value, datetime):
        return elapsed(value - start)
    if isinstance(value, timedelta):
        return elapsed(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(item, start) for item in value)}]"
    return shortened(str(value))


def _quoted(lines: Sequence[str], number: int) -> Iterable[str]:
    if not 0 < number <= len(lines):
        return []
    return [f"    {number} | {lines[number - 1].rstrip()}"]
