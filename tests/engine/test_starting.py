"""What starts, when, in which order, and how much of it at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pgjobs.effects import Claim, Poll
from pgjobs.rules.options import Queue
from tests.engine.rig import START, TICK, Deaf, FaultyStore, Rig


def test_a_job_starts_at_the_instant_of_its_insert():
    rig = Rig()
    rig.advance(7)
    job = rig.insert()
    rig.advance()
    assert "completed" == rig.job(job).state
    assert START + timedelta(seconds=7) == rig.job(job).attempted_at == rig.job(job).completed_at


def test_jobs_start_by_priority_then_instant_then_id():
    rig = Rig({"default": 1})
    rig.insert(takes=10)
    rig.advance(1)
    late = [rig.insert(priority=p, n=n) for n, p in enumerate((3, 0, 9, 0, 3))]
    early = rig.insert(priority=3, scheduled_at=START, n=5)
    rig.advance(60)
    order = [run.job.id for run in rig.executor.started[1:]]
    assert [late[1].id, late[3].id, early.id, late[0].id, late[4].id, late[2].id] == order


@pytest.mark.long
@pytest.mark.parametrize("elide", [False, True])
@pytest.mark.parametrize("after", [0.000001, 0.5, 1, 59.999999, 86_400])
def test_a_scheduled_job_starts_at_its_very_instant(elide: bool, after: float):
    rig = Rig(elide=elide)
    job = rig.insert(after=after)
    assert "scheduled" == job.state
    rig.advance(timedelta(seconds=after) - TICK)
    assert "scheduled" == rig.job(job).state
    rig.advance(TICK)
    assert "completed" == rig.job(job).state
    assert job.scheduled_at == rig.job(job).attempted_at


@pytest.mark.parametrize("elide", [False, True])
def test_a_failed_job_runs_again_at_the_very_end_of_each_backoff(elide: bool):
    rig = Rig(elide=elide)
    job = rig.insert(ends="fail", max_attempts=4)
    rig.advance(1000)
    assert [0, 16, 16 + 31, 16 + 31 + 46] == rig.at("start")
    assert "discarded" == rig.job(job).state
    assert [1, 2, 3, 4] == [error["attempt"] for error in rig.job(job).errors]


def test_a_snoozed_job_comes_back_with_its_attempt():
    rig = Rig()
    job = rig.insert(ends="snooze", max_attempts=1)
    rig.advance(150)
    assert [0, 60, 120] == rig.at("start")
    after = rig.job(job)
    assert ("scheduled", 0, 3) == (after.state, after.attempt, after.snoozed)


@pytest.mark.parametrize("ends, state", [("discard", "discarded"), ("cancel", "cancelled")])
def test_a_job_ends_for_good_on_purpose(ends: str, state: str):
    rig = Rig()
    job = rig.insert(ends=ends)
    rig.advance(1000)
    assert (state, 1, 1) == (rig.job(job).state, rig.job(job).attempt, len(rig.job(job).errors))


@pytest.mark.parametrize("concurrency", [1, 3, 10])
def test_no_more_run_at_a_time_than_the_concurrency_and_no_slot_stays_idle(concurrency: int):
    rig = Rig({"default": concurrency})
    for _ in range(4 * concurrency):
        rig.insert(takes=10)
    rig.advance(35)
    assert concurrency == rig.executor.most == len(rig.executor.running)
    rig.advance(5)
    assert {"completed": 4 * concurrency} == rig.states()
    assert [0.0, 10.0, 20.0, 30.0] == sorted(set(rig.at("start")))


def test_queues_do_not_take_each_others_slots():
    rig = Rig({"fast": 1, "slow": 2})
    for _ in range(5):
        rig.insert(queue="slow", takes=100)
        rig.insert(queue="fast", takes=10)
    rig.advance(45)
    assert {"fast": 1, "slow": 2} == rig.executor.most_by_queue
    assert {"completed": 4, "executing": 3, "available": 3} == rig.states()


def test_a_queue_that_is_not_served_waits():
    rig = Rig({"default": 1})
    job = rig.insert(queue="elsewhere")
    rig.advance(100)
    assert "available" == rig.job(job).state


def test_concurrency_is_for_each_node():
    rig = Rig({"default": 2}, nodes=("a", "b"))
    for _ in range(10):
        rig.insert(takes=10)
    rig.advance(5)
    assert [2, 2] == [len(rig.executor_of(n).running) for n in (0, 1)]
    rig.advance(100)
    ran = [run.job.id for n in (0, 1) for run in rig.executor_of(n).started]
    assert sorted(ran) == sorted(set(ran))
    assert 10 == len(ran)


@pytest.mark.parametrize("poll", [0.25, 1.0])
def test_with_every_signal_lost_a_job_starts_within_the_poll_interval(poll: float):
    rig = Rig(session=Deaf, poll=timedelta(seconds=poll))
    rig.advance(10.1)
    rig.insert()
    rig.insert(after=0.5)
    rig.advance(poll + 0.5)
    due = [10.1, 10.6]
    assert all(0 <= at - wanted <= poll for at, wanted in zip(rig.at("start"), due, strict=True))


def test_with_every_signal_lost_a_cancel_is_told_within_the_poll_interval():
    rig = Rig(session=Deaf)
    job = rig.insert(takes=100)
    rig.advance(10.5)
    assert 1 == len(rig.executor.running)
    rig.call(rig.client.cancel(job))
    rig.advance(1)
    assert 0 == len(rig.executor.running)
    assert "cancelled" == rig.job(job).state


def test_with_every_signal_lost_a_pause_is_seen_within_the_poll_interval():
    rig = Rig(session=Deaf)
    rig.advance(10.5)
    rig.call(rig.client.pause("default"))
    rig.advance(1)
    job = rig.insert()
    rig.advance(100)
    assert "available" == rig.job(job).state


def test_an_idle_node_asks_once_an_interval_and_claims_nothing():
    store = FaultyStore()
    rig = Rig({"a": 1, "b": 1}, store=store)
    rig.advance(5)
    polls, claims = len(store.of(Poll)), len(store.of(Claim))
    rig.advance(100)
    assert (polls + 100, claims) == (len(store.of(Poll)), len(store.of(Claim)))


def test_an_elided_idle_node_asks_nothing():
    store = FaultyStore()
    rig = Rig(store=store, elide=True)
    rig.advance(5)
    before = len(store.effects)
    rig.advance(86_400)
    assert before == len(store.effects)


@pytest.mark.long
def test_a_row_without_an_attempt_left_stops_nothing():
    rig = Rig()
    stuck = rig.insert(max_attempts=1)
    store = rig.store
    row = rig.job(stuck)
    rig.call(rig.client.cancel(stuck))
    exhausted = type(row)(**{n: getattr(row, n) for n in row.__slots__} | {"attempt": 1})
    store.tables.jobs.put(exhausted)  # type: ignore[attr-defined]  # a row as another program may leave it
    after = rig.insert()
    rig.advance(10)
    assert ("available", "completed") == (rig.job(stuck).state, rig.job(after).state)


def test_an_unknown_worker_is_an_error_of_its_job_and_the_others_go_on():
    rig = Rig({"default": 1})
    unknown = [rig.insert("tusk", max_attempts=2) for _ in range(3)]
    known = rig.insert("task")
    rig.advance()
    assert "completed" == rig.job(known).state
    for job in unknown:
        after = rig.job(job)
        assert ("retryable", 1) == (after.state, after.attempt)
        assert after.last_error is not None
        assert after.last_error.startswith("UnknownWorkerError: no worker named 'tusk'")
        assert "did you mean 'task'?" in after.last_error
    rig.advance(16)
    assert {"completed": 1, "discarded": 3} == rig.states()


def test_a_worker_defined_again_runs_the_next_job():
    rig = Rig()
    rig.insert("thread", takes=5)
    rig.advance(1)
    first = rig.registry.find("thread")
    rig.worker("thread", lambda job: None)
    rig.insert("thread", takes=5)
    rig.advance(1)
    assert [first, rig.registry.find("thread")] == [run.worker for run in rig.executor.running]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), RecursionError("y")])
def test_a_timeout_method_that_raises_is_a_failure_of_its_job_alone(error: BaseException):
    class Odd:
        def perform(self, job: object) -> None: ...

        def timeout(self, job: object) -> float:
            raise error

    rig = Rig()
    rig.worker("odd", Odd)
    odd, fine = rig.insert("odd"), rig.insert()
    rig.advance()
    assert ("retryable", "completed") == (rig.job(odd).state, rig.job(fine).state)
    assert type(error).__name__ in str(rig.job(odd).last_error)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1)])
def test_a_backoff_that_raises_falls_back_to_the_default_with_a_warning(
    error: BaseException, caplog: pytest.LogCaptureFixture
):
    class Odd:
        def perform(self, job: object) -> None: ...

        def backoff(self, job: object) -> float:
            raise error

    rig = Rig()
    rig.worker("odd", Odd)
    job = rig.insert("odd", ends="fail")
    rig.advance()
    assert START + timedelta(seconds=16) == rig.job(job).scheduled_at
    assert "the backoff of worker odd raised at attempt 1" in caplog.text


def test_a_queue_set_by_hand_before_the_start_is_served_as_it_was_set():
    rig = Rig({"paused": 5, "scaled": 5, "resumed": Queue(5, paused=True)}, nodes=())
    rig.call(rig.client.pause("paused"))
    rig.call(rig.client.scale("scaled", 2))
    rig.call(rig.client.resume("resumed"))
    for queue in rig.queues:
        for _ in range(5):
            rig.insert(queue=queue, takes=10)
    rig.add_node("a")
    rig.advance(5)
    assert {"scaled": 2, "resumed": 5} == rig.executor.most_by_queue


def test_a_job_that_was_scheduled_before_the_node_came_starts_at_its_very_instant():
    rig = Rig(nodes=())
    rig.insert(after=2.25)
    rig.insert(after=3.000001)
    rig.add_node("a")
    rig.advance(10)
    assert [2.25, 3.000001] == rig.at("start")
