"""What a store can be asked for: each an immutable value, carried out in one transaction.

An effect names its answer's type: ``store.run(Claim(...))`` is a ``list[Job]``. Because effects are
values, a session may overlap them, a test may count or fail them, and both stores and all drivers
share their meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pgjobs.rules.control import Control
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.lifecycle import Change, Settlement
from pgjobs.rules.limits import Limits
from pgjobs.rules.ratelimit import Window
from pgjobs.rules.selection import Selection
from pgjobs.rules.swift import swift

T_co = TypeVar("T_co", covariant=True)


class Effect(Generic[T_co]):
    """One transaction's worth of work, whose answer is a ``T_co``."""

    __slots__ = ()


@swift
@dataclass(frozen=True, slots=True)
class Insert(Effect[list[Job]]):
    """Store new jobs, all or none; the answer is in the order given. Tells listeners of the queues.

    In the place of a job that has a duplicate (the jobs before it count) the oldest one is answered,
    with ``conflict``; changed as the new job's ``replace`` says, with ``replaced``.
    """

    jobs: tuple[NewJob, ...]
    now: datetime


@swift
@dataclass(frozen=True, slots=True)
class Claim(Effect[list[Job]]):
    """Apply ``change`` to the first ``demand`` of ``selection`` in claim order; the answer is in it."""

    selection: Selection
    demand: int
    change: Change


@swift
@dataclass(frozen=True, slots=True)
class ClaimWithin(Effect["Claimed"]):
    """As ``Claim``, of one queue and within ``limits``, which hold over all who claim so.

    Claims of one queue take turns. Jobs start at ``change.at``, or at the last start that the rate
    remembers if that is later.
    """

    queue: str
    selection: Selection
    demand: int
    change: Change
    limits: Limits


@swift
@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to ``ClaimWithin``: ``jobs`` in claim order, and how the limits stand after it.

    ``opens_at`` is when the rate lets a job start again, where it lets none now. ``running`` counts the
    queue's executing jobs on all nodes where that is limited, and no further than it matters.
    """

    jobs: list[Job]
    opens_at: datetime | None
    running: int


@swift
@dataclass(frozen=True, slots=True)
class Settle(Effect[list[bool]]):
    """Apply each settlement whose fence holds; say for each, in order, whether it did.

    They are applied as ``lifecycle.in_order`` says. One that counts and has a ``group`` cancels the
    unfinished jobs with that fingerprint, and tells those that are executing to stop.
    """

    settlements: tuple[Settlement, ...]


@swift
@dataclass(frozen=True, slots=True)
class Transition(Effect[list[Job]]):
    """Apply ``change`` to every job of ``selection`` that may leave its state by it, up to ``limit``.

    Jobs are taken in order of ``scheduled_at``, then id; the answer is in it.
    """

    selection: Selection
    change: Change
    limit: int


@dataclass(frozen=True, slots=True)
class Delete(Effect[list[Job]]):
    """Remove jobs, up to ``limit``; the answer is what they were. In the order of ``Transition``: so no two
    that change many jobs wait for one another.
    """

    selection: Selection
    limit: int


@swift
@dataclass(frozen=True, slots=True)
class Find(Effect[list[Job]]):
    """Read jobs by ``order_by`` (a column, "-column" for descending), then id, up to ``limit``.

    ``after`` is a job; what stands behind it in this order is read.
    """

    selection: Selection
    order_by: str = "id"
    limit: int | None = None
    after: Job | None = None


@dataclass(frozen=True, slots=True)
class FindIds(Effect[list[int]]):
    """Read the ids of jobs, ascending, up to ``limit``; only those above ``after`` where it is given."""

    selection: Selection
    limit: int
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Count(Effect[dict[str, int]]):
    """Count jobs by a column (state, queue, worker); under the key "" when ``by`` is None."""

    selection: Selection
    by: str | None = None


@dataclass(frozen=True, slots=True)
class SetControl(Effect[None]):
    """Merge ``control`` into what was set by hand for ``queue``, and tell every node.

    Fields of ``control`` that are None stay as they are stored. For ``EVERY_QUEUE`` a pause or a
    resume replaces that of each single queue.
    """

    queue: str
    control: Control
    now: datetime


@dataclass(frozen=True, slots=True)
class ResetControl(Effect[None]):
    """Forget what was set by hand for ``queue``, and tell every node. Its window stays."""

    queue: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Controls(Effect[dict[str, Control]]):
    """Read what was set by hand, for every queue where that is anything."""


@dataclass(frozen=True, slots=True)
class Windows(Effect[dict[str, Window]]):
    """Read what rate limits remember, of every queue where that is anything."""


@swift
@dataclass(frozen=True, slots=True)
class Poll(Effect["Polled"]):
    """Look once at all that a node must know: the floor under every notification.

    Stages up to ``limit`` due jobs, then reads which of ``queues`` have available jobs, when the
    next job falls due, which of the ``held`` claims (id, token) are lost, and the controls.
    """

    stage: Change
    limit: int
    queues: tuple[str, ...]
    held: tuple[tuple[int, str], ...] = ()


@swift
@dataclass(frozen=True, slots=True)
class Polled:
    """The answer to ``Poll``: ``staged`` in order of ``scheduled_at``, then id."""

    staged: tuple[tuple[int, str], ...]
    ready: tuple[str, ...]
    next_due: datetime | None
    lost: tuple[int, ...]
    controls: Mapping[str, Control]
