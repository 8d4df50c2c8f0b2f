"""What a job is: its states, its frozen row, and what a worker may answer.

The row's fields are the columns of Oban's ``oban_jobs``. Instants are aware UTC datetimes of whole
microseconds, ``args`` and ``meta`` are JSON objects in jsonb's normal form.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeGuard

from pgjobs.rules.errors import ConfigurationError, shown
from pgjobs.rules.jsonb import copied

if TYPE_CHECKING:
    from pgjobs.rules.replacing import Replace
    from pgjobs.rules.unique import UniqueRule

MAX_ATTEMPTS = 32_767
"""The largest ``attempt`` and ``max_attempts`` that the table's smallint columns hold."""


class JobState(StrEnum):
    """Where a job stands. ``suspended`` is read and kept, and never made by pgjobs."""

    AVAILABLE = "available"
    SCHEDULED = "scheduled"
    EXECUTING = "executing"
    RETRYABLE = "retryable"
    COMPLETED = "completed"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    SUSPENDED = "suspended"


FINAL = (JobState.COMPLETED, JobState.DISCARDED, JobState.CANCELLED)
"""The states that nothing leaves but a retry by hand."""

WAITING = (JobState.AVAILABLE, JobState.SCHEDULED, JobState.RETRYABLE)
"""The states in which a job is waiting to run."""


class CancelFlag:
    """``job.cancelled``: set when a run should stop; a thread worker looks at it."""

    __slots__ = ("_event", "_set")

    def __init__(self) -> None:
        self._set = False
        self._event: threading.Event | None = None

    def is_set(self) -> bool:
        """Whether this run was told to stop (cancelled, timed out, or its node is stopping)."""
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        """Block for ``timeout`` seconds at most until told to stop; return ``is_set()``."""
        if self._event is None:
            self._event = threading.Event()
        if self._set:  # set() may have run before the event was there
            self._event.set()
        self._event.wait(timeout)
        return self._set

    def set(self) -> None:
        """Tell the run to stop. Never undone."""
        self._set = True
        if self._event is not None:
            self._event.set()


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it was read from the store; a later change of the row does not show here.

    Of what an insert returned, ``conflict`` says that the job was there before, and ``replaced``
    that it was changed by the insert.
    """

    id: int
    state: JobState
    queue: str
    worker: str
    args: dict[str, Any]
    meta: dict[str, Any]
    tags: tuple[str, ...]
    errors: tuple[dict[str, Any], ...]
    attempt: int
    max_attempts: int
    priority: int
    attempted_by: tuple[str, ...]
    inserted_at: datetime
    scheduled_at: datetime
    attempted_at: datetime | None = None
    completed_at: datetime | None = None
    discarded_at: datetime | None = None
    cancelled_at: datetime | None = None
    conflict: bool = False
    replaced: bool = False
    cancelled: CancelFlag = field(default_factory=CancelFlag, compare=False, repr=False)
    data: Any = field(default=None, compare=False, repr=False)
    """The args as the worker's ``args=`` model, while it runs; None for a worker without one."""

    @property
    def snoozed(self) -> int:
        """How often this job was snoozed (``meta.snoozed``)."""
        return counter(self.meta, "snoozed")

    @property
    def came_of(self) -> str:
        """What the insert that answered with this job came to: insert, conflict or replace."""
        if self.replaced:
            return "replace"
        return "conflict" if self.conflict else "insert"

    @property
    def token(self) -> str:
        """The token of this job's newest claim, or an empty string."""
        by = self.attempted_by
        return by[1] if by[1:] else ""

    @property
    def last_error(self) -> str | None:
        """The text of the newest error, or None."""
        return str(self.errors[-1].get("error", "")) if self.errors else None


class _Open:
    """A job under construction: the same slots, not frozen yet.

    Filling a frozen dataclass takes three times as long, since every field passes through
    ``object.__setattr__``; a claim makes a thousand jobs.
    """

    __slots__ = tuple(each.name for each in fields(Job))

    def __init__(
        self,
        id: int,  # noqa: A002 - the column's name
        state: JobState,
        queue: str,
        worker: str,
        args: dict[str, Any],
        meta: dict[str, Any],
        tags: tuple[str, ...],
        errors: tuple[dict[str, Any], ...],
        attempt: int,
        max_attempts: int,
        priority: int,
        attempted_by: tuple[str, ...],
        inserted_at: datetime,
        scheduled_at: datetime,
        attempted_at: datetime | None,
        completed_at: datetime | None,
        discarded_at: datetime | None,
        cancelled_at: datetime | None,
        conflict: bool,
        replaced: bool,
        cancelled: CancelFlag,
        data: Any = None,
    ) -> None:
        self.id = id
        self.state = state
        self.queue = queue
        self.worker = worker
        self.args = args
        self.meta = meta
        self.tags = tags
        self.errors = errors
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.priority = priority
        self.attempted_by = attempted_by
        self.inserted_at = inserted_at
        self.scheduled_at = scheduled_at
        self.attempted_at = attempted_at
        self.completed_at = completed_at
        self.discarded_at = discarded_at
        self.cancelled_at = cancelled_at
        self.conflict = conflict
        self.replaced = replaced
        self.cancelled = cancelled
        self.data = data


_empty = _Open.__new__


def made(*values: Any) -> Job:
    """A job from the values of all its fields, in order; ``data`` may be left out."""
    job: Any = _Open(*values)
    job.__class__ = Job
    found: Job = job
    return found


def opened(job: Job) -> Any:
    """A copy whose fields can be set, until ``closed`` makes a job of it.

    Field by field, which takes half as long as to collect the values and pass them on.
    """
    new: Any = _empty(_Open)
    new.id = job.id
    new.state = job.state
    new.queue = job.queue
    new.worker = job.worker
    new.args = job.args
    new.meta = job.meta
    new.tags = job.tags
    new.errors = job.errors
    new.attempt = job.attempt
    new.max_attempts = job.max_attempts
    new.priority = job.priority
    new.attempted_by = job.attempted_by
    new.inserted_at = job.inserted_at
    new.scheduled_at = job.scheduled_at
    new.attempted_at = job.attempted_at
    new.completed_at = job.completed_at
    new.discarded_at = job.discarded_at
    new.cancelled_at = job.cancelled_at
    new.conflict = job.conflict
    new.replaced = job.replaced
    new.cancelled = job.cancelled
    new.data = job.data
    return new


def closed(new: Any) -> Job:
    """The job that was under construction: nothing changes it any more."""
    new.__class__ = Job
    found: Job = new
    return found


def revised(job: Job, changes: Mapping[str, Any]) -> Job:
    """``dataclasses.replace``, but fast."""
    new = opened(job)
    for name, value in changes.items():
        setattr(new, name, value)
    return closed(new)


def inserted_job(job_id: int, new: NewJob, state: JobState, now: datetime, due: datetime) -> Job:
    """The row that an insert makes at ``now``, which shares nothing with ``new`` that can be changed."""
    job: Any = _Open(
        job_id,
        state,
        new.queue,
        new.worker,
        copied(new.args),
        copied(new.meta) if new.meta else {},
        new.tags,
        (),
        0,
        new.max_attempts,
        new.priority,
        (),
        now,
        due,
        None,
        None,
        None,
        None,
        False,
        False,
        CancelFlag(),
    )
    job.__class__ = Job
    row: Job = job
    return row


def unshared(job: Job) -> Job:
    """A copy that shares with ``job`` nothing that can be changed: its args are its own, and its flag."""
    new = opened(job)
    new.args, new.meta = copied(job.args), copied(job.meta) if job.meta else {}
    if job.errors:
        new.errors = tuple(map(copied, job.errors))
    new.cancelled = CancelFlag()
    new.__class__ = Job
    copy: Job = new
    return copy


COLUMNS = (
    "id",
    "state",
    "queue",
    "worker",
    "args",
    "meta",
    "tags",
    "errors",
    "attempt",
    "max_attempts",
    "priority",
    "attempted_by",
    "inserted_at",
    "scheduled_at",
    "attempted_at",
    "completed_at",
    "discarded_at",
    "cancelled_at",
)
"""The stored fields of ``Job``, in the order of its constructor."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is not stored yet, as ``worker.new`` makes it; insert it as often as you like.

    ``unique`` is what its insert looks for first, ``replace`` what a job that is found becomes.
    """

    worker: str
    args: Mapping[str, Any]
    queue: str = "default"
    max_attempts: int = 20
    priority: int = 0
    tags: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    scheduled_at: datetime | None = None
    schedule_in: timedelta | None = None
    unique: UniqueRule | None = None
    replace: Replace = ()
    made: bool = field(default=False, init=False, compare=False, repr=False)
    """Whether ``worker.new`` made it, and so checked it; a copy with changes is checked at its insert."""


class _OpenNew:
    """A new job under construction, as ``_Open`` is one that is stored."""

    __slots__ = tuple(each.name for each in fields(NewJob))

    def __init__(
        self,
        worker: str,
        args: Mapping[str, Any],
        queue: str = "default",
        max_attempts: int = 20,
        priority: int = 0,
        tags: tuple[str, ...] = (),
        meta: Mapping[str, Any] | None = None,
        scheduled_at: datetime | None = None,
        schedule_in: timedelta | None = None,
        unique: UniqueRule | None = None,
        replace: Replace = (),
    ) -> None:
        self.worker = worker
        self.args = args
        self.queue = queue
        self.max_attempts = max_attempts
        self.priority = priority
        self.tags = tags
        self.meta = {} if meta is None else meta
        self.scheduled_at = scheduled_at
        self.schedule_in = schedule_in
        self.unique = unique
        self.replace = replace
        self.made = True


def made_new(worker: str, args: Mapping[str, Any], options: Mapping[str, Any]) -> NewJob:
    """A new job whose args and options were checked."""
    new: Any = _OpenNew(worker, args, **options)
    new.__class__ = NewJob
    found: NewJob = new
    return found


class Result(Exception):
    """What a worker returns, or raises, to say more than "done". Results compare by value."""

    _value: object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(type(self))

    def _key(self) -> tuple[object, object]:
        return type(self), self._value


class _Reasoned(Result):
    def __init__(self, reason: str | BaseException = "") -> None:
        if not isinstance(reason, str | BaseException):
            raise ConfigurationError(
                f"{type(self).__name__} takes a text or an exception, not {shown(reason)}"
            )
        super().__init__(reason)
        self.reason = reason
        self._value = (type(reason), reason.args) if isinstance(reason, BaseException) else reason

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.reason!r})"


class Retry(_Reasoned):
    """The attempt failed: run again after the backoff, or discard at the last attempt."""


class Discard(_Reasoned):
    """Never run this job again: it failed for good, on purpose."""


class Cancel(_Reasoned):
    """Stop this job, and every unfinished job of its uniqueness group."""


class Snooze(Result):
    """Run this job again after ``seconds`` (a number or a ``timedelta``); the attempt is given back."""

    def __init__(self, seconds: float | timedelta) -> None:
        value = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        if not is_number(value):
            raise ConfigurationError(f"Snooze takes seconds or a timedelta, not {shown(seconds)}")
        if value < 0:
            raise ConfigurationError(f"Snooze takes 0 seconds or more, not {shown(seconds)}")
        super().__init__(value)
        self.seconds = self._value = saturated(value)

    def __repr__(self) -> str:
        return f"Snooze({self.seconds:g})"


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether ``value`` is a number that can be compared: no bool, no NaN."""
    if type(value) is int:
        return True
    if isinstance(value, float):
        return not math.isnan(value)
    return isinstance(value, int) and not isinstance(value, bool)


def saturated(value: int | float) -> float:
    """``value`` as a float; a whole number beyond the floats becomes an infinity."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def counter(meta: Mapping[str, Any], name: str) -> int:
    """A counter kept in ``meta``; 0 where it is missing or is no whole number."""
    value = meta.get(name, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
