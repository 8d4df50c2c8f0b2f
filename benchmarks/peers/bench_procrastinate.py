"""Procrastinate; tests run on its connector in memory."""

from __future__ import annotations

import asyncio
import contextlib

import common
import procrastinate
from common import hit, mono
from procrastinate.testing import InMemoryConnector

WARM_UP = 5
STOP_TIMEOUT_S = 10


class Bench(common.Base):
    """Options: ``--opt chunk=10000``."""

    peer, dist, import_stmt = "procrastinate", "procrastinate", "import procrastinate"
    best = {"concurrency": 50}

    async def open(self, db: str) -> None:
        connector = procrastinate.PsycopgConnector(conninfo=self.url(db), min_size=2, max_size=10)
        self.app = procrastinate.App(connector=connector)

        @self.app.task(name="noop", queue="default")
        async def noop(i: int = 0, t: float | None = None) -> None:
            hit(t)

        self.noop = noop
        await self.app.open_async()

    async def close(self) -> None:
        await self.app.close_async()

    async def install(self) -> None:
        await self.app.schema_manager.apply_schema_async()

    async def bulk(self, n: int) -> None:
        chunk = int(self.opt.get("chunk", 10_000))
        for first in range(0, n, chunk):
            jobs = [{"i": i} for i in range(first, min(n, first + chunk))]
            await self.noop.batch_defer_async(*jobs)

    async def single(self, t: float) -> None:
        await self.noop.defer_async(t=t)

    async def worker(self) -> None:
        stopped = common.stdin_event()
        common.mark_start()
        node = self.app.run_worker_async(
            concurrency=self.a.concurrency, wait=True, install_signal_handlers=False
        )
        running = asyncio.create_task(node)
        await stopped.wait()
        running.cancel()
        with contextlib.suppress(BaseException):
            await asyncio.wait_for(running, STOP_TIMEOUT_S)

    def pending_sql(self, lo: int) -> str:
        return (
            f"EXISTS (SELECT 1 FROM procrastinate_jobs WHERE id > {lo} AND id <= {lo + self.a.n} "
            "AND status <> 'succeeded')"
        )

    def done_count_sql(self, lo: int) -> str:
        return (
            f"SELECT count(*) FROM procrastinate_jobs WHERE id > {lo} AND id <= {lo + self.a.n} "
            "AND status = 'succeeded'"
        )

    def backlog_lo(self, completed: int, scheduled: int) -> int:
        return completed + (scheduled if self.a.sched_order == "before" else 0)

    def backlog_sql(self, completed: int, scheduled: int) -> tuple[str, str]:
        done = f"""INSERT INTO procrastinate_jobs(queue_name, task_name, status, args, attempts)
          SELECT 'default', 'noop', 'succeeded', jsonb_build_object('i', g), 1
          FROM generate_series(1, {completed}) g"""
        waiting = f"""INSERT INTO procrastinate_jobs(queue_name, task_name, status, args, scheduled_at)
          SELECT 'default', 'noop', 'todo', jsonb_build_object('i', g),
            now() + interval '1 day' + (g || ' s')::interval
          FROM generate_series(1, {scheduled}) g"""
        return done, waiting

    async def testing(self, n: int) -> float:
        memory = InMemoryConnector()
        with self.app.replace_connector(memory) as app:

            async def one() -> None:
                await self.noop.defer_async(i=1)
                assert [job["args"] for job in memory.jobs.values()] == [{"i": 1}]
                await app.run_worker_async(
                    wait=False, install_signal_handlers=False, listen_notify=False
                )
                assert [job["status"] for job in memory.jobs.values()] == ["succeeded"]
                memory.reset()

            for _ in range(WARM_UP):
                await one()
            started = mono()
            for _ in range(n):
                await one()
            return (mono() - started) / n * 1e3


if __name__ == "__main__":
    common.main(Bench)
