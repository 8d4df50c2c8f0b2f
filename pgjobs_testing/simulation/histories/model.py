"""What a recorded history is: what clients asked and were told, what ran, and what the table went through.

Two clocks are in it. ``invoked``, ``returned``, ``began``, ``ended`` and ``at`` are seconds on the monotonic
clock of the machine, which all its processes share; a call takes place somewhere between ``invoked`` and
``returned``. Instants of the engine (``now``, ``inserted_at`` ...) are microseconds after 1970 on the
clock that the engine was given, and only ever compared with one another.

The journal is what the database itself wrote down, in the transaction of each change: the changes of one job
are in the order in which they were made, since its row is locked from each to its commit. The order of two
jobs' changes says nothing, but where one lock was held for both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

NEVER = math.inf


class Ended(StrEnum):
    """What a caller knows: it happened, it did not happen and never will, or either."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Call:
    """One call: by whom, from when to when, and how it ended.

    ``returned`` is None where the caller died first. ``now`` and ``then`` are the engine's instants just
    before and after it.
    """

    process: str
    invoked: float
    returned: float | None
    ended: Ended
    now: int
    then: int | None

    @property
    def until(self) -> float:
        """It took place by then, if it did: a call whose end is unknown may still take place."""
        if self.returned is None or self.ended is Ended.UNKNOWN:
            return NEVER
        return self.returned

    def covers(self, instant: int) -> bool:
        """Whether the engine's clock may have shown ``instant`` in this call."""
        return self.now <= instant and (self.then is None or instant <= self.then)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which jobs stand in the way of an insert: those in ``states``, inserted less than ``period_us`` ago."""

    period_us: int | None
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class New:
    """A job that was asked for. No other has its ``key``; unique ones of one ``group`` are duplicates."""

    key: str
    group: str | None = None
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a new job: its id, or that of the one that was there, and was perhaps changed."""

    job: int
    conflict: bool = False
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Insert:
    """A call that stores all of ``new``, or none: single, bulk, or a transaction of the caller's.

    ``answers`` has one for each where it returned them.
    """

    call: Call
    new: tuple[New, ...]
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """A cancel, a retry or a delete of one job by hand; ``state`` is that of the job in the answer."""

    call: Call
    what: str
    job: int
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a worker's code; ``ended`` is None where its process died, or it never came back."""

    process: str
    job: int
    token: str
    attempt: int
    began: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a node said of a claim at ``at``: ``settled`` (its outcome counted), ``late``, ``released`` or
    ``rescued``."""

    process: str
    what: str
    job: int
    token: str
    state: str
    at: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of one row. ``before`` is None where it was inserted, ``after`` where it was deleted.

    ``ended_at`` is when it reached its final state. The other fields are as they were after it.
    """

    n: int
    transaction: int
    job: int
    before: str | None
    after: str | None
    attempt: int
    token: str
    queue: str
    key: str
    group: str | None
    inserted_at: int
    scheduled_at: int
    attempted_at: int | None = None
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A job as the table had it in the end."""

    key: str
    state: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Limit:
    """What holds over all nodes for a queue: starts in a period, and runs at a time."""

    allowed: int | None = None
    period_us: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """All that was recorded, and the limits under which it was."""

    inserts: tuple[Insert, ...] = ()
    orders: tuple[Order, ...] = ()
    executions: tuple[Execution, ...] = ()
    told: tuple[Told, ...] = ()
    journal: tuple[Entry, ...] = ()
    rows: Mapping[int, Row] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many operations it holds, the changes that the database noted among them."""
        parts = (self.inserts, self.orders, self.executions, self.told, self.journal)
        return sum(map(len, parts))


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What no right history has: its name, what was seen, and the jobs that it is about."""

    name: str
    seen: str
    jobs: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.seen}"
