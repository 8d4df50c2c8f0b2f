"""When the timers of async jobs are due: whole microseconds of virtual time, each timer with its job."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable
from typing import Any

from pgjobs_testing.virtual.jobs import Run, Task

_PRUNE_AT = 64


class Timers:
    """A heap of timers, in order of instant, then of registration."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, asyncio.TimerHandle, Run]] = []
        self._order = itertools.count()
        self._prune_at = _PRUNE_AT

    def __len__(self) -> int:
        return len(self._heap)

    def clear(self) -> None:
        """Forget them all."""
        self._heap.clear()

    def add(self, when_s: float, now_s: float, timer: asyncio.TimerHandle, run: Run) -> None:
        """A timer for the virtual second ``when_s``, set at ``now_s``; one that never comes is forgotten."""
        if len(self._heap) >= self._prune_at:  # each query leaves a cancelled timer
            self._heap = [entry for entry in self._heap if not entry[2].cancelled()]
            heapq.heapify(self._heap)
            self._prune_at = max(_PRUNE_AT, 2 * len(self._heap))
        if when_s < math.inf:
            # A wait takes at least a microsecond, or a loop of them would not end.
            due = max(round(when_s * 1e6), round(now_s * 1e6) + (when_s > now_s))
            heapq.heappush(self._heap, (due, next(self._order), timer, run))

    def next(self, task: Task | None) -> float | None:
        """The virtual second of the earliest, or of the earliest of the job whose own task is given."""
        while self._heap and self._heap[0][2].cancelled():
            heapq.heappop(self._heap)
        if not self._heap:
            return None
        if task is None or self._heap[0][3].task is task:
            return self._heap[0][0] / 1e6
        mine = (e[0] for e in self._heap if e[3].task is task and not e[2].cancelled())
        due = min(mine, default=None)
        return None if due is None else due / 1e6

    def fire(self, now_s: float, task: Task | None, ready: Callable[[Any], None]) -> int:
        """Give ``ready`` every timer that is due, or that of the job whose own task is given; how many."""
        due = round(now_s * 1e6)
        fired, others = 0, []
        while self._heap and self._heap[0][0] <= due:
            entry = heapq.heappop(self._heap)
            if task is not None and entry[3].task is not task:
                others.append(entry)
            elif not entry[2].cancelled():
                ready(entry[2])
                fired += 1
        for entry in others:
            heapq.heappush(self._heap, entry)
        return fired
