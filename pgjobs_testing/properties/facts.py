"""What happened to jobs, as facts: what a store carried out, and what a worker's own code did.

A fact says what was done and never why: the model judges it. Facts come in the order in which a store
carried them out, so that of two that fall on one instant the model knows which was first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgjobs.effects import (
    Claim,
    Claimed,
    ClaimWithin,
    Delete,
    Effect,
    Insert,
    Poll,
    Polled,
    ResetControl,
    SetControl,
    Settle,
    Transition,
)
from pgjobs.rules.job import Job, NewJob


@dataclass(frozen=True, slots=True)
class Inserted:
    """``asked`` was to be stored, and ``answer`` came back."""

    at: datetime
    asked: NewJob
    answer: Job


@dataclass(frozen=True, slots=True)
class Staged:
    """These jobs, by id, were found to be due."""

    at: datetime
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """One claim took these jobs, in this order."""

    at: datetime
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True)
class Began:
    """The code of a worker was entered with a job."""

    at: datetime
    job: Job


@dataclass(frozen=True, slots=True)
class Answered:
    """The code of a worker was left: it returned ``value``, or raised it."""

    at: datetime
    job: Job
    value: Any
    raised: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """What one run's job was to become (``word`` names the event), and whether that counted."""

    id: int
    token: str
    word: str
    counted: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcomes of these runs were saved together."""

    at: datetime
    endings: tuple[Ending, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """An operator's hand: ``word`` is cancel, retry or delete; ``ids`` are the jobs that it changed."""

    at: datetime
    word: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Controlled:
    """Set by hand for a queue; None is left as it was. Without both, what was set is forgotten."""

    at: datetime
    queue: str
    paused: bool | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Draining:
    """A drain begins, of what is due by ``until``; ``fresh``: of what its jobs insert, too.

    ``queue`` None stands for all.
    """

    at: datetime
    queue: str | None
    until: datetime
    fresh: bool


@dataclass(frozen=True, slots=True)
class Drained:
    """The drain has ended; ``whole``: since nothing was left. ``jobs`` are as each run left its own."""

    at: datetime
    whole: bool
    jobs: tuple[Job, ...] | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """The clock has come here. Without ``run`` nothing was to happen meanwhile."""

    at: datetime
    run: bool


Fact = (
    Inserted
    | Staged
    | Started
    | Began
    | Answered
    | Settled
    | Changed
    | Controlled
    | Draining
    | Drained
    | Passed
)


def facts_of(effect: Effect[Any], answer: Any, at: datetime) -> list[Fact]:
    """What an effect with this answer did to jobs; nothing for what only reads."""
    match effect, answer:
        case Insert(jobs=asked), list():
            return [Inserted(at, *pair) for pair in zip(asked, answer, strict=True)]
        case (Claim(), list(jobs)) | (ClaimWithin(), Claimed(jobs=jobs)):
            return [Started(at, tuple(jobs))] if jobs else []
        case Settle(settlements=asked_for), list():
            pairs = zip(asked_for, answer, strict=True)
            endings = [Ending(s.id, s.token, str(s.change.event), counted) for s, counted in pairs]
            return [Settled(at, tuple(endings))]
        case Poll(), Polled(staged=staged):
            return [Staged(at, tuple(job_id for job_id, _ in staged))] if staged else []
        case Transition(change=change), list():
            ids = tuple(job.id for job in answer)
            if change.event == "stage":
                return [Staged(at, ids)] if ids else []
            return [Changed(at, str(change.event), ids)]
        case Delete(), list():
            return [Changed(at, "delete", tuple(job.id for job in answer))]
        case SetControl(queue=queue, control=control), _:
            return [Controlled(at, queue, control.paused, control.concurrency)]
        case ResetControl(queue=queue), _:
            return [Controlled(at, queue)]
    return []
