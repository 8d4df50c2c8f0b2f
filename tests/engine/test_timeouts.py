"""Time limits: settled at the deadline, while the slot stays taken until the run has really ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pgjobs import backoff
from tests.engine.rig import TICK, Rig


def limited(concurrency: int = 1, timeout: float = 5) -> Rig:
    rig = Rig({"default": concurrency})
    rig.worker("task", rig.registry.find("task").wrapped, timeout=timeout)
    rig.worker("thread", rig.registry.find("thread").wrapped, timeout=timeout)
    return rig


@pytest.mark.parametrize("worker", ["task", "thread"])
def test_a_run_is_settled_as_a_failure_at_its_very_deadline(worker: str):
    rig = limited()
    job = rig.insert(worker, takes=100)
    rig.advance(timedelta(seconds=5) - TICK)
    assert "executing" == rig.job(job).state
    rig.advance(TICK)
    after = rig.job(job)
    assert "retryable" == after.state
    assert str(after.last_error).startswith("JobTimeoutError: ")
    assert "0:00:05" in str(after.last_error)
    assert rig.executor.told[0].job.cancelled.is_set()


def test_a_thread_keeps_its_slot_until_it_returns():
    rig = limited(concurrency=1)
    rig.insert("thread", takes=100, max_attempts=1)
    waiting = rig.insert("thread")
    rig.advance(99)
    assert {"discarded": 1, "available": 1} == rig.states()
    assert 1 == len(rig.node.running)
    rig.advance(1)
    assert "completed" == rig.job(waiting).state
    assert 1 == rig.executor.most


def test_a_task_gives_its_slot_back_at_the_deadline():
    rig = limited(concurrency=1)
    rig.insert(takes=100, max_attempts=1)
    waiting = rig.insert()
    rig.advance(5)
    assert "completed" == rig.job(waiting).state
    assert [0, 5] == rig.at("start")


def test_a_task_that_does_as_it_is_told_leaves_one_failure_and_nothing_late():
    rig = limited()
    job = rig.insert(takes=100, max_attempts=1)
    rig.advance(200)
    assert [] == rig.of("late")
    assert 1 == len(rig.job(job).errors)


@pytest.mark.parametrize(
    "worker, state, attempt", [("task", "available", 0), ("thread", "discarded", 1)]
)
def test_a_limit_that_passes_while_a_stop_waits_fails_a_thread_alone(
    worker: str, state: str, attempt: int
):
    rig = limited(timeout=50)
    job = rig.insert(worker, takes=100, max_attempts=1, stubborn=True)
    rig.advance(5)
    rig.stop(grace=15)
    rig.advance(100)
    after = rig.job(job)
    assert (state, attempt, True) == (after.state, after.attempt, rig.stopped())


@pytest.mark.parametrize("worker, stubborn", [("task", True), ("thread", False)])
def test_an_outcome_after_the_deadline_is_late_and_changes_nothing(worker: str, stubborn: bool):
    rig = limited(concurrency=2)
    job = rig.insert(worker, takes=100, max_attempts=1, stubborn=stubborn)
    rig.advance(50)
    before = rig.job(job)
    rig.advance(50)
    assert before == rig.job(job)
    assert [100.0] == rig.at("late")


def test_a_late_outcome_of_the_first_attempt_leaves_the_second_alone():
    rig = limited(concurrency=2)
    job = rig.insert("thread", takes=22)
    rig.advance(21.5)
    before = rig.job(job)
    assert ("executing", 2, 1) == (before.state, before.attempt, len(before.errors))
    rig.advance(1)
    assert before == rig.job(job)
    assert [22.0] == rig.at("late")
    rig.advance(3.5)
    assert ("retryable", 2) == (rig.job(job).state, len(rig.job(job).errors))


def test_a_run_that_ends_just_before_its_deadline_is_in_time():
    rig = limited()
    job = rig.insert(takes=4.999999)
    rig.advance(10)
    assert "completed" == rig.job(job).state


def test_a_time_limit_counts_from_the_start_of_the_run():
    rig = limited(concurrency=1)
    for _ in range(3):
        rig.insert(takes=4)
    rig.advance(12)
    assert [0, 4, 8] == rig.at("start")
    assert {"completed": 3} == rig.states()


def test_a_run_past_its_limit_waits_as_its_own_worker_says():
    rig = Rig({"default": 1})
    task = rig.registry.find("task").wrapped
    rig.worker("task", task, timeout=5, backoff=backoff.constant(7))
    rig.insert(takes=100, max_attempts=2)
    rig.advance(12)
    assert [0, 12] == rig.at("start")


def test_a_limit_is_asked_for_once_a_run():
    asked: list[int] = []

    class Odd:
        def perform(self, job: object) -> None: ...

        def timeout(self, job: object) -> float | None:
            asked.append(1)
            if len(asked) > 1:
                raise RuntimeError("asked again")
            return 5

    rig = Rig({"default": 1})
    rig.worker("odd", Odd)
    job, other = rig.insert("odd", takes=100, max_attempts=1), rig.insert()
    rig.advance(200)
    assert [1] == asked
    assert ("discarded", "completed") == (rig.job(job).state, rig.job(other).state)


@pytest.mark.parametrize("value", [0, -1, "5", float("nan")])
def test_an_impossible_limit_is_a_failure_of_the_job(value: object):
    class Odd:
        def perform(self, job: object) -> None: ...

        def timeout(self, job: object) -> object:
            return value

    rig = Rig()
    rig.worker("odd", Odd)
    job = rig.insert("odd")
    rig.advance()
    assert "retryable" == rig.job(job).state
    assert str(rig.job(job).last_error).startswith("ConfigurationError: odd.timeout")


def test_ended_runs_with_long_limits_are_not_kept():
    rig = limited(concurrency=10, timeout=86_400)
    for n in range(500):
        rig.insert(n=n)
    rig.advance(1)
    rig.insert(takes=5)
    rig.advance(10)
    assert {"completed": 501} == rig.states()
    assert len(rig.node.runs._deadlines) < 200
