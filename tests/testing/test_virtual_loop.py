"""Virtual time for async jobs: what it moves, what it waits for, and how each wait comes to an end."""
# ruff: noqa: TID251  # asyncio.sleep in a job is the subject; none of these sleeps takes real time

from __future__ import annotations

import asyncio
import contextvars
import http.server
import math
import pathlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import httpx
import psycopg
import pytest

from pgjobs_testing.virtual.hooks import UnsupportedLoopError
from pgjobs_testing.virtual.jobs import adopt, outside_jobs
from pgjobs_testing.virtual.loop import Rest, Settled, VirtualTime

Job = Callable[[], Coroutine[Any, Any, Any]]
ROOT = pathlib.Path(__file__).parents[2]


class Host:
    """A private loop in the test's thread, and a clock that stands until a timer is due."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[tuple[str, float]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.loop = asyncio.SelectorEventLoop()
        self.time = VirtualTime(lambda: self.now, patience_s=0.05)
        self.time.attach(self.loop)

    def note(self, what: str) -> None:
        self.log.append((what, self.now))

    def spawn(self, job: Coroutine[Any, Any, Any], **options: Any) -> None:
        self.tasks.append(self.time.spawn(job, **options))

    async def drive(self) -> Settled:
        for _ in range(1000):
            settled = await self.time.settle()
            due = self.time.next_timer()
            if settled.rest is not Rest.TIMERS or due is None:
                return settled
            self.now = max(self.now, due)
            self.time.fire()
        raise AssertionError("no end after 1000 timers")

    def run(self, *jobs: Job) -> Settled:
        async def main() -> Settled:
            for number, job in enumerate(jobs):
                self.spawn(job(), name=f"job-{number}")
            return await self.drive()

        return self.loop.run_until_complete(main())

    def in_no_time(self, io: Job) -> Settled:
        """Run `io` in a job under a ten second limit: it must end, at the instant it began."""

        async def job() -> None:
            async with asyncio.timeout(10):
                await io()
            self.note("done")

        settled = self.run(job)
        assert [("done", 0.0)] == self.log
        return settled


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    assert () == host.loop.run_until_complete(host.time.close())
    host.loop.run_until_complete(host.loop.shutdown_default_executor())
    host.loop.close()


@asynccontextmanager
async def idle_connection() -> AsyncIterator[None]:
    """A connection that the loop watches, and on which nothing happens."""
    ours, theirs = socket.socketpair()
    with theirs:
        _, writer = await asyncio.open_connection(sock=ours)
        yield
        writer.close()
        await writer.wait_closed()


# Virtual time.


def test_sleeps_fire_in_order_of_their_instants_whatever_the_order_of_the_jobs(host: Host) -> None:
    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        host.note("woke")

    settled = host.run(*[lambda s=s: sleeper(s) for s in (30, 10, 20)])
    assert Settled(Rest.DONE) == settled
    assert [("woke", 10), ("woke", 20), ("woke", 30)] == host.log


def test_sleeps_that_end_at_one_instant_end_in_the_order_in_which_they_began(host: Host) -> None:
    async def sleeper(number: int) -> None:
        await asyncio.sleep(5)
        host.note(str(number))

    host.run(*[lambda n=n: sleeper(n) for n in range(50)])
    assert [(str(n), 5) for n in range(50)] == host.log


def test_timeout_and_wait_for_end_at_their_virtual_instants(host: Host) -> None:
    async def job() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(30)
        host.note("timeout")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 5)
        host.note("wait_for")
        assert 42 == await asyncio.wait_for(asyncio.sleep(3, 42), 5)
        host.note("in time")

    assert Rest.DONE is host.run(job).rest
    assert [("timeout", 10), ("wait_for", 15), ("in time", 18)] == host.log


def test_anyio_scopes_and_sleeps_follow_virtual_time(host: Host) -> None:
    async def job() -> None:
        with anyio.move_on_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 30)
        host.note("moved on")

    host.run(job)
    assert [("moved on", 10)] == host.log


def test_loop_time_is_virtual_in_a_job_and_real_in_the_test(host: Host) -> None:
    async def job() -> None:
        host.note(str(asyncio.get_running_loop().time()))

    real = host.loop.time()
    host.now = -5.0
    host.run(job)
    assert [("-5.0", -5.0)] == host.log
    assert host.loop.time() >= real > 0


def test_a_timer_of_the_test_is_left_to_the_loop(host: Host) -> None:
    timer = host.loop.call_later(3600, host.note, "never")
    assert host.time.next_timer() is None
    assert timer.when() > host.loop.time() + 3000
    timer.cancel()


def test_the_shortest_wait_takes_a_microsecond_so_that_a_loop_of_them_gets_on(host: Host) -> None:
    async def job() -> None:
        for _ in range(3):
            await asyncio.sleep(1e-9)

    host.run(job)
    assert pytest.approx(3e-6, abs=1e-9) == host.now


def test_an_instant_near_the_epoch_of_today_is_met_exactly(host: Host) -> None:
    async def job() -> None:
        await asyncio.sleep(0.1)
        host.note("woke")

    host.now = 1_700_000_000.2
    assert Rest.DONE is host.run(job).rest
    assert [("woke", 1_700_000_000.3)] == host.log


def test_cancelled_timers_are_neither_due_nor_kept(host: Host) -> None:
    async def job() -> None:
        for _ in range(5000):
            asyncio.get_running_loop().call_later(10, host.note, "never").cancel()
        assert len(host.time._timers) < 200
        await asyncio.sleep(1)

    host.run(job)
    assert 1.0 == host.now


def test_a_cancel_ends_a_virtual_sleep_at_once(host: Host) -> None:
    async def main() -> None:
        task = host.time.spawn(asyncio.sleep(30))
        assert Rest.TIMERS is (await host.time.settle()).rest
        task.cancel()
        assert Rest.DONE is (await host.time.settle()).rest
        assert task.cancelled()
        assert host.time.next_timer() is None

    host.loop.run_until_complete(main())


def test_a_job_that_raises_only_ends_its_own_task(host: Host) -> None:
    async def bad() -> None:
        raise ValueError("bad")

    async def main() -> None:
        task = host.time.spawn(bad())
        assert Rest.DONE is (await host.time.settle()).rest
        assert isinstance(task.exception(), ValueError)

    host.loop.run_until_complete(main())


# Jobs that wait for one another.


@pytest.mark.parametrize("idle", [False, True], ids=["alone", "beside an idle connection"])
@pytest.mark.parametrize("way", ["group", "gather", "wait", "wait_for", "lock", "task", "sleep"])
def test_waits_for_tasks_that_sleep_cost_no_real_time(host: Host, way: str, idle: bool) -> None:
    lock = asyncio.Lock()

    async def locked() -> None:
        async with lock:
            await asyncio.sleep(15)

    async def waits() -> None:
        if way == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(30))
        elif way == "gather":
            await asyncio.gather(asyncio.sleep(30), asyncio.sleep(10))
        elif way == "wait":
            await asyncio.wait([asyncio.create_task(asyncio.sleep(30))], timeout=40)
        elif way == "wait_for":
            await asyncio.wait_for(asyncio.sleep(30), 40)
        elif way == "lock":
            await asyncio.gather(locked(), locked())
        elif way == "task":
            await asyncio.create_task(asyncio.sleep(30))
        else:
            await asyncio.sleep(30)

    async def job() -> None:
        await waits()
        host.note("done")

    async def main() -> Settled:
        host.spawn(job())
        if not idle:
            return await host.drive()
        async with idle_connection():
            return await host.drive()

    assert Settled(Rest.DONE) == host.loop.run_until_complete(main())
    assert [("done", 30)] == host.log


@pytest.mark.parametrize("kind", ["event", "queue"])
def test_a_job_sees_what_another_gives_it_after_a_virtual_sleep(host: Host, kind: str) -> None:
    event, queue = asyncio.Event(), asyncio.Queue[int]()

    async def taker() -> None:
        await (event.wait() if kind == "event" else queue.get())
        host.note("taken")

    async def giver() -> None:
        await asyncio.sleep(30)
        event.set()
        queue.put_nowait(1)

    host.run(taker, giver)
    assert [("taken", 30)] == host.log


def test_a_job_may_wait_for_a_task_of_the_test_that_needs_many_passes(host: Host) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def answerer() -> None:
        await asked.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        answered.set()

    async def ask() -> None:
        asked.set()
        await answered.wait()

    helper = host.loop.create_task(answerer())
    host.in_no_time(ask)
    assert helper.done()


# Real I/O and threads: waited for, and never jumped over.


def test_a_query_runs_in_real_time(host: Host, database: str) -> None:
    async def query() -> None:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await connection.execute("select pg_sleep(0.02)")

    host.in_no_time(query)


def test_an_http_call_runs_in_real_time(host: Host) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()

        async def call() -> None:
            async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
                answer = await client.get(f"http://127.0.0.1:{server.server_port}/")
                assert 204 == answer.status_code

        host.in_no_time(call)
        thread.join()


def test_bare_socket_calls_and_readers_run_in_real_time(host: Host) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def receive() -> None:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        answer = threading.Thread(target=lambda: theirs.send(theirs.recv(1)))
        answer.start()
        await loop.sock_sendall(ours, b"x")
        assert b"x" == await loop.sock_recv(ours, 1)
        loop.add_reader(ours, event.set)
        loop.call_soon(theirs.send, b"y")
        await asyncio.wait_for(event.wait(), 5)
        loop.remove_reader(ours)
        answer.join()

    with ours, theirs:
        host.in_no_time(receive)


def test_a_server_in_the_tests_own_loop_answers_a_job(host: Host) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    server = host.loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        assert b"hello\n" == await reader.readline()
        writer.close()
        await writer.wait_closed()

    host.in_no_time(ask)
    server.close()
    host.loop.run_until_complete(server.wait_closed())


def test_a_subprocess_runs_in_real_time(host: Host) -> None:
    async def run() -> None:
        process = await asyncio.create_subprocess_exec("true")
        assert 0 == await process.wait()

    host.in_no_time(run)


class Gate:
    """Work for a thread, which cannot end before the loop has come to wait for it."""

    def __init__(self, host: Host) -> None:
        self.waited_for = threading.Event()
        select = host.loop._selector.select  # type: ignore[attr-defined]  # private

        def watched(timeout: float | None = None) -> Any:
            if timeout:
                self.waited_for.set()
            return select(timeout)

        host.loop._selector.select = watched  # type: ignore[attr-defined]  # private

    def work(self) -> None:
        assert self.waited_for.wait(10)


THREADS = ["to_thread", "executor", "wait_for", "submit", "bare", "anyio", "gather"]


@pytest.mark.parametrize("way", THREADS)
def test_a_thread_is_waited_for_in_real_time(host: Host, way: str) -> None:
    gate, pool = Gate(host), ThreadPoolExecutor(1)
    pool.submit(int).result()  # its thread is older than the job

    async def run() -> None:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        if way == "to_thread":
            await asyncio.to_thread(gate.work)
        elif way == "executor":
            await loop.run_in_executor(pool, gate.work)
        elif way == "wait_for":
            await asyncio.wait_for(loop.run_in_executor(pool, gate.work), 5)
        elif way == "submit":
            await asyncio.wrap_future(pool.submit(gate.work))
        elif way == "anyio":
            await anyio.to_thread.run_sync(gate.work)
        elif way == "gather":
            await asyncio.gather(asyncio.sleep(0), asyncio.to_thread(gate.work))
        else:

            def work() -> None:
                gate.work()
                loop.call_soon_threadsafe(event.set)

            threading.Thread(target=work).start()
            await event.wait()

    host.in_no_time(run)
    pool.shutdown()


def test_an_address_is_looked_up_in_real_time(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, real = Gate(host), socket.getaddrinfo

    def slow(*args: Any, **options: Any) -> Any:
        gate.work()
        return real(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def look_up() -> None:
        assert await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)

    host.in_no_time(look_up)


def test_a_sleep_beside_an_executor_call_does_not_overtake_it(host: Host) -> None:
    gate = Gate(host)

    async def job() -> None:
        call = asyncio.get_running_loop().run_in_executor(None, gate.work)
        call.add_done_callback(lambda _: host.note("call"))
        await asyncio.sleep(30)
        host.note("sleep")

    host.run(job)
    assert [("call", 0), ("sleep", 30)] == host.log


# Jobs that do not come to rest.


def test_a_job_that_waits_for_ever_is_stuck_and_the_line_says_where(host: Host) -> None:
    settled = host.run(asyncio.Event().wait, lambda: asyncio.sleep(math.inf))
    assert Rest.STUCK is settled.rest
    event, sleep = (
        line for line in settled.blocked if line.startswith("job-")
    )  # not other tests' threads
    assert event.startswith("job-0 waits in Event.wait at ")
    assert sleep.startswith("job-1 waits in sleep at ")


def test_a_server_that_never_answers_is_overdue_and_time_does_not_move(host: Host) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def job() -> None:
        async with asyncio.timeout(10):
            await asyncio.get_running_loop().sock_recv(ours, 1)

    with ours, theirs:
        settled = host.run(job)
        assert Rest.OVERDUE is settled.rest
        assert 0.0 == host.now
        task, source = settled.blocked
        assert "job at " in task
        assert f"file descriptor {ours.fileno()} is watched: I/O, or an idle connection" == source
        host.loop.run_until_complete(host.time.close())


def test_an_event_beside_an_idle_connection_is_overdue_rather_than_guessed(host: Host) -> None:
    async def main() -> Settled:
        host.spawn(asyncio.Event().wait())
        host.spawn(asyncio.sleep(30))
        async with idle_connection():
            return await host.drive()

    assert Rest.OVERDUE is host.loop.run_until_complete(main()).rest
    assert 0.0 == host.now


def test_a_job_that_never_pauses_is_overdue_after_its_passes() -> None:
    async def job() -> None:
        while True:  # noqa: ASYNC110  # the very mistake that is bounded here
            await asyncio.sleep(0)

    async def main() -> None:
        time = VirtualTime(lambda: 0.0, max_passes=1000)
        time.attach(asyncio.get_running_loop())
        task = time.spawn(job())
        assert Rest.OVERDUE is (await time.settle()).rest
        assert () == await time.close()
        assert task.cancelled()

    asyncio.run(main())


def test_a_task_that_outlives_its_job_is_not_waited_for_but_keeps_virtual_time(host: Host) -> None:
    async def late() -> None:
        await asyncio.sleep(30)
        host.note("late")

    kept: list[asyncio.Task[None]] = []

    async def job() -> None:
        kept.append(asyncio.create_task(late()))
        await asyncio.sleep(0)

    assert Rest.DONE is host.run(job).rest
    assert 30.0 == host.time.next_timer()
    host.now = 30.0
    assert 1 == host.time.fire()
    host.loop.run_until_complete(host.time.settle())
    assert [("late", 30)] == host.log


# The loop's own.


def test_what_is_made_outside_jobs_is_not_of_the_job(host: Host) -> None:
    async def job() -> None:
        with outside_jobs():
            reader = asyncio.create_task(asyncio.Event().wait())
            assert asyncio.get_running_loop().time() > 0
        await asyncio.sleep(30)
        reader.cancel()

    async def main() -> None:
        host.spawn(job())
        async with idle_connection():
            assert Rest.DONE is (await host.drive()).rest

    host.now = -100.0
    host.loop.run_until_complete(main())
    assert -70.0 == host.now


def test_a_test_adopts_what_a_job_set_and_stays_outside_it(host: Host) -> None:
    var = contextvars.ContextVar("var", default="unset")

    async def job() -> None:
        var.set("set")

    context = contextvars.copy_context()
    host.loop.run_until_complete(host.loop.create_task(asyncio.sleep(0)))
    host.spawn(job(), context=context)
    host.loop.run_until_complete(host.time.settle())
    assert "unset" == var.get()
    adopt(context)
    assert "set" == var.get()
    assert Rest.DONE is host.loop.run_until_complete(host.time.settle()).rest


def test_a_job_cannot_move_the_clock_it_runs_under(host: Host) -> None:
    async def job() -> None:
        with pytest.raises(RuntimeError, match="a job cannot move the clock"):
            await host.time.settle()
        host.note("refused")

    host.run(job)
    assert [("refused", 0)] == host.log


def test_close_ends_every_task_even_one_that_asks_a_server_first(host: Host) -> None:
    async def job() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(host.note, "cleaned")
            await asyncio.sleep(30)

    host.run(job)
    assert () == host.loop.run_until_complete(host.time.close())
    assert [("cleaned", 0)] == host.log


def test_close_names_a_task_that_refuses_to_end(host: Host) -> None:
    stop = asyncio.Event()

    async def stubborn() -> None:
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                host.note("no")

    async def main() -> None:
        task = host.time.spawn(stubborn(), name="stubborn")
        await host.time.settle()
        assert ("stubborn",) == await host.time.close()
        stop.set()
        await task

    host.loop.run_until_complete(main())
    assert 3 == len(host.log)


def test_detach_gives_the_loop_back_as_it_was(host: Host) -> None:
    host.time.detach()
    host.time.detach()
    hooks = {"call_at", "call_later", "time", "create_task", "run_in_executor"}
    assert hooks.isdisjoint(vars(host.loop))


def test_a_loop_takes_one_virtual_clock(host: Host) -> None:
    with pytest.raises(
        UnsupportedLoopError, match=r"call_at\(\) of this asyncio.* replaced already"
    ):
        VirtualTime(lambda: 0.0).attach(host.loop)
    with pytest.raises(RuntimeError, match="attached to a loop already"):
        host.time.attach(host.loop)


def test_uvloop_is_refused_by_name_with_the_remedy() -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop has no wheel for this platform")
    loop = uvloop.new_event_loop()
    with pytest.raises(UnsupportedLoopError, match=r"not uvloop\.Loop: run this test on asyncio"):
        VirtualTime(lambda: 0.0).attach(loop)
    loop.close()


INSIDE = """
import asyncio, pytest
from pgjobs_testing.virtual.loop import Rest, VirtualTime

@pytest.mark.{mark}
async def test_inside():
    now, log = [0.0], []
    async def job():
        await asyncio.sleep(30)
        await asyncio.to_thread(log.append, now[0])
    time = VirtualTime(lambda: now[0])
    time.attach(asyncio.get_running_loop())
    time.spawn(job())
    own = asyncio.create_task(asyncio.sleep(0.001, "real"))
    while (await time.settle()).rest is Rest.TIMERS:
        now[0] = time.next_timer()
        time.fire()
    assert (log, await own, await time.close()) == ([30.0], "real", ())

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.mark.parametrize("mark", ["asyncio", "anyio"])
def test_it_runs_in_the_loop_of_an_async_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini(
        "[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function"
    )
    pytester.makepyfile(INSIDE.format(mark=mark))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
