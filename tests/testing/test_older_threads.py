"""I/O by a thread that is older than the job, as aiosqlite does it, is awaited in real time."""

from __future__ import annotations

import asyncio
import functools
import queue
import sqlite3
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from pgjobs import worker
from pgjobs_testing import harness
from pgjobs_testing.executor import StuckWorkerError
from pgjobs_testing.virtual import threads
from pgjobs_testing.virtual import work as work_of_a_loop
from pgjobs_testing.virtual.loop import Rest, VirtualTime
from pgjobs_testing.virtual.threads import LOOKS, LOOKS_FOR_ASYNCIOS


class Connection:
    """A connection whose statements run in a thread of its own, built as aiosqlite builds it."""

    def __init__(self, **made: Any) -> None:
        self.queue: queue.SimpleQueue[Any] = made.get("queue") or queue.SimpleQueue()
        self.thread = threading.Thread(target=made.get("work", work), args=(self.queue,))
        self.thread.start()

    async def execute(self, function: Callable[[], Any]) -> Any:
        future = asyncio.get_event_loop().create_future()
        self.queue.put_nowait((future, function))
        return await future

    def close(self) -> None:
        self.queue.put_nowait((None, None))
        self.thread.join()


def work(statements: queue.SimpleQueue[Any]) -> None:
    while True:
        future, function = statements.get()
        if function is None:
            return
        result = function()
        future.get_loop().call_soon_threadsafe(future.set_result, result)


class Held(threading.Thread):
    """As older ones of aiosqlite: the connection is the thread."""

    def __init__(self, statements: queue.Queue[Any]) -> None:
        super().__init__()
        self._statements = statements

    def run(self) -> None:
        work(self._statements)  # type: ignore[arg-type]  # it has the same methods


class AsThread(Connection):
    def __init__(self) -> None:
        self.queue = queue.Queue()  # type: ignore[assignment]  # it has the same methods
        self.thread = Held(self.queue)  # type: ignore[arg-type]  # it has the same methods
        self.thread.start()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that other tests have left behind are not there."""
    those, found = threads.older_threads(), threads.older_threads
    for place in (threads, work_of_a_loop):
        monkeypatch.setattr(
            place, "older_threads", lambda: [each for each in found() if each not in those]
        )


@pytest.fixture(params=[Connection, AsThread])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    made: Connection = request.param()
    yield made
    made.close()


def counted(rows: int) -> int:
    """A query that is real work for SQLite."""
    database = sqlite3.connect(":memory:")
    text = "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) select max(i) from n"
    try:
        return int(database.execute(text, (rows,)).fetchone()[0])
    finally:
        database.close()


async def test_two_seconds_of_real_work_are_awaited_under_a_limit_of_thirty() -> None:
    """As long as a query takes: the limit is one of virtual time, which stands meanwhile."""
    connection = Connection()

    @worker(timeout=30)
    async def asks(job: Any) -> None:
        assert LONG == await connection.execute(functools.partial(counted, LONG))

    with harness() as jobs:
        job = await jobs.insert_async(asks.new())
        await jobs.advance_async(3600)
        assert "completed" == (await jobs.get_job_async(job)).state
    connection.close()


LONG = 3_000_000
"""Rows that take SQLite two seconds."""


class Gate:
    """A statement that cannot end before the loop has napped so often that nothing waits by accident."""

    NAPS = 3 * LOOKS

    def __init__(self, loop: Any) -> None:
        self.naps = 0
        self._napped = threading.Event()
        self._selector, self._select = loop._selector, loop._selector.select
        loop._selector.select = self._watched

    def _watched(self, timeout: float | None = None) -> Any:
        if timeout:
            self.naps += 1
            if self.naps == self.NAPS:
                self._napped.set()
        return self._select(timeout)

    def work(self) -> str:
        return "rows" if self._napped.wait(10) else "nobody waited"


async def test_a_query_is_awaited_however_jobs_run(connection: Connection) -> None:
    @worker(timeout=30)
    async def asks(job: Any) -> None:
        assert "rows" == await connection.execute(Gate(asyncio.get_running_loop()).work)

    with harness() as jobs:
        for way in ("drain", "inline", "advance"):
            with jobs.mode("inline" if way == "inline" else "manual"):
                job = await jobs.insert_async(asks.new())
                began = jobs.clock.now()
                if way == "drain":
                    await jobs.drain_queue_async()
                elif way == "advance":
                    await jobs.advance_async(3600)
            assert "completed" == (await jobs.get_job_async(job)).state
            assert began == jobs.timeline.of("completed")[-1].at


def test_a_plain_test_awaits_it_too(connection: Connection) -> None:
    @worker(timeout=30)
    async def asks(job: Any) -> None:
        assert "rows" == await connection.execute(Gate(asyncio.get_running_loop()).work)

    with harness() as jobs:
        jobs.insert(asks.new())
        assert {"completed": 1} == jobs.drain_queue()
        jobs.insert(asks.new())
        jobs.advance(3600)
        assert 2 == len(jobs.timeline.of("completed"))


async def gathered(query: Coroutine[Any, Any, Any]) -> Any:
    return (await asyncio.gather(asyncio.sleep(0), query))[1]  # noqa: TID251 - no time


async def waited(query: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.wait_for(query, 30)


async def shielded(query: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.shield(query)


async def limited(query: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.timeout(30):
        return await query


@pytest.mark.parametrize("way", [gathered, waited, shielded, limited])
async def test_it_is_awaited_through_what_asyncio_puts_around_it(
    connection: Connection, way: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]
) -> None:
    @worker
    async def asks(job: Any) -> None:
        work = Gate(asyncio.get_running_loop()).work
        assert "rows" == await way(connection.execute(work))

    with harness() as jobs:
        await jobs.insert_async(asks.new())
        await jobs.advance_async(3600)
        assert jobs.timeline.of("completed")


async def test_of_several_on_one_connection_each_waits_for_its_turn(connection: Connection) -> None:
    @worker(timeout=30)
    async def asks(job: Any) -> None:
        assert "rows" == await connection.execute(gate.work)

    gate = Gate(asyncio.get_running_loop())
    with harness() as jobs:
        for _ in range(5):
            await jobs.insert_async(asks.new())
        await jobs.advance_async(3600)
        assert 5 == len(jobs.timeline.of("completed"))


async def test_an_event_that_an_older_thread_sets_is_awaited() -> None:
    """What the thread holds is the event, not the future that the job awaits."""
    wanted: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def sets() -> None:
        event, loop, gate = wanted.get()
        assert "rows" == gate.work()
        loop.call_soon_threadsafe(event.set)

    thread = threading.Thread(target=sets)
    thread.start()

    @worker
    async def waits(job: Any) -> None:
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        wanted.put((event, loop, Gate(loop)))
        async with asyncio.timeout(30):
            await event.wait()

    with harness() as jobs:
        await jobs.insert_async(waits.new())
        await jobs.advance_async(3600)
        assert jobs.timeline.of("completed")
    thread.join()


# What is not held up.


async def test_what_the_test_brings_is_not_held_up_beside_an_idle_connection(
    connection: Connection,
) -> None:
    """Each future is looked for a few times in all, however often time moves."""
    event, bare = asyncio.Event(), asyncio.get_running_loop().create_future()

    @worker
    async def waits(job: Any) -> None:
        await event.wait()
        await bare

    @worker
    async def naps(job: Any) -> None:
        for _ in range(100):
            await asyncio.sleep(1)  # noqa: TID251 - virtual

    gate = Gate(asyncio.get_running_loop())
    with harness() as jobs:
        await jobs.insert_async(waits.new())
        await jobs.insert_async(naps.new())
        await jobs.advance_async(200)
        assert gate.naps <= LOOKS_FOR_ASYNCIOS
        gate.naps = 0
        event.set()
        await jobs.insert_async(naps.new())
        await jobs.advance_async(200)
        assert 0 < gate.naps <= LOOKS
        bare.set_result(None)
        await asyncio.sleep(0)  # noqa: TID251 - one pass of the loop
        await jobs.advance_async(1)
        assert 3 == len(jobs.timeline.of("completed"))


async def test_where_no_thread_is_older_nothing_is_looked_for(
    alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(*_: object) -> None:
        raise AssertionError("a thread of the test run's own was looked at")

    monkeypatch.setattr(threads, "holder", looked)
    bare, go = asyncio.get_running_loop().create_future(), threading.Event()

    def watches() -> None:
        go.wait()

    watches.__module__ = "pytest_timeout"
    of_the_run = threading.Thread(target=watches)
    of_the_run.start()

    @worker
    async def waits(job: Any) -> None:
        await bare

    with ThreadPoolExecutor(1) as pool, harness() as jobs:
        pool.submit(int).result()
        gate = Gate(asyncio.get_running_loop())
        await jobs.insert_async(waits.new())
        await jobs.advance_async(200)
        assert 0 == gate.naps
        bare.set_result(None)
        await asyncio.sleep(0)  # noqa: TID251 - one pass of the loop
        await jobs.advance_async(1)
        assert jobs.timeline.of("completed")
    go.set()
    of_the_run.join()


# What is said.


async def test_a_worker_that_is_stuck_may_have_meant_a_thread(
    alone: None, connection: Connection
) -> None:
    @worker
    async def waits(job: Any) -> None:
        await asyncio.get_running_loop().create_future()

    with harness(mode="inline") as jobs, pytest.raises(StuckWorkerError) as raised:
        await jobs.insert_async(waits.new())
    text = str(raised.value)
    assert f"alive, and older than the jobs: {connection.thread.name!r}. None of these" in text
    assert "asyncio.to_thread or asyncio.wrap_future" in text


async def test_work_that_takes_too_long_is_named(connection: Connection) -> None:
    go, now = threading.Event(), 0.0
    time = VirtualTime(lambda: now, patience_s=0.05)
    time.attach(asyncio.get_running_loop())
    task = time.spawn(connection.execute(go.wait))
    settled = await time.settle()
    assert Rest.OVERDUE is settled.rest
    assert (
        f"thread {connection.thread.name!r} holds a future that is waited for"
        == settled.blocked[-1]
    )
    go.set()
    assert Rest.DONE is (await time.settle()).rest
    assert await task
    assert () == await time.close()


# What is looked into.


def held_by(hold: Callable[[threading.Event, Any], None]) -> tuple[bool, bool]:
    """Whether a future is found in a thread that runs ``hold``, and another one is."""
    loop = asyncio.new_event_loop()
    future, other, go = loop.create_future(), loop.create_future(), threading.Event()
    thread = threading.Thread(target=hold, args=(go, future))
    thread.start()
    found = False
    try:
        for _ in range(1000):
            if found := threads.holder([future], [thread]) is not None:
                break
            go.wait(0.005)  # until it has come so far
        return found, threads.holder([other], [thread]) is not None
    finally:
        go.set()
        thread.join()
        loop.close()


def closed_over(future: Any) -> Callable[[], Any]:
    return lambda: future


def in_a_closure(go: threading.Event, future: Any) -> None:
    answer = closed_over(future)
    del future
    go.wait()
    answer()


def in_a_partial(go: threading.Event, future: Any) -> None:
    answer = functools.partial(print, end=[future])
    del future
    go.wait()
    del answer


def as_an_attribute(go: threading.Event, future: Any) -> None:
    client = SimpleNamespace(pending={7: (future, "sent")})
    del future
    go.wait()
    del client


@pytest.mark.parametrize("hold", [in_a_closure, in_a_partial, as_an_attribute])
def test_what_a_thread_holds_is_found_in(hold: Callable[[threading.Event, Any], None]) -> None:
    assert (True, False) == held_by(hold)


def test_a_look_keeps_nothing_alive() -> None:
    """A cursor that lived on would keep its table locked."""
    go, gone, end = threading.Event(), threading.Event(), threading.Event()
    steps: queue.SimpleQueue[str] = queue.SimpleQueue()

    def holds() -> None:
        cursor = Cursor()
        weakref.finalize(cursor, gone.set)
        steps.put("held")
        go.wait()
        del cursor
        end.wait()

    class Cursor:
        pass

    thread = threading.Thread(target=holds)
    thread.start()
    steps.get()
    loop = asyncio.new_event_loop()
    assert threads.holder([loop.create_future()], [thread]) is None
    loop.close()
    go.set()
    let_go = gone.wait(5)
    end.set()
    thread.join()
    assert let_go
