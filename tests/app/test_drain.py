"""Draining: due work of one queue or of all, in order, in this thread, on a clock that stands."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from pgjobs import (
    BlockingCallError,
    Cancel,
    ConfigurationError,
    Discard,
    DrainResult,
    JobState,
    LivelockError,
    PgJobs,
    Retry,
    Snooze,
    UnknownWorkerError,
    worker,
)
from pgjobs.engine import drain as draining
from pgjobs.rules.job import NewJob
from tests.app.still import START, Heard, still

Drain = Callable[..., DrainResult]


@pytest.fixture(params=["sync", "async"])
def drain(request: pytest.FixtureRequest) -> Drain:
    """``drain_queue``, or its twin on a loop of its own."""

    def drained(jobs: PgJobs, *args: Any, **given: Any) -> DrainResult:
        if request.param == "sync":
            return jobs.drain_queue(*args, **given)
        return asyncio.run(jobs.drain_queue_async(*args, **given))

    return drained


RAN: list[Any] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    RAN.clear()


@worker
def note(job):
    RAN.append(job.args.get("n"))


@worker
async def note_async(job):
    RAN.append(job.args.get("n"))


@worker(max_attempts=3)
def fail(job):
    raise ValueError(f"no {job.args.get('n')}")


def answers(result: Any) -> Any:
    return worker(name="answer")(lambda job: result)


def test_due_jobs_run_in_order_and_are_counted(drain: Drain):
    jobs, clock = still()
    jobs.insert_all([note.new({"n": n}, priority=p) for n, p in enumerate((3, 0, 9, 0))])
    jobs.insert(note_async.new({"n": 4}, priority=1))
    result = drain(jobs)
    assert [1, 3, 4, 0, 2] == RAN
    assert {"completed": 5} == result == dict(result)
    assert [2, 4, 5, 1, 3] == [job.id for job in result.jobs]
    assert START == clock.now()


def test_a_result_is_a_mapping_by_state_with_zero_where_none(drain: Drain):
    jobs, _ = still()
    assert {} == drain(jobs)
    jobs.insert_all([note.new(), answers(Discard("x")).new()])
    result = drain(jobs)
    assert (1, 1, 0) == (result["completed"], result[JobState.DISCARDED], result["cancelled"])
    assert {"completed": 1, "discarded": 1} == dict(result)
    assert "DrainResult({'completed': 1, 'discarded': 1})" == repr(result)
    assert result.get("complete") is None
    with pytest.raises(KeyError, match="no state 'complete': did you mean 'completed'"):
        result["complete"]


@pytest.mark.parametrize(
    "result, state",
    [
        (None, "completed"),
        (Retry("x"), "retryable"),
        (Discard("x"), "discarded"),
        (Cancel("x"), "cancelled"),
        (Snooze(5), "scheduled"),
        (("ok", 1), "retryable"),
        (ValueError("returned"), "retryable"),
        (Snooze, "retryable"),
    ],
)
def test_returned_results_never_raise(drain: Drain, result: Any, state: str):
    jobs, _ = still()
    job = jobs.insert(answers(result).new())
    assert {state: 1} == drain(jobs)
    assert state == jobs.get_job(job).state


def test_an_exception_is_raised_after_its_attempt_was_settled(drain: Drain):
    jobs, _ = still()
    first, second = jobs.insert(fail.new({"n": 1})), jobs.insert(note.new())
    with pytest.raises(ValueError, match="no 1"):
        drain(jobs)
    after = jobs.get_job(first)
    assert ("retryable", 1) == (after.state, after.attempt)
    assert 16 <= (after.scheduled_at - START).total_seconds() <= 16 * 1.1
    assert "ValueError: no 1" in str(after.last_error)
    assert "available" == jobs.get_job(second).state


def test_with_safety_the_others_go_on(drain: Drain):
    jobs, _ = still()
    jobs.insert_all([fail.new(), note.new({"n": 2}), fail.new()])
    assert {"retryable": 2, "completed": 1} == drain(jobs, with_safety=True)
    assert [2] == RAN


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), GeneratorExit()])
def test_whatever_a_worker_raises_is_a_failure_of_its_job(drain: Drain, error: BaseException):
    def raising(job):
        raise error

    jobs, _ = still()
    job = jobs.insert(worker(name="raising")(raising).new())
    assert {"retryable": 1} == drain(jobs, with_safety=True)
    assert type(error).__name__ in str(jobs.get_job(job).last_error)


def test_an_interrupt_passes_through(drain: Drain):
    def raising(job):
        raise KeyboardInterrupt

    jobs, _ = still()
    jobs.insert(worker(name="raising")(raising).new())
    with pytest.raises(KeyboardInterrupt):
        drain(jobs, with_safety=True)


def test_one_queue_alone_is_drained(drain: Drain):
    jobs, _ = still()
    jobs.insert_all([note.new({"n": q}, queue=q) for q in ("a", "b", "a")])
    assert {"completed": 2} == drain(jobs, "a")
    assert ["a", "a"] == RAN
    assert {} == drain(jobs, queue="c")


def test_what_is_not_due_stays(drain: Drain):
    jobs, clock = still()
    jobs.insert_all([note.new({"n": n}, schedule_in=n) for n in (0, 60)])
    assert {"completed": 1} == drain(jobs)
    clock.set(START + timedelta(seconds=60))
    assert {"completed": 1} == drain(jobs)
    assert [0, 60] == RAN


@pytest.mark.parametrize(
    "until, ran",
    [
        (True, [0, 60, 120]),
        (False, [0]),
        (timedelta(seconds=60), [0, 60]),
        (timedelta(seconds=59), [0]),
        (START + timedelta(seconds=120), [0, 60, 120]),
        (START - timedelta(days=1), [0]),
        (timedelta(0), [0]),
    ],
)
def test_later_jobs_run_up_to_an_instant_on_a_clock_that_stands(
    drain: Drain, until: Any, ran: list[int]
):
    jobs, clock = still()
    jobs.insert_all([note.new({"n": n}, schedule_in=n) for n in (120, 0, 60)])
    assert {"completed": len(ran)} == drain(jobs, with_scheduled=until)
    assert (ran, START) == (RAN, clock.now())
    assert {START} == {job.completed_at for job in jobs.all_jobs(state="completed")}


@pytest.mark.parametrize("bad", ["soon", 5, None, timedelta(-1), datetime(2025, 1, 1)])  # noqa: DTZ001 - naive on purpose
def test_a_horizon_is_a_bool_an_instant_or_a_duration(drain: Drain, bad: Any):
    with pytest.raises(ConfigurationError, match="with_scheduled"):
        drain(still()[0], with_scheduled=bad)


def test_every_queue_is_drained_without_a_name_and_not_by_a_star(drain: Drain):
    with pytest.raises(ConfigurationError, match="stands for every queue"):
        drain(still()[0], "*")


def test_with_scheduled_a_failing_job_runs_to_its_last_attempt(drain: Drain):
    jobs, _ = still()
    job = jobs.insert(fail.new())
    assert {"retryable": 2, "discarded": 1} == drain(jobs, with_scheduled=True, with_safety=True)
    assert [1, 2, 3] == [error["attempt"] for error in jobs.get_job(job).errors]


@pytest.mark.parametrize("recursion, ran", [(True, [3, 2, 1, 0]), (False, [3])])
def test_jobs_that_jobs_insert_run_too_or_stay(drain: Drain, recursion: bool, ran: list[int]):
    jobs, _ = still()

    def count_down(job):
        RAN.append(job.args["n"])
        if job.args["n"]:
            jobs.insert(counting.new({"n": job.args["n"] - 1}))

    counting = worker(name="counting")(count_down)
    jobs.insert(counting.new({"n": 3}))
    assert {"completed": len(ran)} == drain(jobs, with_recursion=recursion)
    assert ran == RAN


def test_without_recursion_many_run_in_order_but_those_that_are_gone_by_then(
    drain: Drain, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(draining, "NAMED", 2)
    jobs, _ = still()

    @worker(name="first")
    def first(job):
        jobs.cancel_job(made[6])
        jobs.delete_all_jobs(id=[made[1].id, made[3].id])  # a whole part of those that are named
        jobs.insert(note.new({"n": "late"}))

    jobs.insert(first.new())
    new = [note.new({"n": n}, priority=n % 2, queue="ab"[n % 2]) for n in range(9)]
    made = jobs.insert_all(new)
    assert {"completed": 7} == drain(jobs, with_recursion=False)
    assert [0, 2, 4, 8, 5, 7] == RAN


def test_without_recursion_a_job_runs_once_whatever_is_scheduled(drain: Drain):
    jobs, _ = still()
    jobs.insert_all([fail.new(), answers(Snooze(0)).new()])
    result = drain(jobs, with_scheduled=True, with_recursion=False, with_safety=True)
    assert {"retryable": 1, "scheduled": 1} == result


@pytest.mark.parametrize("limit, ran", [(0, 0), (1, 1), (3, 3), (9, 5), (None, 5)])
def test_a_limit_bounds_the_runs(drain: Drain, limit: int | None, ran: int):
    jobs, _ = still()
    jobs.insert_all([note.new({"n": n}) for n in range(5)])
    assert ran == len(drain(jobs, limit=limit).jobs) == len(RAN)
    assert {"available": 5 - ran, "completed": ran}.items() >= jobs.count_jobs("state").items()


@pytest.mark.parametrize("bad", [-1, True, "5", 1.5])
def test_a_limit_is_a_whole_number(drain: Drain, bad: Any):
    with pytest.raises(ConfigurationError, match="limit is a whole number"):
        drain(still()[0], limit=bad)


def test_a_job_without_progress_is_named_and_given_back(drain: Drain):
    jobs, _ = still()
    heard = Heard()
    job = jobs.insert(answers(Snooze(60)).new())
    with pytest.raises(LivelockError, match=rf"job {job.id} of worker answer ran 100 times"):
        drain(jobs, with_scheduled=True)
    after = jobs.get_job(job)
    assert ("available", 0, 100) == (after.state, after.attempt, after.snoozed)
    (told,) = (each for each in heard.all if each[0] == "pgjobs.job.release")
    assert (after, 0.0) == (told[2]["job"], told[1]["duration"])


def test_a_hundred_runs_with_progress_are_no_livelock(drain: Drain):
    jobs, _ = still()
    jobs.insert(answers(Retry("again")).new({}, max_attempts=150))
    assert {"retryable": 149, "discarded": 1} == drain(jobs, with_scheduled=True)


def test_an_unknown_worker_is_settled_and_raised(drain: Drain):
    jobs, _ = still()
    job = jobs.insert(NewJob("nowhere", {}))
    with pytest.raises(UnknownWorkerError, match="no worker named 'nowhere'"):
        drain(jobs)
    assert "retryable" == jobs.get_job(job).state
    jobs.insert_all([NewJob("nowhere", {}), note.new()])
    assert {"retryable": 1, "completed": 1} == drain(jobs, with_safety=True)


@pytest.mark.parametrize("change, state", [("cancel_job", "cancelled"), ("delete_job", None)])
def test_a_job_that_is_changed_while_it_runs_stays_as_it_was_changed(
    drain: Drain, change: str, state: str | None
):
    jobs, _ = still()
    heard = Heard("pgjobs.job.late", "pgjobs.job.stop")

    def changing(job):
        getattr(jobs, change)(job)

    job = jobs.insert(worker(name="changing")(changing).new())
    result = drain(jobs)
    assert ["job.late"] == heard.names
    assert (state or "executing") == result.jobs[0].state
    assert ([] if state is None else [state]) == [one.state for one in jobs.all_jobs(id=job.id)]


def test_inside_a_running_loop_the_synchronous_drain_names_its_twin():
    jobs, _ = still()
    jobs.insert(note.new())

    async def inside() -> None:
        with pytest.raises(BlockingCallError, match="await drain_queue_async instead"):
            jobs.drain_queue()

    asyncio.run(inside())
    assert {"available": 1} == jobs.count_jobs("state")


def test_workers_run_in_the_callers_thread_and_async_ones_share_one_loop(drain: Drain):
    seen: list[Any] = []

    async def where(job):
        seen.append((threading.current_thread(), asyncio.get_running_loop()))

    jobs, _ = still()
    where_async = worker(name="where")(where)
    jobs.insert_all([where_async.new(), where_async.new()])
    drain(jobs)
    assert seen[0] == seen[1]
    assert threading.current_thread() is seen[0][0]


def test_what_a_sync_worker_sets_in_its_context_is_seen_by_the_caller():
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var", default=0)
    jobs, _ = still()
    jobs.insert(worker(name="setting")(lambda job: var.set(5)).new())
    jobs.drain_queue()
    assert 5 == var.get()


def test_an_async_worker_past_its_time_limit_is_a_failure(drain: Drain):
    async def forever(job):
        await asyncio.Event().wait()

    jobs, _ = still()
    job = jobs.insert(worker(name="forever", timeout=0.01)(forever).new())
    assert {"retryable": 1} == drain(jobs)
    assert str(jobs.get_job(job).last_error).startswith("JobTimeoutError")


def test_a_drained_job_is_told_as_a_running_one_is(drain: Drain):
    heard = Heard("pgjobs.job.start", "pgjobs.job.stop", "pgjobs.job.exception")
    jobs, _ = still()
    jobs.insert_all([note.new(), fail.new()])
    drain(jobs, with_safety=True)
    assert ["job.start", "job.stop", "job.start", "job.exception"] == heard.names
    _, measurements, metadata = heard.all[3]
    assert {"duration", "queue_time"} == set(measurements)
    assert ("retryable", 1, fail.name) == (
        metadata["state"],
        metadata["attempt"],
        metadata["worker"],
    )
    assert "ValueError" in metadata["stacktrace"]
    assert isinstance(metadata["exception"], ValueError)


def test_an_interrupted_job_is_given_back_and_the_interrupt_passes_on(drain):
    @worker
    def interrupted(job):
        raise KeyboardInterrupt

    jobs, _ = still()
    heard = Heard()
    stored = jobs.insert(interrupted.new())
    with pytest.raises(KeyboardInterrupt):
        drain(jobs, with_safety=True)
    after = jobs.get_job(stored)
    assert ("available", 0, {"released": 1}) == (after.state, after.attempt, after.meta)
    assert ["job.insert", "job.start", "job.release"] == heard.names
    assert (after, "drain") == (heard.all[-1][2]["job"], heard.all[-1][2]["node"])


def test_an_interrupted_job_that_somebody_took_meanwhile_is_told_by_nobody(drain: Drain):
    @worker
    def interrupted(job):
        jobs.cancel_job(job)
        raise KeyboardInterrupt

    jobs, _ = still()
    heard = Heard()
    jobs.insert(interrupted.new())
    with pytest.raises(KeyboardInterrupt):
        drain(jobs)
    assert ["job.insert", "job.start", "job.cancel"] == heard.names


async def test_a_cancelled_drain_gives_its_job_back_and_ends():
    began = asyncio.Event()

    @worker
    async def hanging(job):
        began.set()
        await asyncio.Event().wait()

    jobs, _ = still()
    stored = jobs.insert(hanging.new())
    draining = asyncio.create_task(jobs.drain_queue_async(with_safety=True))
    await began.wait()
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    assert "available" == jobs.get_job(stored).state


def test_a_generator_that_is_returned_is_a_mistake_that_fails_its_job(drain):
    @worker
    def generating(job):
        return (n for n in range(3))

    jobs, _ = still()
    jobs.insert(generating.new())
    result = drain(jobs)
    assert result == {"retryable": 1}
    assert "generator function" in result.jobs[0].last_error
