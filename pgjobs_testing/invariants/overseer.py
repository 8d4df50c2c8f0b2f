"""Watches over one play: invariants at every effect, the whole store now and then, and rest at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pgjobs.adapters.local import LocalStore
from pgjobs.effects import Find
from pgjobs.plugins import Stalled
from pgjobs.ports import Executor, Finished, Run
from pgjobs.rules.job import Job
from pgjobs.rules.schedule import later
from pgjobs.rules.selection import Selection
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.invariants import Facts, Invariants, settles_within
from pgjobs_testing.invariants.calling import TASKS
from pgjobs_testing.invariants.telling import OUTCOMES
from pgjobs_testing.nodes.cluster import Cluster
from pgjobs_testing.nodes.watching import AlarmError

COMPARED_EVERY = timedelta(minutes=10)


class Overseer:
    """What a play with ``invariants`` asks at each instant; ``AlarmError`` ends it."""

    def __init__(self, facts: Facts, cluster: Cluster, clock: VirtualClock) -> None:
        self._facts, self._cluster, self._clock = facts, cluster, clock
        self._store: LocalStore = cluster.store.inside
        self.invariants = Invariants(facts)
        self._compares_at = later(clock.now(), COMPARED_EVERY)
        cluster.store.watch = self.invariants
        cluster.overseer = self.invariants

    def look(self) -> None:
        """Raise what broke at this instant; compare the whole store, where that is long ago."""
        if self._cluster.store.alarm is not None:
            raise self._cluster.store.alarm
        now = self._clock.now()
        self.invariants.look(now)
        if now >= self._compares_at:
            self._compares_at = later(now, COMPARED_EVERY)
            self.invariants.compare(self._rows(), now)

    def heard(self, event: str, metadata: Mapping[str, Any]) -> None:
        """Telemetry of any node. Whoever tells goes on: the instant ends with the alarm."""
        if event not in OUTCOMES and event not in TASKS:
            return
        try:
            self.invariants.heard(event, metadata, self._clock.now())
        except AlarmError as alarm:
            self._cluster.store.alarm = self._cluster.store.alarm or alarm

    def at_the_end(self, since: datetime | None) -> None:
        """Faults ended at ``since`` (None: not yet): where that is long ago, everything must be at rest.

        A trap that took an effect after that is a fault, too, whenever it was laid.
        """
        now, sprung = self._clock.now(), self._cluster.store.sprung
        if since is not None and sprung is not None:
            since = max(since, sprung)
        if since is None or now - since < settles_within(self._facts):
            self.invariants.compare(self._rows(), now)
            return
        self.invariants.at_rest(
            self._rows(),
            now,
            since=since,
            living=self._cluster.living,
            stopping=self._cluster.stopping,
            whole=self._cluster.whole,
            rescued=self._cluster.each_has(Stalled),
        )

    @property
    def bound(self) -> timedelta:
        """How long after the end of all faults everything must be at rest."""
        return settles_within(self._facts)

    @property
    def marks(self) -> tuple[tuple[str, int], ...]:
        """How often each thing happened that should sometimes happen."""
        return tuple(sorted(self.invariants.marks.counts.items()))

    def overseen(self, executor: Executor, node: str) -> Executor:
        """A node's way to its executor, on which its runs are told of as they begin and end."""
        return Overseen(executor, node, self.invariants, self._clock.now)

    def dissolve(self) -> None:
        """Let go of everything: the watch holds itself in circles."""
        vars(self.invariants).clear()
        vars(self).clear()

    def _rows(self) -> list[Job]:
        return self._store.carry_out(Find(Selection()))


class Overseen:
    """An executor, and who is told of its runs."""

    def __init__(
        self,
        inside: Executor,
        node: str,
        invariants: Invariants,
        now: Callable[[], datetime],
    ) -> None:
        self.inside, self._node, self._invariants, self._now = inside, node, invariants, now

    def start(self, runs: list[Run]) -> None:
        now = self._now()
        for run in runs:
            if run.then is None:
                self._invariants.started(self._node, run.job, now)
        self.inside.start(runs)

    def tell(self, run: Run) -> None:
        if run.then is None:
            self._invariants.told(self._node, run.job, self._now())
        self.inside.tell(run)

    def collect(self) -> list[Finished]:
        ended = self.inside.collect()
        for each in ended:
            if each.run.then is None:
                self._invariants.ended(self._node, each.run.job)
        return ended

    def close(self) -> None:
        self.inside.close()
