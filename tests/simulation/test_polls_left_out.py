"""Polls that are left out, since the store counts what only they would tell, change nothing that happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.client import Client, drive
from pgjobs.effects import Claim, ClaimWithin, Effect, Find, Poll, Settle
from pgjobs.leading import Beat, Lead, Rescue
from pgjobs.plugins import Cron, Pruner, Stalled
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs.rules.job import Job
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.selection import Selection
from pgjobs.rules.unique import Unique
from pgjobs.worker import Registry, Worker
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.nodes.cluster import Cluster, SimulationError
from pgjobs_testing.nodes.making import Make
from pgjobs_testing.nodes.traps import ANY, CRASHES, EFFECTS, FAILURES, Trap
from pgjobs_testing.recorder import Recorder
from tests.engine.rig import ENDS, ScriptedExecutor

T = TypeVar("T")
START = datetime(2025, 1, 1, tzinfo=UTC)
NODES = ("a", "b", "c")
Program = list[tuple[str, str, int, float]]
"""What is done, to which node, a number for its details, and the seconds that pass then."""
QUEUES = {
    "free": Queue(2),
    "alone": Queue(3, global_concurrency=2),
    "slow": Queue(3, rate_limit=RateLimit(2, 7)),
}
EVERYWHERE: Mapping[str, Sequence[str]] = {}
SERVED = (EVERYWHERE, EVERYWHERE, {"alone": "b", "slow": "ac"}, {"free": "ab", "alone": "c"})
FAILING = (Claim, ClaimWithin, Settle, Poll, Rescue, Beat, Lead)


async def _perform(_: Job) -> None:
    raise AssertionError("the scripted executor runs no code")


class Trouble(LocalStore):
    """A store whose effects fail, ``before`` or ``after`` they are done, while it is troubled."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = MemoryStore()
        self.how = ""
        self.counts: dict[type[Any], int] = {}

    def carry_out(self, effect: Effect[T]) -> T:
        kind = type(effect)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        failing = self.troubled and isinstance(effect, FAILING)
        if failing and self.how == "before":
            raise StoreUnavailableError("the line is dead")
        answer = self.inside.carry_out(effect)
        if failing:
            raise StoreUnavailableError("the line died")
        return answer


@dataclass
class World:
    """Three nodes, and what is done to them; some queues only some of them serve."""

    polls: bool
    served_by: Mapping[str, Sequence[str]] = field(default_factory=dict)
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(START))
    store: Trouble = field(default_factory=Trouble)
    ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.clock, passing_on=None)
        registry = Registry()
        self.task = Worker(_perform, {"name": "task", "max_attempts": 3, "timeout": 40})
        registry.add(self.task)
        make = Make(
            QUEUES,
            SeededRng(0),
            registry,
            lambda line: ScriptedExecutor(self.clock),
            plugins=(
                Stalled(interval=5, rescue_after=10),
                Pruner(max_age=90, interval=20),
                Cron([("* * * * *", self.task.new({"takes": 3}, queue="free"))]),
            ),
            polls=self.polls,
            served_by=self.served_by,
        )
        self.cluster = Cluster(self.store, self.clock, self.recorder, make)
        self.client = Client(self.clock, self.recorder, QUEUES)
        for name in NODES:
            self.cluster.add(name)

    def quiet(self) -> None:
        assert [] == list(self.cluster.quiet())

    def advance(self, seconds: float) -> None:
        target = self.clock.now() + timedelta(seconds=seconds)
        self.quiet()
        while (due := self.cluster.next_due()) is not None and due <= target:
            self.cluster.move(due)
            self.quiet()
        self.cluster.move(target)
        self.quiet()  # each node has its turn before anything more is done at this instant

    def call(self, program: Any) -> None:
        try:
            drive(self.cluster.store, program)
        except StoreUnavailableError:
            pass  # the client is cut off as well

    def do(self, what: str, node: str, number: int) -> None:
        cluster, client = self.cluster, self.client
        queue = [*QUEUES][number % 3]
        job = 1 + number % 7
        try:
            match what:
                case "insert" | "insert later" | "insert unique":
                    args = {
                        "takes": (0, 0.4, 1, 3, 20, 100)[number % 6],
                        "ends": [*ENDS][number % len(ENDS)],
                    }
                    given: dict[str, Any] = {"queue": queue, "max_attempts": 1 + number % 4}
                    if what == "insert later":
                        given["schedule_in"] = (0.5, 1, 2.3, 10, 11)[number % 5]
                    if what == "insert unique":
                        given["unique"] = Unique(60, keys=("ends",))
                    self.call(client.insert_all([self.task.new(args, **given)] * (1 + number % 3)))
                case "cancel":
                    self.call(client.cancel_all({"id": job}))
                case "retry":
                    self.call(client.retry_all({"id": job}))
                case "delete":
                    self.call(client.delete_all({"id": job}))
                case "cancel all":
                    self.call(client.cancel_all({"queue": queue}))
                case "pause":
                    self.call(client.pause(queue))
                case "resume":
                    self.call(client.resume(queue))
                case "scale":
                    self.call(client.scale(queue, 1 + number % 4))
                case "reset":
                    self.call(client.reset(queue))
                case "crash":
                    cluster.crash(node)
                case "restart":
                    cluster.restart(node)
                case "stop":
                    cluster.stop(node, timedelta(seconds=number % 9))
                case "suspend":
                    cluster.suspend(node, timedelta(seconds=(0.5, 1, 5, 12, 50, 100)[number % 6]))
                case "partition":
                    cluster.partition(node)
                case "heal":
                    cluster.heal(node)
                case "skew":
                    cluster.skew(node, timedelta(seconds=(-40, -1.5, 0, 0, 0.7, 1, 35)[number % 7]))
                case "trap":
                    how = (*FAILURES, *CRASHES)[number % 8]
                    late = timedelta(seconds=1 + number % 4)
                    cluster.trap(
                        node, Trap([*EFFECTS, ANY][number % 13], how, 1 + number % 3, late)
                    )
                case "drift":
                    cluster.drift(node, (-20_000, 0, 5_000, 100_000)[number % 4])
                case "slow":
                    cluster.slow(node, timedelta(seconds=(0, 0, 0.3, 1, 4)[number % 5]))
                case "late":
                    cluster.delay_notifications(timedelta(seconds=(0, 0, 0.5, 1, 6)[number % 5]))
                case "double":
                    cluster.double_notifications(number % 2 == 0)
                case "drop" | "deliver":
                    cluster.drop_notifications(what == "drop")
                case "down" | "up":
                    cluster.database(up=what == "up")
                case "fail before" | "fail after":
                    self.store.troubled, self.store.how = True, what.split()[1]
                case "work":
                    self.store.troubled = False
        except SimulationError:
            pass  # the node is not there, or asleep

    def rows(self) -> list[dict[str, Any]]:
        """The rows, but for the tokens of claims."""
        found = self.store.inside.run(Find(Selection()))
        names = [
            name for name in Job.__dataclass_fields__ if name not in ("cancelled", "attempted_by")
        ]
        return [
            {name: getattr(job, name) for name in names} | {"by": job.attempted_by[:1]}
            for job in found
        ]


def played(
    program: Program, *, polls: bool, served_by: Mapping[str, Sequence[str]] = EVERYWHERE
) -> World:
    world = World(polls, served_by)
    for what, node, number, seconds in program:
        world.do(what, node, number)
        world.advance(seconds)
    return world


OFTEN = ["insert", "insert", "insert later", "insert later", "insert unique"]
RARELY = [
    *("cancel", "retry", "delete", "cancel all", "pause", "resume", "scale", "reset"),
    *("crash", "restart", "stop", "suspend", "partition", "heal", "skew", "drop", "deliver"),
    *("trap", "trap", "trap"),
    *("drift", "slow", "slow", "late", "late", "double"),
    *("down", "up", "fail before", "fail after", "work", ""),
]
SPANS = (0, 0, 0.000001, 0.25, 0.999999, 1, 1.5, 2, 3.75, 10, 16, 45)
PROGRAMS = st.lists(
    st.tuples(
        st.sampled_from(OFTEN + RARELY),
        st.sampled_from(NODES),
        st.integers(0, 20),
        st.sampled_from(SPANS),
    ),
    min_size=1,
    max_size=25,
)


SET_ASLEEP: Program = [
    *(("", "b", 0, 16), ("suspend", "c", 5, 0), ("skew", "c", 8, 0)),
    *(("skew", "b", 14, 45), ("slow", "c", 17, 60)),
]
"""A node wakes to a clock that was set, and has nothing to do before the first slow answer."""
FAILS_UNHEARD: Program = [("insert", "a", 0, 0), ("fail before", "a", 0, 1)]
"""The store begins to fail while all nodes rest, and they learn of it at their next marks."""


@given(PROGRAMS, st.sampled_from(SERVED))
@example(SET_ASLEEP, EVERYWHERE)
@example(FAILS_UNHEARD, EVERYWHERE)
@settings(max_examples=60)
def test_the_same_happens_with_and_without_the_polls_that_are_left_out(program, served_by):
    every = played(program, polls=True, served_by=served_by)
    few = played(program, polls=False, served_by=served_by)
    assert every.recorder.trace().text() == few.recorder.trace().text()
    assert every.rows() == few.rows()


def test_ten_quiet_minutes_of_three_nodes_take_hardly_a_poll():
    quiet: Program = [("", "a", 0, 45)] * 13
    every, few = played(quiet, polls=True), played(quiet, polls=False)
    assert every.recorder.trace().text() == few.recorder.trace().text()
    assert 3 * 585 <= every.store.counts[Poll]
    assert (
        few.store.counts[Poll] <= 3 * 10
    )  # at the start, and around the jobs that the crontab inserts


@pytest.mark.parametrize("what", ["drop", "partition", "suspend", "down", "fail before"])
def test_whoever_cannot_hear_of_a_job_polls_for_it_at_the_mark_at_which_it_would_have(what):
    program: Program = [("", "a", 0, 3.5), (what, "a", 1, 0.25), ("insert", "a", 6, 5)]
    every, few = played(program, polls=True), played(program, polls=False)
    assert every.recorder.trace().text() == few.recorder.trace().text()
