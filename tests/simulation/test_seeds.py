"""Whole worlds drawn from seeds: no alarm, the same on both stores, and a file at any time."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from pgjobs.adapters.memory import MemoryStore
from pgjobs.adapters.memory.rows import Rows
from pgjobs_testing.clock import SeededRng
from pgjobs_testing.scenarios.parts import MANY
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import replay
from pgjobs_testing.simulation import seeds
from pgjobs_testing.simulation.drawing.world import drawn
from pgjobs_testing.simulation.seeds import play_seed
from pgjobs_testing.simulation.spelling import spelt
from pgjobs_testing.simulation.verdict import FAULTS, Options

SMALL = Options(jobs=40, hours=0.4)
STANDARD = Options()

in_order = Rows.in_claim_order


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_seed_of_the_standard_world_raises_no_alarm(seed):
    said = play_seed(seed, STANDARD, MemoryStore())
    assert said.alarm is None
    assert dict(said.marks)["claimed"] >= 100


@pytest.mark.parametrize("seed", range(1, 3))
def test_a_seed_is_the_same_on_both_stores(seed, store):
    assert play_seed(seed, SMALL, MemoryStore()) == play_seed(seed, SMALL, store)


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_seed_written_to_a_file_is_played_alike(seed):
    text = spelt(drawn(seed, SMALL))
    scenario, source = read_text(text)
    played = replay(scenario, source, MemoryStore())
    assert [] == [failure.text(source) for failure in played.failures]
    assert play_seed(seed, SMALL, MemoryStore()).digest == played.trace.digest()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_alone_raises_no_alarm_and_no_fault_is_drawn_where_none_is_wanted(fault):
    few = Options(jobs=30, hours=0.4, faults=(fault,))
    none = Options(jobs=30, hours=0.4, faults=())
    assert play_seed(7, few, MemoryStore()).alarm is None
    assert play_seed(7, none, MemoryStore()).alarm is None
    assert {"insert", "insert_all"} >= {
        key for step in drawn(7, none)["steps"] for key in step if key != "at"
    }


def test_the_digest_of_a_seed_does_not_depend_on_the_hash_seed():
    code = (
        "from pgjobs.adapters.memory import MemoryStore\n"
        "from pgjobs_testing.simulation.seeds import play_seed\n"
        "from pgjobs_testing.simulation.verdict import Options\n"
        "print(play_seed(5, Options(jobs=40, hours=0.4), MemoryStore()).digest)"
    )
    root = str(Path(__file__).parents[2])
    said = {
        subprocess.run(
            (sys.executable, "-c", code),
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert {play_seed(5, SMALL, MemoryStore()).digest + "\n"} == said


def test_a_world_played_twice_stops_at_the_first_draw_that_differs(monkeypatch):
    twice = Options(jobs=40, hours=0.4, twice=True)
    assert play_seed(5, twice, MemoryStore()) == play_seed(5, SMALL, MemoryStore())
    token, drawn_so_far = SeededRng.token, count()

    def of_no_seed(self, label):
        """After a while, tokens that something else than the seed decides."""
        n = next(drawn_so_far)
        return token(self, label) if n < 20 else f"{token(self, label)} {n}"

    monkeypatch.setattr(SeededRng, "token", of_no_seed)
    said = play_seed(5, twice, MemoryStore())
    assert said.alarm is not None
    assert "determined: draw " in said.alarm


def test_a_world_in_which_nothing_is_done_is_one():
    said = play_seed(1, Options(jobs=0, faults=()), MemoryStore())
    assert said.alarm is None
    assert "0 inserts, 0 faults and acts" in said.drawn


def idle(at: str) -> list[dict[str, object]]:
    """Steps that change nothing: more than a file may have."""
    return [{"at": at, "double_notifications": n % 2 == 0} for n in range(MANY + 2)]


@pytest.mark.parametrize(
    "before, after, told",
    [
        ([], idle("24m"), "# seed 3: stopped at"),
        (idle("0s"), [], "# No replay reads this file: it has 10,"),
    ],
    ids=["its alarm is early", "its alarm is late"],
)
def test_a_world_of_more_steps_than_a_file_may_have_is_played_and_told(
    monkeypatch, before, after, told
):
    monkeypatch.setattr(
        Rows, "in_claim_order", lambda rows, chosen: reversed([*in_order(rows, chosen)])
    )
    world = drawn(3, SMALL)
    steps = [*before, *world["steps"], *after]
    monkeypatch.setattr(seeds, "drawn", lambda *_: {**world, "steps": steps})
    said = play_seed(3, SMALL, MemoryStore())
    assert said.alarm is not None and "in_order" in said.alarm
    assert said.scenario is not None and told in said.scenario
    if after:  # the file ends with the alarm
        scenario, source = read_text(said.scenario)
        (failure,) = replay(scenario, source, MemoryStore()).failures
        assert said.alarm == failure.what
