"""Why a job has not run, as values: one class a reason, each with a ``kind``, a sentence and its data.

``blocks`` says whether the job can start while the reason holds: True (it cannot), False (it can), None
(that depends on what the asking process cannot see). ``opens_at`` is when it ends by itself, where
that is known. ``str()`` is a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pgjobs.rules.wording import first_line, listed, shown_at, shown_span, times


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason; ``kind`` names it and stays what it is."""

    kind: ClassVar[str]
    blocks: ClassVar[bool | None] = True

    @property
    def ends_at(self) -> datetime | None:
        """When it ends by itself, where that is known."""
        found: datetime | None = getattr(self, "opens_at", None)
        return found


@dataclass(frozen=True, slots=True)
class Scheduled(Reason):
    """It is not due yet. ``snoozed`` is how often its worker has put it off."""

    kind: ClassVar[str] = "scheduled"
    opens_at: datetime
    wait: timedelta
    snoozed: int = 0

    def __str__(self) -> str:
        put_off = f", snoozed {times(self.snoozed)}" if self.snoozed else ""
        return f"it is scheduled for {shown_at(self.opens_at)}, in {shown_span(self.wait)}{put_off}"


@dataclass(frozen=True, slots=True)
class Retryable(Reason):
    """It failed, and waits for its next attempt."""

    kind: ClassVar[str] = "retryable"
    opens_at: datetime
    wait: timedelta
    attempt: int
    max_attempts: int
    error: str | None

    def __str__(self) -> str:
        why = f" ({first_line(self.error)})" if self.error else ""
        return (
            f"attempt {self.attempt} of {self.max_attempts} failed{why}, and the next is due at "
            f"{shown_at(self.opens_at)}, in {shown_span(self.wait)}"
        )


@dataclass(frozen=True, slots=True)
class Suspended(Reason):
    """Another program holds it back: pgjobs never starts, and never makes, a suspended job."""

    kind: ClassVar[str] = "suspended"

    def __str__(self) -> str:
        return "it is suspended, which pgjobs never ends by itself: retry_job makes it available"


@dataclass(frozen=True, slots=True)
class AttemptsUsed(Reason):
    """It waits, but no attempt is left: no claim takes it."""

    kind: ClassVar[str] = "attempts_used"
    attempt: int
    max_attempts: int

    def __str__(self) -> str:
        return (
            f"its attempts are used up ({self.attempt} of {self.max_attempts}), so that no node takes "
            "it: cancel_job and then retry_job give it one more"
        )


@dataclass(frozen=True, slots=True)
class NoNode(Reason):
    """No node is alive. ``last`` is the one that was heard of last, at ``beat_at``."""

    kind: ClassVar[str] = "no_node"
    last: str | None
    beat_at: datetime | None

    def __str__(self) -> str:
        if self.beat_at is None:
            return "no node is alive, and none has left a heartbeat: start one with `pgjobs run`"
        return f"no node is alive: the last was {self.last}, heard of at {shown_at(self.beat_at)}"


@dataclass(frozen=True, slots=True)
class QueueNotServed(Reason):
    """Under test: no instance of the application serves the queue, and nobody else can."""

    kind: ClassVar[str] = "queue_not_served"
    queue: str
    served: tuple[str, ...]
    nearest: str | None

    def __str__(self) -> str:
        hint = f": did you mean {self.nearest!r}?" if self.nearest else ""
        return f"no node serves the queue {self.queue!r} (served: {listed(self.served)}){hint}"


@dataclass(frozen=True, slots=True)
class QueueNotKnown(Reason):
    """The asking instance does not list the queue, and cannot tell how other nodes serve it."""

    kind: ClassVar[str] = "queue_not_known"
    blocks: ClassVar[bool | None] = None
    queue: str
    served: tuple[str, ...]
    nearest: str | None

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return (
            f"the queue {self.queue!r} is not one of this instance's ({listed(self.served)}){hint}: "
            "whether another node serves it, and within which limits, is not known here"
        )


@dataclass(frozen=True, slots=True)
class Paused(Reason):
    """Its queue is paused: ``by`` is ``pause_queue``, ``pause_all_queues`` or ``configuration``."""

    kind: ClassVar[str] = "paused"
    queue: str
    by: str

    def __str__(self) -> str:
        if self.by == "configuration":
            return (
                f"the queue {self.queue!r} is configured with paused=True: resume_queue starts it, "
                "or paused=False"
            )
        return f"the queue {self.queue!r} is paused by {self.by}: resume_queue starts it again"


@dataclass(frozen=True, slots=True)
class Running:
    """A job that executes now."""

    id: int
    worker: str
    node: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class NoFreeSlot(Reason):
    """Every node that is alive runs as many jobs of the queue as its ``concurrency`` says."""

    kind: ClassVar[str] = "no_free_slot"
    concurrency: int
    nodes: tuple[str, ...]
    running: tuple[Running, ...]

    def __str__(self) -> str:
        slots = self.concurrency * len(self.nodes)
        where = f" on {len(self.nodes)} nodes" if len(self.nodes) > 1 else ""
        return f"no slot is free: {len(self.running)} of {slots} run{where} ({jobs(self.running)})"


@dataclass(frozen=True, slots=True)
class GlobalLimit(Reason):
    """All nodes together run as many jobs of the queue as its ``global_concurrency`` says."""

    kind: ClassVar[str] = "global_limit"
    limit: int
    running: tuple[Running, ...]

    def __str__(self) -> str:
        return (
            f"global_concurrency is reached: {len(self.running)} of {self.limit} run "
            f"({jobs(self.running)})"
        )


@dataclass(frozen=True, slots=True)
class RateWindow(Reason):
    """The rate limit lets none start before ``opens_at``; ``claims`` (instant, how many) fill it."""

    kind: ClassVar[str] = "rate_limit"
    opens_at: datetime
    wait: timedelta
    allowed: int
    period: timedelta
    used: int
    claims: tuple[tuple[datetime, int], ...]

    def __str__(self) -> str:
        filled = [f"{n} at {shown_at(at)}" for at, n in self.claims]
        return (
            f"its rate limit is used up: {self.used} of {self.allowed} starts in "
            f"{shown_span(self.period)} ({listed(filled)}); it opens at {shown_at(self.opens_at)}, in "
            f"{shown_span(self.wait)}"
        )


@dataclass(frozen=True, slots=True)
class JobsAhead(Reason):
    """``count`` due jobs of the queue come first, and no more than ``room`` can start now."""

    kind: ClassVar[str] = "jobs_ahead"
    count: int
    room: int

    def __str__(self) -> str:
        come = "job of its queue comes" if self.count == 1 else "jobs of its queue come"
        can = "none can start now" if not self.room else f"{self.room} can start now"
        return f"{self.count} {come} first (by priority, scheduled_at, id), and {can}"


@dataclass(frozen=True, slots=True)
class UnknownWorker(Reason):
    """No worker of that name is registered here. The job starts, and its attempt fails."""

    kind: ClassVar[str] = "unknown_worker"
    blocks: ClassVar[bool | None] = False
    worker: str
    nearest: str | None

    def __str__(self) -> str:
        hint = f" (did you mean {self.nearest!r}?)" if self.nearest else ""
        return (
            f"no worker named {self.worker!r} is registered in this process{hint}: where none is, the "
            "attempt fails with UnknownWorkerError"
        )


@dataclass(frozen=True, slots=True)
class NotRunYet(Reason):
    """Under test, jobs run when the test says so; ``started`` tells whether ``start`` was called.

    ``held``: something else than its own due instant holds it back, such as a pause or a limit.
    ``served``: a node serves its queue; a drain runs every queue.
    """

    kind: ClassVar[str] = "not_run_yet"
    mode: str
    started: bool
    wait: timedelta | None
    held: bool = False
    served: bool = True

    def __str__(self) -> str:
        started = "; start() was called, and under test starts nothing" if self.started else ""
        drain = "drain_queue()" if self.wait is None else "drain_queue(with_scheduled=True)"
        if not self.served:
            return (
                f"no advance(...) runs it, as no node would; {drain} does, in every queue{started}"
            )
        if self.held:
            return (
                "nothing runs it by itself: advance(...) does once it may start, and "
                f"{drain} now, whatever is paused or limited{started}"
            )
        if self.mode == "inline":
            return f"the next insert, advance(...) or drain_queue() runs what is due{started}"
        if self.wait is None:
            return f"nothing has run it yet: drain_queue() or advance(0) does{started}"
        seconds = f"{self.wait.total_seconds():g}"
        return (
            f"nothing runs it by itself: advance({seconds}) or drain_queue(with_scheduled=True) does"
            f"{started}"
        )


def jobs(running: Sequence[Running]) -> str:
    """Jobs by their ids."""
    return ("job " if len(running) == 1 else "jobs ") + listed([str(each.id) for each in running])


def values(reason: Reason) -> dict[str, Any]:
    """A reason as JSON's kinds of values, durations in seconds."""
    found = {"kind": reason.kind, "text": str(reason), "blocks": reason.blocks}
    names = [name for kind in type(reason).__mro__ for name in getattr(kind, "__slots__", ())]
    return found | {name: _value(getattr(reason, name)) for name in names}


def _value(value: object) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Running):
        return {name: _value(getattr(value, name)) for name in ("id", "worker", "node", "since")}
    if isinstance(value, tuple):
        return [_value(each) for each in value]
    return value
