"""The engine on virtual time: real nodes, a store whose faults are chosen, runs whose length is given.

A job's args say how its run goes: ``takes`` seconds, and then ``ends`` in an entry of ``ENDS``.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.client import Client, Program, drive
from pgjobs.effects import Effect
from pgjobs.engine.node import Node, NodePorts
from pgjobs.plugins import Plugin
from pgjobs.ports import Done, Finished, NotBegunError, Run, Signal
from pgjobs.rules import outcome
from pgjobs.rules.errors import StoreError, StoreNotReadyError, StoreUnavailableError
from pgjobs.rules.job import Cancel, Discard, Job, NewJob, Retry, Snooze
from pgjobs.rules.lifecycle import Outcome
from pgjobs.rules.options import POLL_INTERVAL, Queue
from pgjobs.worker import Registry, Worker
from pgjobs_testing import flow
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.flow import Flow, Member
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.trace import Moment, Trace

T = TypeVar("T")

START = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)

ENDS: dict[str, Callable[[], Outcome]] = {
    "ok": lambda: outcome.returned(None),
    "fail": lambda: outcome.raised(ValueError("no")),
    "retry": lambda: outcome.returned(Retry("again")),
    "discard": lambda: outcome.returned(Discard("useless")),
    "cancel": lambda: outcome.returned(Cancel("unwanted")),
    "snooze": lambda: outcome.returned(Snooze(60)),
}


async def _perform(job: Job) -> None:
    raise AssertionError("the scripted executor runs no code")


def _perform_in_thread(job: Job) -> None:
    raise AssertionError("the scripted executor runs no code")


class ScriptedExecutor:
    """Runs that take virtual time, told apart as in production: a task can be stopped, a thread not."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._ends: list[tuple[datetime, int, Run]] = []
        self._order = itertools.count()
        self._finished: list[Finished] = []
        self.running: dict[Run, None] = {}
        self.most = 0
        self.most_by_queue: dict[str, int] = {}
        self.started: list[Run] = []
        self.told: list[Run] = []
        self.closed = False
        self.trouble: Callable[[list[Run]], Exception | None] = lambda _: None
        """What start raises for these runs."""

    def start(self, runs: list[Run]) -> None:
        error = self.trouble(runs)
        if error is not None:
            left = error.runs if isinstance(error, NotBegunError) else runs
            self._begin([run for run in runs if run not in left])
            raise error
        self._begin(runs)

    def _begin(self, runs: list[Run]) -> None:
        for run in runs:
            self.started.append(run)
            self.running[run] = None
            ends = self._clock.now() + timedelta(seconds=run.job.args.get("takes", 0))
            heapq.heappush(self._ends, (ends, next(self._order), run))
        self.most = max(self.most, len(self.running))
        for queue in dict.fromkeys(run.queue for run in runs):
            now = sum(run.queue == queue for run in self.running)
            self.most_by_queue[queue] = max(now, self.most_by_queue.get(queue, 0))

    def tell(self, run: Run) -> None:
        self.told.append(run)
        stops = run.worker is not None and run.worker.executor != "thread"
        if stops and run in self.running and not run.job.args.get("stubborn"):
            self._end(run, outcome.raised(asyncio.CancelledError()))

    def collect(self) -> list[Finished]:
        found, self._finished = self._finished, []
        return found

    def close(self) -> None:
        self.closed = True

    @property
    def pending(self) -> bool:
        return bool(self._finished)

    def next_due(self) -> datetime | None:
        while self._ends and self._ends[0][2] not in self.running:
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def turn(self, now: datetime) -> bool:
        ended = False
        while (due := self.next_due()) is not None and due <= now:
            run = heapq.heappop(self._ends)[2]
            self._end(run, ENDS[run.job.args.get("ends", "ok")]())
            ended = True
        return ended

    @property
    def wants_loop(self) -> bool:
        return False

    async def turn_async(self) -> None:
        """Never wanted."""

    def _end(self, run: Run, ended: Outcome) -> None:
        del self.running[run]
        self._finished.append(Finished(run, ended, self._clock.monotonic()))


class Stores:
    """Where a rig's store comes from: memory, unless the fixture ``stores`` says otherwise."""

    make: Callable[[], LocalStore] = MemoryStore


@dataclass
class Fault:
    """What goes wrong with effects: ``before`` or ``after`` they are carried out, or they are refused, or the
    store is not ready (``unready``)."""

    kind: type[Effect[Any]]
    how: str
    times: int = 1
    when: Callable[[Any], bool] = lambda _: True
    seen: list[Any] = field(default_factory=list)


class FaultyStore(LocalStore):
    """A store that does as it is told by its faults; what no fault concerns, the store inside does."""

    def __init__(self, inside: LocalStore | None = None) -> None:
        super().__init__()
        self.inside = inside or Stores.make()
        self.faults: list[Fault] = []
        self.effects: list[Effect[Any]] = []

    def carry_out(self, effect: Effect[T]) -> T:
        self.effects.append(effect)
        for fault in self.faults:
            if fault.times > 0 and isinstance(effect, fault.kind) and fault.when(effect):
                fault.times -= 1
                fault.seen.append(effect)
                if fault.how == "refuse":
                    raise StoreError("the row is not to its liking")
                if fault.how == "unready":
                    raise StoreNotReadyError("permission denied for table oban_jobs")
                if fault.how == "after":
                    self.inside.carry_out(effect)
                raise StoreUnavailableError("the line is dead")
        return self.inside.carry_out(effect)

    def of(self, kind: type[Effect[T]]) -> list[Any]:
        """The effects of one kind that were submitted."""
        return [effect for effect in self.effects if isinstance(effect, kind)]


class SlowSession(LocalSession):
    """A session whose answers of one kind of effect are held back until they are let go."""

    def __init__(self, store: LocalStore) -> None:
        super().__init__(store)
        self.hold: type[Effect[Any]] | None = None
        self.held: deque[Effect[Any]] = deque()
        self._line = store

    def submit(self, effect: Effect[Any]) -> None:
        if self.hold is not None and isinstance(effect, self.hold):
            self.held.append(effect)
        else:
            super().submit(effect)

    def let_go(self) -> None:
        """Carry out what was held back."""
        self.hold = None
        while self.held:
            super().submit(self.held.popleft())


class Deaf(LocalSession):
    """A session that hears no signal: each one is lost."""

    def collect(self) -> list[Done | Signal]:
        return [item for item in super().collect() if isinstance(item, Done)]

    @property
    def pending(self) -> bool:
        return any(isinstance(item, Done) for item in self.inbox)


class Rig:
    """Nodes on one store and one clock, and a client of them."""

    def __init__(
        self,
        queues: Mapping[str, int | Queue] | None = None,
        *,
        store: LocalStore | None = None,
        seed: int = 1,
        jitter: bool = False,
        elide: bool = False,
        poll: timedelta = POLL_INTERVAL,
        session: Callable[[LocalStore], LocalSession] = LocalSession,
        nodes: Iterable[str] = ("a",),
        plugins: Sequence[Plugin] = (),
    ) -> None:
        self.clock = VirtualClock(START)
        self.store = store or Stores.make()
        self.rng = SeededRng(seed)
        self.recorder = Recorder(self.clock, passing_on=None)
        self.registry = Registry()
        self.flow = Flow(self.store, self.clock)
        self.queues = {
            name: spec if isinstance(spec, Queue) else Queue(spec)
            for name, spec in (queues or {"default": 10}).items()
        }
        self._options: dict[str, Any] = {
            "jitter": jitter,
            "elide": elide,
            "poll_interval": poll,
            "plugins": plugins,
        }
        self._session = session
        self.worker("task", _perform)
        self.worker("thread", _perform_in_thread)
        for name in nodes:
            self.add_node(name)

    def worker(self, name: str, function: Callable[[Job], Any] | type, **given: Any) -> None:
        """Register a worker."""
        self.registry.add(Worker(function, {"name": name, **given}))

    def add_node(self, name: str, **options: Any) -> Member:
        """One node more, started."""
        session = self._session(self.store)
        executor = ScriptedExecutor(self.clock)
        ports = NodePorts(self.clock, self.rng, session, executor, self.registry, self.recorder)
        node = Node(name, self.queues, ports, **(self._options | options))
        member = Member(node, session, executor)
        node.start(self.clock.now())
        self.flow.members.append(member)
        return member

    @property
    def member(self) -> Member:
        return self.flow.members[0]

    @property
    def node(self) -> Node:
        return self.member.node

    @property
    def executor(self) -> ScriptedExecutor:
        return self.executor_of(0)

    def executor_of(self, index: int) -> ScriptedExecutor:
        found = self.flow.members[index].executor
        assert isinstance(found, ScriptedExecutor)
        return found

    @property
    def client(self) -> Client:
        return Client(self.clock, self.recorder, self.queues)

    def call(self, program: Program[T]) -> T:
        """Run a program of the client. Faults do not concern it."""
        store = self.store
        if isinstance(store, FaultyStore):
            faults, store.faults = store.faults, []
            try:
                return drive(store, program)
            finally:
                store.faults = faults
        return drive(store, program)

    def insert(self, worker: str = "task", *, after: float | None = None, **given: Any) -> Job:
        """Store a job; ``takes``, ``ends`` and ``stubborn`` are its args."""
        names = ("takes", "ends", "stubborn", "n")
        args = {name: given.pop(name) for name in names if name in given}
        wait = None if after is None else timedelta(seconds=after)
        return self.call(self.client.insert(NewJob(worker, args, schedule_in=wait, **given)))

    def job(self, job: Job | int) -> Job:
        """The job as it stands."""
        return self.call(self.client.get(job))

    def states(self) -> dict[str, int]:
        """How many jobs are in each state."""
        found: dict[str, int] = self.call(self.client.count("state", {}))
        return found

    def advance(self, seconds: float | timedelta = 0) -> None:
        """Let time pass, and everything in it happen."""
        span = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
        flow.drive(self.flow.until(self.clock.now() + span), lambda coroutine: coroutine.close())

    def stop(self, grace: float = 15, member: int = 0) -> None:
        """Tell a node to stop."""
        self.flow.members[member].node.stop(self.clock.now(), timedelta(seconds=grace))

    def stopped(self) -> bool:
        """Whether the first node has stopped."""
        return self.node.stopped

    def suspend(self, name: str) -> Member:
        """A node's process does nothing any more: for ever, or until ``resume``."""
        (found,) = [member for member in self.flow.members if member.node.name == name]
        self.flow.members.remove(found)
        return found

    def resume(self, member: Member) -> None:
        """A suspended node goes on where it was."""
        self.flow.members.append(member)

    @property
    def trace(self) -> Trace:
        return self.recorder.trace()

    def of(self, event: str) -> list[Moment]:
        """The moments of one event of jobs."""
        return [moment for moment in self.trace.of(event) if moment.ordinal]

    def at(self, event: str) -> list[float]:
        """When, in seconds from the start, an event happened."""
        return [(moment.at - START).total_seconds() for moment in self.of(event)]
