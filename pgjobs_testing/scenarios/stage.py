"""What stands in for production while real workers play: the scenario's store, its clock, its workers.

A real worker inserts through the application's own ``PgJobs``, which would open a database. During
a play every such instance works on the scenario's store, at the virtual instant, by the line of the
node whose worker calls: where that is cut, the call fails as it would in production.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any, TypeVar

from pgjobs.adapters.local import LocalStore
from pgjobs.app import PgJobs
from pgjobs.effects import Count, Effect
from pgjobs.engine.drain import DrainPlan, DrainResult, Program, drive, drive_async
from pgjobs.ports import Rng
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.options import Queue
from pgjobs.rules.selection import OneOf, Selection
from pgjobs.runtime import Runtime
from pgjobs.telemetry import PROCESS, Telemetry
from pgjobs.worker import REGISTRY, Registry
from pgjobs_testing import capture as captures
from pgjobs_testing.capture import Capture
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.executor import Loops, VirtualHere
from pgjobs_testing.nodes.line import Exchange, Line
from pgjobs_testing.nodes.traps import CutOffError
from pgjobs_testing.settings import Settings
from pgjobs_testing.stores import MemorySource

T = TypeVar("T")


class Stage(Capture):
    """The capture of one play. ``registry`` and ``telemetry`` are those of its nodes."""

    remedy = "in a scenario jobs reach the store through PgJobs alone, which is the scenario's own"

    def __init__(
        self,
        clock: VirtualClock,
        exchange: Exchange,
        rng: Rng,
        registry: Registry,
        telemetry: Telemetry,
        *,
        jitter: bool,
    ) -> None:
        super().__init__(Settings(start=clock.now(), jitter=jitter), MemorySource())
        self.clock = clock
        self.loops = Loops(clock)
        self._exchange = exchange
        self._way = _Way(exchange)
        self._runtime = Runtime(
            clock=clock,
            rng=rng,
            store=self._way,
            registry=registry,
            telemetry=telemetry,
            here=self._here,
            jitter=jitter,
            captor=_Quiet(self._way, self._here),
        )

    def _here(self) -> VirtualHere:
        return VirtualHere(self.loops, nullcontext)

    def runtime_of(self, app: PgJobs) -> Runtime | None:
        self.refuse_fork()
        return self._runtime

    def available(self, _asleep: Mapping[str, int]) -> tuple[int, int]:
        """How many jobs wait to be claimed, which bounds what may run at one instant; and none that is
        sure to, as other nodes may take them."""
        available = Selection((OneOf("state", (JobState.AVAILABLE,)),))
        return sum(self._exchange.inside.run(Count(available, "queue")).values()), 0

    @contextmanager
    def on(self, line: Line) -> Iterator[None]:
        """Whose worker runs inside the block: its calls take this line."""
        before, self._way.line = self._way.line, line
        try:
            yield
        finally:
            self._way.line = before

    def play(self, program: Callable[[], None], close: Callable[[], None]) -> None:
        """Run a play with everything captured, then ``close``, whose calls reach no store."""
        with self.standing_in(close):
            contextvars.copy_context().run(program)

    @contextmanager
    def standing_in(self, close: Callable[[], None]) -> Iterator[None]:
        """Everything is captured inside the block; at its end ``close``, whose calls reach no store.

        Workers and handlers of telemetry are afterwards as they were before.
        """
        workers, handlers = dict(REGISTRY.by_name), PROCESS.snapshot()
        captures.push(self)
        try:
            yield
        finally:
            self._way.over = True
            close()
            captures.pop(self)
            REGISTRY.by_name.clear()
            REGISTRY.by_name.update(workers)
            PROCESS.restore(handlers)


class _Way(LocalStore):
    """The way that an application's calls take to the store, by the line of the node that runs them.

    A caller's own connection leads elsewhere in production, and nowhere here: the job is stored at once,
    on both stores alike.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange
        self.line: Line | None = None
        self.over = False

    def run(self, effect: Effect[T]) -> T:
        if self.over:
            raise CutOffError("the scenario is over")
        if self.line is not None:
            self.line.check()
        return self._exchange.run(effect)

    def server_now(self) -> datetime | None:
        return None


class _Quiet:
    """A captor that does nothing of its own: the play goes on by itself after each call."""

    def __init__(self, store: LocalStore, here: Callable[[], VirtualHere]) -> None:
        self._store, self._here = store, here

    def drain(self, program: Program) -> DrainResult:
        return drive(program, self._store, self._here())

    def draining(self, plan: DrainPlan, node: str) -> None:
        """A drain in a play is a moment like any other."""

    async def drain_async(self, program: Program) -> DrainResult:
        return await drive_async(program, self._store, self._here())

    def answered(self, jobs: Iterable[Job]) -> None:
        """A scenario says by itself what it looks at."""

    def counted(self, filters: Mapping[str, Any]) -> None:
        """A scenario says by itself what it looks at."""

    def started(self) -> None:
        """Nothing is started: the scenario's nodes run the jobs."""

    def stopped(self) -> None:
        """Nothing was started."""

    def surroundings(self) -> None:
        """The scenario's nodes have heartbeats: an instance explains a job as in production."""

    def configured(self, own: Mapping[str, Queue]) -> Mapping[str, Queue]:
        """What an instance lists is its own here."""
        return own

    def calling(self, call: str) -> None:
        """Every call may be made."""

    def called(self) -> None:
        """What is due runs at the node's next step."""

    async def called_async(self) -> None:
        """What is due runs at the node's next step."""
