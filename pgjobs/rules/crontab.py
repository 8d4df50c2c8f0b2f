"""When a cron entry is due: what an expression means, and its instants in a time zone.

The days are those of cron(8): a date matches when the month does and the day does, by the day of
the month and by the day of the week. When neither of these two fields begins with ``*``, one of
them is enough.

The clocks of a zone are put forward and back, so the wall times of an entry become instants so:

================================  ===========================  ====================================
the entry's hour field            a wall time that is skipped  a wall time that comes twice
================================  ===========================  ====================================
numbers, ranges, lists            the end of the gap           its first
begins with ``*``: real hours     none                         both
================================  ===========================  ====================================

Two wall times that fall on one instant are one tick. ``@reboot`` has no ticks.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from pgjobs.rules import cron_fields
from pgjobs.rules.cron_fields import shortened
from pgjobs.rules.errors import ConfigurationError, nearest
from pgjobs.rules.schedule import LAST_INSTANT, real_instant

MAX_LENGTH: Final = 1000
"""No expression is longer; all the numbers of all five fields take less than 500 characters."""

REBOOT: Final = "@reboot"

SHORTHANDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIELDS: Final = (
    cron_fields.MINUTE,
    cron_fields.HOUR,
    cron_fields.DAY,
    cron_fields.MONTH,
    cron_fields.WEEKDAY,
)
_LONGEST: Final = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_LAST_MINUTE: Final = time(23, 59)
_FARTHEST: Final = timedelta(days=2)
"""Offsets are less than a day either way, so no change of the clocks moves them by two days."""


@dataclass(frozen=True, slots=True)
class Crontab:
    """A cron expression that has been read. Two that mean the same are equal.

    ``weekdays`` count from 0, a Sunday. ``either_day``: the day of the month or the day of the week
    is enough. ``real_hours``: the hour field begins with ``*``. ``reboot``: ``@reboot``, whose other
    fields are empty: the entry is due when nodes start, not at a time.
    """

    expression: str = field(compare=False)
    minutes: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    weekdays: tuple[int, ...] = ()
    either_day: bool = False
    real_hours: bool = False
    reboot: bool = False

    def __str__(self) -> str:
        return self.expression

    def on(self, day: date) -> bool:
        """Whether ``day`` is one of the entry's dates."""
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_month or by_week if self.either_day else by_month and by_week

    def shows(self, wall: datetime) -> bool:
        """Whether a clock that shows ``wall`` shows a time of this entry, on one of its dates."""
        return wall.minute in self.minutes and wall.hour in self.hours and self.on(wall.date())


def parse(expression: object) -> Crontab:
    """The meaning of ``expression``: five fields, or one of ``@hourly`` and its kin.

    ``ConfigurationError`` names the field, its value and what is accepted. An expression whose date
    never comes is refused.
    """
    if not isinstance(expression, str):
        raise ConfigurationError(
            f"a cron expression is text, as in '*/5 * * * *', not {expression!r}"
        )
    if len(expression) > MAX_LENGTH:
        raise ConfigurationError(
            f"a cron expression has at most {MAX_LENGTH:,} characters, "
            f"and {shortened(expression)!r} has {len(expression):,}"
        )
    words = expression.split()
    text = " ".join(words)
    if text.startswith("@"):
        return _shorthand(text)
    if len(words) != len(_FIELDS):
        names = ", ".join(each.name for each in _FIELDS)
        seconds = "; there is none for seconds" if len(words) > len(_FIELDS) else ""
        raise ConfigurationError(
            f"a cron expression has five fields ({names}) or is one of "
            f"{', '.join(sorted(SHORTHANDS))}, {REBOOT}; {expression!r} has {len(words)}{seconds}"
        )
    minutes, hours, days, months, weekdays = (
        each.parse(word, text) for each, word in zip(_FIELDS, words, strict=True)
    )
    either_day = not (words[2].startswith("*") or words[4].startswith("*"))
    real_hours = words[1].startswith("*")
    _refuse_what_never_comes(text, days, months, either_day)
    return Crontab(text, minutes, hours, days, months, weekdays, either_day, real_hours)


def ticks(
    crontab: Crontab, zone: tzinfo, after: datetime, until: datetime = LAST_INSTANT
) -> Iterator[datetime]:
    """The instants in UTC at which the entry is due, ascending: after ``after``, up to ``until``.

    Lazy. ``zone`` is what the entry's wall times are read in, any ``tzinfo`` that keeps to PEP 495.
    It ends with the calendar, in the year 9999, at the latest.
    """
    if crontab.reboot:
        return
    last = after
    again: list[datetime] = []  # second showings, which later hours may come before
    for firsts, seconds in _hours_of(crontab, zone, after, until):
        for tick in seconds:
            heapq.heappush(again, tick)
        for tick in firsts:
            while again and again[0] < tick:
                earlier = heapq.heappop(again)
                if last < earlier <= until:
                    yield earlier
                    last = earlier
            if tick > until:
                return
            if tick > last:
                yield tick
                last = tick
    while again and again[0] <= until:
        tick = heapq.heappop(again)
        if tick > last:
            yield tick
            last = tick


def next_tick(crontab: Crontab, zone: tzinfo, after: datetime) -> datetime | None:
    """The first instant after ``after`` at which the entry is due; None when there is no more."""
    return next(ticks(crontab, zone, after), None)


def _shorthand(text: str) -> Crontab:
    name = text.lower()
    if name == REBOOT:
        return Crontab(name, reboot=True)
    if name not in SHORTHANDS:
        known = nearest(name, [*SHORTHANDS, REBOOT])
        raise ConfigurationError(f"unknown cron expression {shortened(text)!r}{known}")
    return replace(parse(SHORTHANDS[name]), expression=name)


def _refuse_what_never_comes(
    text: str, days: tuple[int, ...], months: tuple[int, ...], either_day: bool
) -> None:
    """Every date that a calendar has falls on every weekday within forty years."""
    if either_day or min(days) <= max(_LONGEST[month] for month in months):
        return
    named = [cron_fields.MONTH.names[month - 1] for month in months]
    longest = max(_LONGEST[month] for month in months)
    raise ConfigurationError(
        f"{text!r} never comes: no {' or '.join(named)} has a day {min(days)}; "
        f"the day-of-month field is at most {longest} there"
    )


_Instants = list[datetime]
_MINUTES = tuple(timedelta(minutes=minute) for minute in range(60))


def _hours_of(
    crontab: Crontab, zone: tzinfo, after: datetime, until: datetime
) -> Iterator[tuple[_Instants, _Instants]]:
    """For each wall-clock hour of the entry: when its minutes show first, and when once more.

    First showings never go back from one hour to the next. Hours before ``after`` are left out.
    """
    steps = [_MINUTES[minute] for minute in crontab.minutes]
    started = False
    for day in _dates(crontab, _day(after, zone, -_FARTHEST), _day(until, zone, _FARTHEST)):
        if not started and _is_over(datetime.combine(day, _LAST_MINUTE), zone, after):
            continue
        offset = _steady_offset(day, zone)
        over = 0 if started or offset is None else _hours_over(day, offset, after)
        for hour in crontab.hours:
            if hour < over:
                continue
            wall = datetime.combine(day, time(hour))
            if not started and _is_over(wall.replace(minute=59), zone, after, offset):
                continue
            started = True
            if offset is None:
                yield _around_a_change(crontab, wall, zone)
                continue
            try:
                base = (wall - offset).replace(tzinfo=UTC)
                yield [base + step for step in steps], []
            except OverflowError:  # the first and the last hours of the calendar
                continue


def _hours_over(day: date, offset: timedelta, after: datetime) -> int:
    """How many hours of ``day``, all of whose wall times have this offset, are over at ``after``."""
    try:
        shown = after.astimezone(UTC) + offset
    except OverflowError:
        return 0
    return shown.hour if shown.date() == day else 0


def _dates(crontab: Crontab, begin: date, end: date) -> Iterator[date]:
    """The entry's dates from ``begin`` to ``end``, in order."""
    from calendar import monthrange

    for year in range(begin.year, end.year + 1):
        for month in crontab.months:
            if not (begin.year, begin.month) <= (year, month) <= (end.year, end.month):
                continue
            first = begin.day if (year, month) == (begin.year, begin.month) else 1
            for number in range(first, monthrange(year, month)[1] + 1):
                day = date(year, month, number)
                if day <= end and crontab.on(day):
                    yield day


def _is_over(
    wall: datetime, zone: tzinfo, after: datetime, offset: timedelta | None = None
) -> bool:
    """Whether neither ``wall`` nor any earlier wall time is shown, or made up for, past ``after``.

    ``offset`` is that of all wall times of its day, where it is known.
    """
    if offset is None:
        shown = wall.replace(tzinfo=zone)
        first, second = shown.utcoffset(), shown.replace(fold=1).utcoffset()
        assert first is not None and second is not None
        offset = min(first, second)
    try:
        return (wall - offset).replace(tzinfo=UTC) <= after
    except OverflowError:
        return False


def _steady_offset(day: date, zone: tzinfo) -> timedelta | None:
    """The offset from UTC of all wall times of ``day``; None if it changes.

    A change that touches the day shows in its first or its last minute: by PEP 495 the offsets of
    ``fold`` 0 and 1 differ in a gap and in a fold. No two changes of any zone are so near that one
    would hide the other: in the IANA database three days at least lie between them.
    """
    first = datetime.combine(day, time.min, zone)
    last = datetime.combine(day, _LAST_MINUTE, zone)
    offset = first.utcoffset()
    others = (last, first.replace(fold=1), last.replace(fold=1))
    return offset if all(other.utcoffset() == offset for other in others) else None


def _around_a_change(crontab: Crontab, hour: datetime, zone: tzinfo) -> tuple[_Instants, _Instants]:
    """First and second showings of the minutes of an hour, on a day on which the clocks change."""
    firsts: _Instants = []
    seconds: _Instants = []
    for minute in crontab.minutes:
        wall = hour.replace(minute=minute)
        first = real_instant(wall, zone)
        shown = first.astimezone(zone).replace(tzinfo=None) == wall
        if shown or not crontab.real_hours:
            firsts.append(first)
        if shown and crontab.real_hours:
            second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
            if second > first:
                seconds.append(second)
    return firsts, seconds


def _day(instant: datetime, zone: tzinfo, ahead: timedelta) -> date:
    """The date in ``zone`` at ``instant``, and ``ahead`` of it; the ends of the calendar hold."""
    try:
        return instant.astimezone(zone).date() + ahead
    except OverflowError:
        return date.min if instant.year < 5000 else date.max
