"""What watches a simulation: it is told of every effect that ended, and stops the world with an alarm.

An effect that failed after its commit is told as ``committed`` with the answer that its node never had,
and then as ``failed``: what watches knows more than the nodes do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pgjobs.effects import Effect
from pgjobs.rules.errors import PgJobsError


@dataclass(frozen=True, slots=True)
class Alarm:
    """A broken invariant: its name, what was seen, when, and the ids of the jobs that it is about.

    ``at`` is None where no instant belongs to it.
    """

    invariant: str
    seen: str
    at: datetime | None = None
    jobs: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.invariant}: {self.seen}"


class AlarmError(PgJobsError, AssertionError):
    """An invariant is broken."""

    def __init__(self, alarm: Alarm) -> None:
        super().__init__(str(alarm))
        self.alarm = alarm


class Watch(Protocol):
    """Is told what reaches the store, in the order in which it does."""

    def committed(self, node: str, effect: Effect[Any], answer: Any, now: datetime) -> None:
        """An effect of ``node`` (its name in the store; ``-`` is a client) took place, with this answer.

        ``now`` is the world's instant; the effect carries the node's own. ``AlarmError`` stops the world.
        """
        ...

    def failed(self, node: str, effect: Effect[Any], error: Exception, now: datetime) -> None:
        """An effect of ``node`` ended without an answer."""
        ...
