"""Which ticks of a cron entry lie in a span of time, told in few words: how many, the first, the last.

A span may be years long, and its entry due every minute: so many are counted, and the last is found by
halving the span.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import islice

from pgjobs.rules.crontab import Crontab, ticks
from pgjobs.rules.lifecycle import iso

COUNTED = 1_000
"""Ticks of a gap that are counted; beyond that there are more than so many."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The ticks from ``first`` to ``last``, both included; ``count`` is None where it is over ``COUNTED``."""

    first: datetime
    last: datetime
    count: int | None

    def __str__(self) -> str:
        if self.count == 1:
            return f"1 tick, {iso(self.first)}"
        many = f"more than {COUNTED:,}" if self.count is None else f"{self.count:,}"
        return f"{many} ticks, {iso(self.first)} to {iso(self.last)}"


def gap(crontab: Crontab, zone: tzinfo, after: datetime, until: datetime) -> Gap | None:
    """The ticks after ``after`` and up to ``until``; None where there is none."""
    found = list(islice(ticks(crontab, zone, after, until), COUNTED + 1))
    if not found:
        return None
    if len(found) <= COUNTED:
        return Gap(found[0], found[-1], len(found))
    last, none_after = found[-1], until
    while none_after - last > timedelta.resolution:
        middle = last + (none_after - last) / 2
        tick = next(ticks(crontab, zone, middle, until), None)
        if tick is None:
            none_after = middle
        else:
            last = tick
    return Gap(found[0], last, None)
