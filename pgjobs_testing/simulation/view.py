"""A node's own clock: the simulation's, and off by so much; like the production clock it never goes back."""

from __future__ import annotations

from datetime import datetime, timedelta

from pgjobs_testing.clock import VirtualClock


class NodeClock:
    """The clock of one machine. ``off`` is how far it is ahead; set back, it stands until it is passed."""

    def __init__(self, world: VirtualClock) -> None:
        self._world = world
        self.off = timedelta(0)
        self._last = world.now()

    def now(self) -> datetime:
        self._last = max(self._last, self._world.now() + self.off)
        return self._last

    def monotonic(self) -> float:
        """Durations are right on every machine."""
        return self._world.monotonic()

    def when(self, shown: datetime) -> datetime:
        """The simulation's instant at which this clock shows ``shown``; now, where it does already."""
        return self._world.now() if shown <= self.now() else shown - self.off
