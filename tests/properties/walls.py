"""A model of cron that looks at a clock on the wall in every minute of some years.

Nothing of the engine is asked: expressions are read here, too. Wall times are counted in minutes from a
midnight before them all; minutes of UTC through which a clock runs on evenly are one stretch, and a
stretch is looked through as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""The lowest and the highest number of each field; 7 is Sunday, as 0 is."""


@dataclass(frozen=True)
class Entry:
    """What the numbers of an expression say, without names: see crontab(5)."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    real_hours: bool

    @classmethod
    def read(cls, expression: str) -> Entry:
        words = expression.replace("SUN", "0").replace("MON", "1").split()
        numbers = [_numbers(*pair) for pair in zip(words, BOUNDS, strict=True)]
        minutes, hours, days, months, weekdays = numbers
        either = not (words[2].startswith("*") or words[4].startswith("*"))
        return cls(
            minutes,
            hours,
            days,
            months,
            frozenset(number % 7 for number in weekdays),
            either,
            words[1].startswith("*"),
        )

    def on(self, day: date) -> bool:
        by_month, by_week = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
        both = by_month or by_week if self.either_day else by_month and by_week
        return day.month in self.months and both


def _numbers(word: str, bounds: tuple[int, int]) -> frozenset[int]:
    found: set[int] = set()
    low, high = bounds if bounds != (0, 7) else (0, 6)
    for item in word.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        begin, end = (low, high) if span == "*" else (int(first), int(last or first))
        found.update(range(begin, end + 1, int(step or 1)))
    return frozenset(found)


class Minutes:
    """Every minute from ``begin`` to ``end``: what wall time it shows, read every ``step`` minutes.

    A step of 15 is as good as one where clocks change at quarters of an hour alone.
    """

    def __init__(self, zone: tzinfo, begin: datetime, end: datetime, step: int = 15) -> None:
        self.first_day = begin.date() - 2 * DAY
        self.days = (end - begin).days + 5
        self.total = (end - begin) // MINUTE
        self.stretches: list[tuple[int, int, int]] = []  # from a minute, to one, its wall time
        self.skipped: list[tuple[int, int, int]] = []  # from a wall time, to one, the minute after
        before = (begin - datetime.combine(self.first_day, time(), UTC)) // MINUTE
        shown = before + minutes_ahead(zone, begin)
        since, wall = 0, shown
        for minute in range(step, self.total, step):
            shown += step
            now = before + minute + minutes_ahead(zone, begin + minute * MINUTE)
            if now != shown:
                self.stretches.append((since, minute, wall))
                self.skipped.append((shown, now, minute))
                since, wall, shown = minute, now, now
        self.stretches.append((since, self.total, wall))

    def expected(self, entry: Entry) -> list[int]:
        """The minutes of UTC at which the entry is due."""
        wanted = self._wanted(entry)
        due: list[int] = []
        seen: set[int] = set()
        for since, until, wall in self.stretches:
            for minute in ones(wanted[wall : wall + until - since]):
                if entry.real_hours or wall + minute not in seen:
                    due.append(since + minute)
                    seen.add(wall + minute)
        if not entry.real_hours:
            due += [after for begin, end, after in self.skipped if any(wanted[begin:end])]
        return sorted(set(due))

    def _wanted(self, entry: Entry) -> bytearray:
        day = bytearray(1440)
        for minute in range(1440):
            day[minute] = minute % 60 in entry.minutes and minute // 60 in entry.hours
        nothing, whole = bytes(1440), bytearray()
        for number in range(self.days):
            whole += day if entry.on(self.first_day + number * DAY) else nothing
        return whole


def minutes_ahead(zone: tzinfo, at: datetime) -> int:
    """How far a clock there is ahead of UTC."""
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    assert offset % MINUTE == timedelta(0)
    return offset // MINUTE


def ones(flags: bytes | bytearray) -> Iterator[int]:
    """The places at which there is a 1."""
    place = flags.find(1)
    while place >= 0:
        yield place
        place = flags.find(1, place + 1)
