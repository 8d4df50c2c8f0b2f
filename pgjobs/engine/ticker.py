"""When a leader fires the entries of a crontab: each tick once, whoever leads, whatever clocks do.

The store keeps a watermark for each entry, its newest tick, which only moves on; firing a tick moves
it, in one transaction with what the tick inserts. An entry starts, exclusive, where it is first seen. A
leader fires what lies between the watermark and now, but nothing that is older than ``catch_up``. What it
passes over is logged, each gap once by each node.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from pgjobs.effects import Effect
from pgjobs.engine.leader import SPAN
from pgjobs.engine.led import LedPorts
from pgjobs.leading import Fence, Tick, Watermarks
from pgjobs.rules import crontab
from pgjobs.rules.crontab import Crontab
from pgjobs.rules.errors import LeaseLostError, StoreNotReadyError, StoreUnavailableError
from pgjobs.rules.gap import gap
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.schedule import EPOCH, earlier

log = logging.getLogger("pgjobs")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a crontab. ``jobs`` makes what a tick inserts, ``fired`` is told when it has.

    ``title`` names it in the log, where ``remedy`` says what to do about ticks that were passed over.
    """

    key: str
    title: str
    remedy: str
    crontab: Crontab
    zone: tzinfo
    jobs: Callable[[datetime], tuple[NewJob, ...]]
    fired: Callable[[datetime, list[Job], datetime], None]
    catch_up: timedelta | None = None

    @property
    def window(self) -> timedelta:
        """How far back a tick is made up for."""
        return SPAN if self.catch_up is None else self.catch_up


class Ticker:
    """The duty that fires ``entries``."""

    def __init__(self, ports: LedPorts, entries: Sequence[Entry]) -> None:
        self._ports = ports
        self._entries = {entry.key: entry for entry in entries}
        self._place = {entry.key: place for place, entry in enumerate(entries)}
        self._started: datetime | None = None
        self._next: list[tuple[datetime, int, str]] = []
        self._known = self._reading = False
        self._term = 0
        self._told: dict[str, datetime] = {}
        self._unheard: dict[str, datetime] = {}

    def start(self, now: datetime) -> None:
        """The node starts: for ``@reboot``."""
        self._started = now

    def elected(self, now: datetime) -> None:
        self._known, self._reading, self._next = False, False, []
        self._term += 1

    def next_due(self, now: datetime) -> datetime | None:
        if self._reading or self._term == 0:
            return None
        due = now if not self._known else self._next[0][0] if self._next else None
        if due is None:
            return None
        return self._ports.leader.when(self._ports.patience.not_before(due), now)

    def step(self, now: datetime) -> None:
        due = self.next_due(now)
        if due is None or due > now:
            return
        fence = self._ports.leader.fence(now)
        if fence is None:
            self._ports.leader.want(now)
        elif not self._known:
            self._reading = True
            starts = ((k, EPOCH if e.crontab.reboot else now) for k, e in self._entries.items())
            self._ports.submit(Watermarks(fence, tuple(starts)))
        else:
            self._fire(fence, now)

    def _fire(self, fence: Fence, now: datetime) -> None:
        while self._next and self._next[0][0] <= now:
            at, _, key = heapq.heappop(self._next)
            entry = self._entries[key]
            if not entry.crontab.reboot and at < earlier(now, entry.window):
                self._plan(entry, before(now, entry.window))
                self._pass_over(entry, at - timedelta.resolution, now)
                continue
            self._ports.submit(Tick(fence, key, at, entry.jobs(at)))

    def answered(self, effect: Effect[Any], answer: Any, now: datetime) -> None:
        self._ports.patience.regain()
        if isinstance(effect, Watermarks):
            self._reading, self._known = False, True
            for key, watermark in answer.items():
                self._begin(self._entries[key], watermark, now)
            return
        assert isinstance(effect, Tick)
        entry = self._entries[effect.key]
        if answer is not None:
            entry.fired(effect.at, answer, now)
        self._plan(entry, effect.at)

    def failed(self, effect: Effect[Any], error: Exception, now: datetime) -> None:
        self._reading = False
        if isinstance(error, LeaseLostError):
            self._known = False
            self._ports.leader.lost(now)
            return
        passes = isinstance(error, StoreUnavailableError | StoreNotReadyError)
        if isinstance(effect, Tick) and not passes:
            log.error("the entry %s could not be fired at %s: %s", effect.key, effect.at, error)
            self._ports.report.failed_plugin(effect.key, error)
            self._told[effect.key] = max(effect.at, self._told.get(effect.key, effect.at))
            self._plan(self._entries[effect.key], effect.at)
            return
        self._ports.patience.lose(now)
        if isinstance(effect, Tick):
            self._unheard[effect.key] = effect.at
            self._push(effect.at, effect.key)

    def _begin(self, entry: Entry, watermark: datetime, now: datetime) -> None:
        if not entry.crontab.reboot:
            self._unheard.pop(entry.key, None)
            self._pass_over(entry, watermark, now)
            self._plan(entry, max(watermark, before(now, entry.window)))
            return
        started = self._started
        assert started is not None
        # Nodes that start within one lease of another are one reboot; one that comes to lead long
        # after its start has missed it, and its predecessor has not.
        if started - watermark > SPAN and now - started <= 2 * SPAN:
            self._push(started, entry.key)

    def _pass_over(self, entry: Entry, after: datetime, now: datetime) -> None:
        """Log the ticks after ``after`` that are too old to be fired, and were not logged before."""
        until = before(now, entry.window)
        after = max(after, self._told.get(entry.key, after))
        passed = gap(entry.crontab, entry.zone, after, until)
        if passed is None:
            return
        self._told[entry.key] = until
        log.warning(
            "%s: passed over %s%s. Nobody fired %s in time, and the entry makes up for %s and no more: %s",
            entry.title,
            passed,
            " (the first may have been fired, its answer was lost)"
            if self._unheard.get(entry.key) == passed.first
            else "",
            "it" if passed.count == 1 else "them",
            entry.window,
            entry.remedy,
        )

    def _plan(self, entry: Entry, after: datetime) -> None:
        if entry.crontab.reboot:
            return
        at = crontab.next_tick(entry.crontab, entry.zone, after)
        if at is not None:
            self._push(at, entry.key)

    def _push(self, at: datetime, key: str) -> None:
        if all(key != other for _, _, other in self._next):
            heapq.heappush(self._next, (at, self._place[key], key))


def before(now: datetime, window: timedelta) -> datetime:
    """The last instant that is further back than ``window``."""
    return earlier(earlier(now, window), timedelta.resolution)
