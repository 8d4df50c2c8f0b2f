"""What a world cannot be made of, and cannot do, is refused in words for whoever writes Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgjobs import Job, PgJobsError, worker
from pgjobs.plugins import Stalled
from pgjobs.rules.errors import ConfigurationError
from pgjobs_testing import World, harness
from pgjobs_testing.nodes.cluster import SimulationError
from pgjobs_testing.scenarios.read import read_text
from tests.scenarios import shop

WORK = {"Work": {"runs": [{"for": "20s"}]}}

pytestmark = pytest.mark.pgjobs(mode="live")  # a world stands in for production by itself


@pytest.mark.parametrize(
    "workers",
    [
        {"use"},
        [shop.nightly],
        shop.nightly,
        {"Work": shop.nightly},
        {"Work": lambda job: None},
        {"Work": {"use": "tests.scenarios.shop:nightly"}},
        {"Work": {"use": shop.nightly}},
    ],
)
def test_workers_of_code_are_not_listed_but_inserted(workers):
    with pytest.raises(ConfigurationError) as refused:
        World(workers=workers)
    said = str(refused.value)
    assert "such as {'runs': [{'for': '20s'}]}" in said
    assert "decorate it with @pgjobs.worker, and insert it, as in world.insert(shop.mail)" in said
    assert "--allow-imports" not in said


@pytest.mark.parametrize(
    "script, said",
    [
        (None, "found the worker 'Work' with None; expected what a scripted one does"),
        ({"runs": "ok"}, "workers.Work.runs: found 'ok'; accepted: a list"),
        (
            {"runs": []},
            "workers.Work.runs: found an empty list; accepted: a list with something in it",
        ),
        ({"runs": [{"for": 20}]}, r"workers.Work.runs\[0\].for: found 20; .* as in 20s"),
        ({"runs": [{"fro": "1s"}]}, r"unknown key 'fro' in workers.Work.runs\[0\]; .*'for'\?"),
        ({"runs": [{"error": "x", "snooze": "2s"}]}, "found error and snooze; accepted: one end"),
        ({"runs": [{"insert": {"worker": "Wrk"}}]}, "no worker is named 'Wrk'; .*'Work'"),
        ({"runs": [{"raise": ValueError}]}, "expected data, .* here its name: 'ValueError'"),
        ({"meta": {"at": {1}}}, r"workers.Work.meta.at: found \{1\}; expected data"),
        ({"meta": {1: "a"}}, "workers.Work.meta: found the key 1; expected a text"),
        ({"priority": 10}, "workers.Work.priority: found 10; accepted: a whole number from 0 to 9"),
    ],
)
def test_a_script_is_checked_as_a_file_is(script, said):
    with pytest.raises(ConfigurationError, match=said):
        World(workers={"Work": script})


def test_every_mistake_of_the_scripts_is_told_at_once():
    with pytest.raises(ConfigurationError) as refused:
        World(workers={"One": {"runz": []}, "Two": {"priority": 10}})
    assert 2 == len(str(refused.value).splitlines())


def test_a_script_that_holds_itself_is_refused():
    args: dict[str, object] = {}
    args["args"] = args
    with pytest.raises(ConfigurationError, match="expected 50 levels at most"):
        World(workers={"Work": {"meta": args}})


@pytest.mark.parametrize(
    "given, said",
    [
        ({"seed": -1}, "found the seed -1; expected a whole number from 0 to"),
        ({"seed": True}, "found the seed True"),
        ({"nodes": [1]}, "found the node 1; expected a text of 1 to 127 characters"),
        ({"nodes": ["a" * 128]}, "found the node 'aaa"),
        ({"nodes": 101}, "found 101 nodes; expected 100 at most"),
        ({"nodes": b"ab"}, "found the nodes b'ab'"),
        ({"faults": b"crash"}, "found the faults b'crash'"),
        ({"faults": ["all", "crash"]}, "found 'all' beside other faults; expected it alone"),
        ({"faults": [["crash"]]}, r"unknown fault \['crash'\]"),
        ({"queues": {5: 1}}, "found the queue 5; expected a text"),
        ({"queues": {str(n): 1 for n in range(1001)}}, "found 1,001 queues; expected 1,000 at"),
        ({"plugins": [Stalled]}, "make an instance of it, Stalled"),
        ({"plugins": [Stalled(), Stalled()]}, "plugins has more than one Stalled: give one"),
        ({"start": "2025-01-01T00:00:00Z"}, "start takes an aware datetime, not '2025"),
        ({"jitter": "no"}, "found jitter='no'; expected True or False"),
        ({"skew": "5s"}, "skew takes seconds or a timedelta, not '5s'"),
        ({"delay": -1}, "delay must be 0 s or more, not -1"),
    ],
)
def test_a_world_of_the_wrong_kind_is_refused(given, said):
    with pytest.raises(ConfigurationError, match=said):
        World(**{"workers": WORK, **given})


@pytest.mark.parametrize(
    "given",
    [
        {"faults": ["all"]},
        {"faults": {"crash", "stop"}},
        {"faults": []},
        {"plugins": None},
        {"plugins": False},
        {"plugins": iter([Stalled()])},
        {"start": datetime(9999, 12, 30, tzinfo=UTC)},
        {"workers": {"Work": {"runs": ({"for": timedelta(seconds=20)}, "ok")}}},
    ],
)
def test_what_can_be_meant_in_one_way_alone_is_taken(given):
    with World(nodes=1, **{"workers": WORK, **given}) as world:
        world.insert("Work")
        world.advance(30)
        read_text(world.scenario())


@pytest.mark.parametrize(
    "ask, said",
    [
        (lambda world: world.crash(5), "found the node 5; expected its name: one of a, b"),
        (lambda world: world.crash(None), "found the node None"),
        (lambda world: world.restart({"node": "a"}), "found the node {'node': 'a'}; expected its"),
        (
            lambda world: world.restart("a", queues=["mial"]),
            r"no queue of this world is named 'mial': known are default; name it in World\(queues=\)",
        ),
        (
            lambda world: world.restart("a", queues="default"),
            "found the queues 'default'; expected",
        ),
        (
            lambda world: world.restart("a", queues=5),
            r"found the queues 5; .* such as \['default'\]",
        ),
        (lambda world: world.heal(["a"]), r"found the node \['a'\]"),
        (lambda world: world.crash("a", after=""), "crash.after: found ''; accepted: one of"),
        (lambda world: world.stop("a", float("inf")), "grace is inf; expected 36,525 days at"),
        (lambda world: world.pause("a", 0), "span is 0; expected more than 0 s"),
        (lambda world: world.pause("a", 1e10), "span is 10000000000.0; expected 36,525 days at"),
        (lambda world: world.fail("a", None, "before"), "fail.effect: found None; accepted: one"),
        (lambda world: world.fail("a", "claim", "late", 0), "fail.times: found 0; accepted: a"),
        (lambda world: world.drop_notifications("no"), "found dropped='no'; expected True or"),
        (lambda world: world.double_notifications(1), "found doubled=1; expected True or False"),
        (lambda world: world.delay_notifications("x"), "by takes seconds or a timedelta, not 'x'"),
    ],
)
def test_a_fault_of_the_wrong_kind_is_refused_and_changes_nothing(ask, said):
    with World(nodes=2, workers=WORK) as world:
        before = world.scenario()
        with pytest.raises(ConfigurationError, match=said):
            ask(world)
        assert before == world.scenario()


@pytest.mark.filterwarnings("ignore:never came:pgjobs_testing.simulation.world.UnsprungWarning")
@pytest.mark.parametrize("how", ["before", "after", "conflict", "deadlock", "refused"])
def test_an_effect_that_fails_otherwise_than_late_takes_no_time(how):
    with World(nodes=1, workers=WORK) as world:
        with pytest.raises(ConfigurationError, match=f"found by=2, and it fails {how}; .* is late"):
            world.fail("a", "settle", how, by=2)
        world.fail("a", "settle", how)
        world.fail("a", "settle", "late", by=2)
        world.fail("a", "settle", "late")
        told = [moment.detail for moment in world.timeline.of("trap")]
    assert [f"fail settle {how}", "fail settle late by 2s", "fail settle late by 5s"] == told


@pytest.mark.parametrize(
    "first, again, said",
    [
        (lambda world: None, lambda world: world.heal("a"), "node a is not cut off"),
        *((act, act, "cut off already: heal") for act in (lambda world: world.partition("a"),)),
        (
            lambda world: world.insert("Work") and world.stop("a"),
            lambda world: world.stop("a"),
            "node a is stopping already",
        ),
        (
            lambda world: world.crash("a"),
            lambda world: world.fail("a", "claim", "before"),
            "node a is down and cannot fail: restart it first",
        ),
        (
            lambda world: world.crash("a"),
            lambda world: world.crash("a", before="claim"),
            "node a is down and cannot crash: restart it first",
        ),
    ],
)
def test_what_no_file_may_say_cannot_be_done(first, again, said):
    with World(nodes=1, workers=WORK) as world:
        first(world)
        before = world.scenario()
        with pytest.raises(SimulationError, match=said):
            again(world)
        assert before == world.scenario()
        read_text(before)


def test_what_is_so_already_is_no_step():
    with World(nodes=1, workers=WORK) as world:
        before = world.scenario()
        world.database(up=True)
        world.drop_notifications(False)
        world.double_notifications(False)
        assert before == world.scenario()
        assert ["down", "drop", "double"] == [moment.event for moment in _twice(world)]
        read_text(world.scenario())


def _twice(world):
    first = len(world.timeline)
    for _ in range(2):
        world.database(up=False)
        world.drop_notifications()
        world.double_notifications()
    done = world.timeline.moments[first:]
    return [moment for moment in done if moment.node == "-"]


@pytest.mark.parametrize(
    "mistake",
    [
        lambda world: world.crash("c"),
        lambda world: world.heal("a"),
        lambda world: world.insert("Wrok"),
        lambda world: world.insert("Work", {"at": float("nan")}),
        lambda world: world.job(7),
    ],
)
def test_a_refused_call_that_leaves_the_block_has_no_scenario_with_it(mistake):
    with pytest.raises(PgJobsError) as refused, World(nodes=2, workers=WORK) as world:
        mistake(world)
    assert [] == getattr(refused.value, "__notes__", [])


def test_a_failure_that_leaves_the_block_has_the_scenario_with_it():
    with pytest.raises(AssertionError) as failed, World(nodes=2, workers=WORK) as world:
        assert world.insert("Work").state == "completed"
    assert "to be replayed as a scenario file" in failed.value.__notes__[0]


def test_an_argument_that_a_world_does_not_take_is_told_with_the_nearest():
    with pytest.raises(ConfigurationError, match=r"option of World 'node': did you mean 'nodes'\?"):
        World(node=2)  # type: ignore[call-arg]  # the mistake


def test_what_a_world_ran_on_a_tests_store_is_no_run_of_the_harness_and_said_so():
    with harness() as made:
        jobs: Any = made
        with World(nodes=1, store=jobs.store, workers=WORK) as world:
            world.insert("Work")
            world.advance(60)
        with pytest.raises(AssertionError) as failed:
            jobs.assert_performed(worker="Work")
        jobs.insert(Known.new())
        with pytest.raises(AssertionError, match="has not run: available"):
            jobs.assert_performed(worker=Known)
    text = str(failed.value)
    assert "no run matches: no run was seen here" in text.splitlines()[0]
    assert "Work has run, and this harness saw no run of it: completed" in text


@worker
def Known(job: Job) -> None:  # noqa: N802 - as the scripted ones are named
    ...
