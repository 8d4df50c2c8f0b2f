"""PgQueuer: asyncpg on uvloop, as its own command starts it; tests run on its store in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json

import asyncpg
import common
from common import hit, mono
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

WARM_UP = 5
STOP_TIMEOUT_S = 10


class Bench(common.Base):
    """Options: ``--opt chunk=10000``. ``--batch`` is its batch_size; it sets no concurrency by itself."""

    peer, dist, import_stmt = "pgqueuer", "pgqueuer", "from pgqueuer import PgQueuer"
    default_loop = "uvloop"
    best = {"batch": 1000}

    async def open(self, db: str) -> None:
        self.connection = await asyncpg.connect(
            host=common.HOST, port=int(common.PORT), user="postgres", database=db
        )
        self.driver = AsyncpgDriver(self.connection)
        self.queries = Queries(self.driver)

    async def close(self) -> None:
        await self.connection.close()

    async def install(self) -> None:
        await self.queries.install()

    async def bulk(self, n: int) -> None:
        chunk = int(self.opt.get("chunk", 10_000))
        for first in range(0, n, chunk):
            payloads = [b'{"i": %d}' % i for i in range(first, min(n, first + chunk))]
            names, priorities = ["noop"] * len(payloads), [0] * len(payloads)
            await self.queries.enqueue(names, payloads, priorities)

    async def single(self, t: float) -> None:
        await self.queries.enqueue("noop", json.dumps({"t": t}).encode())

    async def worker(self) -> None:
        stopped = common.stdin_event()
        node = PgQueuer(self.driver)

        @node.entrypoint("noop")
        async def noop(job: Job) -> None:
            hit(json.loads(job.payload).get("t"))

        common.mark_start()
        running = asyncio.create_task(node.run(batch_size=self.a.batch))
        await stopped.wait()
        node.shutdown.set()
        with contextlib.suppress(BaseException):
            await asyncio.wait_for(running, STOP_TIMEOUT_S)

    # A finished job leaves the table for the log.
    def pending_sql(self, lo: int) -> str:
        if self.a.scenario == "backlog":
            return f"EXISTS (SELECT 1 FROM pgqueuer WHERE id > {lo} AND id <= {lo + self.a.n})"
        return "EXISTS (SELECT 1 FROM pgqueuer)"

    def done_count_sql(self, lo: int) -> str:
        return (
            f"SELECT count(*) FROM pgqueuer_log WHERE job_id > {lo} AND job_id <= {lo + self.a.n} "
            "AND status = 'successful'"
        )

    def backlog_lo(self, completed: int, scheduled: int) -> int:
        return scheduled if self.a.sched_order == "before" else 0

    def backlog_sql(self, completed: int, scheduled: int) -> tuple[str, str]:
        # The old rows of the log take their job ids from far above, so that they meet no live one.
        done = f"""INSERT INTO pgqueuer_log(created, job_id, status, priority, entrypoint, aggregated)
          SELECT now() - (g || ' ms')::interval * 50, 10000000 + g, 'successful', 0, 'noop', true
          FROM generate_series(1, {completed}) g"""
        waiting = f"""INSERT INTO pgqueuer(priority, entrypoint, payload, status, execute_after)
          SELECT 0, 'noop', '{{}}'::bytea, 'queued', now() + interval '1 day' + (g || ' s')::interval
          FROM generate_series(1, {scheduled}) g"""
        return done, waiting

    async def testing(self, n: int) -> float:
        """In memory; one that was drained stays shut down, so each test makes its own."""
        seen: list[object] = []

        async def one() -> None:
            queue = PgQueuer.in_memory()

            @queue.entrypoint("noop")
            async def noop(job: Job) -> None:
                seen.append(job.id)

            await queue.qm.queries.enqueue(["noop"], [b'{"i": 1}'], [0])
            assert sum(each.count for each in await queue.qm.queries.queue_size()) == 1
            await queue.qm.run(batch_size=10, mode=QueueExecutionMode.drain)
            assert len(seen) == 1
            seen.clear()

        for _ in range(WARM_UP):
            await one()
        started = mono()
        for _ in range(n):
            await one()
        return (mono() - started) / n * 1e3


if __name__ == "__main__":
    common.main(Bench)
