"""When a leader deletes jobs that have long been over: every interval, page after page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pgjobs.engine.led import LedPorts, Sweep
from pgjobs.leading import Fence, Prune, Pruned
from pgjobs.rules.schedule import EPOCH, later

SHORTEST = timedelta(seconds=1)


def pruner(
    ports: LedPorts, interval: timedelta, max_age: timedelta, limit: int, elide: bool
) -> Sweep:
    """The duty that prunes; jobs to be pruned at once are looked for every second.

    With ``elide`` sweeps that provably find nothing are left out: those before the oldest of the
    finished jobs is old enough, or before any that finishes from now on can be.
    """
    every = min(interval, max(SHORTEST, max_age))

    def effect(fence: Fence) -> Prune:
        aged = fence.now - EPOCH >= max_age
        return Prune(fence, fence.now - max_age if aged else EPOCH, limit)

    def found(answer: Any, asked: datetime, now: datetime) -> datetime:
        assert isinstance(answer, Pruned)
        if answer.count:
            ports.report.pruned(answer.count)
        if answer.count >= limit:
            return now
        if not elide:
            return later(asked, every)
        first = later(min(now, answer.oldest or now), max_age)
        return later(asked, max(1, -((asked - first) // every)) * every)

    return Sweep(ports, effect, found, lambda pruned: not pruned.count)
