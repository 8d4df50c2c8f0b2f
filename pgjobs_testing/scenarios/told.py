"""What a scenario is written from: jobs with their runs, and what was done from outside, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pgjobs.plugins import Plugin
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.options import Queue
from pgjobs.worker import Worker
from pgjobs_testing.trace import Moment


@dataclass(slots=True)
class Asked:
    """An insert: what was asked for, and the ordinal of the job that answered it.

    ``came_of``: insert, conflict or replace.
    """

    new: NewJob
    ordinal: int
    came_of: str
    at: datetime


@dataclass(slots=True)
class Ran:
    """One start of a job. ``ended`` None: nothing tells how it would have ended.

    ``outcome`` is the key of a scripted run and its value; empty where it went well. ``delay`` is the
    wait after a failure of this attempt. ``due`` is set where the start is not known and may lie later.
    ``told`` to stop, it may have gone on to its end all the same: it ``ignores`` that. ``limit`` is the
    time limit that it was told of.
    """

    started: datetime
    attempt: int
    node: str
    ended: datetime | None = None
    outcome: tuple[str, Any] | tuple[()] = ()
    delay: timedelta | None = None
    due: datetime | None = None
    told: bool = False
    ignores: bool = False
    limit: timedelta | None = None
    inserts: list[Asked] = field(default_factory=list)


@dataclass(slots=True)
class Told:
    """One job: its worker's name, its runs, and what is known of it at last.

    ``last`` is None once it was deleted. ``recurs``: a crontab inserted it. ``backoff`` is what its
    worker is to have, where that is known. ``row`` is what it was recorded from, as it was read.
    """

    ordinal: int
    worker: str
    runs: list[Ran] = field(default_factory=list)
    last: Job | None = None
    recurs: bool = False
    backoff: Any = None
    row: Job | None = None


@dataclass(slots=True)
class Step:
    """Something done from outside: the key of a step, and its value.

    ``job`` is the ordinal that takes the value's place where the key names a job.
    """

    at: datetime
    key: str
    value: Any = None
    job: int = 0
    asked: Asked | None = None


@dataclass(slots=True)
class Happened:
    """All of it. ``moments`` are those of its trace, where it has one.

    ``notes`` say what could not be told, for the first lines of the file.
    """

    name: str
    start: datetime
    until: datetime
    nodes: tuple[str, ...]
    queues: Mapping[str, Queue]
    plugins: tuple[Plugin, ...] = ()
    seed: int = 0
    jitter: bool = False
    worker: Callable[[str], Worker[Any, Any] | None] = lambda _: None
    served_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    moments: Sequence[Moment] = ()
    jobs: dict[int, Told] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
