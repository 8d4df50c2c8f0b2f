"""How the model sees one queue: what may start from it now, and when that will be more.

``slots`` are the claims whose code has not been left yet, ``starts`` the instants of all claims.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime

from pgjobs import Queue

Run = tuple[int, str]
"""One claim of one job: its id, and the claim's token."""


@dataclass
class Lane:
    """One queue as it is served: configured, and changed by hand.

    Where no node has the queue (``served`` is False), no hand makes one serve it.
    """

    queue: Queue
    paused_by_hand: bool | None = None
    scaled_to: int | None = None
    slots: dict[Run, None] = field(default_factory=dict)
    starts: list[datetime] = field(default_factory=list)
    served: bool = True

    def paused(self, everywhere: bool | None) -> bool:
        """Whether nothing may start; ``everywhere`` is what was said of all queues since."""
        if not self.served:
            return True
        if self.paused_by_hand is not None:
            return self.paused_by_hand
        return self.queue.paused if everywhere is None else everywhere

    def free(self, executing: int) -> int:
        """How many jobs may run besides those that do; ``executing`` are all of the queue's."""
        concurrency = self.queue.concurrency if self.scaled_to is None else self.scaled_to
        free = concurrency - len(self.slots)
        if self.queue.global_concurrency is not None:
            free = min(free, self.queue.global_concurrency - executing)
        return max(0, free)

    def permits(self, now: datetime) -> float:
        """How many starts the rate allows at ``now``."""
        limit = self.queue.rate_limit
        return math.inf if limit is None else max(0, limit.allowed - len(self._counting(now)))

    def opens_at(self, now: datetime) -> datetime | None:
        """When the rate lets the next job start; None where it lets one start now."""
        limit = self.queue.rate_limit
        counting = self._counting(now)
        if limit is None or len(counting) < limit.allowed:
            return None
        return counting[-limit.allowed] + limit.period

    def _counting(self, now: datetime) -> list[datetime]:
        limit = self.queue.rate_limit
        return [] if limit is None else [at for at in self.starts if now - at < limit.period]
