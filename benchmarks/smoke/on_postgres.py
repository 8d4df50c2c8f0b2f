"""Counts on PostgreSQL: what the engine sends for a job, for an insert, for a test, and when idle.

The server is the embedded one. All but the live node is stepped by hand, so that two runs count alike;
of the live node luck decides how full a claim is, and its bound leaves room for that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.smoke import python
from benchmarks.smoke.bounds import Found
from benchmarks.smoke.stepped import Stepped, smoke
from benchmarks.smoke.wire import Wire, tapped
from pgjobs import PgJobs, Pruner, Queue, RateLimit, Stalled, worker
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs_testing import harness
from pgjobs_testing.servers import choose
from pgjobs_testing.servers.supply import OwnServer
from pgjobs_testing.stores import LocalPostgres, PostgresSource

JOBS = 1_000
LIVE_JOBS = 5_000
IDLE_MINUTES = 10
PATIENCE_S = 30
DEFAULT_PLUGINS = (Stalled(), Pruner())


class Wired:
    """A server whose databases are reached by traced connections."""

    def __init__(self, server: OwnServer, wire: Wire) -> None:
        self._server, self.wire = server, wire
        self._databases = 0

    def dsn(self) -> str:
        """A new database, with our tables."""
        self._databases += 1
        dsn = self._server.database(f"smoke{self._databases}")
        store = PostgresStore(dsn)
        store.migrate()
        store.close()
        return dsn

    def store(self) -> LocalPostgres:
        """A store whose effects are carried out as they are submitted, over one connection."""
        return LocalPostgres(PostgresStore(self.dsn()))

    def source(self) -> PostgresSource:
        """Where tests get their stores from."""
        return PostgresSource(self._server, "test")


@contextmanager
def wired() -> Iterator[Wired]:
    """Start the server; ``ServerError`` where its binaries are not installed."""
    server = OwnServer(lambda: choose("embedded", None, os.environ))
    try:
        with tapped() as wire:
            yield Wired(server, wire)
    finally:
        server.close()


def statements(here: Wired) -> list[Found]:
    """What a stepped node and a client send."""
    found: list[Found] = []

    def note(name: str, act: Any, share: float = 1.0) -> None:
        sent = here.wire.sent(act)
        found.append(Found("statements", f"{name}: statements", sent.statements * share))
        found.append(Found("statements", f"{name}: round trips", sent.round_trips * share))

    free = Stepped(here.store(), Queue(concurrency=100))
    free.run()
    for _ in range(3):  # from here on all is prepared
        free.insert_one()
        free.insert(JOBS)
        free.run()
    note("one insert", free.insert_one)
    free.run()
    note("an insert_all of 1,000", lambda: free.insert(JOBS))
    note("a node, 1,000 jobs by 100", free.run)
    limit = RateLimit(allowed=10_000, period=60)
    limited = Stepped(
        here.store(), Queue(concurrency=100, global_concurrency=200, rate_limit=limit)
    )
    limited.insert(1)
    limited.run()
    limited.insert(JOBS)
    note("a node with limits, 1,000 jobs by 100", limited.run)
    idle = Stepped(here.store(), Queue(concurrency=100), DEFAULT_PLUGINS)
    idle.run(60)
    note("an idle node, a minute", lambda: idle.run(IDLE_MINUTES * 60), 1 / IDLE_MINUTES)
    return found


def calls(here: Wired) -> list[Found]:
    """What Python does for a job of a node on PostgreSQL, and what it keeps."""
    node = Stepped(here.store(), Queue(concurrency=100))
    node.insert(JOBS)
    node.run()
    node.insert(JOBS)
    made = python.calls(node.run) / JOBS
    node.insert(JOBS)
    kept = python.blocks_kept(node.run) / JOBS
    bulk = python.calls(lambda: node.insert(JOBS)) / JOBS
    peak = python.peak_bytes(node.run) / 1024
    version = python.VERSION
    return [
        Found("calls", "a node on PostgreSQL, a job: calls", made, interpreter=version),
        Found("calls", "insert_all on PostgreSQL, a job: calls", bulk, interpreter=version),
        Found("memory", "a node on PostgreSQL, 100 at once: KiB at the peak", peak, 0.1, version),
        Found("memory", "a node on PostgreSQL, a job: blocks kept", max(0, round(kept))),
    ]


def one_test(here: Wired) -> list[Found]:
    """What one test in mode postgres sends: an insert, an assertion, a drain, a database for the next."""
    source = here.source()
    app = PgJobs("postgresql://nowhere.invalid/smoke")

    def test() -> None:
        with harness(source=source) as jobs:
            app.insert(smoke.new({"i": 1}))
            jobs.assert_enqueued(worker=smoke, args={"i": 1})
            assert jobs.drain_queue("default") == {"completed": 1}

    test()
    test()
    sent = here.wire.sent(test)
    made = python.calls(test)
    source.close()
    return [
        Found("tests", "one test, mode postgres: statements", sent.statements),
        Found("tests", "one test, mode postgres: round trips", sent.round_trips),
        Found("tests", "one test, mode postgres: calls", made, interpreter=python.VERSION),
    ]


def live(here: Wired) -> list[Found]:
    """What a live node sends from its start to its stop, with no-op jobs on its event loop."""
    ended = threading.Event()
    left = LIVE_JOBS

    @worker(name="smoke_live")
    async def noop(_job: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            ended.set()

    store = PostgresStore(here.dsn())
    client = PgJobs(store=store, queues={"default": 400})
    client.insert_all([noop.new({"i": n}) for n in range(LIVE_JOBS)])

    def served() -> None:
        with client.running():
            assert ended.wait(PATIENCE_S), f"{left} of {LIVE_JOBS} jobs did not run"

    sent = here.wire.sent(served)
    assert client.count_jobs(state="completed") == LIVE_JOBS
    store.close()
    share = 1_000 / LIVE_JOBS
    name = "a live node, 1,000 jobs by 400"
    return [
        Found("live", f"{name}: statements", sent.statements * share, 1.0),
        Found("live", f"{name}: round trips", sent.round_trips * share, 1.0),
    ]
