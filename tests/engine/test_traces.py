"""Equal seeds give byte-equal traces: again, under any hash seed, and with idle polls left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgjobs.effects import Claim, Poll, Settle
from pgjobs.rules.options import Queue
from pgjobs_testing.clock import SeededRng
from tests.engine.rig import ENDS, Fault, FaultyStore, Rig

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def busy(seed: int, *, elide: bool = False, faults: bool = True, nodes: str = "abc") -> Rig:
    """A busy time with everything in it, drawn from the seed; the first node stops before the end."""
    store = FaultyStore()
    chance = SeededRng(seed)

    def draw(what: str, most: int) -> int:
        return int(chance.random(what) * most)

    rig = Rig(
        {"one": 2, "two": Queue(3), "three": Queue(1, paused=True)},
        store=store,
        seed=seed,
        jitter=True,
        elide=elide,
        nodes=tuple(nodes),
    )
    rig.worker("limited", rig.registry.find("task").wrapped, timeout=7)
    if faults:
        store.faults = [Fault(Claim, "after", 2), Fault(Settle, "after", 2), Fault(Poll, "before")]
    jobs = []
    for n in range(60):
        job = rig.insert(
            ("task", "thread", "limited", "missing")[draw("worker", 4)],
            queue=("one", "two", "three")[draw("queue", 3)],
            priority=draw("priority", 4),
            max_attempts=1 + draw("most", 3),
            after=float(draw("after", 50)),
            takes=draw("takes", 20),
            ends=sorted(ENDS)[draw("ends", len(ENDS))],
            tags=tuple({"x", "y", "z"} if n % 2 else ()),
        )
        jobs.append(job)
        rig.advance(draw("pause", 3) / 2)
        if n % 7 == 3:
            rig.call(rig.client.cancel(jobs[draw("victim", len(jobs))]))
        if n % 11 == 5:
            rig.call(rig.client.retry(jobs[draw("victim", len(jobs))]))
    rig.call(rig.client.resume_all())
    rig.advance(300)
    rig.stop(grace=5, member=0)
    rig.advance(300)
    return rig


def test_a_trace_is_the_same_for_the_same_seed_and_another_for_another():
    first, again, other = busy(1), busy(1), busy(2)
    assert len(first.trace) > 100
    assert first.trace.text() == again.trace.text()
    assert first.trace.digest() == again.trace.digest() != other.trace.digest()
    assert first.store.inside.tables.jobs.by_id == again.store.inside.tables.jobs.by_id  # type: ignore[attr-defined]  # of the memory store


def test_a_trace_is_the_same_under_any_hash_seed():
    code = "from tests.engine.test_traces import busy; print(busy(1).trace.digest())"
    digests = []
    for hash_seed in ("0", "1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        env.pop("PGJOBS_CAPTURED_BY", None)
        ran = subprocess.run(
            [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, check=True
        )
        digests.append(ran.stdout.decode().strip())
    assert [busy(1).trace.digest()] * 3 == digests


@pytest.mark.parametrize("seed", range(5))
def test_polls_that_are_left_out_leave_the_trace_unchanged(seed: int):
    whole = busy(seed, faults=False, nodes="a")
    elided = busy(seed, faults=False, nodes="a", elide=True)
    assert whole.trace.text() == elided.trace.text()
    assert isinstance(elided.store, FaultyStore)
    assert isinstance(whole.store, FaultyStore)
    assert 3 * len(elided.store.of(Poll)) < len(whole.store.of(Poll))


@given(st.integers(0, 10**9))
@settings(max_examples=8, deadline=None)
def test_every_start_is_an_attempt_a_snooze_or_a_release(seed: int):
    rig = busy(seed)
    starts = rig.of("start")
    for job in rig.call(rig.client.find(None, "id", None, {})):
        assert 0 <= job.attempt <= job.max_attempts
        mine = [moment for moment in starts if moment.job is not None and moment.job.id == job.id]
        released = job.meta.get("released", 0)
        assert len(mine) == job.attempt + job.snoozed + released
    for index in range(3):
        assert rig.executor_of(index).most <= 2 + 3 + 1
