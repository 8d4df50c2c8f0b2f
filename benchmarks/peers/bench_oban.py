"""Oban for Python, on uvloop, as its own command starts it."""

from __future__ import annotations

from typing import Any

import common
from common import hit, mono
from oban import Oban, schema, worker
from oban import testing as oban_testing

WARM_UP = 5


@worker(queue="default")
class Noop:
    async def process(self, job: Any) -> None:
        hit(job.args.get("t"))


noop: Any = Noop  # with what the decorator has put there


class Bench(common.Base):
    """Options: ``--opt chunk=N`` (default: all in one call)."""

    peer, dist, import_stmt = "oban", "oban", "import oban"
    default_loop = "uvloop"
    best = {"concurrency": 200}

    async def open(self, db: str) -> None:
        self.pool = await Oban.create_pool(self.url(db), min_size=2, max_size=10)
        self.client = Oban(pool=self.pool)

    async def close(self) -> None:
        await self.pool.close()

    async def install(self) -> None:
        await schema.install(self.pool)

    async def bulk(self, n: int) -> None:
        chunk = int(self.opt.get("chunk", n))
        for first in range(0, n, chunk):
            jobs = [noop.new({"i": i}) for i in range(first, min(n, first + chunk))]
            await self.client.enqueue_many(*jobs)

    async def single(self, t: float) -> None:
        await self.client.enqueue(noop.new({"t": t}))

    async def worker(self) -> None:
        stopped = common.stdin_event()
        node = Oban(pool=self.pool, queues={"default": self.a.concurrency}, name="w")
        common.mark_start()
        await node.start()
        await stopped.wait()
        await node.stop()

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
          SELECT 'completed', 'default', '__main__.Noop', 1, jsonb_build_object('i', g),
            ARRAY['n', 'u'], t, t, t, t
          FROM generate_series(1, {completed}) g,
            LATERAL (SELECT timezone('utc', now()) - (g || ' ms')::interval * 50 AS t) x"""
        waiting = f"""INSERT INTO oban_jobs(state, queue, worker, args, scheduled_at)
          SELECT 'scheduled', 'default', '__main__.Noop', jsonb_build_object('i', g),
            timezone('utc', now()) + interval '1 day' + (g || ' s')::interval
          FROM generate_series(1, {scheduled}) g"""
        return done, waiting

    async def testing(self, n: int) -> float:
        """In its mode manual, which needs a database."""
        oban = Oban(pool=self.pool, queues={"default": 10}, name="Oban")

        async def one() -> None:
            await oban.enqueue(noop.new({"i": 1}))
            await oban_testing.assert_enqueued(worker=noop, args={"i": 1})
            assert (await oban_testing.drain_queue("default"))["completed"] == 1
            await oban_testing.reset_oban()

        with oban_testing.mode("manual"):
            for _ in range(WARM_UP):
                await one()
            started = mono()
            for _ in range(n):
                await one()
            return (mono() - started) / n * 1e3


if __name__ == "__main__":
    common.main(Bench)
