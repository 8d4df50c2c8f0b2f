"""A store that fails, before or after it did what it was asked: nothing is lost, nothing counts twice."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import pytest

from pgjobs import Unique
from pgjobs.effects import Claim, Effect, Find, Poll, Settle
from pgjobs.engine.duty import LONGEST_PAUSE_S, Patience
from pgjobs.leading import Beat, Lead
from pgjobs.plugins import Stalled
from pgjobs.rules.selection import Selection
from tests.engine.rig import START, Deaf, Fault, FaultyStore, Rig, SlowSession

EVER = 10**9
HOUR = 3_600


def rigged(*faults: Fault, **given: Any) -> tuple[Rig, FaultyStore]:
    store = FaultyStore()
    store.faults = list(faults)
    return Rig(store=store, **given), store


def settles_job(job_id: int) -> Any:
    """A condition for faults: the settle has this job among its own."""
    return lambda effect: any(each.id == job_id for each in effect.settlements)


@pytest.mark.long
@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("kind", [Claim, Settle, Poll])
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("worker", ["task", "thread"])
def test_every_job_runs_once_and_counts_once_whichever_effect_fails(
    kind: type[Effect[Any]], how: str, times: int, worker: str
):
    rig, _ = rigged(Fault(kind, how, times), queues={"default": 3})
    jobs = [rig.insert(worker, takes=1, n=n) for n in range(10)]
    rig.advance(HOUR)
    assert {"completed": 10} == rig.states()
    assert sorted(job.id for job in jobs) == sorted(run.job.id for run in rig.executor.started)
    assert [1] * 10 == [rig.job(job).attempt for job in jobs]
    assert 3 == rig.executor.most


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize(
    "ends, state, attempt", [("fail", "retryable", 1), ("snooze", "scheduled", 0)]
)
def test_an_outcome_whose_saving_fails_counts_once(how: str, ends: str, state: str, attempt: int):
    rig, _ = rigged(Fault(Settle, how))
    job = rig.insert(ends=ends)
    rig.advance(10)
    after = rig.job(job)
    assert (state, attempt) == (after.state, after.attempt)
    assert (1 if ends == "fail" else 0) == len(after.errors)
    assert (1 if ends == "snooze" else 0) == after.snoozed


def test_a_claim_whose_answer_was_lost_is_found_by_its_token():
    rig, store = rigged(Fault(Claim, "after"))
    job = rig.insert()
    rig.advance(10)
    assert 1 == len(store.of(Find))
    assert "completed" == rig.job(job).state
    assert [rig.executor.started[0].job.token] == [store.of(Claim)[0].change.attempted_by[1]]


def test_a_claim_that_never_happened_is_made_again_under_a_new_token():
    rig, store = rigged(Fault(Claim, "before"))
    rig.insert()
    rig.advance(10)
    tokens = [claim.change.attempted_by[1] for claim in store.of(Claim)]
    assert len(tokens) == len(set(tokens)) >= 2
    assert 1 == len(rig.executor.started)


def test_a_lost_claim_is_looked_for_until_the_store_answers():
    rig, _ = rigged(Fault(Claim, "after"), Fault(Find, "before", times=4))
    jobs = [rig.insert() for _ in range(3)]
    rig.advance(HOUR)
    assert {"completed": 3} == rig.states()
    assert [job.id for job in jobs] == [run.job.id for run in rig.executor.started]


def test_a_lost_claim_of_a_queue_that_is_paused_meanwhile_is_run_all_the_same():
    rig, _ = rigged(Fault(Claim, "after"))
    job = rig.insert()
    rig.advance()
    rig.call(rig.client.pause("default"))
    rig.advance(10)
    assert "completed" == rig.job(job).state


def test_running_jobs_go_on_through_an_outage_and_are_settled_after_it():
    every = [Fault(kind, "before", EVER) for kind in (Claim, Settle, Poll, Find)]
    rig, store = rigged()
    short, long = rig.insert(takes=10), rig.insert(takes=500)
    rig.advance(5)
    store.faults = every
    rig.advance(100)
    assert {"executing": 2} == rig.states()
    store.faults = []
    rig.advance(LONGEST_PAUSE_S * 1.5)
    assert {"completed": 1, "executing": 1} == rig.states()
    rig.advance(500)
    assert ["completed"] * 2 == [rig.job(job).state for job in (short, long)]
    assert 2 == len(rig.executor.started)


OUTAGE = tuple(Fault(kind, "before", EVER) for kind in (Beat, Claim, Settle, Poll, Find, Lead))


@pytest.mark.parametrize("elide", [False, True])
def test_what_waits_in_an_outage_is_asked_when_the_store_answers_anything(elide: bool):
    rig, store = rigged(queues={"default": 1, "other": 1}, elide=elide)
    rig.insert(takes=10)
    rig.advance(5)
    store.faults = [*OUTAGE]
    rig.insert(queue="other", takes=1)
    rig.advance(HOUR)
    asked: dict[type[Any], datetime] = {}

    def listen(effect: Effect[Any]) -> bool:
        asked.setdefault(type(effect), rig.clock.now())
        return False

    store.faults = [Fault(Effect, "", 1, listen)]
    rig.advance(2 * LONGEST_PAUSE_S)
    first = min(asked.values())
    assert {"completed": 2} == rig.states()
    assert [first, first] == [asked[Claim], asked[Settle]]


@pytest.mark.parametrize("seed", range(8))
def test_who_leads_asks_again_when_the_store_answers_anything(seed: int):
    rig, store = rigged(seed=seed, plugins=[Stalled(interval=5)])
    rig.insert(takes=10)
    rig.advance(5)
    store.faults = [*OUTAGE]
    rig.advance(HOUR)
    asked: dict[type[Any], datetime] = {}

    def listen(effect: Effect[Any]) -> bool:
        asked.setdefault(type(effect), rig.clock.now())
        return False

    store.faults = [Fault(Effect, "", 1, listen)]
    rig.advance(2 * LONGEST_PAUSE_S)
    assert min(asked.values()) == asked[Lead]


@pytest.mark.long
def test_nothing_starts_after_an_outage_from_a_queue_that_was_paused_in_it():
    """Whenever the last poll before its end had failed: the seed decides."""
    for seed in range(120):
        rig, store = rigged(queues={"default": 2}, session=Deaf, seed=seed)
        for _ in range(4):
            rig.insert(takes=25)
        rig.advance(1)
        store.faults = [*OUTAGE]
        rig.advance(1)
        rig.call(rig.client.pause("default"))
        rig.advance(40)
        store.faults = []
        rig.advance(60)
        assert {"completed": 2, "available": 2} == rig.states(), seed


def test_a_node_that_stops_tries_once_more_to_save_what_waits():
    rig, store = rigged(Fault(Settle, "before", 12))
    job = rig.insert(takes=1)
    rig.advance(40)
    assert "executing" == rig.job(job).state
    store.faults = []
    rig.stop()
    rig.advance()
    assert "completed" == rig.job(job).state


def test_one_that_is_answered_hurries_nobody_who_alone_meets_a_failure():
    rig, store = rigged(Fault(Settle, "before", EVER), queues={"default": 2})
    rig.insert()
    rig.advance(60)
    asked = len(store.of(Settle))
    for _ in range(50):
        rig.insert("thread", takes=1)
        rig.advance(1)
    assert len(store.of(Settle)) - asked <= 4


def test_in_an_outage_the_store_is_asked_rarely_and_for_ever():
    rig, store = rigged(*(Fault(kind, "before", EVER) for kind in (Claim, Settle, Poll, Find)))
    rig.insert()

    def asked() -> int:
        return sum(not isinstance(effect, Beat) for effect in store.effects)

    rig.advance(60)
    first = asked()
    assert 4 <= first <= 60
    rig.advance(HOUR)
    later = asked() - first
    assert HOUR / (LONGEST_PAUSE_S * 1.5) <= later <= 3 * HOUR / LONGEST_PAUSE_S


def test_a_store_that_reads_and_does_not_write_is_asked_rarely():
    rig, store = rigged(Fault(Claim, "refuse", EVER))
    rig.insert()
    rig.advance(HOUR)
    assert len(store.of(Claim)) <= 2 * HOUR / LONGEST_PAUSE_S
    store.faults = []
    rig.advance(LONGEST_PAUSE_S * 1.5)
    assert {"completed": 1} == rig.states()


def test_an_outage_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture):
    rig, _ = rigged(Fault(Poll, "before", EVER))
    with caplog.at_level(logging.WARNING, "pgjobs"):
        rig.advance(590)
    lines = [record for record in caplog.records if "the store failed at" in record.message]
    assert 8 <= len(lines) <= 10
    assert "node a: the store failed at Poll and will be asked again" in lines[0].message


def test_after_an_outage_of_an_hour_a_due_job_starts_within_the_longest_pause():
    rig, store = rigged(Fault(Poll, "before", EVER))
    rig.insert(after=60)
    rig.advance(HOUR)
    store.faults = []
    rig.advance(LONGEST_PAUSE_S * 1.5)
    assert {"completed": 1} == rig.states()


def test_the_pauses_of_a_failing_store_double_up_to_their_bound():
    patience = Patience(lambda: 0.0)
    pauses = []
    for _ in range(12):
        patience.lose(START)
        assert patience.until is not None
        pauses.append((patience.until - START).total_seconds())
    assert [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30] == pauses
    patience.regain()
    assert patience.allows(START)
    patience.lose(START)
    assert START + timedelta(seconds=0.25) == patience.until


def test_the_jitter_of_a_pause_adds_up_to_a_half():
    patience = Patience(lambda: 1.0)
    patience.lose(START)
    assert START + timedelta(seconds=0.375) == patience.until
    assert not patience.allows(START + timedelta(seconds=0.374))
    assert patience.allows(START + timedelta(seconds=0.375))


@pytest.mark.parametrize("bad", range(7))
@pytest.mark.parametrize("ends", ["ok", "fail"])
def test_a_refused_outcome_is_found_among_others_and_saved_as_a_failure(bad: int, ends: str):
    rig, store = rigged(queues={"default": 7})
    jobs = [rig.insert(takes=5, ends=ends, max_attempts=1, n=n) for n in range(7)]
    wanted = jobs[bad].id
    store.faults = [
        Fault(
            Settle,
            "refuse",
            EVER,
            lambda effect: any(
                each.id == wanted and "could not be saved" not in str(each.change.error)
                for each in effect.settlements
            ),
        )
    ]
    rig.advance(5)
    good = "completed" if ends == "ok" else "discarded"
    states = [rig.job(job).state for job in jobs]
    assert [good] * bad + ["discarded"] + [good] * (6 - bad) == states
    saved = str(rig.job(jobs[bad]).last_error)
    assert saved.startswith("StoreError: the outcome of this run could not be saved")
    assert "the row is not to its liking" in saved
    assert len(store.of(Settle)) <= 12


@pytest.mark.parametrize("ends, state", [("ok", "completed"), ("fail", "discarded")])
def test_an_outcome_for_which_the_store_is_not_ready_is_saved_as_it_is_when_it_is(
    ends: str, state: str
):
    rig, store = rigged(queues={"default": 7})
    for n in range(7):
        rig.insert(takes=5, ends=ends, max_attempts=1, n=n)
    store.faults = [Fault(Settle, "unready", EVER)]
    rig.advance(240)
    assert {"executing": 7} == rig.states()
    assert len(store.of(Settle)) <= 30
    store.faults = []
    rig.advance(90)
    assert {state: 7} == rig.states()
    errors = [str(rig.job(n).last_error) for n in range(1, 8)]
    assert [] == [error for error in errors if "could not be saved" in error]


def test_one_for_which_the_store_is_never_ready_holds_up_no_other():
    rig, store = rigged(queues={"default": 7})
    bad = rig.insert(takes=5)
    for _ in range(6):
        rig.insert(takes=5)
    store.faults = [Fault(Settle, "unready", EVER, settles_job(bad.id))]
    rig.advance(120)
    assert {"completed": 6, "executing": 1} == rig.states()
    assert "executing" == rig.job(bad).state
    store.faults = []
    rig.stop()
    rig.advance()
    assert {"completed": 7} == rig.states()
    assert rig.stopped()


def test_a_refused_outcome_that_was_tried_in_an_outage_before_is_saved_as_a_failure():
    rig, store = rigged(Fault(Settle, "before", 2))
    job = rig.insert(max_attempts=1)
    store.faults.append(Fault(Settle, "refuse"))
    rig.advance(10)
    assert "discarded" == rig.job(job).state
    assert "could not be saved" in str(rig.job(job).last_error)


@pytest.mark.parametrize("ends", ["ok", "cancel", "discard", "fail"])
@pytest.mark.parametrize("refusals", [1, 3])
def test_an_outcome_that_was_saved_unheard_and_then_refused_is_told_as_saved(
    ends: str, refusals: int
):
    rig, store = rigged(Fault(Settle, "after", 1))
    job = rig.insert(takes=5, ends=ends, max_attempts=1)
    store.faults.append(Fault(Settle, "refuse", refusals))
    rig.advance(600)
    ended = rig.job(job)
    assert [0, 0] == [fault.times for fault in store.faults]
    assert "could not be saved" not in str(ended.last_error)
    told = [moment.event for moment in rig.trace.moments if moment.ordinal]
    assert ["insert", "start", str(ended.state)] == told


def test_an_outcome_that_cannot_even_be_saved_as_a_failure_stops_nothing(
    caplog: pytest.LogCaptureFixture,
):
    rig, store = rigged(queues={"default": 2})
    lost = rig.insert()
    store.faults = [Fault(Settle, "refuse", EVER, settles_job(lost.id))]
    others = [rig.insert() for _ in range(5)]
    rig.advance(10)
    assert "executing" == rig.job(lost).state
    assert ["completed"] * 5 == [rig.job(job).state for job in others]
    assert f"the outcome of job {lost.id} cannot be saved, not even as a failure" in caplog.text
    assert [] == rig.node.running


def test_an_outcome_that_was_refused_and_saved_later_is_told_once():
    rig, store = rigged(queues={"default": 4})
    jobs = [rig.insert(takes=1) for _ in range(4)]
    store.faults = [Fault(Settle, "refuse", 1)]
    rig.advance(5)
    assert {"completed": 4} == rig.states()
    assert len(jobs) == len(rig.of("completed"))


def test_a_job_that_was_lost_while_the_poll_was_under_way_does_not_stop_its_next_run():
    rig = Rig({"default": 2}, session=SlowSession)
    session = rig.member.session
    assert isinstance(session, SlowSession)
    job = rig.insert(takes=1.5, ends="snooze")
    rig.advance(0.5)
    session.hold = Poll
    rig.advance(1.5)
    assert 1 == len(session.held)
    rig.call(rig.client.retry(job))
    rig.advance(0.5)
    assert "executing" == rig.job(job).state
    session.let_go()
    rig.advance(0.5)
    assert [] == rig.executor.told
    rig.advance(3)
    assert ("scheduled", 2) == (rig.job(job).state, rig.job(job).snoozed)


@pytest.mark.parametrize("ends", ["ok", "fail", "discard", "snooze", "cancel"])
def test_an_outcome_whose_answer_was_lost_is_told_once_and_as_saved(ends: str):
    rig, _ = rigged(Fault(Settle, "after", 1), Fault(Find, "before", 2))
    rig.insert(ends=ends, max_attempts=2)
    rig.advance(10)
    told = [moment.event for moment in rig.trace.moments if moment.ordinal][1:]
    expected = {"ok": "completed", "fail": "retryable", "snooze": "scheduled"}
    reached = expected.get(ends, {"discard": "discarded", "cancel": "cancelled"}.get(ends))
    assert ["start", reached] == told


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("first", [0, 1])
def test_of_two_nodes_that_end_one_group_at_one_instant_in_the_same_words_each_tells_its_job_once(
    first: int, how: str
):
    rig, store = rigged(queues={"default": 1}, nodes=("a", "b"))
    task = rig.registry.find("task")
    made = task.new({"takes": 5, "ends": "cancel"}, unique=Unique(states=("completed",)))
    jobs = rig.call(rig.client.insert_all([made, made]))
    rig.advance(1)
    assert {"executing": 2} == rig.states()
    second = 1 - first
    store.faults = [
        Fault(Settle, how, 1, settles_job(jobs[first].id)),
        Fault(Settle, "before", 4, settles_job(jobs[second].id)),
    ]
    rig.advance(60)
    assert {"cancelled": 2} == rig.states()
    assert ["unwanted"] * 2 == [rig.job(job).last_error for job in jobs]
    assert [0, 0] == [fault.times for fault in store.faults]
    ended = [(each.ordinal, each.event) for each in rig.trace.moments if each.ordinal][4:]
    assert [(first + 1, "cancelled"), (second + 1, "cancelled")] == ended


def test_a_snooze_that_was_not_saved_does_not_take_that_of_a_later_run_for_its_own():
    rig, store = rigged(queues={"default": 1}, nodes=("a", "b"), plugins=[Stalled(interval=5)])
    job = rig.insert(takes=5, ends="snooze")
    rig.advance(1)
    (node, _) = rig.job(job).attempted_by
    store.faults = [Fault(Settle, "before", 1)]
    rig.advance(4)
    member = rig.suspend(node)
    rig.advance(95)
    assert ("scheduled", 1, 1) == (rig.job(job).state, rig.job(job).snoozed, rig.job(job).attempt)
    rig.resume(member)
    rig.advance(10)
    told = [moment.event for moment in rig.trace.moments if moment.ordinal]
    assert ["insert", "start", "rescue", "start", "scheduled", "late"] == told


def test_an_outcome_that_was_taken_meanwhile_is_told_as_late():
    rig, store = rigged(Fault(Settle, "before", 1))
    job = rig.insert(takes=5)
    rig.advance(5)
    assert "executing" == store.inside.run(Find(Selection()))[0].state
    rig.call(rig.client.cancel(job))
    rig.advance(10)
    told = [moment.event for moment in rig.trace.moments if moment.ordinal]
    assert ["insert", "start", "cancel", "late"] == told
