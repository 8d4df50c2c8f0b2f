"""A world in the hand of a test: its clock, its nodes, what befalls them, and the file that it leaves."""

from __future__ import annotations

import pytest

from pgjobs import PgJobs, Queue, worker
from pgjobs.adapters.memory import MemoryStore
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.job import JobState
from pgjobs_testing import World
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import replay
from pgjobs_testing.simulation.cluster import SimulationError

WORK = {"Work": {"runs": [{"for": "20s"}]}}


pytestmark = pytest.mark.pgjobs(mode="live")  # a world stands in for production by itself


def test_a_job_of_a_crashed_node_is_rescued_by_another(store):
    with World(nodes=2, store=store, workers=WORK) as world:
        job = world.insert("Work")
        assert (JobState.EXECUTING, "a") == (world.job(job).state, world.job(job).attempted_by[0])
        world.crash("a")
        world.advance(150)
        done = world.job(job)
        assert (JobState.COMPLETED, 2, "b") == (done.state, done.attempt, done.attempted_by[0])
        world.settle()
        assert 1 == world.marks["rescued"]


def test_a_crash_after_a_claim_is_at_that_very_effect(store):
    with World(nodes=["a"], store=store, workers=WORK) as world:
        world.crash("a", after="claim")
        job = world.insert("Work")
        assert JobState.EXECUTING is world.job(job).state
        assert [] == world.timeline.of("start")[1:]  # the node started, and no job
        world.restart("a")
        world.advance(300)
        assert (JobState.COMPLETED, 2) == (world.job(job).state, world.job(job).attempt)


def test_what_was_done_is_a_file_that_tells_the_same(store):
    with World(seed=3, nodes=3, store=store, faults="all", workers=WORK) as world:
        for _ in range(5):
            world.insert("Work", {"n": 1})
            world.pause("a", 40) if world.clock.now().minute == 1 else world.advance(30)
            world.advance(60)
        world.settle()
        text, told = world.scenario(), world.timeline.text()
    scenario, source = read_text(text)
    played = replay(scenario, source, MemoryStore(), bounded=False)
    assert [] == [failure.text(source) for failure in played.failures]
    assert told == played.trace.text()


def test_real_workers_run_in_virtual_time_and_insert_through_their_own_application(store):
    app = PgJobs("postgresql://nowhere", queues={"default": 1}, name="worlds")
    seen = []

    @worker(name="Parent")
    def parent(job):
        seen.append(job.attempt)
        app.insert(child.new({"of": job.args["n"]}))
        if job.attempt == 1:
            raise RuntimeError("once")

    @worker(name="Child")
    async def child(job):
        seen.append(job.args)

    with World(nodes=1, store=store, queues={"default": Queue(2)}) as world:
        parents = app.insert(parent.new({"n": 5}))
        world.advance(60)
        assert JobState.COMPLETED is world.job(parents).state
        assert [1, {"of": 5}, 2, {"of": 5}] == seen


def test_the_same_seed_draws_the_same_faults_and_another_seed_others():
    def trace(seed):
        with World(seed=seed, faults="all", workers=WORK) as world:
            for _ in range(20):
                world.insert("Work")
                world.advance(30)
            return world.timeline.text()

    assert trace(1) == trace(1) != trace(2)


def test_what_a_node_cannot_do_is_an_error_that_says_so():
    with World(nodes=1, workers=WORK) as world:
        with pytest.raises(SimulationError, match="node a is up"):
            world.restart("a")
        with pytest.raises(SimulationError, match=r"no node is named 'b'; known are a"):
            world.crash("b")
        with pytest.raises(ConfigurationError, match=r"give World\(skew=\) more"):
            world.skew("a", 3600)
    with pytest.raises(ConfigurationError, match=r"unknown fault 'crsh'.*did you mean 'crash'"):
        World(faults="crsh")
