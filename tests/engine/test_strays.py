"""Claims that come true after they were given up: every job of them runs, once, and none waits for long.

A claim whose line breaks is looked up after one pause, which jitter makes 0.25 to 0.375 s long. What is
there by then is run at once. What comes true later is given back by the next look, at most ``EVERY``
later, for as long as ``FOR`` after the look-up that found nothing. These bounds hold for every seed.
"""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.effects import Claim, Effect, Find
from pgjobs.engine.duty import FIRST_PAUSE_S, Patience
from pgjobs.engine.strays import EVERY, FOR, Strays
from pgjobs.ports import Done
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs.rules.job import Job
from pgjobs.rules.selection import claimable
from tests.engine.rig import SECOND, START, Fault, FaultyStore, Rig

GIVEN_UP_BY_S = FIRST_PAUSE_S * 1.5
"""When a claim that broke at the start has been looked up, whatever the jitter."""

MINE = claimable("default")


class Tardy(LocalSession):
    """A session whose line breaks at the first claim of a queue, which the store carries out much later."""

    def __init__(self, store: LocalStore) -> None:
        super().__init__(store)
        self.claim: Claim | None = None
        self.looked_up = False
        self._line = store

    def submit(self, effect: Effect[Any]) -> None:
        if isinstance(effect, Claim) and self.claim is None and effect.selection == MINE:
            self.claim = effect
            self.inbox.append(Done(effect, error=StoreUnavailableError("the line is dead")))
        else:
            self.looked_up = self.looked_up or isinstance(effect, Find)
            super().submit(effect)

    def come_true(self) -> None:
        assert self.claim is not None
        assert self._line.run(self.claim)


def broken_claim(count: int = 1, **given: Any) -> tuple[Rig, Tardy, list[Job]]:
    """A rig at its start, whose claim of ``count`` jobs has just broken; its queue is paused since."""
    rig = Rig({"default": 10, "other": 1}, session=Tardy, **given)
    rig.call(rig.client.pause("default"))
    rig.advance()
    jobs = [rig.insert() for _ in range(count)]
    rig.call(rig.client.resume("default"))
    rig.advance()
    rig.call(rig.client.pause("default"))  # nothing takes the jobs meanwhile
    session = rig.member.session
    assert isinstance(session, Tardy) and session.claim is not None
    return rig, session, jobs


def stand(rig: Rig, jobs: list[Job]) -> list[tuple[str, int, int]]:
    """State, attempt and releases of each job."""
    now = [rig.job(job) for job in jobs]
    return [(job.state, job.attempt, job.meta.get("released", 0)) for job in now]


@pytest.mark.parametrize("elide", [False, True])
@pytest.mark.parametrize("after", [GIVEN_UP_BY_S, 5, 100, FOR.total_seconds()])
def test_a_claim_that_comes_true_after_it_was_given_up_is_given_back_and_run(
    elide: bool, after: float, caplog: pytest.LogCaptureFixture
):
    rig, session, jobs = broken_claim(3, elide=elide)
    rig.advance(after)
    session.come_true()
    assert [("executing", 1, 0)] * 3 == stand(rig, jobs)
    rig.advance(EVERY)
    assert [("available", 0, 1)] * 3 == stand(rig, jobs)
    for job in jobs:
        assert f"job {job.id} was claimed after all" in caplog.text
    rig.call(rig.client.resume("default"))
    rig.advance(1)
    assert [("completed", 1, 1)] * 3 == stand(rig, jobs)
    rig.advance(200)
    assert 3 == len(rig.of("start"))
    assert [(job.id, "a", 0.0, 0) for job in jobs] == [
        (each.job.id, each.node, each.took_s, each.job.attempt)
        for each in rig.of("release")
        if each.job
    ]


@given(
    seed=st.integers(0, 10**9),
    after=st.floats(0, FOR.total_seconds()) | st.floats(FIRST_PAUSE_S, GIVEN_UP_BY_S),
    count=st.integers(1, 5),
    elide=st.booleans(),
)
@example(seed=1, after=0.3, count=1, elide=False)
@example(seed=2, after=0.3, count=2, elide=True)
@settings(max_examples=60)
def test_a_claim_that_comes_true_is_run_if_that_is_before_its_look_up_and_given_back_if_later(
    seed: int, after: float, count: int, elide: bool
):
    rig, session, jobs = broken_claim(count, seed=seed, elide=elide)
    rig.advance(after)
    given_up = session.looked_up
    assert given_up or after < GIVEN_UP_BY_S
    session.come_true()
    rig.advance(EVERY)
    assert [("available", 0, 1) if given_up else ("completed", 1, 0)] * count == stand(rig, jobs)
    rig.call(rig.client.resume("default"))
    rig.advance(1)
    assert [("completed", 1, int(given_up))] * count == stand(rig, jobs)
    assert count == len(rig.of("start"))


@given(seed=st.integers(0, 10**9), after=st.floats(GIVEN_UP_BY_S, FOR.total_seconds()))
@settings(max_examples=20)
def test_claims_that_break_again_and_again_do_not_put_off_the_look_for_earlier_ones(
    seed: int, after: float
):
    store = FaultyStore()
    rig, session, jobs = broken_claim(2, seed=seed, store=store)
    turns = itertools.count()
    store.faults = [
        Fault(
            Claim, "before", 10**9, lambda claim: claim.selection != MINE and next(turns) % 2 == 0
        )
    ]
    others = [rig.insert(queue="other", takes=1) for _ in range(100)]
    rig.advance(after)
    session.come_true()
    rig.advance(EVERY)
    assert next(turns) > 10
    assert [("available", 0, 1)] * 2 == stand(rig, jobs)
    store.faults = []
    rig.advance(FOR)
    assert [("completed", 1, 0)] * 100 == stand(rig, others)


def test_the_last_look_for_a_claim_begins_when_its_time_is_over_however_long_the_one_before_took():
    looks: list[Effect[Any]] = []
    strays = Strays("a", looks.append, release, Patience(lambda: 0.0))
    strays.doubt("token", START)
    strays.step(START + FOR - SECOND)
    strays.answered(looks[0], [], START + FOR + SECOND)
    last = strays.next_due(START)
    assert START + FOR + SECOND + EVERY == last
    strays.step(last)
    strays.answered(looks[1], [], last)
    assert strays.next_due(last) is None


def test_a_look_that_fails_is_repeated_when_its_pause_is_over():
    looks: list[Effect[Any]] = []
    strays = Strays("a", looks.append, release, Patience(lambda: 0.0))
    strays.doubt("token", START)
    strays.step(START + EVERY)
    strays.failed(looks[0], StoreUnavailableError("the line is dead"), START + EVERY)
    assert START + EVERY + timedelta(seconds=FIRST_PAUSE_S) == strays.next_due(START)


def release(job: Job, now: datetime) -> None:
    raise AssertionError(f"job {job.id} was found at {now} in an empty answer")
