"""The file of a world replays to the same timeline, and holds the nodes only where they did something."""

from __future__ import annotations

import pytest

from pgjobs.adapters.memory import MemoryStore
from pgjobs_testing import World
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import replay
from tests.simulation.scripted import played

WORK = {
    "Work": {"runs": [{"for": "20s"}]},
    "Rare": {"queue": "rare", "priority": 3, "unique": {"keys": ["n"]}, "tags": ["a"]},
}

pytestmark = [
    pytest.mark.pgjobs(mode="live"),  # a world stands in for production by itself
    # What is done to some of these worlds is drawn.
    pytest.mark.filterwarnings("ignore:never came:pgjobs_testing.simulation.world.UnsprungWarning"),
]


def replayed(text):
    scenario, source = read_text(text)
    again = replay(scenario, source, MemoryStore(), bounded=False)
    return again.trace.text(), [failure.text(source) for failure in again.failures]


def needed(text, told):
    """Whether each hold of a file is needed for what it tells."""
    lines = text.splitlines(keepends=True)
    holds = [n for n, line in enumerate(lines) if line.endswith("hold: true}\n")]
    return all(told != replayed("".join(lines[:n] + lines[n + 1 :]))[0] for n in holds)


def steps(text):
    return [line.removeprefix("  - ") for line in text.splitlines() if line.startswith("  - {at")]


@pytest.mark.parametrize("seeds", [range(n, n + 20) for n in range(0, 60, 20)])
def test_whatever_is_done_to_a_world_its_file_tells_the_same(seeds):
    for seed in seeds:
        text, told = played(seed)
        assert (told, []) == replayed(text), f"seed {seed}"


def test_a_file_holds_the_nodes_once_around_what_came_after_something_of_an_instant():
    with World(nodes=2, workers=WORK) as world:
        world.insert("Work", {"n": 1})  # when both nodes have started
        world.insert("Work", {"n": 2})  # when the first one runs
        world.advance(5.5)
        world.crash("a")  # as nothing is due
        world.advance(0.75)
        world.restart("a")
        world.advance(300)
        text, told = world.scenario(), world.timeline.text()
    assert [
        "{at: 0s, hold: true}",
        '{at: 0s, insert: {as: j1, worker: Work, args: {"n": 1}}}',
        "{at: 0s, hold: true}",
        '{at: 0s, insert: {as: j2, worker: Work, args: {"n": 2}}}',
        "{at: 0s, hold: false}",
        "{at: 5.5s, crash: a}",
        "{at: 6.25s, restart: a}",
    ] == steps(text)
    assert (told, []) == replayed(text) and needed(text, told)


def test_jobs_for_later_are_inserted_one_after_another_with_one_hold():
    with World(nodes=3, workers=WORK) as world:
        for n in range(1, 51):
            world.insert("Work", {"n": n}, schedule_in=10 * n)
        world.advance(5)
        world.insert("Work")  # at a poll that was left out, for it would have found nothing
        world.advance(600)
        text, told = world.scenario(), world.timeline.text()
    holds = [line for line in steps(text) if "hold" in line]
    assert ["{at: 0s, hold: true}", "{at: 0s, hold: false}"] == holds
    assert (told, []) == replayed(text)


def test_a_fault_at_the_instant_of_a_poll_comes_after_it():
    with World(nodes=2, workers=WORK) as world:
        world.advance(5)
        world.partition("a")  # whose next poll is the one at 6 s
        world.advance(0.5)
        world.partition("b")
        world.advance(10)
        text, told = world.scenario(), world.timeline.text()
    assert [
        "{at: 5s, hold: true}",
        "{at: 5s, partition: a}",
        "{at: 5s, hold: false}",
        "{at: 5.5s, partition: b}",
    ] == steps(text)
    assert (told, []) == replayed(text) and needed(text, told)


@pytest.mark.parametrize("seed", range(0, 40, 8))
def test_a_hold_stands_right_before_a_step_and_ends_with_its_instant(seed):
    lines = steps(played(seed)[0])
    for n, line in enumerate(lines):
        at, _, what = line.partition(", ")
        if what == "hold: true}":
            assert lines[n + 1].startswith(f"{at}, ") and "hold" not in lines[n + 1]
        if what == "hold: false}":
            assert f"{at}, hold: true}}" in lines[:n]
            assert not any(each.startswith(f"{at}, ") for each in lines[n + 1 :])


def test_a_world_to_which_nothing_was_done_has_no_step_in_its_file():
    with World(nodes=2, workers=WORK) as world:
        world.advance(30)
        text, told = world.scenario(), world.timeline.text()
    assert [] == steps(text) and (told, []) == replayed(text)
    with World(nodes=2, workers=WORK, plugins=False) as world:
        world.advance(30)
        text, told = world.scenario(), world.timeline.text()
    assert ["{at: 0s, hold: false}"] == steps(text)  # a file has plugins or steps
    assert (told, []) == replayed(text)


def test_an_insert_says_what_its_worker_does_not_say_for_it():
    with World(nodes=2, workers=WORK) as world:
        world.advance(0.5)
        world.insert("Rare", {"n": 1})
        world.insert("Rare", {"n": 1}, unique=None, priority=0, tags=())
        world.insert("Rare", {"n": 2}, queue="default")
        world.advance(30)
        text, told = world.scenario(), world.timeline.text()
    assert [
        '{as: j1, worker: Rare, args: {"n": 1}}}',
        '{as: j2, worker: Rare, args: {"n": 1}, priority: 0, tags: [], unique: null}}',
        '{as: j3, worker: Rare, args: {"n": 2}, queue: default}}',
    ] == [line.partition("insert: ")[2] for line in steps(text) if "insert" in line]
    assert (told, []) == replayed(text)
