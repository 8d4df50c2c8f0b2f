"""A node that serves a thousand queues looks at those alone that have something to do."""

import sys
from collections import Counter

import pytest

from pgjobs.effects import Claim
from pgjobs.engine import queue
from pgjobs.rules.selection import claimable
from tests.engine.rig import Fault, FaultyStore, Rig

MANY = 1_000


@pytest.fixture
def rig():
    """At rest: every queue has been asked once."""
    rig = Rig({f"q{n}": 1 for n in range(MANY)}, store=FaultyStore())
    rig.advance(0)
    return rig


def calls_of(function):
    """How often each function of the engine's queues is called meanwhile."""
    found: Counter[str] = Counter()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename == queue.__file__:
            found[frame.f_code.co_name] += 1

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return found


def test_each_is_asked_once_when_the_node_starts_and_no_more(rig):
    rig.advance(0)
    asked = [claim.selection for claim in rig.store.of(Claim)]
    assert [claimable(f"q{number}") for number in range(MANY)] == asked


def test_a_job_in_one_queue_concerns_no_other(rig):
    rig.insert(queue="q7")
    called = calls_of(lambda: rig.advance(0))
    assert {"completed": 1} == rig.states()
    assert called["step"] < 20
    assert called["next_due"] < 20


def test_queues_that_wake_together_claim_in_the_order_in_which_they_are_configured(rig):
    before = len(rig.store.of(Claim))
    for number in (900, 30, 4):
        rig.insert(queue=f"q{number}")
    rig.advance(0)
    asked = [claim.selection for claim in rig.store.of(Claim)[before:]]
    assert [claimable(f"q{number}") for number in (4, 30, 900)] == asked[:3]


def test_a_queue_whose_claim_failed_asks_again(rig):
    rig.store.faults.append(Fault(Claim, "after"))
    rig.insert(queue="q7")
    rig.advance(0)
    assert {"executing": 1} == rig.states()
    rig.advance(1)  # no poll tells of it: the claim is looked up
    assert {"completed": 1} == rig.states()
