"""When a cron entry would run, and what the clocks of its zone do to it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import timezone as fixed
from typing import Final, Literal

from pgjobs.adapters.system import SystemClock
from pgjobs.rules import crontab
from pgjobs.rules.crontab import Crontab
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.schedule import LAST_INSTANT, instant, time_zone
from pgjobs.runtime import captured_clock

DEFAULT_LIMIT: Final = 10
MAX_TICKS: Final = 100_000
"""No preview is longer."""

_MOMENT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Tick:
    """One run: ``at`` in UTC, ``local`` in the entry's zone.

    ``skipped``: the wall times that do not exist on that day, and that this run makes up for.
    ``twice``: which showing this is of a wall time that comes twice; None when it comes once.
    ``once``: the entry runs at the first of the two showings only.
    """

    at: datetime
    local: datetime
    skipped: tuple[datetime, ...] = ()
    twice: Literal["first", "second"] | None = None
    once: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """The runs of an entry in order; ``more``: the limit left some out."""

    crontab: Crontab
    ticks: tuple[Tick, ...]
    more: bool


def cron_preview(
    expression: str,
    timezone: str | tzinfo = "Etc/UTC",
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int | None = None,
) -> list[datetime]:
    """The instants in UTC at which a cron entry with this expression would run.

    From ``start`` (default: now) to ``end``, both included. Without ``limit`` the first ten, or with
    an ``end`` all. ``@reboot`` has none. ``ConfigurationError`` for an expression, a zone, an
    instant or a limit that cannot be used, and for more than 100,000 runs.
    """
    zone = time_zone(timezone)
    found, _ = _instants(crontab.parse(expression), zone, start, end, limit)
    return found


def explain(
    expression: str,
    timezone: str | tzinfo = "Etc/UTC",
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int | None = None,
) -> Preview:
    """The same as ``cron_preview``, with what the clocks of the zone do to each run."""
    zone = time_zone(timezone)
    entry = crontab.parse(expression)
    found, more = _instants(entry, zone, start, end, limit)
    return Preview(entry, tuple(_explained(entry, zone, at) for at in found), more)


def _instants(
    entry: Crontab,
    zone: tzinfo,
    start: datetime | None,
    end: datetime | None,
    limit: int | None,
) -> tuple[list[datetime], bool]:
    """At most ``limit`` instants, and whether there are more."""
    if limit is not None and (type(limit) is not int or not 1 <= limit <= MAX_TICKS):
        raise ConfigurationError(f"limit takes a number from 1 to {MAX_TICKS:,}, not {limit!r}")
    begin = (captured_clock() or SystemClock()).now() if start is None else instant(start, "start")
    until = LAST_INSTANT if end is None else instant(end, "end")
    if end is not None and until < begin:
        raise ConfigurationError(f"end ({until}) is before start ({begin})")
    after = max(begin, datetime.min.replace(tzinfo=UTC) + _MOMENT) - _MOMENT
    most = limit or (DEFAULT_LIMIT if end is None else MAX_TICKS)
    found = list(itertools.islice(crontab.ticks(entry, zone, after, until), most + 1))
    if limit is None and end is not None and len(found) > MAX_TICKS:
        raise ConfigurationError(
            f"{str(entry)!r} has more than {MAX_TICKS:,} runs there: give a limit or a nearer end"
        )
    return found[:most], len(found) > most


def _explained(entry: Crontab, zone: tzinfo, at: datetime) -> Tick:
    local = at.astimezone(zone)
    twice: Literal["first", "second"] | None = None
    if local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset():
        twice = "second" if local.fold else "first"
    skipped = () if entry.real_hours else _skipped(entry, zone, at)
    return Tick(at, local, skipped, twice, once=twice is not None and not entry.real_hours)


def _skipped(entry: Crontab, zone: tzinfo, at: datetime) -> tuple[datetime, ...]:
    """The entry's wall times in the gap that ends at ``at``: what clocks left alone would show."""
    before, now = (at - _MOMENT).astimezone(zone).utcoffset(), at.astimezone(zone).utcoffset()
    assert before is not None and now is not None
    if now <= before:
        return ()
    left_alone = fixed(before)
    inside = crontab.ticks(entry, left_alone, at - _MOMENT, at + (now - before) - _MOMENT)
    return tuple(tick.astimezone(left_alone).replace(tzinfo=None) for tick in inside)
