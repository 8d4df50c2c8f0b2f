"""What one test costs with pgjobs, with Oban for Python and with procrastinate, measured in turn.

    benchmarks/bench_tests.sh [TESTS]        sets the peers up, and runs this

The same test for each: insert a job by its API, assert that it is enqueued, run it by its own testing
facility, assert that it was performed, and leave nothing for the next. Both that use PostgreSQL use one
server (the embedded one, without fsync). The median, least and most of ROUNDS rounds in turn; pytest's own
cost is not part of it.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from bench_testing import one_test
from oban import Oban, schema, worker
from oban import testing as oban_testing
from procrastinate import App
from procrastinate.testing import InMemoryConnector

from pgjobs_testing.servers.embedded import EmbeddedServer
from pgjobs_testing.stores import MemorySource, PostgresSource

ROUNDS = 9
WARM_UP = 20

Test = Callable[[], Awaitable[None]]


class OnServer:
    """Databases of a server that runs already."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    def database(self, name: str) -> str:
        return self._server.create_database(name)

    def close(self) -> None:
        """The server is stopped by who started it."""


def of_pgjobs(source: Any) -> Test:
    """A test with the harness; its blocking calls are made outside of the loop, as in a ``def`` test."""

    async def one() -> None:
        one_test(source)

    return one


async def of_oban(dsn: str) -> tuple[Test, Any]:
    """A test in its manual mode."""

    @worker(queue="default")
    class Noop:
        async def process(self, job: Any) -> None:
            """Do nothing."""

    pool = await Oban.create_pool(dsn, min_size=1, max_size=2)
    await schema.install(pool)
    oban = Oban(pool=pool, queues={"default": 10}, name="Oban")

    async def one() -> None:
        with oban_testing.mode("manual"):
            await oban.enqueue(Noop.new({"i": 1}))
            await oban_testing.assert_enqueued(worker=Noop, args={"i": 1})
            assert (await oban_testing.drain_queue("default"))["completed"] == 1
            await oban_testing.reset_oban()

    return one, pool


def of_procrastinate() -> Test:
    """A test with its connector in memory."""
    memory = InMemoryConnector()
    app = App(connector=memory)

    @app.task(name="noop")
    async def noop(i: int) -> None:
        """Do nothing."""

    async def one() -> None:
        await noop.defer_async(i=1)
        assert [job["args"] for job in memory.jobs.values()] == [{"i": 1}]
        await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)
        assert [job["status"] for job in memory.jobs.values()] == ["succeeded"]
        memory.reset()

    return one


async def milliseconds(test: Test, tests: int) -> float:
    """One round: the mean of ``tests`` tests."""
    started = time.perf_counter()
    for _ in range(tests):
        await test()
    return (time.perf_counter() - started) / tests * 1e3


class Blocking:
    """A coroutine without an await, run without a loop: blocking calls refuse to be made in one."""

    @staticmethod
    def run(test: Test, tests: int) -> float:
        try:
            milliseconds(test, tests).send(None)
        except StopIteration as ended:
            found: float = ended.value
            return found
        raise AssertionError("a blocking test awaited")


def main() -> None:
    tests = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with EmbeddedServer() as server, asyncio.Runner() as runner:
        databases = OnServer(server)
        oban, pool = runner.run(of_oban(server.create_database("oban")))
        procrastinate = of_procrastinate()
        postgres = PostgresSource(databases)
        ours = {
            "pgjobs, in memory": of_pgjobs(MemorySource()),
            "pgjobs, mode postgres": of_pgjobs(postgres),
        }
        theirs = {
            f"procrastinate {version('procrastinate')}, in memory": procrastinate,
            f"oban-py {version('oban')}, manual mode": oban,
        }

        def measured(name: str, count: int) -> float:
            if name in ours:
                return Blocking.run(ours[name], count)
            return runner.run(milliseconds(theirs[name], count))

        found: dict[str, list[float]] = {name: [] for name in (*ours, *theirs)}
        for name in found:
            measured(name, WARM_UP)
        for _ in range(ROUNDS):
            for name, rounds in found.items():
                rounds.append(measured(name, tests))
        runner.run(pool.close())
        postgres.close()
    print(f"one test, Python {sys.version.split()[0]}, {ROUNDS} rounds of {tests}, in ms")
    for name, rounds in found.items():
        print(
            f"{name:<34} {statistics.median(rounds):8.3f}   "
            f"({min(rounds):.3f} to {max(rounds):.3f})"
        )


if __name__ == "__main__":
    main()
