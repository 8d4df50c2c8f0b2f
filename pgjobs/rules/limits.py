"""What the limits of a queue leave to one claim, and what they hold back after it.

Both stores ask here: before a claim how many jobs it may take and at which instant, and after it when
the queue is worth asking again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from pgjobs.rules import ratelimit
from pgjobs.rules.lifecycle import Change
from pgjobs.rules.options import RateLimit
from pgjobs.rules.ratelimit import Window
from pgjobs.rules.swift import swift


@swift
@dataclass(frozen=True, slots=True)
class Limits:
    """What holds over all nodes."""

    rate: RateLimit | None = None
    concurrency: int | None = None


UNLIMITED = Limits()


@swift
@dataclass(frozen=True, slots=True)
class Turn:
    """One claim's turn: it wants ``demand`` jobs, and finds ``window`` and ``running`` as they are.

    ``running`` counts the executing jobs of the queue on all nodes; it only matters up to
    ``limits.concurrency``.
    """

    limits: Limits
    demand: int
    now: datetime
    window: Window = ()
    running: int = 0

    @property
    def at(self) -> datetime:
        """The instant at which its jobs start."""
        return self.now if self.limits.rate is None else ratelimit.moment(self.window, self.now)

    @property
    def room(self) -> int:
        """How many jobs it may take."""
        room = self.demand
        if self.limits.rate is not None:
            room = min(room, ratelimit.permits(self.limits.rate, self.window, self.now))
        if self.limits.concurrency is not None:
            room = min(room, self.limits.concurrency - self.running)
        return max(0, room)

    def dated(self, change: Change) -> Change:
        """The claim's change, at the instant that enters the window."""
        at = self.at
        return change if at == change.at else replace(change, at=at)

    def after(self, taken: int) -> Window:
        """The window, once ``taken`` jobs have started."""
        if self.limits.rate is None or not taken:
            return self.window
        return ratelimit.started(self.limits.rate, self.window, self.now, taken)

    def opens_at(self, taken: int) -> datetime | None:
        """When the rate lets a job start again, if it lets none now that ``taken`` have started."""
        if self.limits.rate is None:
            return None
        return ratelimit.opens_at(self.limits.rate, self.after(taken), self.now)

    def running_after(self, taken: int) -> int:
        """How many run once ``taken`` jobs have started; 0 where that is not limited."""
        return 0 if self.limits.concurrency is None else self.running + taken
