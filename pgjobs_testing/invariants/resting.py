"""What must hold when all faults are over and time enough has passed: liveness.

Every job is final, or waits for a reason that is still there, as where nobody serves its queue. No job
executes for a node that is gone, or for one that does not know of it. Where there is something to lead, one
living node leads; who was told to stop has stopped; and every tick since has been fired.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NoReturn

from pgjobs.rules import crontab
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.options import Queue
from pgjobs_testing.invariants.facts import Facts, settles_within
from pgjobs_testing.invariants.hearing import Runs
from pgjobs_testing.invariants.ledger import STAGED_FROM, Ledger, node_of
from pgjobs_testing.invariants.limits import Windows
from pgjobs_testing.invariants.serving import Serving
from pgjobs_testing.invariants.sight import named
from pgjobs_testing.nodes.watching import Alarm, AlarmError


class Rest:
    """A world at rest: ``living`` are the names, in the store, of the nodes that are up."""

    def __init__(
        self,
        facts: Facts,
        ledger: Ledger,
        runs: Runs,
        windows: Windows,
        serving: Serving,
        *,
        now: datetime,
        since: datetime,
        living: Collection[str],
        stopping: Collection[str],
        excused: Collection[int],
        whole: bool,
        rescued: bool,
    ) -> None:
        self._facts, self._ledger, self._runs, self._windows = facts, ledger, runs, windows
        self._serving = serving
        self._now, self._since = now, since
        self._living = sorted(living)
        self._stopping, self._excused = sorted(stopping), frozenset(excused)
        self._whole, self._rescued = whole, rescued
        self.unserved = 0
        """Jobs that wait, rightly, as none that lives serves their queue."""
        self._soon = facts.poll_interval + facts.delay + facts.skew
        bound = settles_within(facts)
        assert now - since >= bound, f"faults ended {now - since} ago; rest comes within {bound}"

    def check(self) -> None:
        """``AlarmError`` for the first thing that is not at rest."""
        if self._stopping:
            self._alarm("drains", f"{', '.join(self._stopping)} should have stopped by now")
        if not self._living:
            return
        self._one_leader()
        for job_id in sorted(self._ledger.rows):
            if job_id not in self._excused:
                self._job(self._ledger.rows[job_id])
        if self._whole:  # else whoever leads may have no crontab, or another
            self._ticks()

    def _job(self, row: Job) -> None:
        if row.state is JobState.EXECUTING:
            self._executing(row)
        elif row.state is JobState.AVAILABLE:
            self._available(row)
        elif row.state in STAGED_FROM and self._now - row.scheduled_at > self._soon:
            self._alarm("ends", f"{named(row)} was due {self._now - row.scheduled_at} ago", row.id)

    def _executing(self, row: Job) -> None:
        node, spent = node_of(row), self._now - self._ledger.since[row.id]
        if node not in self._living:
            if self._rescued and self._facts.rescue_after is not None:
                self._alarm("no_orphan", f"{named(row)} executes for {node}, which is gone", row.id)
        elif not self._runs.knows(node, (row.id, row.token)) and self._runs.used:
            if spent > settles_within(self._facts):
                self._alarm(
                    "no_orphan", f"{named(row)} executes for {node}, which does not run it", row.id
                )
        elif spent > self._facts.longest_run + settles_within(self._facts):
            self._alarm("ends", f"{named(row)} has been executing for {spent}", row.id)

    def _available(self, row: Job) -> None:
        configured, waited = self._facts.served(row.queue), self._now - self._ledger.since[row.id]
        if configured is None or waited <= self._soon:
            return
        paused, concurrency = self._facts.by_hand(row.queue, self._ledger.controls)
        if paused or self._busy(row.queue, configured, concurrency):
            return
        self._alarm(
            "ends", f"{named(row)} has been available for {waited}, and nothing holds it", row.id
        )

    def _busy(self, queue: str, configured: Queue, concurrency: int) -> bool:
        """Whether a limit keeps what is left in the queue."""
        limit, rate = configured.global_concurrency, configured.rate_limit
        if limit is not None and self._ledger.running.get(queue, 0) >= limit:
            return True
        if rate is not None and self._windows.full(queue, rate, self._now - self._soon):
            return True
        # Where none that lives serves it, nobody can take it.
        serving = self._serving.among(self._living, queue)
        self.unserved += not serving
        return all(self._taken(node, queue) >= concurrency for node in serving)

    def _taken(self, node: str, queue: str) -> int:
        rows = self._ledger.executing.get(node, {})
        executing = sum(self._ledger.rows[job_id].queue == queue for job_id in rows)
        return max(executing, self._runs.of(node, queue))

    def _one_leader(self) -> None:
        if not self._facts.led:
            return
        lease = self._ledger.leases.get(self._facts.lease)
        if lease is None or lease.node not in self._living:
            self._alarm("one_leader", f"nobody leads that lives: the lease is {lease}")
        if lease.until <= self._now - self._facts.skew:
            self._alarm("one_leader", f"nobody leads: the lease is {lease}")

    def _ticks(self) -> None:
        for key, entry in self._facts.entries.items():
            mark = self._ledger.ticks.get(key)
            if entry.crontab.reboot or mark is None:
                continue
            settled = self._since + settles_within(self._facts)
            tick = crontab.next_tick(entry.crontab, entry.zone, max(mark, settled))
            if tick is not None and self._now - tick > self._soon + timedelta(seconds=1):
                self._alarm("fires", f"the tick {tick} of {key} was not fired")

    def _alarm(self, invariant: str, seen: str, *jobs: int) -> NoReturn:
        raise AlarmError(Alarm(invariant, f"{seen} (at rest since {self._since})", self._now, jobs))
