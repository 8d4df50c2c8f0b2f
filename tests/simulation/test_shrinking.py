"""From a failing seed to the smallest file that fails alike, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.adapters.memory import MemoryStore
from pgjobs.adapters.memory.rows import Rows
from pgjobs.client import Client
from pgjobs.engine.stager import Stager
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import replay
from pgjobs_testing.simulation.drawing.world import drawn
from pgjobs_testing.simulation.reporting import report
from pgjobs_testing.simulation.seeds import play_seed
from pgjobs_testing.simulation.shrinking import _queues, _restarts, shrink
from pgjobs_testing.simulation.spelling import spelt
from pgjobs_testing.simulation.units import units
from pgjobs_testing.simulation.verdict import Options

SMALL = Options(jobs=40, hours=0.5)


def last_first(rows, selection):
    """Claims the wrong way round: a bug, put in on purpose."""
    return reversed(list(_in_claim_order(rows, selection)))


_in_claim_order = Rows.in_claim_order


def first_alarm():
    """The first seed that raises an alarm, and its alarm."""
    for seed in range(1, 30):
        said = play_seed(seed, SMALL, MemoryStore())
        if not said.held:
            return seed, said
    raise AssertionError("no seed raised an alarm")


def smallest(seed, tries=600):
    """The smallest world that fails as the seed does."""
    found = shrink(drawn(seed, SMALL), MemoryStore, tries)
    assert found is not None
    return found


def test_a_seed_that_fails_becomes_a_small_file_that_fails_alike(monkeypatch):
    monkeypatch.setattr(Rows, "in_claim_order", last_first)
    seed, said = first_alarm()
    assert "in_order" in said.alarm
    found = smallest(seed)
    assert len(found.data["steps"]) <= 3
    assert found.data["nodes"] == found.data["nodes"][:1]
    assert not found.data.get("plugins")
    text = spelt(found.data)
    scenario, source = read_text(text)
    (failure,) = replay(scenario, source, MemoryStore()).failures
    assert "in_order" in failure.what

    told = report(found)
    assert "in_order" in told.split("\n")[0]
    assert "the last moments:" in told
    assert "clients and faults" in told

    monkeypatch.setattr(Rows, "in_claim_order", _in_claim_order)
    assert [] == list(replay(scenario, source, MemoryStore()).failures)


def test_the_report_shows_where_the_nearest_world_that_holds_parts(monkeypatch):
    monkeypatch.setattr(Rows, "in_claim_order", last_first)
    seed, _ = first_alarm()
    found = smallest(seed)
    assert found.passing is not None
    told = report(found)
    line = told[told.index("the nearest world that holds goes another way from line ") :]
    assert "\n  ! " in line or "\n  = " in line


def test_a_world_that_holds_is_not_made_smaller():
    assert shrink(drawn(1, SMALL), MemoryStore) is None


def test_what_is_smallest_when_the_tries_are_over_is_the_answer(monkeypatch):
    monkeypatch.setattr(Rows, "in_claim_order", last_first)
    seed, _ = first_alarm()
    few, many = smallest(seed, 3), smallest(seed, 200)
    assert few.tries == 3
    assert len(few.data["steps"]) > len(many.data["steps"])
    assert "in_order" in few.failing.failures[0].what


def test_an_endless_world_is_made_smaller_by_its_kind(monkeypatch):
    monkeypatch.setattr(
        Stager, "answered", lambda *_: None
    )  # it polls no more, and nothing is staged
    seed, _ = first_alarm()
    found = smallest(seed, 60)
    assert len(found.data["steps"]) < len(drawn(seed, SMALL)["steps"])


def of_nothing(self, filters):
    """An order that reaches nothing: a bug, put in on purpose."""
    yield from ()
    return 0


def test_filters_of_an_order_and_the_nodes_of_a_queue_are_made_fewer(monkeypatch):
    monkeypatch.setattr(Client, "delete_all", of_nothing)
    names = ["j1", "j2", "j3", "j4"]
    inserts = [
        {"at": f"{n}s", "insert": {"as": name, "worker": "W"}} for n, name in enumerate(names)
    ]
    data = {
        "name": "an order for many",
        "nodes": ["a", "b", "c"],
        "queues": {"q": {"concurrency": 2, "nodes": ["b", "c"]}},
        "workers": {"W": {"queue": "q", "runs": [{"for": "1h"}]}, "V": {"queue": "r"}},
        "steps": [*inserts, {"at": "9s", "delete": {"jobs": names, "queue": ["q", "r"]}}],
        "until": "10s",
        "invariants": True,
    }
    found = shrink(data, MemoryStore)
    assert found is not None
    assert "obeyed: a delete of many reached []" in found.failing.failures[0].what
    insert, delete = found.data["steps"]
    assert [insert["insert"]["as"]] == delete["delete"]["jobs"]
    assert ["q"] == delete["delete"]["queue"]
    assert 1 == len(found.data["nodes"])
    assert "nodes" not in found.data["queues"].get("q", {})


def test_the_queues_of_a_restart_are_made_fewer(monkeypatch):
    monkeypatch.setattr(Client, "delete_all", of_nothing)
    data: dict[str, Any] = {
        "name": "a deploy",
        "nodes": ["a", "b"],
        "queues": {"q": {"concurrency": 2}, "r": {}, "s": {}},
        "plugins": {"stalled": {}},
        "workers": {"W": {"queue": "q", "runs": [{"for": "1h"}]}},
        "steps": [
            {"at": "1s", "crash": "a"},
            {
                "at": "2s",
                "restart": {"node": "a", "plugins": ["stalled"], "queues": ["q", "r", "s"]},
            },
            {"at": "8s", "insert": {"as": "j1", "worker": "W"}},
            {"at": "9s", "delete": {"queue": "q"}},
        ],
        "until": "10s",
        "invariants": True,
    }
    found = shrink(data, MemoryStore)
    assert found is not None
    assert [{"insert"}, {"delete"}] == [{*step} - {"at"} for step in found.data["steps"]]
    kept = {**data, "steps": [{"at": "0s", "crash": "a"}, *data["steps"][1:2]]}
    smaller = [each["steps"][1]["restart"] for each in _restarts(kept)]
    assert {"node": "a", "queues": ["q", "r", "s"]} in smaller
    assert {"node": "a", "plugins": ["stalled"]} in smaller
    assert {"node": "a", "plugins": ["stalled"], "queues": ["q", "s"]} in smaller
    without = [each["steps"][1]["restart"]["queues"] for each in _queues(kept)]
    assert ["q", "r"] in without and ["q", "r", "s"] in without


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_fault_goes_with_its_end(seed):
    steps = drawn(seed, Options())["steps"]
    found = units(steps)
    assert sorted(n for unit in found for n in unit) == list(range(len(steps)))
    for unit in found:
        keys = [key for n in unit for key in steps[n] if key != "at"]
        assert ("restart" in keys) <= bool({"crash", "stop"} & {*keys})
        assert ("heal" in keys) <= ("partition" in keys)
        assert ("resume" in keys) <= ("pause" in keys)
        assert keys.count("database") in (0, 2)


@given(st.lists(st.sampled_from(["crash a", "restart a", "partition b", "heal b", "pause q"])))
def test_every_step_is_in_one_unit(words):
    steps = [{"at": "0s", word.split()[0]: word.split()[1]} for word in words]
    found = units(steps)
    assert sorted(n for unit in found for n in unit) == list(range(len(steps)))
    assert found == sorted(found)
