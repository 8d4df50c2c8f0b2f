"""What every duty of a node has: a next moment, a step, and patience with a failing store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from pgjobs.effects import Effect
from pgjobs.rules.schedule import later

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0


class Duty(Protocol):
    """Something that a node does from time to time, by effects."""

    def next_due(self, now: datetime) -> datetime | None:
        """The instant at which ``step`` has something to do; None until something else happens."""
        ...

    def step(self, now: datetime) -> None:
        """Do what is due, by submitting effects. Never blocks."""
        ...

    def answered(self, effect: Effect[Any], answer: Any, now: datetime) -> None:
        """An effect of this duty ended well."""
        ...

    def failed(self, effect: Effect[Any], error: Exception, now: datetime) -> None:
        """An effect of this duty failed; it may have happened all the same."""
        ...


def earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two moments, each of which may never come."""
    if one is None:
        return other
    return one if other is None or one <= other else other


class Patience:
    """When to ask a store again that failed: pauses double from 0.25 s to ``longest_s`` (30 s), with up
    to 50 % jitter. ``regained`` is called at the first success after a failure."""

    def __init__(
        self,
        random: Callable[[], float],
        longest_s: float = LONGEST_PAUSE_S,
        regained: Callable[[], None] = lambda: None,
    ) -> None:
        self._random = random
        self._longest_s = longest_s
        self._regained = regained
        self._failures = 0
        self.until: datetime | None = None

    def lose(self, now: datetime) -> None:
        """One more failure: wait."""
        pause = min(self._longest_s, FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self.until = later(now, pause * (1.0 + 0.5 * self._random()))

    def regain(self) -> None:
        """A success: no waiting any more."""
        if self._failures:
            self._failures = 0
            self.until = None
            self._regained()

    def cut_short(self) -> bool:
        """Ask at once, for the store answers others again; another failure waits as long as it would have.
        Whether there was a pause."""
        paused, self.until = self.until is not None, None
        return paused

    def allows(self, now: datetime) -> bool:
        """Whether the store may be asked at ``now``."""
        return self.until is None or now >= self.until

    def not_before(self, due: datetime) -> datetime:
        """``due``, or the end of the present pause if that is later."""
        return due if self.until is None or self.until <= due else self.until


class Pauses:
    """The patience of all duties of a node with the one store that they ask.

    The first that is answered after an outage ends the pauses of the others: an outcome that waits for 45
    seconds when the store is there again can be lost meanwhile, with the node. ``ended`` hears of that.
    """

    def __init__(self, random: Callable[[str], float], ended: Callable[[], None]) -> None:
        self._random, self._ended = random, ended
        self._all: list[Patience] = []

    def of(self, duty: str, longest_s: float = LONGEST_PAUSE_S) -> Patience:
        """That of one duty, which draws under its name."""
        made = Patience(lambda: self._random(duty), longest_s, self.end)
        self._all.append(made)
        return made

    def end(self) -> None:
        """Let every duty ask at once what it has to ask."""
        for each in self._all:
            each.cut_short()
        self._ended()
