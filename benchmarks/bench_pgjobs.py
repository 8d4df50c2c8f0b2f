"""pgjobs in the harness of the peer benchmarks: a ``Bench`` of the same ``common.Base``.

``common.py`` lies beside the peers' own bench files; its folder has to be on ``PYTHONPATH`` (``bench.sh``
sees to that). One JSON object a run, as for every peer.
"""

from __future__ import annotations

import asyncio
from typing import Any

import common
from common import hit

from pgjobs import PgJobs, PostgresStore, telemetry, worker


async def in_loop(job: Any) -> None:
    hit(job.args.get("t"))


def in_thread(job: Any) -> None:
    hit(job.args.get("t"))


# All under one name, since the rows are made once and name their worker.
KINDS: dict[str, Any] = {
    "async": lambda: worker(name="noop")(in_loop),
    "sync": lambda: worker(name="noop")(in_thread),
    "limited": lambda: worker(name="noop", timeout=300)(in_loop),
}


class Bench(common.Base):
    """Options: ``--opt worker=async|sync|limited``, ``--opt events=1`` (a handler of starts and stops)."""

    peer, dist, import_stmt = "pgjobs", "pgjobs", "import pgjobs"
    best = {"concurrency": 400}  # noqa: RUF012 - as common.Base has it
    lat = {"concurrency": 10}  # noqa: RUF012 - as common.Base has it

    async def open(self, db: str) -> None:
        self.noop = KINDS[self.opt.get("worker", "async")]()
        self.store = PostgresStore(self.url(db), pool_size=4)
        self.jobs = PgJobs(store=self.store, queues={"default": self.a.concurrency})

    async def close(self) -> None:
        self.store.close()

    async def install(self) -> None:
        self.store.migrate()

    async def bulk(self, n: int) -> None:
        step = int(self.opt.get("chunk", 10_000))
        for first in range(0, n, step):
            new = [self.noop.new({"i": i}) for i in range(first, min(n, first + step))]
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
        from bench_testing import milliseconds_a_test

        return await asyncio.to_thread(milliseconds_a_test, "manual", n)


if __name__ == "__main__":
    common.main(Bench)
