"""The patterns of a job's own fields: names, states, instants, tags.

They keep to what ``matching`` says of patterns; each knows what a reader of its field overlooks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from functools import lru_cache, partial
from typing import Any, ClassVar

from pgjobs.rules.job import JobState
from pgjobs.rules.swift import swift
from pgjobs_testing.asserting.times import Times
from pgjobs_testing.patterns import Answer, Difference, Pattern
from pgjobs_testing.telling import amount, cut, span, told

HALF_WAY = timedelta(minutes=1)
"""An instant that is this far beyond ``delta`` counts half a field, a far one nearly a whole."""


@swift
@dataclass(frozen=True, slots=True)
class Named:
    """A name of a worker or of a queue, and no other."""

    name: str
    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        return bool(value == self.name)

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        if value != self.name:
            seen, share = partial(self.seen, value), _unlike(self.name, value)
            yield Difference(path, self.__str__, seen, partial(self._hint, value), share)

    def _hint(self, value: str) -> str:
        hint = told(self.name, value)
        return hint if hint.startswith("differs only") else ""

    def seen(self, value: Any) -> str:
        return cut(value, plain=True)

    def __str__(self) -> str:
        return cut(self.name, plain=True)


@swift
@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these states."""

    states: tuple[JobState, ...]
    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        return value in self.states

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        if value not in self.states:
            yield Difference(path, str(self), str(value))

    def seen(self, value: Any) -> str:
        return str(value)

    def __str__(self) -> str:
        *before, last = self.states
        return f"{', '.join(before)} or {last}" if before else str(last)


@dataclass(frozen=True, slots=True)
class Near:
    """An instant, give or take ``within``; ``after`` is the span from now that it was given as."""

    at: datetime
    within: timedelta
    times: Times
    after: timedelta | None = None
    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        return bool(abs(value - self.at) <= self.within)

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        off = value - self.at
        beyond = abs(off) - self.within
        if beyond > timedelta(0):
            share = max(0.05, beyond / (beyond + HALF_WAY))
            yield Difference(
                path, self._shown, partial(self.seen, value), partial(self._hint, off), share
            )

    def _hint(self, off: timedelta) -> str:
        return f"off by {span(off)}, delta {amount(self.within)}{_zone_hint(off)}"

    def _shown(self) -> str:
        return self.times.shown(self.at)

    def seen(self, value: Any) -> str:
        return self.times.shown(value)

    def __str__(self) -> str:
        if self.after is None:
            return f"{self._shown()}, give or take {amount(self.within)}"
        return f"{amount(self.after)} from now: {self._shown()}, give or take {amount(self.within)}"


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a pattern makes of the seconds from now until an instant."""

    seconds: Pattern
    now: datetime
    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        return self.seconds.accepts((value - self.now).total_seconds())

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        yield from self.seconds.differences((value - self.now).total_seconds(), path)

    def seen(self, value: Any) -> str:
        return self.seconds.seen((value - self.now).total_seconds())

    def __str__(self) -> str:
        return str(self.seconds)


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration in seconds, to the microsecond."""

    wanted: float
    leaves: ClassVar[int] = 1

    def accepts(self, value: Any) -> Answer:
        return value is not None and abs(value - self.wanted) < 0.000_001

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        if not self.accepts(value):
            hint = "" if value is None else f"off by {span(timedelta(seconds=value - self.wanted))}"
            actual = "none" if value is None else f"{value:.10g} s"
            yield Difference(path, str(self), actual, hint)

    def seen(self, value: Any) -> str:
        return f"{value:.10g} s"

    def __str__(self) -> str:
        return f"{self.wanted:.10g} s"


@dataclass(frozen=True, slots=True)
class Tagged:
    """Has each of these tags."""

    tags: tuple[str, ...]

    @property
    def leaves(self) -> int:
        return max(1, len(self.tags))

    def accepts(self, value: Any) -> Answer:
        return all(tag in value for tag in self.tags)

    def differences(self, value: Any, path: str) -> Iterator[Difference]:
        missing = [tag for tag in self.tags if tag not in value]
        if missing:
            said = f"{', '.join(map(cut, missing))} {'is' if len(missing) == 1 else 'are'} missing"
            alike = [
                f"{tag!r}" for tag in value if tag.casefold() in {m.casefold() for m in missing}
            ]
            hint = f"{said}; {alike[0]} differs only in case" if alike else said
            yield Difference(path, str(self), cut(list(value)), hint, float(len(missing)))

    def seen(self, value: Any) -> str:
        return cut(list(value))

    def __str__(self) -> str:
        return cut(list(self.tags))


@lru_cache(maxsize=1024)
def _unlike(one: str, other: str) -> float:
    """From 0.5, for names that are almost the same, to 1: even that is more than all args together."""
    return 1 - 0.5 * SequenceMatcher(None, one[-64:], other[-64:]).ratio() ** 2


def _zone_hint(off: timedelta) -> str:
    """Whole hours are rarely a coincidence."""
    hours, rest = divmod(abs(off), timedelta(hours=1))
    near = min(rest, timedelta(hours=1) - rest) <= timedelta(milliseconds=5)
    hours += rest > timedelta(minutes=30)
    if near and 1 <= hours <= 14:
        return "; whole hours: is it another time zone?"
    return ""
