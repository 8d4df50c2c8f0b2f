"""What happens to nodes from outside: at once, in order, and only where it can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.adapters.memory import MemoryStore
from pgjobs.client import Client, drive
from pgjobs.leading import Heartbeats
from pgjobs.plugins import Stalled
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs.rules.job import NewJob
from pgjobs.rules.options import Queue
from pgjobs.worker import Registry, Worker
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.nodes.cluster import Cluster, SimulationError
from pgjobs_testing.nodes.making import Make
from pgjobs_testing.nodes.traps import Trap
from pgjobs_testing.nodes.view import NodeClock
from pgjobs_testing.recorder import Recorder
from tests.engine.rig import ScriptedExecutor

START = datetime(2025, 1, 1, tzinfo=UTC)


async def _perform(_):
    raise AssertionError("the scripted executor runs no code")


class Place:
    """A cluster, a client of it, and time to pass."""

    def __init__(self, *nodes: str) -> None:
        self.clock = VirtualClock(START)
        self.recorder = Recorder(self.clock, passing_on=None)
        self.inside = MemoryStore()
        registry = Registry()
        registry.add(Worker(_perform, {"name": "task"}))
        queues = {"default": Queue(10)}
        make = Make(
            queues,
            SeededRng(0),
            registry,
            lambda line: ScriptedExecutor(self.clock),
            plugins=(Stalled(interval=5, rescue_after=10),),
        )
        self.cluster = Cluster(self.inside, self.clock, self.recorder, make)
        self.client = Client(self.clock, self.recorder, queues)
        for name in nodes:
            self.cluster.add(name)

    def insert(self, takes: float = 0) -> int:
        """A job's id."""
        program = self.client.insert(NewJob("task", {"takes": takes}))
        return drive(self.cluster.store, program).id

    def job(self, job_id: int):
        return drive(self.inside, self.client.get(job_id))

    def advance(self, seconds: float) -> None:
        target = self.clock.now() + timedelta(seconds=seconds)
        assert [] == list(self.cluster.quiet())
        while (due := self.cluster.next_due()) is not None and due <= target:
            self.cluster.move(due)
            assert [] == list(self.cluster.quiet())
        self.cluster.move(target)
        assert [] == list(self.cluster.quiet())

    def beating(self) -> list[str]:
        return [heard.node for heard in self.inside.run(Heartbeats())]


@given(st.lists(st.tuples(st.integers(-100, 100), st.integers(0, 50), st.booleans()), min_size=1))
def test_a_clock_that_is_set_back_stands_and_says_when_it_will_show_an_instant(changes):
    world = VirtualClock(START)
    clock = NodeClock(world)
    last = clock.now()
    for off, passes, looked_at in changes:
        clock.off = timedelta(seconds=off)
        world.set(world.now() + timedelta(seconds=passes))
        if looked_at:
            assert last <= clock.now()
            last = clock.now()
            shown = last + timedelta(seconds=7)
            assert shown == clock.when(shown) + clock.off
            assert world.now() == clock.when(last)


def test_a_crash_leaves_the_job_executing_and_nothing_more_is_done_by_the_node():
    place = Place("a")
    job = place.insert(takes=5)
    place.advance(1)
    place.cluster.crash("a")
    place.advance(60)
    assert "executing" == place.job(job).state
    assert place.cluster.next_due() is None
    assert ["crash"] == [moment.event for moment in place.recorder.trace().moments[-1:]]


def test_a_restarted_node_has_a_new_name_in_the_store_and_its_old_one_in_the_timeline():
    place = Place("a", "a#2")
    place.cluster.crash("a")
    place.cluster.restart("a")
    place.advance(1)
    assert ["a#2", "a#2'"] == [name for name in place.beating() if name != "a"]
    starts = place.recorder.trace().of("node.start")
    assert ["a", "a#2", "a"] == [moment.node for moment in starts]


def test_a_restarted_node_acts_in_its_old_place():
    place = Place("a", "b")
    place.cluster.crash("a")
    place.advance(1)
    place.cluster.restart("a")
    place.advance(1)
    job = place.insert(takes=1)
    place.advance(0)
    assert "a#2" == place.job(job).attempted_by[0]


def test_a_suspended_node_sees_at_its_end_what_passed_meanwhile():
    place = Place("a")
    job = place.insert(takes=5)
    place.advance(1)
    place.cluster.suspend("a", timedelta(seconds=60))
    place.advance(59.5)
    assert "executing" == place.job(job).state
    place.advance(0.5)
    assert START + timedelta(seconds=61) == place.job(job).completed_at


def test_a_node_whose_clock_is_set_while_it_stands_comes_to_rest_with_all_that_it_asks_on_its_way():
    place = Place("a")
    place.advance(1)
    place.cluster.slow("a", timedelta(seconds=5))
    place.cluster.suspend("a", timedelta(seconds=60))
    place.cluster.skew("a", timedelta(seconds=2))
    job = place.insert()
    place.advance(100)
    assert "completed" == place.job(job).state


def test_a_stopped_node_is_gone_when_it_has_nothing_left():
    place = Place("a", "b")
    place.insert(takes=5)
    place.advance(1)
    place.cluster.stop("a", timedelta(seconds=15))
    with pytest.raises(SimulationError, match="node a is still stopping"):
        place.cluster.restart("a")
    place.advance(5)
    assert ["b"] == place.beating()
    assert ["a"] == [moment.node for moment in place.recorder.trace().of("stop")]
    place.cluster.restart("a")
    place.advance(1)
    assert ["a#2", "b"] == place.beating()


def test_a_node_that_is_cut_off_goes_on_with_its_run_and_settles_it_when_healed():
    place = Place("a")
    job = place.insert(takes=5)
    place.advance(1)
    place.cluster.partition("a")
    place.advance(9)
    assert "executing" == place.job(job).state
    place.cluster.heal("a")
    place.advance(60)
    found = place.job(job)
    assert ("completed", 1) == (found.state, found.attempt)


def test_a_cut_and_a_clock_that_is_off_belong_to_the_machine_and_outlive_a_restart():
    place = Place("a")
    place.advance(1)
    place.cluster.partition("a")
    place.cluster.skew("a", timedelta(seconds=30))
    place.cluster.crash("a")
    place.cluster.restart("a")
    place.advance(5)
    assert ["a"] == place.beating()
    place.cluster.heal("a")
    place.advance(60)
    (beat,) = [heard for heard in place.inside.run(Heartbeats()) if heard.node == "a#2"]
    assert beat.started_at == START + timedelta(seconds=31)


def test_a_database_that_is_down_fails_for_clients_too():
    place = Place("a")
    place.cluster.database(up=False)
    with pytest.raises(StoreUnavailableError, match="the database is down"):
        place.insert()
    place.cluster.database(up=True)
    place.insert()


@pytest.mark.parametrize(
    "befall",
    [
        lambda cluster: cluster.partition("a"),
        lambda cluster: cluster.slow("a", timedelta(seconds=1)),
        lambda cluster: cluster.trap("a", Trap("poll", "before")),
        lambda cluster: cluster.database(up=False),
    ],
    ids=["partition", "slow", "trap", "outage"],
)
def test_what_befalls_a_node_at_rest_lets_it_poll_at_its_next_mark(befall):
    place = Place("a")
    place.advance(3.5)
    rests_till = place.cluster.next_due()
    assert rests_till is not None and rests_till > START + timedelta(seconds=4)
    befall(place.cluster)
    assert START + timedelta(seconds=4) == place.cluster.next_due()


def test_with_notifications_dropped_a_job_waits_for_the_next_poll():
    place = Place("a")
    place.advance(0.4)
    place.cluster.drop_notifications(True)
    job = place.insert(takes=5)
    place.advance(0.5)
    assert "available" == place.job(job).state
    place.advance(0.1)
    assert START + timedelta(seconds=1) == place.job(job).attempted_at


@pytest.mark.parametrize(
    "do, said",
    [
        (lambda c: c.crash("c"), "no node is named 'c'; known are a"),
        (lambda c: c.restart("a"), "node a is up: it can restart after a crash or a stop"),
        (lambda c: (c.crash("a"), c.crash("a")), "node a is down and cannot crash"),
        (
            lambda c: (c.suspend("a", timedelta(9)), c.stop("a", timedelta(0))),
            "node a is suspended and cannot stop before it goes on",
        ),
    ],
)
def test_what_a_node_cannot_do_as_it_is_is_refused(do, said):
    with pytest.raises(SimulationError, match=said):
        do(Place("a").cluster)
