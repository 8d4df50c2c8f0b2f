"""What telemetry tells of outcomes, and of what is given back: each that counts is told once, with the state
that its row has then."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from pgjobs.effects import Settle
from pgjobs.rules.errors import StoreError, StoreUnavailableError
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.schedule import later
from pgjobs.rules.swift import swift
from pgjobs.rules.unique import META_KEY
from pgjobs_testing.invariants.facts import Facts
from pgjobs_testing.invariants.ledger import Ledger
from pgjobs_testing.invariants.passages import Passage
from pgjobs_testing.invariants.sight import Sight
from pgjobs_testing.nodes.watching import Alarm, AlarmError

SAVED = ("pgjobs.job.stop", "pgjobs.job.exception")
RELEASE = "pgjobs.job.release"
LATE = "pgjobs.job.late"
OUTCOMES = frozenset((*SAVED, RELEASE, LATE))
"""The telemetry that tells of outcomes, and of claims that are given back."""
Claim = tuple[int, str]


@swift
@dataclass(frozen=True, slots=True)
class _Outcome:
    """An outcome that counts: what it made of its job, and since when nobody has been told."""

    event: str
    state: JobState
    error: str | None
    node: str
    since: datetime


@swift
@dataclass(frozen=True, slots=True)
class _Due:
    """When the node that asked for an outcome must have told of it; ``again``: an earlier try had counted."""

    at: datetime
    claim: Claim
    asked: datetime
    again: bool


class Tellings:
    """Outcomes and releases that count, and what is told of them (edges 8, 12, 17; bug 67)."""

    def __init__(self, facts: Facts, ledger: Ledger) -> None:
        self._ledger = ledger
        self._soon = 2 * facts.delay
        self._due: deque[_Due] = deque()
        self._troubled: dict[str, datetime] = {}
        self._untold: dict[Claim, _Outcome] = {}
        self._told: dict[Claim, None] = {}
        self._refused: dict[Claim, None] = {}

    def outcome(self, sight: Sight, passage: Passage) -> None:
        """An outcome counts, or a claim is given back."""
        settlement, after = passage.settlement, passage.after
        if settlement is None or after is None:
            return
        error = settlement.change.error
        counts = _Outcome(passage.event, after.state, error, sight.node, sight.now)
        self._untold[settlement.id, settlement.token] = counts

    def settled(self, sight: Sight) -> None:
        """A node knows by the answer, or soon after by the row, which of its outcomes were saved.

        Also those that it had saved before, and not heard of.
        """
        if sight.late:
            return
        for each, counted in zip(sight.effect.settlements, sight.answer, strict=True):
            if (each.id, each.token) in self._untold:
                due = later(sight.now, self._soon)
                self._due.append(_Due(due, (each.id, each.token), sight.now, not counted))

    def troubled(self, name: str, now: datetime) -> None:
        """An effect of a node failed, or the node stands still or goes on: it may have to ask again."""
        self._troubled[name] = now

    def refused(self, effect: Settle, error: Exception) -> None:
        """An outcome that the store refuses has a failure in its place, that says so; also where an earlier
        try of it comes true meanwhile."""
        if isinstance(error, StoreError) and not isinstance(error, StoreUnavailableError):
            for each in effect.settlements:
                self._refused[each.id, each.token] = None

    def gone(self, name: str) -> None:
        """A process tells nothing any more."""
        self._troubled.pop(name, None)
        for claim in [claim for claim, each in self._untold.items() if each.node == name]:
            del self._untold[claim]

    def look(self, now: datetime) -> None:
        """At the end of an instant: what a node knows, it has told, where anybody tells."""
        while self._due and self._due[0].at <= now:
            due = self._due.popleft()
            outcome = self._untold.get(due.claim)
            if outcome is None or not self._told:
                continue
            if due.again and outcome.event == "release" and not self._shown(due.claim, outcome):
                continue  # no row proves any more that it was saved, and nothing of it came late
            troubled = self._troubled.get(outcome.node)
            if troubled is None or troubled < due.asked:
                seen = (
                    f"job {due.claim[0]} is {outcome.state} since {outcome.since}, "
                    "and nobody is told"
                )
                self._alarm("outcome_told", seen, due.claim, now)

    def heard(self, event: str, metadata: Mapping[str, Any], now: datetime) -> None:
        """A node, or who drains, tells of an outcome."""
        if event not in OUTCOMES:
            return
        job: Job = metadata["job"]
        claim = job.id, job.token
        found = self._untold.get(claim)
        if event == LATE:
            self._late(claim, found, metadata["error"], now)
        elif found is None and claim not in self._told and self._ended_with_its_group(job):
            self._told[claim] = None
        elif found is None:
            what = "told again" if claim in self._told else "told, and was never saved"
            seen = f"the outcome {job.state} of job {job.id} is {what}"
            self._alarm("outcome_told", seen, claim, now)
        elif found.state is not job.state:
            seen = f"job {job.id} is told to be {job.state}, and is {found.state}"
            self._alarm("outcome_told", seen, claim, now)
        else:
            del self._untold[claim]
            self._told[claim] = None

    def _ended_with_its_group(self, job: Job) -> bool:
        """Whether another's outcome cancelled it at the same instant in the same words: no row tells them
        apart."""
        row = self._ledger.rows.get(job.id)
        return (
            row is not None
            and row.state is JobState.CANCELLED
            and META_KEY in row.meta
            and bool(row.errors)
            and (row.state, row.cancelled_at, row.errors)
            == (job.state, job.cancelled_at, job.errors)
        )

    def _late(self, claim: Claim, found: _Outcome | None, error: str | None, now: datetime) -> None:
        """What was saved is told as late where its row no longer shows it.

        What is given back never is: that is said of its run, which did not stop when it was told. A run that
        was past its time limit ends a second time, with another error; what was refused is told with the
        error of the failure in its place, where no row shows any more which of the two was saved.
        """
        if found is None or found.event == "release":
            return
        if found.error != error and claim not in self._refused:
            return
        if self._shown(claim, found):
            seen = f"the outcome of job {claim[0]} is told as late, which made it {found.state}"
            self._alarm("outcome_told", seen, claim, now)
        del self._untold[claim]

    def _shown(self, claim: Claim, outcome: _Outcome) -> bool:
        """Whether the row still is as the outcome left it."""
        row = self._ledger.rows.get(claim[0])
        return row is not None and row.token == claim[1] and row.state is outcome.state

    def _alarm(self, invariant: str, seen: str, claim: Claim, now: datetime) -> NoReturn:
        raise AlarmError(Alarm(invariant, seen, now, (claim[0],)))
