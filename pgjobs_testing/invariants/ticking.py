"""Which ticks a leader fires: none is left out that is made up for, whoever leads and however late it is."""

from __future__ import annotations

from datetime import datetime, timedelta

from pgjobs.engine.leader import SPAN
from pgjobs.leading import Tick
from pgjobs.plugins import CronEntry
from pgjobs.rules import crontab
from pgjobs.rules.errors import LeaseLostError, StoreUnavailableError
from pgjobs.rules.schedule import EPOCH, later
from pgjobs_testing.invariants.facts import NOTHING, Facts
from pgjobs_testing.invariants.sight import Sight

MOMENT = timedelta(microseconds=1)


class Skipped:
    """No tick that is made up for is left out before a later one, whoever leads (edge 13; bug 83)."""

    def __init__(self) -> None:
        self.refused: dict[str, datetime] = {}
        """The latest tick of each entry that the store refused for itself: it is left out."""

    def fires(self, sight: Sight) -> None:
        """A tick is fired: it must be the next after its watermark."""
        effect, now = sight.effect, sight.effect.fence.now
        mark, entry = sight.ledger.ticks.get(effect.key), entry_of(sight)
        if mark is None or entry is None or sight.answer is None:
            return
        refused = self.refused.get(effect.key, EPOCH)
        since = max(mark, back(now, window(entry) + MOMENT), refused)
        due = crontab.next_tick(entry.crontab, entry.zone, since)
        if due is not None and due < effect.at:
            sight.alarm(
                "skipped",
                f"the tick {effect.at} of {effect.key} is fired, and that of {due} never was",
            )

    def failed(self, effect: Tick, error: Exception) -> None:
        """A tick that the store refuses for itself is left out, and the next one fired."""
        if not isinstance(error, StoreUnavailableError | LeaseLostError):
            self.refused[effect.key] = effect.at


class MadeUpFor:
    """A leader fires what fell due before it could act, while that is made up for: a later tick says that it
    never will (edge 13; bug 83).

    A node can act from when it has read the watermarks, or has fired a tick, until one of its effects fails;
    when it stood still, from when it went on. All is in the time of its own clock, by which it judges what
    is too old, but for what it slept over.
    """

    def __init__(self, facts: Facts, skipped: Skipped) -> None:
        self._facts, self._refused = facts, skipped.refused
        self._able: dict[str, datetime] = {}
        self._slowed: dict[str, None] = {}

    def read(self, sight: Sight) -> None:
        """A new leader has the watermarks, when their answer has reached it."""
        if sight.late:
            return
        slow = sight.node in self._slowed
        self._able[sight.node] = later(sight.effect.fence.now, self._leeway if slow else NOTHING)

    def fires(self, sight: Sight) -> None:
        """A tick is fired: what its node could fire before it was fired."""
        if sight.late:
            return
        effect, mark = sight.effect, sight.ledger.ticks.get(sight.effect.key)
        able = self._able.get(sight.node)
        if able is None:
            self._able[sight.node] = effect.fence.now
            return
        entry = entry_of(sight)
        if mark is None or entry is None or sight.answer is None:
            return
        since = max(mark, back(able, window(entry)), self._refused.get(effect.key, EPOCH))
        due = crontab.next_tick(entry.crontab, entry.zone, since)
        if due is not None and due < effect.at:
            sight.alarm(
                "made_up_for",
                f"the tick {effect.at} of {effect.key} is fired, and that of {due} was not, though "
                f"{sight.node} could act since {able}",
            )

    def slowed(self, name: str) -> None:
        """Answers take a while to reach a node, now or later."""
        self._slowed[name] = None

    def resumed(self, name: str, now: datetime) -> None:
        """A node that stood still goes on."""
        if name in self._able:
            self._able[name] = later(max(self._able[name], now), self._leeway)

    def failed(self, name: str) -> None:
        """An effect of a node failed: its lease may run out, and it waits before it tries again."""
        self._able.pop(name, None)

    @property
    def _leeway(self) -> timedelta:
        return 2 * (self._facts.delay + self._facts.skew)


def entry_of(sight: Sight) -> CronEntry | None:
    """The entry whose tick is fired, if that has ticks at all."""
    entry = sight.facts.entries.get(sight.effect.key)
    return None if entry is None or entry.crontab.reboot else entry


def window(entry: CronEntry) -> timedelta:
    """How far back a tick is made up for."""
    return SPAN if entry.catch_up is None else entry.catch_up


def back(now: datetime, span: timedelta) -> datetime:
    """``now - span``; the epoch where there is no such instant."""
    return now - span if span <= now - EPOCH else EPOCH
