"""The engine as it is breaks no invariant, whatever befalls its nodes; and afterwards comes to rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.client import Client, drive
from pgjobs.effects import Effect, Find
from pgjobs.plugins import Cron, Pruner, Stalled
from pgjobs.ports import Run
from pgjobs.rules.errors import JobNotFoundError, StoreError
from pgjobs.rules.job import Job, JobState, NewJob
from pgjobs.rules.lifecycle import Outcome
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.selection import Selection
from pgjobs.rules.unique import Unique
from pgjobs.worker import Registry, Worker
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.simulation.cluster import Cluster, Make, SimulationError
from pgjobs_testing.simulation.invariants import Facts, Invariants, settles_within
from pgjobs_testing.simulation.invariants.sight import CLIENT
from pgjobs_testing.simulation.line import Line
from pgjobs_testing.timeline import Recorder
from tests.engine.rig import ENDS, ScriptedExecutor
from tests.simulation.story import perform

T = TypeVar("T")

START = datetime(2025, 1, 1, tzinfo=UTC)
NODES = ("a", "b", "c")
QUEUES = {
    "default": Queue(3),
    "limited": Queue(4, global_concurrency=5, rate_limit=RateLimit(6, 20)),
}
PLUGINS = (
    Stalled(interval=10, rescue_after=30),
    Pruner(max_age=90, interval=15),
    Cron([("* * * * *", NewJob("task", {"takes": 1}))]),
)
LONGEST_RUN_S = 40
SKEW_S = 20


class Executor(ScriptedExecutor):
    """Tells the invariants of runs."""

    def __init__(self, clock: VirtualClock, told: Told, line: Line) -> None:
        super().__init__(clock)
        self._told, self._line, self._at = told, line, clock

    def start(self, runs: list[Run]) -> None:
        super().start(runs)
        for run in runs:
            self._told.seen.started(self._told.named(self._line), run.job, self._at.now())

    def _end(self, run: Run, ended: Outcome) -> None:
        self._told.seen.ended(self._told.named(self._line), run.job)
        super()._end(run, ended)


class Told:
    """Nodes over one store, whose every effect the invariants are told of."""

    def __init__(self, inside: LocalStore, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> None:
        self.clock = VirtualClock(START)
        self.recorder = Recorder(self.clock, passing_on=None)
        registry = Registry()
        registry.add(Worker(perform, {"name": "task", "timeout": 30}))
        self.seen = Invariants(
            Facts(
                QUEUES,
                registry,
                PLUGINS,
                beat=timedelta(seconds=10),
                skew=timedelta(seconds=SKEW_S),
                longest_run=timedelta(seconds=LONGEST_RUN_S),
            )
        )
        make = Make(
            QUEUES,
            SeededRng(seed),
            registry,
            lambda line: Executor(self.clock, self, line),
            plugins=PLUGINS,
        )
        self.cluster = Cluster(inside, self.clock, self.recorder, make)
        self.client = Client(self.clock, self.recorder, QUEUES)
        self._who: Line | None = None
        self._watch(monkeypatch)
        for name in NODES:
            self.cluster.add(name)

    def named(self, line: Line) -> str:
        """The name of a line's node in the store."""
        for machine in self.cluster._machines.values():
            if machine.line is line:
                assert machine.member is not None
                return machine.member.node.name
        raise AssertionError("the line of no node")

    @property
    def living(self) -> list[str]:
        machines = self.cluster._machines.values()
        return [each.member.node.name for each in machines if each.member is not None]

    def advance(self, seconds: float) -> None:
        target = self.clock.now() + timedelta(seconds=seconds)
        self._quiet()
        while (due := self.cluster.next_due()) is not None and due <= target:
            self.cluster.move(due)
            self._quiet()
        self.cluster.move(target)
        self._quiet()

    def crash(self, name: str) -> None:
        machine = self.cluster._machines[name]
        gone = None if machine.member is None else machine.member.node.name
        self.cluster.crash(name)
        if gone is not None:
            self.seen.gone(gone)

    def call(self, program: Any) -> Any:
        return drive(self.cluster.store, program)

    def rows(self) -> list[Job]:
        return self.cluster.store.inside.run(Find(Selection()))

    def rest(self) -> None:
        """Everything is well again, and time passes until all must be at rest."""
        cluster = self.cluster
        cluster.database(up=True)
        cluster.drop_notifications(False)
        self.advance(120)  # who was suspended or told to stop
        for name in NODES:
            cluster.heal(name)
            machine = cluster._machines[name]
            if machine.member is None:
                cluster.restart(name)
        since = self.clock.now()
        self.advance(settles_within(self.seen.facts).total_seconds())
        self.seen.at_rest(self.rows(), self.clock.now(), since=since, living=self.living)

    def _quiet(self) -> None:
        assert [] == list(self.cluster.quiet())
        if self.seen.alarm is not None:
            raise AssertionError(str(self.seen.alarm))

    def _watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        exchange, told = self.cluster.store, self
        carry_out, submit = exchange.carry_out, LocalSession.submit

        def carried_out(effect: Effect[T]) -> T:
            node = CLIENT if told._who is None else told.named(told._who)
            try:
                answer = carry_out(effect)
            except StoreError as error:
                told.seen.failed(node, effect, error, told.clock.now())
                raise
            told.seen.committed(node, effect, answer, told.clock.now())
            return answer

        def submitted(line: LocalSession, effect: Effect[Any]) -> None:
            assert isinstance(line, Line)
            told._who = line
            try:
                submit(line, effect)
            finally:
                told._who = None

        monkeypatch.setattr(exchange, "carry_out", carried_out)
        monkeypatch.setattr(LocalSession, "submit", submitted)


Act = Callable[[Told], object]


def jobs() -> st.SearchStrategy[NewJob]:
    return st.builds(
        lambda queue, takes, ends, most, priority, delay, n: NewJob(
            "task",
            {"takes": takes, "ends": ends, "n": n},
            queue=queue,
            max_attempts=most,
            priority=priority,
            schedule_in=None if delay is None else timedelta(seconds=delay),
            unique=None
            if n is None
            else Unique(period=60, keys=("n",)).rule(
                "task", queue, {"takes": takes, "ends": ends, "n": n}
            ),
            replace=() if n != 2 else ((JobState.SCHEDULED, ("scheduled_at", "priority")),),
        ),
        st.sampled_from([*QUEUES]),
        st.sampled_from([0, 1, 5, 35]),
        st.sampled_from([*ENDS]),
        st.integers(1, 3),
        st.integers(0, 2),
        st.sampled_from([None, None, 3, 30]),
        st.sampled_from([None, None, 1, 2]),
    )


def tried(act: Act) -> Act:
    """What may be refused, since a node is not as it would have to be, or the database is down."""

    def do(told: Told) -> None:
        with suppress(SimulationError, StoreError, JobNotFoundError):
            act(told)

    return do


def acts() -> st.SearchStrategy[Act]:
    node = st.sampled_from(NODES)
    some_seconds = st.sampled_from([0.5, 3, 15, 45, 70])
    chosen = st.integers(0, 40)

    def by_hand(order: str, n: int) -> Act:
        def act(told: Told) -> None:
            found = told.rows()
            if found:
                told.call(getattr(told.client, order)(found[n % len(found)].id))

        return act

    made = st.one_of(
        st.builds(
            lambda many: lambda told: told.call(told.client.insert_all(many)),
            st.lists(jobs(), min_size=1, max_size=8),
        ),
        st.builds(lambda s: lambda told: told.advance(s), some_seconds),
        st.builds(lambda s: lambda told: told.advance(s), some_seconds),
        st.builds(lambda n: lambda told: told.crash(n), node),
        st.builds(lambda n: lambda told: told.cluster.restart(n), node),
        st.builds(
            lambda n, s: lambda told: told.cluster.suspend(n, timedelta(seconds=s)),
            node,
            some_seconds,
        ),
        st.builds(lambda n: lambda told: told.cluster.partition(n), node),
        st.builds(lambda n: lambda told: told.cluster.heal(n), node),
        st.builds(
            lambda n, s: lambda told: told.cluster.skew(n, timedelta(seconds=s)),
            node,
            st.sampled_from([-SKEW_S, -1, 0, 1, SKEW_S]),
        ),
        st.builds(
            lambda n, s: lambda told: told.cluster.stop(n, timedelta(seconds=s)), node, some_seconds
        ),
        st.builds(lambda up: lambda told: told.cluster.database(up=up), st.booleans()),
        st.builds(lambda drop: lambda told: told.cluster.drop_notifications(drop), st.booleans()),
        st.builds(by_hand, st.sampled_from(["cancel", "retry", "delete"]), chosen),
        st.builds(
            lambda queue, paused: (
                lambda told: told.call(
                    told.client.pause(queue) if paused else told.client.resume(queue)
                )
            ),
            st.sampled_from([*QUEUES]),
            st.booleans(),
        ),
        st.builds(
            lambda queue, n: lambda told: told.call(told.client.scale(queue, n)),
            st.sampled_from([*QUEUES]),
            st.integers(1, 6),
        ),
    )
    return made.map(tried)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=st.lists(acts(), max_size=40))
def test_whatever_befalls_nodes_no_invariant_is_broken_and_all_comes_to_rest(
    story: list[Act],
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        told = Told(MemoryStore(), monkeypatch)
        for act in story:
            act(told)
        told.rest()
