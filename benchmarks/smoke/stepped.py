"""A node of the engine, stepped by hand on a clock that stands still: equal work, equal counts.

The node is production's, and so are its duties and statements; only the threads around it are left out,
whose luck decides how many jobs a claim of a live node finds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pgjobs import PgJobs, Queue, worker
from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.adapters.performing import perform
from pgjobs.engine.node import Node, NodePorts
from pgjobs.plugins import Plugin
from pgjobs.ports import Finished, Run
from pgjobs.telemetry import PROCESS
from pgjobs.worker import REGISTRY
from pgjobs_testing import flow
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.flow import Flow, Member

START = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


@worker(name="smoke")
def smoke(job: Any) -> None:
    """Do nothing."""


class AtOnce:
    """Runs end where they start."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._finished: list[Finished] = []
        self.ran = 0

    def start(self, runs: list[Run]) -> None:
        at = self._clock.monotonic()
        self._finished += [Finished(run, perform(run), at) for run in runs]
        self.ran += len(runs)

    def tell(self, run: Run) -> None:
        """Nothing runs that could be told."""

    def collect(self) -> list[Finished]:
        found, self._finished = self._finished, []
        return found

    def close(self) -> None:
        """Nothing is left."""

    @property
    def pending(self) -> bool:
        return bool(self._finished)

    def next_due(self) -> datetime | None:
        return None

    def turn(self, now: datetime) -> bool:
        return False

    @property
    def wants_loop(self) -> bool:
        return False

    async def turn_async(self) -> None:
        """Never wanted."""


class Stepped:
    """One node that serves ``queue`` over ``store``, and a client of the same store."""

    def __init__(self, store: LocalStore, queue: Queue, plugins: tuple[Plugin, ...] = ()) -> None:
        self.clock = VirtualClock(START)
        self.rng = SeededRng(0)
        self.executor = AtOnce(self.clock)
        session = LocalSession(store)
        ports = NodePorts(self.clock, self.rng, session, self.executor, REGISTRY, PROCESS)
        node = Node("smoke", {"default": queue}, ports, plugins=plugins, jitter=False)
        node.start(START)
        self._flow = Flow(store, self.clock)
        self._flow.members = [Member(node, session, self.executor)]
        self._client = PgJobs(store=store, queues=False, clock=self.clock, rng=self.rng)

    def insert(self, jobs: int) -> None:
        """So many jobs, in one call."""
        self._client.insert_all([smoke.new({"i": n}) for n in range(jobs)])

    def insert_one(self) -> None:
        """One job."""
        self._client.insert(smoke.new({"i": 0}))

    def run(self, seconds: float = 0) -> int:
        """Let time pass; how many jobs ran."""
        before = self.executor.ran
        target = self.clock.now() + timedelta(seconds=seconds)
        flow.drive(self._flow.until(target), lambda _: None)
        return self.executor.ran - before
