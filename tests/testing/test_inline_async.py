"""In mode inline an async worker has ended when ``insert`` returns: its sleeps take no time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from pgjobs import Job, LivelockError, PgJobs, Queue, RateLimit, worker
from pgjobs.worker import Worker
from pgjobs_testing import Harness, harness
from pgjobs_testing.executor import StuckWorkerError
from pgjobs_testing.virtual.hooks import UnsupportedLoopError

QUEUES = {
    "default": Queue(10),
    "one": Queue(1),
    "slow": Queue(5, rate_limit=RateLimit(allowed=2, period=30)),
}
log: list[Any] = []


@pytest.fixture
def jobs():
    log.clear()
    with harness(mode="inline", seed=1, queues=QUEUES) as made:
        yield made


@worker(timeout=10, max_attempts=2)
async def nap(job: Job) -> None:
    log.append(f"{job.id} begins")
    await asyncio.sleep(job.args["s"])  # noqa: TID251 - virtual
    log.append(f"{job.id} ends")


@worker
async def waits(job: Job) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[asyncio.StreamReader, socket.socket]]:
    """The near end of a connection on the running loop, and its far end."""
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near)
    try:
        yield reader, far
    finally:
        writer.close()
        await writer.wait_closed()
        far.close()


def states(jobs: Harness) -> list[str]:
    return [str(job.state) for job in jobs.all_jobs()]


def test_a_sleeping_worker_has_ended_at_the_same_instant_when_insert_returns(jobs: Harness) -> None:
    before = jobs.clock.now()
    job = jobs.get_job(jobs.insert(nap.new({"s": 9.5})))
    assert (job.state, job.completed_at, jobs.clock.now()) == ("completed", before, before)


def test_a_worker_that_sleeps_beyond_its_time_limit_fails_and_is_retried(jobs: Harness) -> None:
    stored = jobs.insert(nap.new({"s": 11}))
    failed = jobs.get_job(stored)
    assert (failed.state, failed.attempt) == ("retryable", 1)
    assert str(failed.last_error).startswith("JobTimeoutError")
    jobs.advance(60)
    assert jobs.get_job(stored).state == "discarded"


def test_the_limit_of_a_run_is_asked_for_once(jobs: Harness) -> None:
    @worker
    class Limited:
        def timeout(self, job: Job) -> float:
            log.append("timeout")
            return 5

        async def perform(self, job: Job) -> None:
            await asyncio.sleep(6)  # noqa: TID251 - virtual

    limited: Worker[..., Any] = Limited  # type: ignore[assignment]  # a decorated class, to mypy
    assert jobs.get_job(jobs.insert(limited.new())).state == "retryable"
    assert log == ["timeout"]


def test_several_due_jobs_run_one_after_another(jobs: Harness) -> None:
    jobs.insert_all([nap.new({"s": s}) for s in (9, 1, 5)])
    assert log == [f"{n} {what}" for n in (1, 2, 3) for what in ("begins", "ends")]


def test_what_a_sleeper_inserts_waits_for_its_slot_and_has_run_when_the_first_insert_returns(
    jobs: Harness,
) -> None:
    @worker(queue="one", name="outer")
    async def outer(job: Job) -> None:
        await jobs.insert_async(nap.new({"s": 3}, queue="one"))
        await asyncio.sleep(5)  # noqa: TID251 - virtual
        log.append("outer ends")

    jobs.insert(outer.new())
    assert log == ["outer ends", "2 begins", "2 ends"]
    assert states(jobs) == ["completed", "completed"]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_chain_of_a_thousand_sleepers_runs_within_one_insert(jobs: Harness, how: str) -> None:
    @worker(queue="one")
    async def link(job: Job) -> None:
        await asyncio.sleep(60)  # noqa: TID251 - virtual
        if job.args["left"]:
            new = link.new({"left": job.args["left"] - 1})
            if how == "sync":
                jobs.insert(new)
            else:
                await jobs.insert_async(new)

    jobs.insert(link.new({"left": 1_000}))
    assert jobs.count_jobs(by="state") == {"completed": 1_001}


def test_a_rate_limit_holds_back_what_does_not_fit_its_window(jobs: Harness) -> None:
    for _ in range(3):
        jobs.insert(nap.new({"s": 9}, queue="slow"))
    assert states(jobs) == ["completed", "completed", "available"]
    jobs.advance(30)
    assert states(jobs) == ["completed", "completed", "executing"], "time is virtual under advance"
    jobs.advance(9)
    assert states(jobs) == ["completed"] * 3


def test_what_advance_started_keeps_its_own_time_beside_an_insert(jobs: Harness) -> None:
    first = jobs.insert(nap.new({"s": 9}, schedule_in=1))
    jobs.advance(1)
    assert jobs.get_job(first).state == "executing"
    jobs.insert(nap.new({"s": 9.5}))
    assert log == ["1 begins", "2 begins", "2 ends"]
    assert states(jobs) == ["executing", "completed"]
    jobs.advance(8.999)
    assert states(jobs) == ["executing", "completed"]
    trace = jobs.advance(0.001)
    assert [(m.event, m.ordinal) for m in trace.moments] == [("completed", 1)]


def test_a_drain_leaves_the_time_of_what_advance_started_alone_as_well() -> None:
    log.clear()
    with harness(queues=QUEUES) as jobs:
        jobs.insert(nap.new({"s": 9}))
        jobs.advance(1)
        jobs.insert(nap.new({"s": 9.5}))
        assert jobs.drain_queue() == {"completed": 1}
        assert log == ["1 begins", "2 begins", "2 ends"]
        jobs.advance(8)
        assert log[-1] == "1 ends"


def test_a_block_in_a_manual_test_runs_sleepers_to_their_end_as_well() -> None:
    with harness() as jobs:
        with jobs.mode("inline"):
            inside = jobs.insert(nap.new({"s": 9}))
        outside = jobs.insert(nap.new({"s": 9}))
        assert [jobs.get_job(each).state for each in (inside, outside)] == [
            "completed",
            "available",
        ]
        jobs.advance(1)
        assert jobs.get_job(outside).state == "executing"


def test_a_worker_that_waits_for_ever_is_named_and_settled_and_the_others_have_run(
    jobs: Harness,
) -> None:
    with pytest.raises(StuckWorkerError) as raised:
        jobs.insert_all([waits.new(), nap.new({"s": 1}), waits.new(max_attempts=1)])
    text = str(raised.value)
    assert f"job 1 of {waits.name} waits in waits at {__file__}:" in text
    assert "executor.py" not in text, "the frames are the worker's own"
    assert "timeout=" in text
    assert states(jobs) == ["retryable", "completed", "discarded"]
    assert str(jobs.get_job(1).last_error) == f"StuckWorkerError: {text}"
    jobs.insert(nap.new({"s": 1}))
    assert states(jobs)[-1] == "completed", "the error is told once"


def test_a_worker_with_a_limit_that_waits_for_ever_runs_into_it(jobs: Harness) -> None:
    @worker(timeout=10)
    async def limited(job: Job) -> None:
        await asyncio.Event().wait()

    assert str(jobs.get_job(jobs.insert(limited.new())).last_error).startswith("JobTimeoutError")


def test_a_drain_settles_a_worker_that_waits_for_ever_as_an_inline_insert_does() -> None:
    with harness() as jobs:
        job = jobs.insert(waits.new())
        with pytest.raises(StuckWorkerError, match="waits in waits"):
            jobs.drain_queue()
        assert jobs.get_job(job).state == "retryable"
        assert str(jobs.get_job(job).last_error).startswith("StuckWorkerError")
        jobs.retry_job(job)
        assert jobs.drain_queue(with_safety=True) == {"retryable": 1}
        assert jobs.get_job(job).attempt == 2


@worker
async def dozes(job: Job) -> None:
    while True:  # noqa: ASYNC110 - it waits for nothing
        await asyncio.sleep(1)  # noqa: TID251 - virtual


def by_insert(jobs: Harness, safely: bool = False) -> None:
    with jobs.mode("inline"):
        jobs.insert(dozes.new())


def by_drain(jobs: Harness, safely: bool = False) -> None:
    jobs.insert(dozes.new())
    jobs.drain_queue(with_safety=safely)


def by_drain_async(jobs: Harness, safely: bool = False) -> None:
    jobs.insert(dozes.new())
    asyncio.run(jobs.drain_queue_async(with_safety=safely))


def test_a_worker_that_sleeps_for_ever_is_named_and_settled_alike_in_every_mode() -> None:
    rows: list[Any] = []
    for way in (by_insert, by_drain, by_drain_async):
        with harness(start=datetime(2025, 1, 1, tzinfo=UTC)) as jobs:
            with pytest.raises(LivelockError) as raised:
                way(jobs)
            text = str(raised.value)
            assert f"job 1 of {dozes.name} slept 10000 times without an end" in text
            assert f"waits in dozes at {__file__}:" in text
            found = jobs.get_job(1)
            assert ("retryable", f"LivelockError: {text}") == (found.state, found.last_error)
            rows.append((found.state, found.attempt, found.errors, found.scheduled_at))
    assert rows == [rows[0]] * 3
    with harness() as jobs:
        by_drain(jobs, safely=True)
        assert jobs.get_job(1).state == "retryable"


def test_perform_job_names_the_worker_that_comes_to_no_end(jobs: Harness) -> None:
    with pytest.raises(StuckWorkerError, match=rf"worker {waits.name} waits in waits at"):
        jobs.perform_job(waits)
    with pytest.raises(LivelockError, match=rf"worker {dozes.name} slept 10000 times"):
        jobs.perform_job(dozes)


def test_thousands_of_sleeps_that_end_are_no_mistake(jobs: Harness) -> None:
    @worker
    async def steps(job: Job) -> None:
        for _ in range(9_000):
            await asyncio.sleep(1)  # noqa: TID251 - virtual

    assert jobs.get_job(jobs.insert(steps.new())).state == "completed"


def test_the_cleanup_of_a_worker_that_waits_for_ever_may_sleep(jobs: Harness) -> None:
    @worker
    async def tidy(job: Job) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)  # noqa: TID251 - virtual
            log.append("tidied")

    with pytest.raises(StuckWorkerError):
        jobs.insert(tidy.new())
    assert log == ["tidied"]


def test_a_worker_that_cancels_itself_runs_on_and_stays_cancelled(jobs: Harness) -> None:
    @worker
    async def cancels(job: Job) -> None:
        await jobs.cancel_job_async(job)
        await asyncio.sleep(5)  # noqa: TID251 - virtual
        log.append("ends")

    assert jobs.get_job(jobs.insert(cancels.new())).state == "cancelled"
    assert log == ["ends"]


def test_in_an_async_test_the_worker_ends_on_the_test_s_loop_and_its_io_is_awaited(
    jobs: Harness,
) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()

        @worker(timeout=3600, name="pings")
        async def pings(job: Job) -> None:
            assert asyncio.get_running_loop() is loop
            await asyncio.sleep(1800)  # noqa: TID251 - virtual
            log.append(await reader.read(4))
            await asyncio.sleep(1700)  # noqa: TID251 - virtual

        async with connection() as (reader, far):
            loop.call_later(0.02, far.sendall, b"pong")
            job = await jobs.insert_async(pings.new())
        assert (await jobs.get_job_async(job)).state == "completed"
        assert log == [b"pong"]

    asyncio.run(test())


def test_a_cancelled_insert_gives_its_job_back_and_frees_the_slot(jobs: Harness) -> None:
    async def test() -> None:
        @worker(queue="one", name="reads")
        async def reads(job: Job) -> None:
            log.append("begins")
            log.append(await reader.read(4))

        async with connection() as (reader, far):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await jobs.insert_async(reads.new())
            job = await jobs.get_job_async(1)
            assert (job.state, job.attempt, job.meta["released"]) == ("available", 0, 1)
            far.sendall(b"pong")
            await jobs.insert_async(nap.new({"s": 1}, queue="one"))
            assert jobs.assert_event("pgjobs.job.release").job == job
        assert states(jobs) == ["completed", "completed"]
        assert log == ["begins", "begins", b"pong", "2 begins", "2 ends"]

    asyncio.run(test())


def test_an_insert_in_a_thread_of_an_async_test_runs_the_worker_there(jobs: Harness) -> None:
    async def test() -> None:
        job = await asyncio.to_thread(jobs.insert, nap.new({"s": 9}))
        assert (await jobs.get_job_async(job)).state == "completed"

    asyncio.run(test())


def test_an_insert_in_a_thread_leaves_what_runs_on_the_test_s_loop_alone(jobs: Harness) -> None:
    async def test() -> None:
        first = await jobs.insert_async(nap.new({"s": 9}, schedule_in=1))
        await jobs.advance_async(1)
        inside = await asyncio.to_thread(jobs.insert, nap.new({"s": 3}))
        assert (await jobs.get_job_async(inside)).state == "completed"
        assert (await jobs.get_job_async(first)).state == "executing"
        await jobs.advance_async(9)
        assert (await jobs.get_job_async(first)).state == "completed"

    asyncio.run(test())


def test_a_library_without_an_asyncio_loop_is_refused_with_the_remedy(jobs: Harness) -> None:
    async def test() -> None:
        await jobs.insert_async(nap.new({"s": 1}))

    with pytest.raises(UnsupportedLoopError, match="anyio_backend return"):
        test().send(None)  # as by trio: nothing of asyncio runs


def test_a_pytest_outcome_in_a_sleeping_worker_ends_the_test(jobs: Harness) -> None:
    @worker
    async def skips(job: Job) -> None:
        await asyncio.sleep(1)  # noqa: TID251 - virtual
        pytest.skip("not here")

    with pytest.raises(pytest.skip.Exception, match="not here"):
        jobs.insert(skips.new())


def test_an_application_s_own_instance_runs_sleepers_inline_alike(jobs: Harness) -> None:
    app = PgJobs("postgresql://db.example.invalid/shop", queues=QUEUES)
    assert jobs.get_job(app.insert(nap.new({"s": 9}))).state == "completed"
