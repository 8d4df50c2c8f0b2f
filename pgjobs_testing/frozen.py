"""The clock of a test as one with freezegun's or time-machine's, and who holds the application's time.

While a ``freeze_time`` or a ``travel`` is in force, what it shows is the present instant: the engine
reads it there, and where the engine moves on it moves it along. Neither library is imported: one that
the project has not imported holds nothing, so looking costs two lookups. A clock that ticks by itself
is held still while the engine works, so that each job sees its own instant.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pgjobs.rules.errors import ConfigurationError
from pgjobs_testing.clock import EPOCH, VirtualClock

NAIVE_EPOCH = EPOCH.replace(tzinfo=None)


class Holder(Protocol):
    """Who holds the application's time. ``ticks``: it moves by itself, with real time or with each look."""

    @property
    def ticks(self) -> bool: ...

    def now(self) -> datetime: ...

    def move(self, instant: datetime) -> None: ...


class Freezegun:
    """The innermost ``freeze_time``: its factory, by its kind."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory
        self._steps = hasattr(factory, "step_width")  # auto_tick_seconds: a call would move it
        self.ticks = self._steps or hasattr(factory, "start")
        if self._steps and not hasattr(factory, "time_to_freeze"):
            raise unknown("freezegun", f"{type(factory).__name__}.time_to_freeze")

    def now(self) -> datetime:
        shown = self._factory.time_to_freeze if self._steps else self._factory()
        since: timedelta = shown - NAIVE_EPOCH
        return EPOCH + since  # a true datetime, where freezegun puts its own in its place

    def move(self, instant: datetime) -> None:
        if self._steps and instant == self.now():
            return  # a step of nothing is taken for one of auto_tick_seconds
        self._factory.move_to(instant)


class TimeMachine:
    """The innermost ``travel``."""

    def __init__(self, traveller: Any) -> None:
        self._traveller = traveller
        if not hasattr(traveller, "_tick"):
            raise unknown("time-machine", "Traveller._tick")
        self.ticks = bool(traveller._tick)

    def now(self) -> datetime:
        return EPOCH + timedelta(microseconds=self._traveller.time_ns() // 1_000)

    def move(self, instant: datetime) -> None:
        # A shift, for ``move_to`` would make the time zone of the process that of the instant.
        self._traveller.shift(instant - self.now())


def holder() -> Holder | None:
    """Who holds the application's time now; None where it is real.

    freezegun comes first, for it can be started within a travel and not the other way round.
    ``ConfigurationError`` where time is held by a version that this one cannot read.
    """
    if (api := sys.modules.get("freezegun.api")) is not None and (found := _freezegun(api)):
        return found
    if (machine := sys.modules.get("time_machine")) is not None:
        return _time_machine(machine)
    return None


def _freezegun(api: Any) -> Freezegun | None:
    try:
        factories = api.freeze_factories
    except AttributeError:
        if sys.modules["datetime"].datetime.__name__ != "FakeDatetime":
            return None
        raise unknown("freezegun", "api.freeze_factories") from None
    return Freezegun(factories[-1]) if factories else None


def _time_machine(machine: Any) -> TimeMachine | None:
    try:
        travellers = machine.traveller_stack
    except AttributeError:
        if not machine.escape_hatch.is_travelling():
            return None
        raise unknown("time-machine", "traveller_stack") from None
    return TimeMachine(travellers[-1]) if travellers else None


def unknown(library: str, part: str) -> ConfigurationError:
    """The refusal of a version whose clock cannot be read."""
    return ConfigurationError(
        f"the clock of this version of {library} cannot be read, for it has no {part}: use one that "
        "pgjobs knows (freezegun 1.5, time-machine 3), or leave the library out of this run"
    )


class SharedClock(VirtualClock):
    """The clock of one test: its own, or that of who holds the application's time.

    What is held may go back, as by a ``freeze_time`` of an earlier day; where nothing holds time any
    more, the test's own clock shows what it showed before. ``set`` never goes back.
    """

    _still: datetime | None = None

    def now(self) -> datetime:
        loaded = sys.modules
        if "freezegun.api" not in loaded and "time_machine" not in loaded:
            return self._now  # asked at every step, and so without a call
        held = holder()
        if held is None:
            return self._now
        if self._still is not None and held.ticks:
            return self._still
        return held.now()

    def set(self, instant: datetime) -> None:
        held = holder()
        if held is None:
            super().set(instant)
            return
        instant = instant.astimezone(UTC)
        assert held.ticks or instant >= held.now(), f"the clock cannot go back to {instant}"
        held.move(instant)
        if self._still is not None:
            self._still = instant

    @contextmanager
    def still(self) -> Iterator[None]:
        """Let only ``set`` move a clock that ticks by itself, inside the block."""
        before = self._still
        self._still = self.now()
        try:
            yield
        finally:
            self._still = before
