"""Which lines of a timeline a report shows: what repeats is shown once, and counted.

A block of lines repeats where the next ones say the same at another instant, and of the same jobs or
of those that follow: a job that polls for ever, a chain in which each job inserts the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pgjobs_testing.trace import Moment, Trace, elapsed, line

SHOWN = 60
"""Lines that are shown: the last ones."""
READ = 10_000
"""Moments that are read: the last ones."""
LONGEST_BLOCK = 40
FEWEST_REPEATS = 2
"""A block that comes twice is read faster than a note that it does."""


def shown(trace: Trace) -> Iterator[str]:
    """The end of a timeline, at most ``SHOWN`` lines of it and one that counts what is before."""
    rows = list(_rows(trace.moments[-READ:], trace.start))[-SHOWN:]
    left_out = len(trace) - sum(row.moments for row in rows)
    if left_out > 0:
        yield f"... {left_out} earlier moments are left out ..."
    for row in rows:
        yield row.text


@dataclass(frozen=True, slots=True)
class _Row:
    """A line, and how many moments it stands for."""

    text: str
    moments: int


@dataclass(frozen=True, slots=True)
class _Said:
    """What a line says whenever it does, and of which job; 0 of none."""

    text: str
    ordinal: int


def _rows(moments: Sequence[Moment], start: datetime) -> Iterator[_Row]:
    said = [_said(moment, start) for moment in moments]
    at = 0
    while at < len(moments):
        size, repeats = _longest(said, at)
        for moment in moments[at : at + size]:
            yield _Row(line(moment, start), 1)
        if repeats:
            first, last = at + size, at + size * (repeats + 1)
            yield _Row(_again(moments[first - size : last], size, repeats, start), size * repeats)
        at += size * (repeats + 1)


def _said(moment: Moment, start: datetime) -> _Said:
    detail = moment.detail
    if moment.job is not None:  # a due time counts from its moment
        due = moment.job.scheduled_at
        detail = detail.replace(f"due {elapsed(due - start)}", f"due in {due - moment.at}")
    return _Said(f"{moment.node} {moment.event} {detail}", moment.ordinal)


def _longest(said: Sequence[_Said], at: int) -> tuple[int, int]:
    """The size of the block here whose repeats span most lines, and how many follow; 0 where none do."""
    best = (1, 0)
    most = min(LONGEST_BLOCK, (len(said) - at) // (FEWEST_REPEATS + 1))
    for size in range(1, most + 1):
        repeats = _repeats(said, at, size)
        if repeats >= FEWEST_REPEATS and size * repeats > best[0] * best[1]:
            best = (size, repeats)
    return best


def _repeats(said: Sequence[_Said], at: int, size: int) -> int:
    """How often the block comes again at once, each line of the same job or of one as far on as before.

    No further on than the block has lines: what lies between would be of jobs that it does not show.
    """
    steps: list[int] = []
    for index in range(at, len(said) - size):
        one, next_one = said[index], said[index + size]
        step = next_one.ordinal - one.ordinal
        if len(steps) < size:
            same = 0 <= step <= size and bool(one.ordinal) == bool(next_one.ordinal)
            steps.append(step)
        else:
            same = step == steps[(index - at) % size]
        if not same or one.text != next_one.text:
            return (index - at) // size
    return (len(said) - size - at) // size


def _again(block: Sequence[Moment], size: int, repeats: int, start: datetime) -> str:
    """The line that stands for the repeats; ``block`` is the first one and all of them."""
    what = "line" if size == 1 else f"{size} lines"
    first, last = block[:size], block[-size:]
    others = [
        late.ordinal
        for early, late in zip(first, last, strict=True)
        if early.ordinal != late.ordinal
    ]
    jobs = f" of the jobs that follow, up to #{max(others)}," if others else ""
    until = elapsed(last[-1].at - start)
    return f"{'...':>10}  the same {what}{jobs} {repeats:,} more times, until {until}"
