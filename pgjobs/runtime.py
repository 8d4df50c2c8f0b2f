"""Which outside an instance runs against: its own, or that of the test run that captured it.

A ``PgJobs`` asks here at each use, so that an instance which an application made at import time,
unmodified, is captured too. Production never installs a hook.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pgjobs.rules.swift import swift

if TYPE_CHECKING:
    from pgjobs.adapters.executors import Here
    from pgjobs.app import PgJobs
    from pgjobs.engine.drain import DrainPlan, DrainResult, Program
    from pgjobs.gathering import Surroundings
    from pgjobs.ports import Clock, Rng, Store
    from pgjobs.rules.job import Job
    from pgjobs.rules.options import Queue
    from pgjobs.telemetry import Telemetry
    from pgjobs.worker import Registry


class Captor(Protocol):
    """What a test run is told by an instance that it captured."""

    def started(self) -> None:
        """``start`` was called, and starts nothing."""
        ...

    def stopped(self) -> None:
        """``stop`` was called."""
        ...

    def drain(self, program: Program) -> DrainResult:
        """Drive a drain."""
        ...

    async def drain_async(self, program: Program) -> DrainResult:
        """Drive a drain on the running loop."""
        ...

    def answered(self, jobs: Iterable[Job]) -> None:
        """A client's call, other than an insert, came back with these jobs."""
        ...

    def counted(self, filters: Mapping[str, Any]) -> None:
        """A client's call counted the jobs that these filters mean."""
        ...

    def surroundings(self) -> Surroundings | None:
        """What a test run knows when it explains a job; None: what the instance itself knows."""
        ...

    def configured(self, own: Mapping[str, Queue]) -> Mapping[str, Queue]:
        """The queues that an instance's calls find configured, which lists ``own``."""
        ...

    def calling(self, call: str) -> None:
        """A client's blocking call is about to change the store; it may be refused here."""
        ...

    def called(self) -> None:
        """A client's call has changed the store."""
        ...

    async def called_async(self) -> None:
        """A client's call has changed the store; the running loop may be used."""
        ...

    def draining(self, plan: DrainPlan, node: str) -> None:
        """A drain begins, in the name of ``node``."""
        ...


@swift
@dataclass(frozen=True, slots=True)
class Runtime:
    """The outside of one instance. ``captor`` is set where a test run stands in for production."""

    clock: Clock
    rng: Rng
    store: Store
    registry: Registry
    telemetry: Telemetry
    here: Callable[[], Here]
    jitter: bool = True
    captor: Captor | None = None


_numbers = itertools.count(1)
_instances: weakref.WeakValueDictionary[int, PgJobs] = weakref.WeakValueDictionary()


def register(app: PgJobs) -> None:
    """Remember an instance for as long as somebody holds it."""
    _instances[next(_numbers)] = app


def instances(first: int = 0) -> list[PgJobs]:
    """Every instance of this process that is alive, in order, from the one numbered ``first`` on."""
    if not first:
        return list(_instances.values())
    return [app for number, app in list(_instances.items()) if number >= first]


def next_number() -> int:
    """A number below those of all instances that will be made, and above those of the others."""
    return next(_numbers)


Hook = Callable[["PgJobs"], "Runtime | None"]
_hook: Hook | None = None


def capture(hook: Hook | None) -> None:
    """Let ``hook`` choose the runtime of every instance that would open a database; None ends it."""
    global _hook  # noqa: PLW0603 - one process, one hook
    _hook = hook


_clock: Callable[[], Clock | None] | None = None


def capture_clock(clock: Callable[[], Clock | None] | None) -> None:
    """Let ``clock`` name the clock of the test run, for what belongs to no instance; None ends it."""
    global _clock  # noqa: PLW0603 - one process, one hook
    _clock = clock


def captured_clock() -> Clock | None:
    """The clock of the test run that captures this process, if there is one."""
    return None if _clock is None else _clock()


def captured(app: PgJobs) -> Runtime | None:
    """The runtime that a test run gives to this instance, if there is one."""
    return None if _hook is None or not app.opens_database else _hook(app)
