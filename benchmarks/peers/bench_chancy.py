"""Chancy: its async executor, with eager polling."""

from __future__ import annotations

import logging

import common
from chancy import Chancy, Job
from chancy.queue import Queue
from chancy.worker import Worker
from common import hit


async def noop(i: int = 0, t: float | None = None) -> None:
    hit(t)


class Bench(common.Base):
    """Options: ``--opt chunk=1000``, ``--opt flush=S`` (how often outcomes are sent)."""

    peer, dist, import_stmt = "chancy", "chancy", "import chancy"
    best = {"concurrency": 1000}

    async def open(self, db: str) -> None:
        log = logging.getLogger("quiet")
        log.setLevel(logging.ERROR)
        self.app = Chancy(self.url(db), log=log, min_connection_pool_size=2)
        await self.app.pool.open()

    async def close(self) -> None:
        await self.app.pool.close()

    async def install(self) -> None:
        await self.app.migrate()

    async def bulk(self, n: int) -> None:
        jobs = [Job(func="__main__.noop", kwargs={"i": i}) for i in range(n)]
        async for _ in self.app.push_many(jobs, batch_size=int(self.opt.get("chunk", 1000))):
            pass

    async def single(self, t: float) -> None:
        await self.app.push(Job(func="__main__.noop", kwargs={"t": t}))

    async def worker(self) -> None:
        stopped = common.stdin_event()
        queue = Queue(
            "default",
            concurrency=self.a.concurrency,
            executor=Chancy.Executor.Async,
            eager_polling=True,
            polling_interval=1,
        )
        await self.app.declare(queue, upsert=True)
        worker = Worker(self.app, register_signal_handlers=False)
        if "flush" in self.opt:
            worker.send_outgoing_interval = float(self.opt["flush"])
        common.mark_start()
        await worker.start()
        await stopped.wait()
        await worker.stop(timeout=5)

    def pending_sql(self, lo: int) -> str:
        return (
            "EXISTS (SELECT 1 FROM chancy_jobs WHERE queue = 'default' AND scheduled_at <= now() "
            "AND state IN ('pending', 'running', 'retrying'))"
        )

    def done_count_sql(self, lo: int) -> str:
        finished = 1_000_000 if self.a.scenario == "backlog" else 0
        return f"SELECT count(*) - {finished} FROM chancy_jobs WHERE state = 'succeeded'"

    def backlog_lo(self, completed: int, scheduled: int) -> int:
        return 0

    def backlog_sql(self, completed: int, scheduled: int) -> tuple[str, str]:
        # Ids are ordered by time, as its own are: what is there before sorts before.
        first = 2_000_000 if self.a.sched_order == "before" else 0xFFF000000000
        done = f"""INSERT INTO chancy_jobs(id, queue, func, kwargs, state, priority, attempts,
            max_attempts, created_at, started_at, completed_at, scheduled_at)
          SELECT (lpad(to_hex(g), 12, '0') || '700080000000000000aa')::uuid, 'default', '__main__.noop',
            jsonb_build_object('i', g), 'succeeded', 0, 1, 1, t, t, t, t
          FROM generate_series(1, {completed}) g,
            LATERAL (SELECT now() - (g || ' ms')::interval * 50 AS t) x"""
        waiting = f"""INSERT INTO chancy_jobs(id, queue, func, kwargs, state, priority, scheduled_at)
          SELECT (lpad(to_hex({first} + g), 12, '0') || '700080000000000000aa')::uuid, 'default',
            '__main__.noop', jsonb_build_object('i', g), 'pending', 0,
            now() + interval '1 day' + (g || ' s')::interval
          FROM generate_series(1, {scheduled}) g"""
        return done, waiting


if __name__ == "__main__":
    common.main(Bench)
