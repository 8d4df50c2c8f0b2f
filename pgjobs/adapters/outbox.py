"""How the ends of runs come to the engine's thread: from any thread, and with one wake-up for many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pgjobs.ports import Clock, Finished, Run
from pgjobs.rules.lifecycle import Outcome


class Outbox:
    """Finished runs on their way to the engine's thread."""

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock, self._wake = clock, wake
        self._finished: deque[Finished] = deque()
        self._woken = False

    def put(self, *ended: tuple[Run, Outcome]) -> None:
        """From any thread; runs that end before the engine comes for them wake it once."""
        at = self._clock.monotonic()
        self._finished.extend(Finished(run, outcome, at) for run, outcome in ended)
        if not self._woken:
            self._woken = True
            self._wake()

    def take(self) -> list[Finished]:
        self._woken = False  # first: whoever still sees it set has put in what is taken now
        found: list[Finished] = []
        while self._finished:
            found.append(self._finished.popleft())
        return found
