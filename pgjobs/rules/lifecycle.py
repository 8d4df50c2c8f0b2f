"""Which states a job may pass through, and what each passage writes.

The life of a job is the table ``TRANSITIONS``: for each event, the states that it may leave and the
states that it may reach. Every function below names one event and returns a ``Change``: a frozen
value that says what becomes of a row. Stores apply changes (``apply`` is the reference, the
Postgres store renders the same fields as SQL) and decide nothing.

An outcome counts only for the claim that produced it. A ``Settlement`` is therefore fenced: it
takes effect where the row has its id, is still ``executing``, and carries its token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from pgjobs.rules.job import FINAL, MAX_ATTEMPTS, Job, JobState, closed, counter, opened
from pgjobs.rules.jsonb import merged
from pgjobs.rules.schedule import later
from pgjobs.rules.swift import swift
from pgjobs.rules.unique import fingerprint_of

A, S, E, R, C, D, X, P = (
    JobState.AVAILABLE,
    JobState.SCHEDULED,
    JobState.EXECUTING,
    JobState.RETRYABLE,
    JobState.COMPLETED,
    JobState.DISCARDED,
    JobState.CANCELLED,
    JobState.SUSPENDED,
)


class Event(StrEnum):
    """What can happen to a job. ``insert`` has no state before it, ``delete`` none after."""

    INSERT = "insert"
    STAGE = "stage"
    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    DISCARD = "discard"
    SNOOZE = "snooze"
    CANCEL = "cancel"
    RELEASE = "release"
    RESCUE = "rescue"
    RETRY = "retry"
    DELETE = "delete"


TRANSITIONS: Mapping[Event, tuple[tuple[JobState, ...], tuple[JobState, ...]]] = {
    Event.INSERT: ((), (A, S)),
    Event.STAGE: ((S, R), (A,)),
    Event.CLAIM: ((A,), (E,)),
    Event.COMPLETE: ((E,), (C,)),
    Event.FAIL: ((E,), (R, D)),
    Event.DISCARD: ((E,), (D,)),
    Event.SNOOZE: ((E,), (S,)),
    Event.CANCEL: ((A, S, R, E, P), (X,)),
    Event.RELEASE: ((E,), (A,)),
    Event.RESCUE: ((E,), (A, D)),
    Event.RETRY: ((S, R, C, D, X, P), (A,)),
    Event.DELETE: ((A, S, E, R, C, D, X, P), ()),
}
"""event: (the states it may leave, the states it may reach)."""


STAMPS: Mapping[JobState, str] = {E: "attempted_at"} | {state: f"{state}_at" for state in FINAL}
"""Where it is kept when a job reached a state."""

RESCUED_LAST = "the node that ran this attempt stopped without settling it, and it was the last one"


def sources(event: Event) -> tuple[JobState, ...]:
    """The states that ``event`` may leave."""
    return TRANSITIONS[event][0]


@swift
@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the event for the job's row, and what is kept of the reason.

    ``error`` is text that jsonb can hold. ``exception`` is what was raised or given as the reason,
    for telemetry and for ``drain_queue``; ``raised`` says whether it was raised. ``stacktrace`` is its
    traceback as text, where that was made already: it takes long.
    """

    event: Event
    error: str | None = None
    snooze_s: float = 0.0
    exception: BaseException | None = None
    raised: bool = False
    stacktrace: str | None = field(default=None, compare=False, repr=False)


@swift
@dataclass(frozen=True, slots=True)
class Change:
    """What an event writes to a row, the same for every row that it touches.

    ``at`` is stamped on ``attempted_at`` or on the final state's own column. ``attempt_by`` is added
    to ``attempt``. None leaves a column as it is; ``error`` is appended to ``errors``; ``meta`` is
    merged at the top level. ``revive`` clears the final stamps and raises ``max_attempts`` so that
    one more attempt is left.
    """

    event: Event
    state: JobState
    at: datetime
    attempt_by: int = 0
    attempted_by: tuple[str, ...] | None = None
    scheduled_at: datetime | None = None
    error: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    revive: bool = False

    def __post_init__(self) -> None:
        assert self.state in TRANSITIONS[self.event][1], f"{self.event} cannot reach {self.state}"


@swift
@dataclass(frozen=True, slots=True)
class Settlement:
    """A change for one claim: it counts only while row ``id`` executes under ``token``.

    Where it counts, and has a ``group``, it also cancels every unfinished job with that fingerprint.
    """

    id: int
    token: str
    change: Change
    group: str | None = None


def in_order(settlements: Sequence[Settlement]) -> tuple[list[int], list[int]]:
    """The places of the settlements that may count, in the order in which stores apply them.

    First those that cancel a group, then the others: so none of a group's jobs outlives it. Of two
    for one claim the first alone may count.
    """
    if len(settlements) == 1:
        return ([], [0]) if settlements[0].group is None else ([0], [])
    first: dict[tuple[int, str], int] = {}
    for place, settlement in enumerate(settlements):
        first.setdefault((settlement.id, settlement.token), place)
    places = [*first.values()]
    return (
        [place for place in places if settlements[place].group is not None],
        [place for place in places if settlements[place].group is None],
    )


def stage(now: datetime) -> Change:
    """A due job becomes available."""
    return _staging(now)


@lru_cache(maxsize=8)
def _staging(now: datetime) -> Change:
    """One value at one instant, at which a drain asks again and again."""
    return Change(Event.STAGE, A, now)


def claim(node: str, token: str, now: datetime) -> Change:
    """An available job starts its next attempt, in the name of ``node`` and under ``token``."""
    return Change(Event.CLAIM, E, now, attempt_by=1, attempted_by=(node, token))


def settle(job: Job, outcome: Outcome, now: datetime, delay_s: float = 0.0) -> Settlement:
    """What an outcome makes of the job as it was claimed; ``delay_s`` is the backoff of a failure."""
    if outcome.event is Event.COMPLETE:
        return Settlement(job.id, job.token, _completion(now))
    group = fingerprint_of(job) if outcome.event is Event.CANCEL else None
    return Settlement(job.id, job.token, _settled(job, outcome, now, delay_s), group)


@lru_cache(maxsize=8)
def _completion(now: datetime) -> Change:
    """One value for all that are done at one instant, as a thousand jobs may be."""
    return Change(Event.COMPLETE, C, now)


def _settled(job: Job, outcome: Outcome, now: datetime, delay_s: float) -> Change:
    event, error = outcome.event, outcome.error
    if event is Event.SNOOZE:
        return Change(
            event,
            S,
            now,
            attempt_by=-1,
            scheduled_at=later(now, outcome.snooze_s),
            meta={"snoozed": job.snoozed + 1},
        )
    if event is Event.DISCARD:
        return Change(event, D, now, error=error)
    if event is Event.CANCEL:
        return Change(event, X, now, error=error)
    assert event is Event.FAIL, f"no run ends with {event}"
    if job.attempt >= job.max_attempts:
        return Change(event, D, now, error=error)
    return Change(event, R, now, scheduled_at=later(now, delay_s), error=error)


def release(job: Job, now: datetime) -> Settlement:
    """A run that its node gives back: available again, the attempt not counted."""
    change = Change(
        Event.RELEASE, A, now, attempt_by=-1, meta={"released": counter(job.meta, "released") + 1}
    )
    return Settlement(job.id, job.token, change)


def cancel_run(job: Job, now: datetime) -> Settlement:
    """A run that is cancelled from outside, its row still to be changed: itself alone, as by hand."""
    return Settlement(job.id, job.token, cancel(now))


def took_effect(settlement: Settlement, claimed: Job, row: Job) -> bool:
    """Whether ``row`` shows that the settlement of ``claimed`` was saved some time ago.

    Only what no other run can have written is a proof; but that of a group which another ended at the same
    instant in the same words shows just what it would.
    """
    change = settlement.change
    if change.error is not None:
        return error_entry(change, claimed.attempt) in row.errors
    if change.attempt_by:
        return _given_back(row) - _given_back(claimed) > _could_give_back(claimed, row)
    stamp = row.cancelled_at if change.state is X else row.completed_at
    return (row.token, stamp) == (settlement.token, change.at)


def _given_back(job: Job) -> int:
    """How many claims of a job gave their attempt back."""
    return job.snoozed + counter(job.meta, "released")


def _could_give_back(claimed: Job, row: Job) -> int:
    """How many later claims may have given their attempt back. They are counted by the attempts that
    there are, and those that were given back."""
    later = row.attempt + _given_back(row) - claimed.attempt - _given_back(claimed)
    kept = later > 0 and row.state in (E, R, C, D)
    return later - 1 if kept else later


def rescue(now: datetime) -> Change:
    """A job of a node that is gone becomes available; its attempt counts."""
    return Change(Event.RESCUE, A, now)


def rescue_last(now: datetime) -> Change:
    """The same for a job at its last attempt: it is discarded, and says why."""
    return Change(Event.RESCUE, D, now, error=RESCUED_LAST)


def cancel(now: datetime) -> Change:
    """An unfinished job is cancelled by hand."""
    return Change(Event.CANCEL, X, now)


def retry(now: datetime) -> Change:
    """A job is made available by hand, with one more attempt at least."""
    return Change(Event.RETRY, A, now, scheduled_at=now, revive=True)


def apply(change: Change, job: Job) -> Job:
    """The job after ``change``; what every store does to its row."""
    assert job.state in TRANSITIONS[change.event][0], f"{change.event} cannot leave {job.state}"
    new = opened(job)
    new.state = change.state
    new.attempt = job.attempt + change.attempt_by
    if change.attempted_by is not None:
        new.attempted_by = change.attempted_by
    if change.scheduled_at is not None:
        new.scheduled_at = change.scheduled_at
    if (stamp := STAMPS.get(change.state)) is not None:
        setattr(new, stamp, change.at)
    if change.error is not None:
        new.errors = (*job.errors, error_entry(change, job.attempt))
    if change.meta:
        new.meta = merged(job.meta, change.meta)
    if change.revive:
        new.completed_at = new.discarded_at = new.cancelled_at = None
        new.attempt = min(new.attempt, MAX_ATTEMPTS - 1)
        new.max_attempts = max(job.max_attempts, new.attempt + 1)
    return closed(new)


def error_entry(change: Change, attempt: int) -> dict[str, Any]:
    """The element of ``errors`` for a change with an error, its keys in jsonb's order."""
    return {"at": iso(change.at), "error": change.error, "attempt": attempt}


def iso(at: datetime) -> str:
    """An instant as Oban writes it into JSON: ``2025-01-01T00:00:00.000000Z``."""
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2"]
    for event, (left, reached) in TRANSITIONS.items():
        for before in left or ("[*]",):
            lines += [f"    {before} --> {after}: {event}" for after in reached or ("[*]",)]
    return "\n".join(lines)
