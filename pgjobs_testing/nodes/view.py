"""A node's own clock: off by so much, too fast or too slow; like the production clock it never goes back."""

from __future__ import annotations

from datetime import datetime, timedelta

from pgjobs.rules.schedule import LAST_INSTANT
from pgjobs_testing.clock import VirtualClock

MICROSECOND = timedelta(microseconds=1)
MILLION = 1_000_000


class NodeClock:
    """The clock of one machine. ``off`` is how far it is ahead; set back, it stands until it is passed.

    ``drift`` is how many microseconds it gains in a second, from when it is set.
    """

    def __init__(self, world: VirtualClock) -> None:
        self._world = world
        self._off = timedelta(0)
        self._drift = 0
        self._since = self._last = world.now()
        self._read: datetime | None = None
        """The instant of the simulation at which it was looked at last: it shows the same there."""
        self.version = 0
        """How often it was set: ``when`` may say otherwise than before."""
        self._before: list[datetime] = []
        self._just_before = self._since

    @property
    def off(self) -> timedelta:
        """How far it is ahead now."""
        return self._off + self._gained(self._world.now())

    @off.setter
    def off(self, off: timedelta) -> None:
        now = self.now()
        self._just_before = self.just_before(now)
        self._before.append(now)  # whoever looked last: what it showed until now
        self.version += 1
        self._since, self._off, self._read = self._world.now(), off, None

    @property
    def drift(self) -> int:
        """Parts in a million by which it is too fast; negative where it is too slow."""
        return self._drift

    @drift.setter
    def drift(self, ppm: int) -> None:
        self.off = self.off
        self._drift, self._read = ppm, None

    def before(self, version: int) -> datetime:
        """What it showed last before it was set for the next time."""
        return self._before[version]

    def now(self) -> datetime:
        return self.shows(self._world.now())

    def shows(self, at: datetime) -> datetime:
        """What it shows at ``at``, the present instant of the simulation."""
        if at is self._read:
            return self._last
        self._read = at
        try:
            shown = self._shown(at)
        except OverflowError:  # beyond all calendars: at their end, or where it stands
            shown = LAST_INSTANT if self._off > timedelta(0) else self._last
        if shown > self._last:  # noqa: PLR1730 - asked at every turn, and max() takes twice as long
            self._last = shown
        return self._last

    def just_before(self, now: datetime) -> datetime:
        """What it showed a microsecond of the simulation before it shows ``now``."""
        at = self._world.now()
        if self._before and at == self._since:
            return self._just_before  # it was set at this instant
        return min(now, self._shown(at - MICROSECOND)) if self._drift else now - MICROSECOND

    def monotonic(self) -> float:
        """Durations are right on every machine."""
        return self._world.monotonic()

    def when(self, shown: datetime) -> datetime:
        """The simulation's first instant at which this clock shows ``shown``; now, where it does already."""
        if shown <= self.now():
            return self._world.now()
        try:
            at = shown - self._off
        except OverflowError:
            return LAST_INSTANT
        if not self._drift:
            return at
        span = (at - self._since) // MICROSECOND
        at = self._since + timedelta(microseconds=span * MILLION // (MILLION + self._drift))
        while self._shown(at) < shown:  # integers round
            at += MICROSECOND
        while at > self._world.now() and self._shown(at - MICROSECOND) >= shown:
            at -= MICROSECOND
        return at

    def _shown(self, at: datetime) -> datetime:
        return at + (self._off + self._gained(at) if self._drift else self._off)

    def _gained(self, at: datetime) -> timedelta:
        if not self._drift:
            return timedelta(0)
        return (at - self._since) // MICROSECOND * self._drift // MILLION * MICROSECOND
