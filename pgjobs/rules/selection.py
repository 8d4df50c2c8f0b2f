"""Which jobs are meant: one value that matches a job in memory and becomes a WHERE in Postgres.

A ``Selection`` is a conjunction of conditions. ``matches`` is the reference; the Postgres store
renders the same conditions as SQL, and the conformance suite holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeGuard

from pgjobs.rules.errors import ConfigurationError, reject_unknown, shown
from pgjobs.rules.job import COLUMNS, Job, JobState
from pgjobs.rules.jsonb import contains, normal_list, normal_object
from pgjobs.rules.lifecycle import Event, sources
from pgjobs.rules.schedule import earlier, instant
from pgjobs.rules.swift import swift

JSON_FIELDS = ("args", "meta", "errors")
LIST_FIELDS = ("tags", "attempted_by")
INSTANT_FIELDS = tuple(name for name in COLUMNS if name.endswith("_at"))
INTEGER_FIELDS = ("id", "attempt", "max_attempts", "priority")
FILTERS = COLUMNS
"""What jobs can be filtered by."""
_TICK = timedelta(microseconds=1)


@swift
@dataclass(frozen=True, slots=True)
class OneOf:
    """The field equals one of ``values``; None stands for an empty column."""

    field: str
    values: tuple[Any, ...]

    def matches(self, job: Job) -> bool:
        return getattr(job, self.field) in self.values


@dataclass(frozen=True, slots=True)
class Contains:
    """The JSON field contains ``part``, as jsonb's ``@>`` says."""

    field: str
    part: Mapping[str, Any] | list[Any]

    def matches(self, job: Job) -> bool:
        value = getattr(job, self.field)
        return contains(list(value) if isinstance(value, tuple) else value, self.part)


@swift
@dataclass(frozen=True, slots=True)
class HasAll:
    """The list field has every one of ``values``."""

    field: str
    values: tuple[str, ...]

    def matches(self, job: Job) -> bool:
        return set(self.values) <= set(getattr(job, self.field))


@swift
@dataclass(frozen=True, slots=True)
class AtMost:
    """The field (an instant or a whole number) is ``bound`` or less."""

    field: str
    bound: datetime | int

    def matches(self, job: Job) -> bool:
        value = getattr(job, self.field)
        return value is not None and bool(value <= self.bound)


@dataclass(frozen=True, slots=True)
class AttemptsLeft:
    """The job may start once more; rows made elsewhere need not be so."""

    def matches(self, job: Job) -> bool:
        return job.attempt < job.max_attempts


Condition = OneOf | Contains | HasAll | AtMost | AttemptsLeft


@swift
@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that meet every condition; without any, all jobs."""

    conditions: tuple[Condition, ...] = ()

    def matches(self, job: Job) -> bool:
        for condition in self.conditions:  # noqa: SIM110 - all() over a generator takes twice as long
            if not condition.matches(job):
                return False
        return True

    def and_(self, *more: Condition) -> Selection:
        """This selection, narrowed."""
        return Selection((*self.conditions, *more))

    def named(self, ids: Sequence[int]) -> Selection:
        """These jobs of the selection, which had them when their ids were read: ids never change."""
        rest = (each for each in self.conditions if not is_by_id(each))
        return Selection((*rest, OneOf("id", tuple(ids))))

    def leaving(self, event: Event) -> Selection:
        """Of these jobs, those whose state ``event`` may leave."""
        return self.and_(OneOf("state", sources(event)))


def is_by_id(condition: Condition) -> TypeGuard[OneOf]:
    """Whether the condition names jobs by id."""
    return isinstance(condition, OneOf) and condition.field == "id"


def by_id(job_id: int) -> Selection:
    """One job."""
    return Selection((OneOf("id", (job_id,)),))


@lru_cache(maxsize=256)
def claimable(queue: str | None) -> Selection:
    """What a node may start from ``queue`` (from any, when None)."""
    narrowed = Selection((OneOf("state", sources(Event.CLAIM)), AttemptsLeft()))
    return narrowed if queue is None else narrowed.and_(_of(queue))


def available(queue: str | None) -> Selection:
    """What waits to be started from ``queue`` (from any, when None), whatever attempts it has left."""
    waits = Selection((OneOf("state", sources(Event.CLAIM)),))
    return waits if queue is None else waits.and_(_of(queue))


@lru_cache(maxsize=256)
def _of(queue: str) -> Condition:
    return OneOf("queue", (queue,))


def due(until: datetime, queue: str | None = None) -> Selection:
    """What is to be staged: waiting for an instant that is not later than ``until``."""
    waits, late = _WAITS, AtMost("scheduled_at", until)
    return Selection((waits, late) if queue is None else (waits, late, _of(queue)))


_WAITS = OneOf("state", sources(Event.STAGE))


def claimed_under(token: str, queue: str | None) -> Selection:
    """What a claim took, for a node that did not hear the answer."""
    held = Selection((OneOf("state", (JobState.EXECUTING,)), HasAll("attempted_by", (token,))))
    return held if queue is None else held.and_(OneOf("queue", (queue,)))


def claim_order(job: Job) -> tuple[int, datetime, int]:
    """The order in which jobs start: priority, then ``scheduled_at``, then id."""
    return job.priority, job.scheduled_at, job.id


def ahead_of(job: Job, now: datetime) -> tuple[Selection, ...]:
    """The jobs of its queue that start before a due job, as selections that have none in common.

    Those that are available, and those that are due and not staged yet.
    """
    ahead = (
        (AtMost("priority", job.priority - 1),),
        (
            OneOf("priority", (job.priority,)),
            AtMost("scheduled_at", earlier(job.scheduled_at, _TICK)),
        ),
        (
            OneOf("priority", (job.priority,)),
            OneOf("scheduled_at", (job.scheduled_at,)),
            AtMost("id", job.id - 1),
        ),
    )
    waiting = due(now, job.queue).and_(AttemptsLeft())
    return tuple(
        chosen.and_(*narrowing) for chosen in (claimable(job.queue), waiting) for narrowing in ahead
    )


def filtered(filters: Mapping[str, Any]) -> Selection:
    """A selection from keyword filters; ``ConfigurationError`` for what cannot be one.

    ``args``, ``meta`` and ``errors`` (a dict, or a list of them) match by containment, ``tags`` and
    ``attempted_by`` by having all that is given, every other field by equality, or by being one of
    the list given.
    """
    reject_unknown(filters, FILTERS, "filter")
    return Selection(tuple(_condition(name, value) for name, value in filters.items()))


def _condition(name: str, value: Any) -> Condition:
    if name == "errors":
        return Contains(name, normal_list([value] if isinstance(value, Mapping) else value, name))
    if name in JSON_FIELDS:
        return Contains(name, normal_object(value, name))
    values = _listed(value)
    if name in LIST_FIELDS:
        return HasAll(name, tuple(_texts(name, values)))
    return OneOf(name, tuple(_scalar(name, item) for item in values))


def _listed(value: Any) -> tuple[Any, ...]:
    """The values of a filter; those of a set in an order that no hash decides."""
    if isinstance(value, set | frozenset):
        return tuple(sorted(value, key=repr))
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _scalar(name: str, value: Any) -> Any:
    if name == "state":
        known = {state.value for state in JobState}
        if not isinstance(value, str) or value not in known:
            reject_unknown((str(value),), known, "state")
        return JobState(value)
    if name in INSTANT_FIELDS:
        return None if value is None else instant(value, f"the filter {name!r}")
    if name in INTEGER_FIELDS:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigurationError(
                f"the filter {name!r} takes a whole number, not {shown(value)}"
            )
        return value
    return next(iter(_texts(name, (value,))))


def _texts(name: str, values: Iterable[Any]) -> Iterable[str]:
    for value in values:
        if not isinstance(value, str):
            raise ConfigurationError(f"the filter {name!r} takes a text, not {shown(value)}")
        yield str(value)
