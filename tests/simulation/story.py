"""A history told to the invariants: real effects on a real store, and answers that may be lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import (
    Claim,
    ClaimWithin,
    Effect,
    Find,
    Insert,
    Poll,
    SetControl,
    Settle,
    Transition,
)
from pgjobs.leading import Beat, Fence, Lead, Lease
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.control import Control
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.limits import Limits
from pgjobs.rules.newjobs import insertable
from pgjobs.rules.options import Queue
from pgjobs.rules.selection import Selection
from pgjobs.worker import Registry, Worker
from pgjobs_testing.invariants import Facts, Invariants
from pgjobs_testing.invariants.sight import CLIENT

T = TypeVar("T")

START = datetime(2025, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BEAT = 10 * SECOND


async def perform(job: Job) -> None:
    raise AssertionError("a story runs no code")


def in_a_thread(job: Job) -> None:
    raise AssertionError("a story runs no code")


class Story:
    """One world's effects, in order; ``lie`` changes an answer before the invariants hear it."""

    def __init__(
        self,
        queues: Mapping[str, Queue] | None = None,
        *,
        store: LocalStore | None = None,
        worker: Mapping[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        registry = Registry()
        options = {"name": "task", **(worker or {})}
        code = in_a_thread if options.get("executor") == "thread" else perform
        registry.add(Worker(code, options))
        self.store = store or MemoryStore()
        self.facts = Facts(queues or {"default": Queue(10)}, registry, **facts)
        self.seen = Invariants(self.facts)
        self.now = START
        self._tokens = 0

    def do(
        self, node: str, effect: Effect[T], lie: Callable[[T], Any] | None = None, take: bool = True
    ) -> T:
        """Carry an effect out and tell of it; with ``take=False`` the store never hears of it."""
        answer: Any = self.store.run(effect) if take else None
        told = answer if lie is None else lie(answer)
        self.seen.committed(node, effect, told, self.now)
        return answer  # type: ignore[no-any-return]  # None where it was not carried out

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # What nodes and clients do

    def up(self, node: str = "a") -> None:
        """The first things that a node does."""
        self.beat(node)
        self.wait(0.001)
        self.poll(node)
        self.wait(0.001)

    def beat(self, node: str = "a") -> None:
        self.do(node, Beat(node, START, self.now, BEAT))

    def poll(
        self,
        node: str = "a",
        *,
        at: datetime | None = None,
        held: tuple[tuple[int, str], ...] = (),
        **lie: Any,
    ) -> Any:
        queues = tuple(self.facts.queues)
        effect = Poll(lifecycle.stage(at or self.now), 100, queues, held)
        return self.do(node, effect, **lie)

    def insert(self, *jobs: NewJob, now: datetime | None = None, **given: Any) -> list[Job]:
        lie = given.pop("lie", None)
        chosen = jobs or (NewJob("task", given.pop("args", {}), **given),)
        return self.do(CLIENT, Insert(tuple(map(insertable, chosen)), now or self.now), lie)

    def claiming(
        self,
        node: str = "a",
        token: str = "",
        *,
        demand: int = 1,
        queue: str = "default",
        name: str | None = None,
        limits: Limits | None = None,
    ) -> Claim | ClaimWithin:
        """A claim that a node makes now; within ``limits`` where they are given."""
        self._tokens += 1
        change = lifecycle.claim(name or node, token or f"token {self._tokens}", self.now)
        chosen = selection.claimable(queue)
        if limits is None:
            return Claim(chosen, demand, change)
        return ClaimWithin(queue, chosen, demand, change, limits)

    def claim(
        self,
        node: str = "a",
        demand: int = 1,
        *,
        lie: Callable[[Any], Any] | None = None,
        **given: Any,
    ) -> list[Job]:
        """What a node claims."""
        effect = self.claiming(node, demand=demand, **given)
        answer: Any = self.do(node, effect, lie)
        found: list[Job] = answer.jobs if isinstance(effect, ClaimWithin) else answer
        return found

    def start(self, *jobs: Job, node: str = "a") -> None:
        for job in jobs:
            self.seen.started(node, job, self.now)

    def settle(
        self, job: Job, answer: Any = None, *, node: str = "a", delay_s: float = 16.0, **lie: Any
    ) -> bool:
        """The run of ``job`` ends; by default its node waits as the guide's table says."""
        ended = (
            outcome.raised(answer) if isinstance(answer, Exception) else outcome.returned(answer)
        )
        settlement = lifecycle.settle(job, ended, self.now, delay_s)
        return self.do(node, Settle((settlement,)), **lie)[0]

    def control(self, queue: str = "default", **given: Any) -> None:
        self.do(CLIENT, SetControl(queue, Control(**given), self.now))

    def order(
        self, change: Callable[[datetime], lifecycle.Change], *jobs: Job, **lie: Any
    ) -> list[Job]:
        """An operator's order for some jobs."""
        chosen = Selection((selection.OneOf("id", tuple(job.id for job in jobs)),))
        return self.do(CLIENT, Transition(chosen, change(self.now), 100), **lie)

    def lead(self, node: str = "a", **lie: Any) -> Fence:
        lease: Lease = self.do(node, Lead("default", node, self.now, 30 * SECOND), **lie)
        return Fence("default", node, lease.token, self.now)

    def fence(self, node: str = "a", token: int = 1) -> Fence:
        return Fence("default", node, token, self.now)

    # What is read

    def rows(self) -> list[Job]:
        return self.store.run(Find(Selection()))

    def row(self, job: Job) -> Job:
        (found,) = self.store.run(Find(selection.by_id(job.id)))
        return found

    def checked(self) -> None:
        """The books agree."""
        self.seen.compare(self.rows(), self.now)
