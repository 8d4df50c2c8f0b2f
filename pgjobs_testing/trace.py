"""What happened, in order, in virtual time: the moments of an engine, and how they read as text.

A trace names jobs by ordinal (``#1`` is the first that was inserted), because ids come from the
store. Equal seeds give byte-equal traces, on both stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from pgjobs.plugins import Plugin
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.options import Queue
from pgjobs.rules.swift import swift
from pgjobs.worker import Worker
from pgjobs_testing.naming import check_word, in_full

CLIENT = "-"
"""The node of what a client did."""

INSERTS = ("pgjobs.job.insert", "pgjobs.job.replace")
SIMULATED = "simulation."
"""What is done to nodes from outside, which no telemetry tells: a crash, a suspension."""


@swift
@dataclass(frozen=True, slots=True)
class Moment:
    """One event: when, on which node, what, to which job (its ordinal; 0 for none), and details.

    ``event`` is the last word of the telemetry event, or for an ended run the state that it
    reached; ``name`` is the whole name of the telemetry event, or ``simulation.`` and what was done.
    ``job`` is the row after the event, where the event has one. ``by`` is the job whose run did it (0:
    none did), ``new`` what was asked to be inserted, ``took_s`` how long the run took that ended.
    """

    at: datetime
    node: str
    event: str
    ordinal: int
    detail: str
    job: Job | None = None
    name: str = ""
    by: int = 0
    new: NewJob | None = None
    took_s: float | None = None


@swift
@dataclass(frozen=True, slots=True)
class Call:
    """What a test did to time, between the moments ``index - 1`` and ``index``.

    ``let``: from here on the engine acts by itself; ``hold``: it has done what was due, and rests;
    ``drain`` (``given``: its plan, and its node) and ``drained``.
    """

    index: int
    at: datetime
    what: str
    given: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """What somebody needs to know to play a trace again.

    ``held``: the engine acts only where a ``Call`` lets it. ``others``: queues that ``queues`` does not
    name were served as well. ``worker`` gives the worker of a name, as far as there is one. ``now`` is
    where the clock stands. ``served_by`` are the nodes of queues that not all of them serve.
    """

    nodes: tuple[str, ...]
    queues: Mapping[str, Queue]
    others: bool
    plugins: tuple[Plugin, ...]
    seed: int
    jitter: bool
    mode: str
    held: bool
    now: datetime
    worker: Callable[[str], Worker[Any, Any] | None]
    served_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@swift
@dataclass(frozen=True, slots=True)
class Event:
    """One telemetry event as it was told: ``details`` are its metadata and its measurements."""

    at: datetime
    name: str
    details: Mapping[str, Any]

    @property
    def job(self) -> Job | None:
        """The job as it stood after the event, where the event has one."""
        job: Job | None = self.details.get("job")
        return job


@swift
@dataclass(frozen=True, slots=True)
class Trace:
    """Moments in order; ``text`` is a line for each, instants counted from ``start``."""

    start: datetime
    moments: tuple[Moment, ...]
    calls: tuple[Call, ...] = field(default=(), compare=False, repr=False)
    setting: Setting | None = field(default=None, compare=False, repr=False)

    def text(self) -> str:
        """The trace as text: instant, node, event, job, details."""
        return "\n".join(line(moment, self.start) for moment in self.moments)

    def digest(self) -> str:
        """A short fingerprint of ``text``: equal for equal traces."""
        return blake2b(self.text().encode(), digest_size=8).hexdigest()

    def of(self, event: str) -> list[Moment]:
        """The moments of one event, such as ``start``, ``completed``, ``retryable``.

        ``start`` picks the starts of jobs. Those of others are named in full: ``task.start``, ``node.start``;
        so may every event of telemetry be. ``ConfigurationError`` for what names no event.
        """
        name = in_full(event)
        if name is None:
            found = [moment for moment in self.moments if moment.event == event]
        else:
            found = [moment for moment in self.moments if moment.name == name]
        if not found:
            check_word(event)
        return found

    def __str__(self) -> str:
        return self.text()

    def __len__(self) -> int:
        return len(self.moments)

    def __iter__(self) -> Iterator[Moment]:
        return iter(self.moments)


def line(moment: Moment, start: datetime) -> str:
    """One moment as a line of text."""
    job = f"#{moment.ordinal}" if moment.ordinal else ""
    columns = f"{elapsed(moment.at - start):>10}  {moment.node:<4} {moment.event:<10} {job:<5}"
    return f"{columns} {moment.detail}".rstrip()


@lru_cache(maxsize=1_024)  # a trace asks for one instant again and again
def elapsed(span: timedelta) -> str:
    """A duration as scenarios write it: ``0s``, ``1m30s``, ``2d``, ``1.5s``."""
    if span.days < 0:
        return "-" + elapsed(-span)
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{span.days}d" if span.days else ""
    if hours:
        text += f"{hours}h"
    if minutes:
        text += f"{minutes}m"
    if span.microseconds:
        return text + f"{seconds}.{span.microseconds:06d}".rstrip("0") + "s"
    return text + f"{seconds}s" if seconds or not text else text
