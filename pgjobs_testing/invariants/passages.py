"""What an effect and its answer made of rows: one passage for each row, in the order of the effect.

The reckoning is written apart from ``pgjobs.rules.lifecycle`` and from both stores, so that none of them is
its own witness. It never refuses: a passage that cannot be is for the invariants to see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pgjobs.effects import (
    Claim,
    ClaimWithin,
    Delete,
    Insert,
    Poll,
    Settle,
    Transition,
)
from pgjobs.leading import (
    Prune,
    Rescue,
    Tick,
)
from pgjobs.rules.job import MAX_ATTEMPTS, Job, JobState, NewJob, closed, opened, revised
from pgjobs.rules.lifecycle import Change, Settlement
from pgjobs.rules.schedule import later
from pgjobs_testing.invariants.ledger import FINAL_STAMPS, Ledger

WAITING = (JobState.AVAILABLE, JobState.SCHEDULED, JobState.RETRYABLE)
UNFINISHED = (*WAITING, JobState.EXECUTING, JobState.SUSPENDED)


@dataclass(slots=True)
class Passage:
    """One row's way through one effect: ``event`` took it from ``before`` to ``after`` at ``at``.

    ``before`` is None for a new row and for one that nobody knows, ``after`` for one that is gone. ``told``
    is the row as the effect's answer has it, where the answer has rows. ``new`` is what an insert asked
    for, ``settlement`` what a settle did.
    """

    event: str
    id: int
    before: Job | None
    after: Job | None
    at: datetime
    told: Job | None = None
    change: Change | None = None
    new: NewJob | None = None
    settlement: Settlement | None = None


def changed(row: Job, change: Change, at: datetime) -> Job:
    """What becomes of a row, whatever its state."""
    new, state = opened(row), change.state
    new.state = state
    if change.attempt_by:
        new.attempt = row.attempt + change.attempt_by
    if change.attempted_by is not None:
        new.attempted_by, new.attempted_at = change.attempted_by, at
    if change.scheduled_at is not None:
        new.scheduled_at = change.scheduled_at
    if state in FINAL_STAMPS:
        setattr(new, f"{state}_at", at)
    if change.error is not None:
        stamp = at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        entry = {"at": stamp, "attempt": row.attempt, "error": change.error}
        new.errors = (*row.errors, entry)
    if change.meta:
        new.meta = {**row.meta, **change.meta}
    if change.revive:
        new.completed_at = new.discarded_at = new.cancelled_at = None
        new.attempt = min(row.attempt, MAX_ATTEMPTS - 1)
        new.max_attempts = max(row.max_attempts, new.attempt + 1)
    return closed(new)


def _inserted(ledger: Ledger, effect: Insert, answer: list[Job]) -> Iterator[Passage]:
    for new, told in zip(effect.jobs, answer, strict=False):
        yield _insert(ledger, new, told, effect.now)


def _insert(ledger: Ledger, new: NewJob, told: Job, now: datetime) -> Passage:
    before = ledger.rows.get(told.id)
    if not told.conflict:
        return Passage("insert", told.id, before, _row(told.id, new, now), now, told, new=new)
    if told.replaced:
        after = None if before is None else _replaced(before, new, now)
        return Passage("replace", told.id, before, after or told, now, told, new=new)
    return Passage("conflict", told.id, before, before or told, now, told, new=new)


def _row(job_id: int, new: NewJob, now: datetime) -> Job:
    due = _due(new, now)
    return Job(
        id=job_id,
        state=JobState.AVAILABLE if due <= now else JobState.SCHEDULED,
        queue=new.queue,
        worker=new.worker,
        args=dict(new.args),
        meta=dict(new.meta),
        tags=new.tags,
        errors=(),
        attempt=0,
        max_attempts=new.max_attempts,
        priority=new.priority,
        attempted_by=(),
        inserted_at=now,
        scheduled_at=due,
    )


def _replaced(row: Job, new: NewJob, now: datetime) -> Job:
    names = dict(new.replace).get(row.state, ())
    waits = row.state in WAITING
    fields = {name: getattr(new, name) for name in names}
    if "meta" in fields:
        counted = {key: row.meta[key] for key in ("snoozed", "released") if key in row.meta}
        fields["meta"] = {**new.meta, **counted}
    if "max_attempts" in fields:
        least = row.attempt + (1 if waits or row.state is JobState.EXECUTING else 0)
        fields["max_attempts"] = min(MAX_ATTEMPTS, max(new.max_attempts, least))
    if "scheduled_at" in fields:
        due = fields["scheduled_at"] = _due(new, now)
        if waits and due <= now:
            fields["state"] = JobState.AVAILABLE
        elif row.state is JobState.AVAILABLE:
            fields["state"] = JobState.SCHEDULED
    return revised(row, fields)


def _due(new: NewJob, now: datetime) -> datetime:
    if new.scheduled_at is not None:
        return new.scheduled_at
    return now if new.schedule_in is None else later(now, new.schedule_in)


def _claimed(ledger: Ledger, effect: Claim, answer: list[Job]) -> Iterator[Passage]:
    for told in answer:
        yield _changed("claim", ledger, told, effect.change, effect.change.at)


def _claimed_within(ledger: Ledger, effect: ClaimWithin, answer: Any) -> Iterator[Passage]:
    at = effect.change.at
    if effect.limits.rate is not None:  # instants of a window never go back
        at = max(at, ledger.last_start.get(effect.queue, at))
        if answer.jobs:
            ledger.last_start[effect.queue] = at
    for told in answer.jobs:
        yield _changed("claim", ledger, told, effect.change, at)


def _changed(event: str, ledger: Ledger, told: Job, change: Change, at: datetime) -> Passage:
    before = ledger.rows.get(told.id)
    after = told if before is None else changed(before, change, at)
    return Passage(event, told.id, before, after, at, told, change)


def _settled(ledger: Ledger, effect: Settle, answer: list[bool]) -> Iterator[Passage]:
    """What cancels a group comes first, then its group, then the others; of two for one claim, the first."""
    given = list(zip(effect.settlements, answer, strict=False))
    if any(settlement.group is not None for settlement, _ in given):
        yield from _settle(ledger, [each for each in given if each[0].group is not None])
        ended: dict[str, Change] = {}
        for settlement, counted in given:
            if counted and settlement.group is not None:
                ended.setdefault(settlement.group, settlement.change)
        for group, change in ended.items():
            for row in ledger.group(group):
                if row.state in UNFINISHED:
                    after = changed(row, change, change.at)
                    yield Passage("cancel", row.id, row, after, change.at, change=change)
        given = [each for each in given if each[0].group is None]
    yield from _settle(ledger, given)


def _settle(ledger: Ledger, given: list[tuple[Settlement, bool]]) -> Iterator[Passage]:
    for settlement, counted in given:
        if not counted:
            continue
        change, row = settlement.change, ledger.rows.get(settlement.id)
        after = None if row is None else changed(row, change, change.at)
        yield Passage(
            str(change.event),
            settlement.id,
            row,
            after,
            change.at,
            change=change,
            settlement=settlement,
        )


def _moved(ledger: Ledger, effect: Transition, answer: list[Job]) -> Iterator[Passage]:
    change = effect.change
    for told in answer:
        yield _changed(str(change.event), ledger, told, change, change.at)


def _deleted(ledger: Ledger, _: Delete, answer: list[Job]) -> Iterator[Passage]:
    for told in answer:
        row = ledger.rows.get(told.id)
        yield Passage(
            "delete", told.id, row, None, ledger.since.get(told.id, told.inserted_at), told
        )


def _staged(ledger: Ledger, effect: Poll, answer: Any) -> Iterator[Passage]:
    change = effect.stage
    for job_id, _ in answer.staged:
        row = ledger.rows.get(job_id)
        after = None if row is None else changed(row, change, change.at)
        yield Passage("stage", job_id, row, after, change.at, change=change)


def _rescued(ledger: Ledger, effect: Rescue, answer: list[Job]) -> Iterator[Passage]:
    for told in answer:
        row = ledger.rows.get(told.id)
        left = row is not None and row.attempt < row.max_attempts
        change = effect.again if left else effect.last
        yield _changed("rescue", ledger, told, change, change.at)


def _pruned(ledger: Ledger, effect: Prune, answer: Any) -> Iterator[Passage]:
    for row in ledger.aged(effect.until, min(effect.limit, answer.count)):
        yield Passage("prune", row.id, row, None, effect.fence.now)


def _ticked(ledger: Ledger, effect: Tick, answer: list[Job] | None) -> Iterator[Passage]:
    for new, told in zip(effect.jobs, answer or (), strict=False):
        yield _insert(ledger, new, told, effect.fence.now)


PASSAGES: dict[type[Any], Callable[[Ledger, Any, Any], Iterator[Passage]]] = {
    Insert: _inserted,
    Claim: _claimed,
    ClaimWithin: _claimed_within,
    Settle: _settled,
    Transition: _moved,
    Delete: _deleted,
    Poll: _staged,
    Rescue: _rescued,
    Prune: _pruned,
    Tick: _ticked,
}
"""The passages of each kind of effect. Each is given before it stands in the ledger, and reckoned when the
ones before it do."""
