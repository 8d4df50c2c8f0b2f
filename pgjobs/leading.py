"""What a store can be asked for by nodes as such: heartbeats, leadership, and what only a leader does.

A leader acts under a ``Fence``. Each of its effects checks it in its own transaction and ends in
``LeaseLostError``, having changed nothing, when the lease is no longer this node's: so a leader that
was paused or cut off changes nothing after its lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pgjobs.effects import Effect
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.lifecycle import Change
from pgjobs.rules.swift import swift


@swift
@dataclass(frozen=True, slots=True)
class Beat(Effect[None]):
    """``node`` lives at ``now``, and means to say so again every ``every``."""

    node: str
    started_at: datetime
    now: datetime
    every: timedelta


@dataclass(frozen=True, slots=True)
class Leave(Effect[None]):
    """``node`` has stopped: forget its heartbeat, unless a job still executes in its name."""

    node: str


@swift
@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When a node was last heard of."""

    node: str
    started_at: datetime
    beat_at: datetime
    every: timedelta


@dataclass(frozen=True, slots=True)
class Heartbeats(Effect[list[Heartbeat]]):
    """Read every heartbeat, by the node's name."""


@swift
@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads, and until when (exclusive). ``token`` grows each time that the lease changes hands."""

    node: str
    token: int
    until: datetime


@swift
@dataclass(frozen=True, slots=True)
class Lead(Effect[Lease]):
    """Take or renew the lease ``name`` for ``span``; the answer is the lease as it stands then.

    It is taken where nobody has it at ``now``, and renewed where ``node`` has it.
    """

    name: str
    node: str
    now: datetime
    span: timedelta


@dataclass(frozen=True, slots=True)
class Leases(Effect[dict[str, Lease]]):
    """Read every lease, by its name."""


@swift
@dataclass(frozen=True, slots=True)
class Fence:
    """A lease that an effect depends on: held at ``now`` by ``node``, under ``token``."""

    name: str
    node: str
    token: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Resign(Effect[None]):
    """Give the lease back, if it is still this node's."""

    fence: Fence


@swift
@dataclass(frozen=True, slots=True)
class Rescue(Effect[list[Job]]):
    """Take executing jobs from nodes that are gone, up to ``limit``; the answer is what became of them.

    A job that has an attempt left changes by ``again``, any other by ``last``. ``rules.stalled`` says
    which nodes are gone. The fence's own node lives, whatever its heartbeat. Heartbeats of nodes that
    are gone and that no executing job names are forgotten.
    """

    fence: Fence
    again: Change
    last: Change
    rescue_after: timedelta
    limit: int


@swift
@dataclass(frozen=True, slots=True)
class Pruned:
    """The answer to ``Prune``; ``oldest``: the earliest final state after ``until`` that is left."""

    count: int
    oldest: datetime | None


@swift
@dataclass(frozen=True, slots=True)
class Prune(Effect[Pruned]):
    """Delete jobs that reached a final state at ``until`` or earlier, the oldest first, up to ``limit``.

    Rows that somebody else has locked are passed over, and others take their place.
    """

    fence: Fence
    until: datetime
    limit: int


@dataclass(frozen=True, slots=True)
class Watermarks(Effect[dict[str, datetime]]):
    """Read the newest tick of each entry (key, where it starts); an unknown entry starts there."""

    fence: Fence
    entries: tuple[tuple[str, datetime], ...]


@dataclass(frozen=True, slots=True)
class Tick(Effect[list[Job] | None]):
    """Move the watermark of ``key`` on to ``at`` and insert ``jobs``, both or neither.

    The answer is None, and nothing is inserted, where the watermark was there already.
    """

    fence: Fence
    key: str
    at: datetime
    jobs: tuple[NewJob, ...]
