"""How a node stops: it claims nothing more, waits, and gives back what can be given back."""

from __future__ import annotations

import pytest

from pgjobs.effects import Claim, Find, Settle
from pgjobs.engine.farewell import Remains
from pgjobs.engine.heart import EVERY
from pgjobs.leading import Heartbeats
from tests.engine.rig import START, Fault, FaultyStore, Rig


def test_a_stopping_node_waits_for_what_runs_and_claims_nothing_more():
    rig = Rig({"default": 2})
    running = [rig.insert(takes=10) for _ in range(2)]
    waiting = rig.insert()
    rig.advance(5)
    rig.stop(grace=15)
    rig.advance(4)
    assert not rig.stopped()
    rig.advance(1)
    assert rig.stopped()
    assert ["completed", "completed", "available"] == [
        rig.job(job).state for job in (*running, waiting)
    ]
    rig.advance(100)
    assert "available" == rig.job(waiting).state


def test_a_stopping_node_beats_to_its_end():
    rig = Rig()
    rig.insert("thread", takes=200)
    rig.advance(5)
    rig.stop(grace=15)
    for _ in range(19):
        rig.advance(10)
        (heard,) = rig.store.run(Heartbeats())
        assert rig.clock.now() - heard.beat_at <= EVERY
    rig.advance(5)
    assert rig.stopped()
    assert [] == rig.store.run(Heartbeats())


def test_an_idle_node_stops_at_once():
    rig = Rig()
    rig.advance(1)
    rig.stop()
    rig.advance()
    assert rig.stopped()


def test_after_the_grace_a_task_is_given_back_with_its_attempt():
    rig = Rig()
    job = rig.insert(takes=100, meta={"mine": 1})
    rig.advance(5)
    rig.stop(grace=15)
    rig.advance(14.9)
    assert "executing" == rig.job(job).state
    rig.advance(0.1)
    after = rig.job(job)
    assert ("available", 0, (), {"mine": 1, "released": 1}) == (
        after.state,
        after.attempt,
        after.errors,
        after.meta,
    )
    assert rig.stopped()
    assert rig.executor.told[0].job.cancelled.is_set()


def test_what_is_given_back_is_told_once_as_it_stands_then_and_how_long_it_ran():
    rig = Rig({"default": 1})
    rig.insert(takes=3)
    job = rig.insert(takes=100)
    rig.advance(3)
    rig.stop(grace=15)
    rig.advance(20)
    told = rig.recorder.events()[-1]
    assert ("pgjobs.job.release", 18.0) == (told.name, (told.at - START).total_seconds())
    assert {
        "job": rig.job(job),
        "worker": "task",
        "queue": "default",
        "attempt": 0,
        "state": "available",
        "node": "a",
        "duration": 15.0,
        "queue_time": 3.0,
    } == told.details
    assert ["attempt 1 of task, not counted"] == [each.detail for each in rig.of("release")]


@pytest.mark.parametrize("taken", ["cancel", "retry"])
def test_what_another_has_taken_before_it_is_given_back_is_not_told(taken: str):
    store = FaultyStore()
    rig = Rig(store=store)
    job = rig.insert(takes=100)
    rig.advance(5)
    store.faults.append(Fault(Settle, "before", times=1))
    rig.stop(grace=0)
    rig.advance()
    rig.call(rig.client.cancel(job))
    if taken == "retry":
        rig.call(rig.client.retry(job))
    rig.advance(10)
    assert rig.stopped()
    assert ("available" if taken == "retry" else "cancelled") == rig.job(job).state
    assert [] == rig.of("release") + rig.of("late")


def test_what_was_given_back_by_a_save_whose_answer_was_lost_is_told_once():
    store = FaultyStore()
    rig = Rig(store=store)
    rig.insert(takes=100)
    rig.advance(5)
    store.faults.append(Fault(Settle, "after", times=1))
    rig.stop(grace=0)
    rig.advance(10)
    assert rig.stopped()
    (told,) = rig.of("release")
    assert (5.0, 0) == (told.took_s, told.job.attempt if told.job else None)


def test_each_release_is_counted_and_a_released_job_completes_on_another_node():
    rig = Rig(nodes=())
    job = rig.insert(takes=100)
    for n in range(3):
        rig.add_node(f"n{n}")
        rig.advance(5)
        rig.stop(grace=0, member=n)
        rig.advance()
        assert (n + 1, 0) == (rig.job(job).meta["released"], rig.job(job).attempt)
        assert n + 1 == len(rig.of("release"))
    rig.add_node("last")
    rig.advance(200)
    assert ("completed", 1) == (rig.job(job).state, rig.job(job).attempt)


def test_a_process_is_killed_at_the_end_of_the_grace_and_its_job_given_back():
    rig = Rig()
    rig.worker("process", rig.registry.find("thread").wrapped, executor="process")
    job = rig.insert("process", takes=100)
    rig.advance(5)
    rig.stop(grace=15)
    rig.advance(15)
    assert ("available", 0, True) == (rig.job(job).state, rig.job(job).attempt, rig.stopped())
    assert [job.id] == [run.job.id for run in rig.executor.told]


def test_a_thread_is_never_given_back_and_keeps_its_node_until_it_returns():
    rig = Rig()
    job = rig.insert("thread", takes=100)
    rig.advance(5)
    rig.stop(grace=15)
    rig.advance(94)
    assert ("executing", False) == (rig.job(job).state, rig.stopped())
    assert rig.executor.started[0].job.cancelled.is_set()
    rig.advance(1)
    assert ("completed", True) == (rig.job(job).state, rig.stopped())
    assert "released" not in rig.job(job).meta
    assert [] == rig.of("release")


def test_a_task_that_does_not_stop_when_told_is_given_back_once_it_has_ended_and_its_outcome_is_late():
    rig = Rig()
    job = rig.insert(takes=100, stubborn=True)
    rig.advance(5)
    rig.stop(grace=0)
    rig.advance(94)
    assert ("executing", False) == (rig.job(job).state, rig.stopped())
    rig.advance(1)
    assert ("available", True) == (rig.job(job).state, rig.stopped())
    assert 1 == rig.job(job).meta["released"]
    assert [100.0] == rig.at("late") == rig.at("release")


def test_a_second_stop_changes_nothing():
    rig = Rig()
    job = rig.insert(takes=12)
    rig.advance(5)
    rig.stop(grace=15)
    rig.advance(1)
    rig.stop(grace=0)
    rig.advance(10)
    assert ("completed", True) == (rig.job(job).state, rig.stopped())


def test_a_job_cancelled_while_its_node_stops_stays_cancelled():
    rig = Rig()
    job = rig.insert(takes=100)
    rig.advance(5)
    rig.stop(grace=10)
    rig.advance(5)
    rig.call(rig.client.cancel(job))
    rig.advance(10)
    assert ("cancelled", True) == (rig.job(job).state, rig.stopped())


def test_a_stopping_node_saves_what_ended_when_the_store_is_back():
    store = FaultyStore()
    rig = Rig(store=store)
    job = rig.insert(takes=5)
    rig.advance(1)
    store.faults = [Fault(Settle, "before", 10**9)]
    rig.stop(grace=1)
    rig.advance(25)
    assert not rig.stopped()
    store.faults = []
    rig.advance(60)
    assert rig.stopped()
    assert ("available", 1) == (rig.job(job).state, rig.job(job).meta["released"])


@pytest.mark.parametrize("worker", ["task", "thread"])
def test_what_a_lost_claim_took_is_given_back_when_it_is_found_after_the_grace(worker: str):
    store = FaultyStore()
    rig = Rig(store=store)
    rig.advance(1)
    store.faults = [Fault(Claim, "after"), Fault(Find, "before", 3)]
    job = rig.insert(worker, takes=100)
    rig.advance()
    assert "executing" == rig.job(job).state
    rig.stop(grace=0)
    rig.advance(60)
    assert rig.stopped()
    assert ("available", 0) == (rig.job(job).state, rig.job(job).attempt)
    assert [] == rig.executor.started
    assert [0.0] == [each.took_s for each in rig.of("release")]


def test_a_stop_during_an_outage_gives_up_half_a_minute_after_its_grace(caplog):
    store = FaultyStore()
    rig = Rig(store=store)
    job = rig.insert(takes=1)
    rig.advance(0.5)
    store.faults.append(Fault(Settle, "before", times=10_000))
    rig.advance(1)
    rig.stop(grace=15)
    rig.advance(44.9)
    assert not rig.stopped()
    rig.advance(0.1)
    assert rig.stopped()
    assert "executing" == rig.job(job).state
    assert "1 outcome(s) that the store did not take" in caplog.text


def test_what_a_node_has_not_done_is_known_with_the_reason():
    store = FaultyStore()
    rig = Rig(store=store)
    rig.advance(1)
    assert Remains(0, 0, 0, None, False) == rig.node.farewell.remains
    rig.insert(takes=1)
    rig.insert("thread", takes=100)
    store.faults.append(Fault(Settle, "before", times=10_000))
    rig.advance(0.5)
    assert Remains(2, 0, 0, None, False) == rig.node.farewell.remains
    rig.advance(1)
    left = rig.node.farewell.remains
    assert (1, 0, 1, "the line is dead") == (
        left.running,
        left.settled,
        left.unsaved,
        str(left.trouble),
    )
    store.faults.clear()
    rig.advance(60)
    assert Remains(1, 0, 0, None, False) == rig.node.farewell.remains


def test_an_outcome_that_is_put_off_is_left_and_a_thread_past_its_limit_is_settled():
    store = FaultyStore()
    rig = Rig(store=store)
    rig.worker("slow", lambda job: None, timeout=5)
    rig.insert("slow", takes=100, max_attempts=1)
    rig.advance(1)
    store.faults.append(Fault(Settle, "unready", times=1))
    rig.advance(5)
    left = rig.node.farewell.remains
    assert (0, 1, 1) == (left.running, left.settled, left.unsaved)
    assert "permission denied for table oban_jobs" == str(left.trouble)
    rig.advance(80)
    assert Remains(0, 1, 0, None, False) == rig.node.farewell.remains


def test_an_outcome_whose_row_is_looked_for_is_left():
    store = FaultyStore()
    rig = Rig(store=store)
    store.faults = [Fault(Settle, "after"), Fault(Find, "before", 10_000)]
    rig.insert()
    rig.advance(10)
    left = rig.node.farewell.remains
    assert (0, 1, "the line is dead") == (left.running, left.unsaved, str(left.trouble))
    store.faults.clear()
    rig.advance(60)
    assert Remains(0, 0, 0, None, False) == rig.node.farewell.remains
