"""How runs are brought to their ends: past a time limit, or past the grace of a stop, they are told at once,
and what was told before its limit is given back once it has ended.

Deadlines are kept in the world's time, later by as much as two clocks can differ, so that each is looked
at once: by then the node has told the run, if it had its turn.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from pgjobs.effects import Settle
from pgjobs.rules.job import Job
from pgjobs.rules.schedule import later
from pgjobs.worker import Worker
from pgjobs_testing.invariants.facts import Facts
from pgjobs_testing.invariants.ledger import Ledger
from pgjobs_testing.invariants.passages import Passage
from pgjobs_testing.invariants.sight import CLIENT, Sight
from pgjobs_testing.nodes.watching import Alarm, AlarmError

Claim = tuple[int, str]
"""The id of a job, and the token of its claim."""

TIMED_OUT = "JobTimeoutError"


@dataclass(slots=True)
class _Run:
    """One run: when it began, how long it may take, when it was told to stop, and when it had to be."""

    job: Job
    began: datetime
    limit: timedelta | None
    thread: bool
    told: datetime | None = None
    over: datetime | None = None


@dataclass(slots=True)
class _Node:
    """One process: its runs, since when it is to stop, until when runs may go on, and what it sleeps over."""

    runs: dict[Claim, _Run] = field(default_factory=dict)
    stopping: bool = False
    grace_ends: datetime | None = None
    suspended: bool = False
    failed: bool = False
    missed: list[tuple[Claim, str]] = field(default_factory=list)


class Endings:
    """Runs end in time: at their limit, and when the grace of a stop is over (edges 7, 12; bug 68).

    It keeps those that go on and those whose outcome is still to come, and is told of what no effect tells.
    """

    def __init__(self, facts: Facts, ledger: Ledger) -> None:
        self._facts, self._ledger = facts, ledger
        self._leeway = 2 * facts.skew
        self._nodes: dict[str, _Node] = {}
        self._ended: dict[Claim, _Run] = {}
        self._refused: dict[Claim, None] = {}
        self._due: list[tuple[datetime, int, str, Claim, str]] = []
        self._order = count()

    # What is told of runs and nodes

    def started(self, name: str, job: Job, now: datetime) -> None:
        """A run begins."""
        worker = self._facts.registry.by_name.get(job.worker)
        limit = None if worker is None else limit_of(worker, job)
        claim, node = (job.id, job.token), self._node(name)
        thread = worker is not None and worker.executor == "thread"
        node.runs[claim] = _Run(job, now, limit, thread)
        if limit is not None:
            self._expect(later(now, limit + self._leeway), name, claim, "time_limit")
        if node.grace_ends is not None:
            self._expect(max(now, node.grace_ends), name, claim, "stops")

    def told(self, name: str, job: Job, now: datetime) -> None:
        """A node tells a run to stop."""
        run = self._node(name).runs.get((job.id, job.token))
        if run is not None and run.told is None:
            run.told = now

    def ended(self, name: str, job: Job) -> None:
        """A run has really ended; its outcome may be still to come."""
        claim = job.id, job.token
        run = self._node(name).runs.pop(claim, None)
        if run is not None and self._ledger.held(*claim):
            self._ended[claim] = run

    def stopping(self, name: str, grace: timedelta, now: datetime) -> None:
        """A node is told to stop; its runs may go on for ``grace``."""
        node = self._node(name)
        if node.stopping:
            return
        node.stopping, node.grace_ends = True, later(now, grace + self._leeway)
        for claim in node.runs:
            self._expect(node.grace_ends, name, claim, "stops")

    def suspended(self, name: str) -> None:
        """A node does nothing until it is resumed."""
        self._node(name).suspended = True

    def resumed(self, name: str, now: datetime) -> None:
        """It goes on, and looks at once after what it has missed."""
        node = self._node(name)
        node.suspended = False
        missed, node.missed = node.missed, []
        for claim, why in missed:
            self._expect(now, name, claim, why)

    def gone(self, name: str) -> None:
        """A process is no more."""
        self._nodes.pop(name, None)

    def failed(self, name: str) -> None:
        """After any failure of the store a node may have to stop without it."""
        self._node(name).failed = True

    def refused(self, effect: Settle) -> None:
        """An outcome that the store refuses is saved as a failure that says so."""
        for each in effect.settlements:
            self._refused[each.id, each.token] = None

    # What must hold

    def look(self, now: datetime) -> None:
        """At the end of an instant: whoever had its turn has told the runs that it had to tell."""
        while self._due and self._due[0][0] <= now:
            due, _, name, claim, why = heapq.heappop(self._due)
            node = self._nodes.get(name)
            run = None if node is None else node.runs.get(claim)
            if node is None or run is None:
                continue
            if node.suspended:
                node.missed.append((claim, why))
                continue
            if why == "time_limit":
                run.over = max(due, now)
            if run.told is None and self._ledger.held(*claim):
                raise AlarmError(_untold(run, name, why, now))

    def outcome(self, sight: Sight, passage: Passage) -> None:
        """Judge an outcome that counts by what its run was told, and when."""
        settlement = passage.settlement
        if settlement is None:
            return
        claim = settlement.id, settlement.token
        under_way = self._node(sight.node).runs.get(claim)
        if passage.event == "release" and under_way is not None:
            sight.alarm("given_back", f"job {passage.id} is given back while it runs", passage.id)
        run = self._ended.pop(claim, None) or under_way
        if run is None or claim in self._refused:
            return
        error = settlement.change.error
        timed_out = passage.event == "fail" and error is not None and TIMED_OUT in error
        if timed_out and not self._past(run, sight.now):
            sight.alarm(
                "time_limit",
                f"job {passage.id} fails for a limit of {run.limit} after {sight.now - run.began}",
                passage.id,
            )
        if (
            run.over is not None
            and not timed_out
            and not (passage.event == "release" and run.told is not None and run.told <= run.over)
            and passage.at > later(run.over, self._facts.skew)
        ):
            sight.alarm(
                "time_limit",
                f"job {passage.id} ends with {passage.event}, and was past its limit of {run.limit} at "
                f"{run.over}",
                passage.id,
            )
        if run.told is None or run.thread or self._past(run, run.told):
            return
        if passage.event in ("complete", "fail", "discard", "snooze"):
            sight.alarm(
                "given_back",
                f"job {passage.id} was told to stop, and ends with {passage.event}",
                passage.id,
            )

    def claims(self, sight: Sight) -> None:
        """A node that was told to stop claims nothing more (edge 12)."""
        if sight.node == CLIENT or sight.late:
            return
        node = self._nodes.get(sight.node)
        if node is not None and node.stopping:
            sight.alarm("stops", "a claim of a node that was told to stop before", *sight.took)

    def left(self, name: str, now: datetime) -> Alarm | None:
        """What a node whose stop has ended left behind; a store that failed it excuses that."""
        held = [*self._ledger.executing.get(name, ())]
        if not held or self._node(name).failed:
            return None
        seen = f"node {name} has stopped, and jobs {held} still execute in its name"
        return Alarm("given_back", seen, now, tuple(held))

    # Its means

    def _past(self, run: _Run, at: datetime) -> bool:
        return run.limit is not None and at - run.began >= run.limit - self._leeway

    def _node(self, name: str) -> _Node:
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = _Node()
        return node

    def _expect(self, due: datetime, name: str, claim: Claim, why: str) -> None:
        heapq.heappush(self._due, (due, next(self._order), name, claim, why))


def limit_of(worker: Worker[..., object], job: Job) -> timedelta | None:
    """The time limit of a run; None where only code of the user's says it."""
    return None if worker.has_own_timeout else worker.timeout_of(job)


def _untold(run: _Run, name: str, why: str, now: datetime) -> Alarm:
    reason = f"its limit of {run.limit}" if why == "time_limit" else "the grace of its node's stop"
    seen = (
        f"job {run.job.id} runs on {name} since {run.began}, past {reason}, and is not told to stop"
    )
    return Alarm(why, seen, now, (run.job.id,))
