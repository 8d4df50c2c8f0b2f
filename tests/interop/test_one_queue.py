"""Both at work on one queue at the same time: every job is executed exactly once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pgjobs import NewJob
from tests.interop.neighbours import Beside, oban

pytestmark = [pytest.mark.live, pytest.mark.pgjobs(mode="live")]

JOBS = 5_000
NAME = "shop.workers.Count"


async def test_5000_jobs_of_one_queue_are_executed_once_each_by_both_at_work(
    beside: Beside, figures: Any
):
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

    await beside.rows(
        "CREATE TABLE executions (job_id bigint, attempt bigint, side text,"
        " PRIMARY KEY (job_id, attempt))"
    )
    insert = "INSERT INTO executions VALUES (%s, %s, %s)"
    threads = ConnectionPool(beside.dsn, max_size=20, open=False)
    tasks = AsyncConnectionPool(beside.dsn, max_size=20, open=False)

    def here(job: Any) -> None:
        with threads.connection() as connection:
            connection.execute(insert, (job.id, job.attempt, "here"))

    async def there(job: Any) -> None:
        async with tasks.connection() as connection:
            await connection.execute(insert, (job.id, job.attempt, "there"))

    beside.defined(NAME, here, there)
    clock = asyncio.get_running_loop().time
    with threads:
        async with tasks, beside.here(20), beside.there(20):
            begin = clock()
            for _ in range(JOBS // 500):
                await asyncio.gather(
                    beside.jobs.insert_all_async(NewJob(NAME, {}) for _ in range(250)),
                    beside.oban.enqueue_many(oban.Job(NAME) for _ in range(250)),
                )
            await beside.until(
                f"(SELECT count(*) FROM oban_jobs WHERE state = 'completed') >= {JOBS}"
            )
            took = clock() - begin
    sides = dict(await beside.rows("SELECT side, count(*) FROM executions GROUP BY side"))
    figures(f"{JOBS} jobs in {took:.1f} s, both at work: {sides}")
    assert [(JOBS, JOBS, 1, 1)] == await beside.rows(
        "SELECT count(*), count(DISTINCT job_id), min(attempt), max(attempt) FROM executions"
    )
    assert [("completed", 1, JOBS)] == await beside.rows(
        "SELECT state::text, attempt::bigint, count(*) FROM oban_jobs GROUP BY 1, 2"
    )
    assert {"here", "there"} == set(sides)
    assert min(sides.values()) > JOBS // 20
