"""A world in the hand of a test: its clock, its nodes, what befalls them, and the file that it leaves."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime

import pytest

from pgjobs import PgJobs, Queue, worker
from pgjobs.adapters.memory import MemoryStore
from pgjobs.engine.queue import QueueDuty
from pgjobs.plugins import LeaderTasks, Stalled
from pgjobs.rules.errors import ConfigurationError, PgJobsError
from pgjobs.rules.job import JobState
from pgjobs_testing import AlarmError, World
from pgjobs_testing.nodes.cluster import SimulationError
from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.real import Imports, reference
from pgjobs_testing.scenarios.replay import replay
from pgjobs_testing.simulation.world import UnsprungWarning
from tests.scenarios import shop

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


ROLLED_OUT = """
name: a version without Stalled
nodes: [a]
plugins:
  stalled: {interval: 10s, rescue_after: 1m}
  pruner: {}
workers:
  Work: {runs: [{for: 20s}]}
steps:
  - {at: 30s, insert: {as: left, worker: Work}}
  - {at: 31s, crash: a}
  - {at: 35s, restart: {node: a, plugins: [LAST]}}
until: 40m
invariants: true
"""


@pytest.mark.parametrize("last, ended", [("pruner", 0), ("stalled", 1)])
def test_what_a_process_left_is_no_orphan_where_no_version_that_is_up_rescues(last, ended):
    scenario, source = read_text(ROLLED_OUT.replace("LAST", last))
    played = replay(scenario, source, MemoryStore(), bounded=False)
    assert [] == [failure.text(source) for failure in played.failures]
    assert ended == len(played.trace.of("completed"))


def test_a_crash_after_a_claim_is_at_that_very_effect(store):
    with World(nodes=["a"], store=store, workers=WORK) as world:
        world.crash("a", after="claim")
        job = world.insert("Work")
        assert JobState.EXECUTING is world.job(job).state
        assert [] == world.timeline.of("start")  # of the job, though its node started
        assert ["a"] == [each.node for each in world.timeline.of("node.start")]
        world.restart("a")
        world.advance(300)
        assert (JobState.COMPLETED, 2) == (world.job(job).state, world.job(job).attempt)


def test_a_process_that_begins_anew_with_other_queues_serves_these_alone(store):
    workers = {**WORK, "Mail": {"queue": "mail", "runs": [{"for": "1s"}]}}
    with World(nodes=1, store=store, workers=workers) as world:
        for queues in (["mail"], None, ["default"]):
            world.crash("a")
            world.restart("a", queues=queues)
            jobs = [world.insert("Work"), world.insert("Mail")]
            world.settle()
            left = [queues != ["default"], queues == ["default"]]
            assert left == [world.job(job).state is JobState.AVAILABLE for job in jobs]
        assert {"restarted with other queues": 2, "served anew": 3} == {
            name: count for name, count in world.marks.items() if "anew" in name or "other" in name
        }
        text, told = world.scenario(), world.timeline.text()
    scenario, source = read_text(text)
    assert told == replay(scenario, source, MemoryStore(), bounded=False).trace.text()


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


def test_the_file_says_what_it_cannot_hold_each_time_alike():
    app = PgJobs("postgresql://nowhere", name="worlds")

    @worker(name="Coded")
    def coded(job):
        """Runs."""

    with World(nodes=1, plugins=[Stalled(), LeaderTasks([])], workers=WORK) as world:
        world.insert("Work")
        world.insert(coded.new())
        app.insert(coded.new())
        app.insert(coded.new())
        first = world.scenario()
        assert first == world.scenario()
    assert [
        "# Not told exactly: one node that nothing befalls is replayed without elections and idle polls",
        "# Not told exactly: LeaderTasks is a plugin of code",
        "# Not told exactly: Coded, of 1 inserts, is a worker of code that no import leads to",
        "# Not told exactly: code inserted Coded 2 times",
    ] == [line for line in first.splitlines() if line.startswith("#")]


def test_workers_that_can_be_imported_are_named_by_use_and_replay(store, monkeypatch):
    app = PgJobs("postgresql://nowhere", queues={"reports": 1, "mail": 1}, name="worlds")
    monkeypatch.setattr(shop, "jobs", app, raising=False)
    with World(nodes=2, store=store, workers=WORK) as world:
        world.insert("Work")
        world.insert(shop.nightly)
        world.advance(30)
        world.crash("a")
        world.settle()
        text, told = world.scenario(), world.timeline.text()
    name, mail = shop.nightly.name, shop.mail.name
    assert [
        f"# Replay it with --allow-imports, for the code of {name}, {mail}",
        f"# Not told exactly: code inserted {mail} 2 times",
    ] == [line for line in text.splitlines() if line.startswith("#")]
    assert f'  {name}: {{use: "tests.scenarios.shop:nightly"}}' in text.splitlines()
    with pytest.raises(InvalidScenarioError, match="--allow-imports"):
        read_text(text)
    scenario, source = read_text(text, "f", Imports(allowed=True))
    played = replay(scenario, source, MemoryStore(), bounded=False)
    assert [] == [failure.text(source) for failure in played.failures]
    served = re.compile(r"(?<= start) .*")  # a file knows the queues of its real workers
    assert served.sub("", told) == served.sub("", played.trace.text())


def test_a_worker_that_another_name_leads_to_is_named_by_it(monkeypatch):
    renamed = worker(name="Renamed")(lambda job: None)
    monkeypatch.setattr(sys.modules[__name__], "RENAMED", renamed, raising=False)
    assert f"{__name__}:RENAMED" == reference(renamed)
    monkeypatch.setattr(renamed, "module", "__main__")
    assert reference(renamed) is None


def test_a_worker_in_whose_place_another_stands_is_named_by_no_import(monkeypatch):
    assert "tests.scenarios.shop:sleeper" == reference(sleeper := shop.sleeper)
    monkeypatch.setattr(shop, "sleeper", shop.patient)
    assert reference(sleeper) is None


def test_a_duplicate_has_a_name_of_its_own_in_the_file():
    work = {"Work": {"unique": {"keys": ["n"]}, "runs": [{"for": "1s"}]}}
    with World(nodes=2, workers=work) as world:
        first, second = world.insert("Work", {"n": 1}), world.insert("Work", {"n": 1})
        world.insert("Work", {"n": 2})
        assert first.id == second.id
        scenario, source = read_text(world.scenario())
        told = world.timeline.text()
    assert told == replay(scenario, source, MemoryStore(), bounded=False).trace.text()


def test_a_node_that_was_cut_off_for_no_time_finds_what_was_inserted_then(store):
    with World(nodes=1, store=store, workers=WORK) as world:
        world.advance(5.5)
        world.partition("a")
        job = world.insert("Work")
        world.heal("a")
        world.advance(1)
        assert JobState.EXECUTING is world.job(job).state


def test_what_ended_before_is_not_ended_again():
    with World(nodes=2, workers=WORK) as world:
        world.slow("a", 2)
        world.skew("b", 3)
        world.skew("b", 0)
        world.delay_notifications(1)
        world.settle()
        done = [(moment.node, moment.event, moment.detail) for moment in world.timeline]
        ends = [each for each in done if each[2].endswith("by 0s")]
    assert [
        ("b", "skew", "by 0s"),
        ("-", "delay", "notifications by 0s"),
        ("a", "slow", "by 0s"),
    ] == ends


def test_what_was_armed_before_puts_off_when_all_must_be_at_rest_and_excuses_nothing(
    monkeypatch, store
):
    monkeypatch.setattr(QueueDuty, "next_due", lambda self, now: None)  # nothing is ever claimed
    with World(nodes=1, store=store, workers=WORK) as world:
        world.fail("a", "beat", "before")
        world.insert("Work")
        with pytest.raises(AlarmError, match=r"ends: job 1 .* has been available"):
            world.settle()


def test_a_world_plays_inside_its_block_alone():
    world = World(nodes=1, workers=WORK)
    for act in (lambda: world.advance(1), lambda: world.insert("Work"), lambda: world.crash("a")):
        with pytest.raises(SimulationError, match="inside of `with World"):
            act()
    with world:
        job = world.insert("Work")
    assert JobState.EXECUTING is world.job(job).state
    with pytest.raises(SimulationError, match="inside of `with World"):
        world.settle()


def test_nodes_beyond_the_alphabet_have_names():
    with World(nodes=28) as world:
        assert ["z", "n26", "n27"] == [each.node for each in world.timeline.of("node.start")][-3:]


@pytest.mark.parametrize(
    "given, said",
    [
        ({"nodes": 0}, "found the nodes 0, none"),
        ({"nodes": ["a", "a"]}, "'a' twice"),
        ({"store": "memory"}, "found the store 'memory'"),
        ({"plugins": [3]}, "plugins takes a Pruner, .* not 3"),
        ({"faults": "operator"}, "does not draw 'operator'"),
        (
            {"workers": {"Work": {"runz": []}}},
            r"unknown key 'runz' in workers.Work; did you mean 'runs'",
        ),
        ({"start": datetime(2025, 1, 1)}, "start takes an aware datetime, and .* has no time zone"),  # noqa: DTZ001 - that is the mistake
    ],
)
def test_a_world_that_cannot_be_is_refused_in_words(given, said):
    with pytest.raises(ConfigurationError, match=said):
        World(**given)


def test_a_point_that_there_is_not_is_refused_in_words():
    with World(nodes=1, workers=WORK) as world:
        with pytest.raises(ConfigurationError, match=r"found 'clam'.*did you mean 'claim'"):
            world.crash("a", before="clam")
        with pytest.raises(ConfigurationError, match="one of them at a time"):
            world.crash("a", before="claim", after="claim")
        with pytest.raises(ConfigurationError, match="found 'aftr'"):
            world.fail("a", "claim", "aftr")


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


@pytest.mark.parametrize(
    "given, said",
    [
        ({"nodes": True}, "found the nodes True"),
        ({"nodes": 2.5}, r"found the nodes 2\.5"),
        ({"nodes": "ab"}, "found the nodes 'ab'; expected how many, or a list of their names"),
        ({"faults": None}, "found the faults None"),
        ({"queues": ["default"]}, "found the queues"),
        ({"queues": {"default": "ten"}}, "found the queue 'default' with 'ten'"),
        ({"plugins": 3}, "plugins takes a list such as"),
        ({"workers": ["Work"]}, "found the workers"),
        ({"run": float("inf")}, "run is inf; expected 36,525 days at most"),
    ],
)
def test_what_is_of_another_kind_is_refused_in_words(given, said):
    with pytest.raises(ConfigurationError, match=said):
        World(**{"workers": WORK, **given})


@pytest.mark.parametrize(
    "ask, said",
    [
        (lambda world: world.advance(float("inf")), "span is inf; expected 36,525 days at most"),
        (lambda world: world.skew("a", float("nan")), "by takes seconds or a timedelta"),
        (lambda world: world.skew("a", "x"), "by takes seconds or a timedelta"),
        (lambda world: world.fail("a", "claim", "late", by=500), r"give World\(delay=\) more"),
        (
            lambda world: world.insert(5),
            "found the worker 5; expected one, or its name, or a job of",
        ),
        (
            lambda world: world.insert(shop.mail.new({"n": 1}), {"n": 2}, priority=3),
            "found args, priority beside a job of .*; expected the job alone",
        ),
        (lambda world: world.insert("Work", [1]), "must be a JSON object"),
        (lambda world: world.job("1"), "found the job '1'; expected one, or its id"),
        (lambda world: world.job(None), "found the job None; expected one, or its id"),
        (lambda world: world.database(up="no"), "found up='no'; expected True or False"),
    ],
)
def test_what_is_asked_amiss_is_refused_in_words_and_changes_nothing(ask, said):
    with World(nodes=1, workers=WORK) as world:
        before = world.scenario()
        with pytest.raises(PgJobsError, match=said):
            ask(world)
        assert before == world.scenario()


def test_a_world_has_a_store_of_its_own_and_is_played_once(store):
    with World(nodes=1, store=store, workers=WORK) as world:
        world.insert("Work")
        world.advance(60)
    with pytest.raises(SimulationError, match="this world has been played"), world:
        pass
    with pytest.raises(ConfigurationError, match="the store has the job 1 already"):
        World(nodes=1, store=store, workers=WORK).__enter__()


NOISY = """
import logging
from pgjobs_testing.simulation.world import UnsprungWarning, World

with World(nodes=1, workers={"W": {"runs": [{"for": "1s"}]}}) as world:
    world.fail("a", "beat", "before", times=2)
    world.advance(60)
assert not logging.getLogger("pgjobs").handlers
"""


def test_simulated_failures_are_not_printed_where_nobody_listens():
    played = subprocess.run(
        [sys.executable, "-c", NOISY], capture_output=True, text=True, check=False
    )
    assert (0, "") == (played.returncode, played.stderr)


def test_what_was_asked_to_befall_an_effect_that_never_came_is_told_once():
    with World(nodes=["a", "b"], workers=WORK) as world:
        world.crash("b", before="tick")  # no cron, and so no tick
        world.fail("a", "settle", "before", times=3)  # comes once
        world.insert("Work")
        world.advance(300)
        with pytest.warns(
            UnsprungWarning, match=r"reached: crash before tick of node b\. "
        ) as told:
            world.settle()
        assert __file__ == told[0].filename
        world.settle()


def test_a_world_that_ends_without_coming_to_rest_tells_what_never_came_too():
    with (
        pytest.warns(UnsprungWarning, match="fail prune after of node a"),
        World(nodes=1, workers=WORK) as world,
    ):
        world.fail("a", "prune", "after")


def test_a_trap_that_is_gone_with_its_node_has_not_come_and_a_drawn_one_need_not():
    with World(nodes=["a", "b"], workers=WORK) as world:
        world.crash("b", after="claim")
        world.crash("b")
        with pytest.warns(UnsprungWarning, match="crash after claim of node b"):
            world.settle()
    with World(seed=3, nodes=3, workers=WORK, faults=["crash", "fail"]) as world:
        world.advance(600)
        world.settle()
