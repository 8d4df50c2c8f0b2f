"""An executor that cannot start what was claimed: no thread, no socket, no memory is to be had."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from pgjobs.effects import Claim
from pgjobs.engine.node import LONGEST_UNSTARTED_S
from pgjobs.engine.report import LOG_NOT_BEGUN_EVERY
from pgjobs.plugins import LeaderTasks
from pgjobs.ports import NotBegunError, Run
from pgjobs.rules.options import Queue, RateLimit
from tests.engine.rig import FaultyStore, Rig


def nothing_starts(_: list[Run]) -> Exception:
    return OSError(24, "Too many open files")


def until(rig: Rig, seconds: float) -> Callable[[list[Run]], Exception | None]:
    """Nothing can be started for so long."""
    ends = rig.clock.now() + timedelta(seconds=seconds)
    return lambda runs: nothing_starts(runs) if rig.clock.now() < ends else None


@pytest.mark.parametrize("worker", ["task", "thread"])
def test_what_could_not_be_started_is_given_back_and_runs_when_it_can(worker: str):
    rig = Rig({"default": 3})
    rig.executor.trouble = until(rig, 10)
    jobs = [rig.insert(worker, takes=1, n=n) for n in range(7)]
    rig.advance(5)
    assert {"available": 7} == rig.states()
    assert not rig.node.running
    rig.advance(60)
    assert {"completed": 7} == rig.states()
    assert sorted(job.id for job in jobs) == sorted(run.job.id for run in rig.executor.started)
    assert [1] * 7 == [rig.job(job).attempt for job in jobs]
    assert {} != rig.job(jobs[0]).meta
    assert 3 == rig.executor.most


def test_a_job_at_its_last_attempt_is_not_lost_by_it():
    rig = Rig()
    rig.executor.trouble = until(rig, 100)
    job = rig.insert(max_attempts=1)
    rig.advance(99)
    assert ("available", 0, ()) == ((at := rig.job(job)).state, at.attempt, at.errors)
    rig.advance(60)
    assert ("completed", 1) == ((at := rig.job(job)).state, at.attempt)


@pytest.mark.long
def test_claims_wait_between_two_failures_ever_longer_and_never_for_long():
    store = FaultyStore()
    rig = Rig(store=store)
    rig.executor.trouble = nothing_starts
    rig.insert()
    rig.advance(60)
    assert 60 / (1.5 * LONGEST_UNSTARTED_S) <= len(store.of(Claim)) <= 60 / LONGEST_UNSTARTED_S + 8


@pytest.mark.long
def test_a_start_that_succeeds_ends_the_waiting():
    store = FaultyStore()
    rig = Rig({"default": 1}, store=store)
    rig.executor.trouble = until(rig, 30)
    for _ in range(5):
        rig.insert(takes=1)
    rig.advance(30 + 1.5 * LONGEST_UNSTARTED_S + 5 * 1 + 1)
    assert {"completed": 5} == rig.states()


def test_of_a_batch_those_that_began_run_on_and_the_others_are_given_back():
    rig = Rig({"default": 4})
    rig.worker("other", lambda job: None)

    def no_threads(runs: list[Run]) -> Exception | None:
        left = [run for run in runs if run.job.worker == "other"]
        return NotBegunError(left, "can't start new thread") if left else None

    rig.executor.trouble = no_threads
    began = [rig.insert(takes=30) for _ in range(2)]
    others = [rig.insert("other") for _ in range(2)]
    rig.advance(1)
    assert ["executing"] * 2 == [rig.job(job).state for job in began]
    assert ["available"] * 2 == [rig.job(job).state for job in others]
    assert [job.id for job in began] == [run.job.id for run in rig.node.running]
    rig.executor.trouble = lambda _: None
    rig.advance(60)
    assert {"completed": 4} == rig.states()
    assert [job.id for job in began] == [run.job.id for run in rig.executor.started[:2]]
    assert 4 == len(rig.executor.started)


def test_a_queue_whose_jobs_cannot_be_started_holds_up_no_other():
    rig = Rig({"default": 1, "bad": 1})
    rig.executor.trouble = lambda runs: nothing_starts(runs) if runs[0].queue == "bad" else None
    bad = rig.insert(queue="bad")
    rig.advance(30)
    job = rig.insert()
    rig.advance()
    assert ("completed", "available") == (rig.job(job).state, rig.job(bad).state)


def test_a_time_limit_does_not_pass_for_what_never_began():
    rig = Rig()
    rig.worker("limited", lambda job: None, timeout=5, executor="process")
    rig.executor.trouble = until(rig, 20)
    job = rig.insert("limited")
    rig.advance(60)
    assert ("completed", 1, ()) == ((at := rig.job(job)).state, at.attempt, at.errors)
    assert [] == rig.executor.told


def test_it_is_given_back_within_limits_over_all_nodes():
    queue = Queue(5, global_concurrency=2, rate_limit=RateLimit(allowed=4, period=60))
    rig = Rig({"default": queue})
    rig.executor.trouble = until(rig, 10)
    for _ in range(3):
        rig.insert(takes=1)
    rig.advance(600)
    assert {"completed": 3} == rig.states()
    assert 2 == rig.executor.most


def test_a_node_that_can_start_nothing_stops_at_once():
    rig = Rig()
    rig.executor.trouble = nothing_starts
    rig.insert()
    rig.advance(3)
    rig.stop()
    rig.advance(1)
    assert rig.stopped()
    assert {"available": 1} == rig.states()


def test_why_nothing_starts_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture):
    rig = Rig()
    rig.executor.trouble = nothing_starts
    rig.insert()
    with caplog.at_level(logging.WARNING, "pgjobs"):
        rig.advance(LOG_NOT_BEGUN_EVERY - timedelta(seconds=1))
        (record,) = caplog.records
        rig.advance(30)
    assert 2 == len(caplog.records)
    assert (
        "node a could not start 1 job(s) of queue default, which it gives back; it tries again: "
        "OSError: [Errno 24] Too many open files"
    ) == record.getMessage()
    assert "ERROR" == record.levelname


def test_a_function_of_the_leader_that_could_not_be_started_is_called_at_its_next_tick(
    caplog: pytest.LogCaptureFixture,
):
    def clean() -> None:
        raise AssertionError("the scripted executor runs no code")

    rig = Rig(plugins=(LeaderTasks([("* * * * *", clean)]),))
    rig.executor.trouble = until(rig, 90)
    with caplog.at_level(logging.WARNING, "pgjobs"):
        rig.advance(89)
        rig.advance(100)
    assert 2 == len(rig.executor.started)
    (record,) = caplog.records
    assert "failed: OSError: [Errno 24] Too many open files" in record.getMessage()
    rig.stop()
    rig.advance(1)
    assert rig.stopped()


@pytest.mark.long
def test_a_run_that_could_not_be_told_of_its_time_limit_is_settled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def tell(_: Run) -> None:
        raise RuntimeError("Event loop is closed")

    rig = Rig()
    rig.worker("limited", lambda job: None, timeout=5)
    monkeypatch.setattr(rig.executor, "tell", tell)
    jobs = [rig.insert("limited", takes=100, max_attempts=1) for _ in range(2)]
    rig.advance(6)
    assert {"discarded": 2} == rig.states()
    assert 2 == len(rig.node.running)
    assert f"run of job {jobs[0].id}" in caplog.text
    rig.advance(100)
    assert [] == rig.node.running
