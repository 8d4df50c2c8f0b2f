"""pgjobs in the harness of the benchmarks: a ``Bench`` of ``common.Base``.

``common`` is whatever PYTHONPATH leads to: ours beside the peers' bench files, or another harness that
has the same ``Base``. One JSON object a run, as for every peer.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import common
from common import hit

from pgjobs import Job, PgJobs, PostgresStore, Unique, Worker, telemetry, worker

if TYPE_CHECKING:
    from pgjobs_testing.stores import StoreSource

WARM_UP = 20


async def in_loop(job: Job) -> None:
    hit(job.args.get("t"))


def in_thread(job: Job) -> None:
    hit(job.args.get("t"))


# All under one name, since the rows are made once and name their worker.
def made(kind: str) -> Worker[..., Any]:
    if kind == "sync":
        return worker(name="noop")(in_thread)
    if kind == "limited":
        return worker(name="noop", timeout=300)(in_loop)
    if kind == "unique":
        return worker(name="noop", unique=Unique(period=3600))(in_loop)
    assert kind == "async", f"--opt worker={kind}: expected async, sync, limited or unique"
    return worker(name="noop")(in_loop)


class Bench(common.Base):
    """Options: ``--opt worker=async|sync|limited|unique``, ``--opt events=1`` (a handler of starts and
    stops), ``--opt chunk=10000`` (jobs of one call of a bulk insert), ``--opt mode=manual|postgres`` (of
    a test)."""

    peer, dist, import_stmt = "pgjobs", "pgjobs", "import pgjobs"
    best = {"concurrency": 1_000}
    lat = {"concurrency": 10}

    async def open(self, db: str) -> None:
        self.noop = made(self.opt.get("worker", "async"))
        self.store = PostgresStore(self.url(db), pool_size=4)
        self.jobs = PgJobs(store=self.store, queues={"default": self.a.concurrency})
        await asyncio.to_thread(
            self.store.server_now
        )  # peers, too, connect before the clock starts

    async def close(self) -> None:
        self.store.close()

    async def install(self) -> None:
        self.store.migrate()

    async def bulk(self, n: int) -> None:
        chunk = int(self.opt.get("chunk", 10_000))
        for first in range(0, n, chunk):
            new = [self.noop.new({"i": i}) for i in range(first, min(n, first + chunk))]
            await self.jobs.insert_all_async(new)

    async def single(self, t: float) -> None:
        await self.jobs.insert_async(self.noop.new({"t": t}))

    async def worker(self) -> None:
        if self.opt.get("events"):
            events = ("pgjobs.job.start", "pgjobs.job.stop")
            telemetry.attach("bench", events, lambda *_: None)
        stopped = common.stdin_event()
        common.mark_start()
        await self.jobs.start_async()
        await stopped.wait()
        await self.jobs.stop_async()
        loaded = [name for name in sys.modules if name.partition(".")[0] == "pgjobs_testing"]
        assert not loaded, f"a live node has loaded parts of the testing package: {loaded}"

    def pending_sql(self, lo: int) -> str:
        return (
            f"EXISTS (SELECT 1 FROM oban_jobs WHERE id > {lo} AND id <= {lo + self.a.n} "
            "AND state <> 'completed')"
        )

    def done_count_sql(self, lo: int) -> str:
        return (
            f"SELECT count(*) FROM oban_jobs WHERE id > {lo} AND id <= {lo + self.a.n} "
            "AND state = 'completed'"
        )

    def backlog_lo(self, completed: int, scheduled: int) -> int:
        return completed + (scheduled if self.a.sched_order == "before" else 0)

    def backlog_sql(self, completed: int, scheduled: int) -> tuple[str, str]:
        done = f"""INSERT INTO oban_jobs(state, queue, worker, attempt, args, attempted_by, inserted_at,
            scheduled_at, attempted_at, completed_at)
          SELECT 'completed', 'default', 'noop', 1, jsonb_build_object('i', g), ARRAY['n', 'u'], t, t, t, t
          FROM generate_series(1, {completed}) g,
            LATERAL (SELECT timezone('utc', now()) - (g || ' ms')::interval * 50 AS t) x"""
        waiting = f"""INSERT INTO oban_jobs(state, queue, worker, args, scheduled_at)
          SELECT 'scheduled', 'default', 'noop', jsonb_build_object('i', g),
            timezone('utc', now()) + interval '1 day' + (g || ' s')::interval
          FROM generate_series(1, {scheduled}) g"""
        return done, waiting

    async def testing(self, n: int) -> float:
        """In memory, or in mode postgres on the server that all are measured on."""
        return await asyncio.to_thread(self._milliseconds_a_test, n)

    def _milliseconds_a_test(self, n: int) -> float:
        source = _source(self.opt.get("mode", "manual"), self.url("postgres"))
        app = PgJobs("postgresql://nowhere/bench")
        try:
            for _ in range(WARM_UP):
                _one_test(app, self.noop, source)
            started = time.perf_counter()
            for _ in range(n):
                _one_test(app, self.noop, source)
            return (time.perf_counter() - started) / n * 1e3
        finally:
            if hasattr(source, "close"):
                source.close()


def _one_test(app: PgJobs, noop: Worker[..., Any], source: StoreSource) -> None:
    """What a small test does; pytest's own cost is not part of it."""
    from pgjobs_testing import harness

    with harness(source=source) as jobs:
        app.insert(noop.new({"i": 1}))
        jobs.assert_enqueued(worker=noop, args={"i": 1})
        assert jobs.drain_queue("default") == {"completed": 1}


def _source(mode: str, dsn: str) -> StoreSource:
    from pgjobs_testing.servers import choose
    from pgjobs_testing.servers.supply import OwnServer
    from pgjobs_testing.stores import MemorySource, PostgresSource

    if mode == "manual":
        return MemorySource()
    assert mode == "postgres", f"--opt mode={mode}: expected manual or postgres"
    return PostgresSource(OwnServer(lambda: choose(dsn, None, {})))


if __name__ == "__main__":
    common.main(Bench)
