"""A test's jobs in its threads and tasks: modes reach them, nothing is lost, nobody waits for ever."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import anyio.to_thread
import pytest

from pgjobs import ConfigurationError, Retry, worker
from pgjobs_testing import harness

THREADS = 8
EACH = 50


@worker
def note(job): ...


@worker
async def note_async(job):
    await asyncio.sleep(0)  # noqa: TID251 - virtual


@pytest.fixture
def racing():
    """Threads are switched as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(work):
    """Run ``work(n)`` in threads that begin at once; raise what one of them raised."""
    barrier = threading.Barrier(THREADS)

    def begun(n):
        barrier.wait(timeout=30)
        return work(n)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begun, range(THREADS)))


@pytest.mark.parametrize("mode", ["manual", "inline"])
@pytest.mark.parametrize("kind", [note, note_async], ids=["sync", "async"])
def test_inserts_from_many_threads_are_all_stored_told_and_run_once(racing, mode, kind):
    with harness(mode=mode) as jobs:
        together(lambda n: [jobs.insert(kind.new({"n": n})) for _ in range(EACH)])
        if mode == "manual":
            assert jobs.count_jobs(by="state") == {"available": THREADS * EACH}
            jobs.advance(0)
        total = THREADS * EACH
        assert jobs.count_jobs(by="state") == {"completed": total}
        assert [job.id for job in jobs.all_jobs()] == list(range(1, total + 1))
        for event in ("insert", "start", "completed"):
            moments = jobs.timeline.of(event)
            assert sorted(moment.ordinal for moment in moments) == list(range(1, total + 1))


@pytest.mark.postgres
def test_inserts_from_many_threads_are_safe_on_a_server_too(racing, server):
    with harness(mode="postgres") as jobs:
        together(lambda n: [jobs.insert(note.new({"n": n})) for _ in range(5)])
        jobs.advance(0)
        assert jobs.count_jobs(by="state") == {"completed": THREADS * 5}


def test_a_database_first_used_by_many_threads_at_once_has_one_store(racing):
    for _ in range(20):
        with harness(mode="manual") as jobs:
            together(lambda n: jobs.insert(note.new()))
            assert jobs.count_jobs() == THREADS


def test_drains_of_many_threads_run_each_job_once(racing):
    with harness(mode="manual") as jobs:
        jobs.insert_all([note_async.new() for _ in range(200)])
        results = together(lambda n: jobs.drain_queue())
        assert sum(result["completed"] for result in results) == 200
        assert jobs.count_jobs(by="state") == {"completed": 200}


@pytest.mark.pgjobs(mode=["manual", "inline"])
def test_the_tests_mode_reaches_every_kind_of_thread(jobs, request):
    expected = "completed" if "[inline]" in request.node.name else "available"

    def state():
        return jobs.get_job(jobs.insert(note.new())).state

    async def in_loops():
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.to_thread(state))
        return [task.result(), await anyio.to_thread.run_sync(state)]

    found = []
    thread = threading.Thread(target=lambda: found.append(state()))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        found.append(pool.submit(state).result())
    found += asyncio.run(in_loops())
    assert found == [expected] * 4


def test_a_block_reaches_threads_and_tasks(jobs):
    def state():
        return jobs.get_job(jobs.insert(note.new())).state

    async def state_async():
        return (await jobs.get_job_async(await jobs.insert_async(note.new()))).state

    async def in_tasks():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(state_async()) for _ in range(5)]
        return [task.result() for task in tasks]

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(state).result() == "available"
        with jobs.mode("inline"):
            assert pool.submit(state).result() == "completed"
            assert set(asyncio.run(in_tasks())) == {"completed"}
        assert pool.submit(state).result() == "available"


async def test_a_block_reaches_the_tasks_of_an_async_test(jobs):
    async def state():
        return (await jobs.get_job_async(await jobs.insert_async(note_async.new()))).state

    with jobs.mode("inline"):
        states = await asyncio.gather(*(state() for _ in range(5)))
        assert await asyncio.to_thread(lambda: jobs.insert(note.new()).id) == 6
    assert await jobs.count_jobs_async(state="completed") == 6
    assert set(states) <= {"completed", "available"}, "a task may leave its job to another's turn"


def test_blocks_may_end_in_any_order(jobs):
    first, second = jobs.mode("inline"), jobs.mode("manual")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert "manual" in repr(jobs)
    second.__exit__(None, None, None)
    assert "manual" in repr(jobs)


def test_a_worker_may_wait_for_a_thread_that_inserts(jobs):
    """The job is left to the worker's own turn: a thread that waited for it would wait for ever."""

    @worker
    def starts_threads(job):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: jobs.insert(note.new({"n": n})), range(10)))

    with jobs.mode("inline"):
        jobs.insert(starts_threads.new())
    assert jobs.count_jobs(by="state") == {"completed": 11}


def test_a_job_that_a_worker_inserts_runs_after_it_and_before_the_outer_insert_returns(jobs):
    order = []

    @worker
    def inner(job):
        order.append("inner")

    @worker
    def outer(job):
        order.append("outer begins")
        jobs.insert(inner.new())
        order.append("outer ends")

    with jobs.mode("inline"):
        jobs.insert(outer.new())
        order.append("inserted")
    assert order == ["outer begins", "outer ends", "inner", "inserted"]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_chain_of_a_thousand_inserts_does_not_grow_the_stack(jobs, how):
    depths = set()

    @worker
    def link(job):
        depths.add(depth())
        if job.args["left"]:
            jobs.insert(link.new({"left": job.args["left"] - 1}))

    @worker
    async def link_async(job):
        depths.add(depth())
        if job.args["left"]:
            await jobs.insert_async(link_async.new({"left": job.args["left"] - 1}))

    with jobs.mode("inline"):
        jobs.insert((link if how == "sync" else link_async).new({"left": 1_000}))
    assert jobs.count_jobs(by="state") == {"completed": 1_001}
    assert max(depths) - min(depths) < 10


def depth():
    return sum(1 for _ in traceback.walk_stack(None))


@pytest.mark.parametrize("how", ["drain", "perform"])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_what_a_worker_run_by_hand_inserts_inline_runs_when_it_has_ended(jobs, how, colour):
    order = []

    @worker
    def inner(job):
        order.append("inner")

    @worker
    def outer(job):
        jobs.insert(inner.new())
        order.append("outer")

    @worker
    async def outer_async(job):
        await jobs.insert_async(inner.new())
        await asyncio.sleep(5)  # noqa: TID251 - virtual
        order.append("outer")

    chosen = outer if colour == "sync" else outer_async
    with jobs.mode("inline"):
        if how == "perform":
            jobs.perform_job(chosen)
        else:
            jobs.insert(chosen.new(schedule_in=60))
            jobs.drain_queue(with_scheduled=True, with_recursion=False)
    assert order == ["outer", "inner"]


def test_neither_a_worker_nor_another_thread_advances_time_that_is_being_advanced(jobs):
    found = []

    @worker
    def advances(job):
        def elsewhere():
            with pytest.raises(ConfigurationError, match="advanced already"):
                jobs.advance(1)
            found.append("thread")

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with pytest.raises(ConfigurationError, match="advanced already"):
            jobs.advance(1)
        found.append("worker")

    jobs.insert(advances.new())
    jobs.advance(1)
    assert found == ["thread", "worker"]
    jobs.advance(1)


def test_a_failure_inline_is_kept_as_in_production_and_retried_when_time_gets_there(jobs):
    @worker(max_attempts=2)
    def fails(job):
        if job.args["how"] == "raises":
            raise ValueError("no")
        return Retry("no")

    with jobs.mode("inline"):
        for how in ("raises", "returns"):
            stored = jobs.insert(fails.new({"how": how}))
            assert stored.state == "available"
            job = jobs.get_job(stored)
            assert (job.state, job.attempt, len(job.errors)) == ("retryable", 1, 1)
            jobs.advance(16)
            job = jobs.get_job(stored)
            assert (job.state, job.attempt, len(job.errors)) == ("discarded", 2, 2)
            jobs.insert(note.new())
            assert jobs.get_job(stored).attempt == 2, "a finished job never runs again"
