"""An application that counts its own executions, in the database that it works on."""

from __future__ import annotations

import os

import psycopg

from pgjobs import PgJobs, worker

jobs = PgJobs(queues={"default": 20, "threads": 5})


def executed(job_id: int) -> None:
    """Write down that a job ran, in a transaction of its own."""
    with psycopg.connect(os.environ["PGJOBS_DSN"], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO executions (job_id, process) VALUES (%s, %s)", (job_id, os.getpid())
        )


@worker(name="count", queue="threads")
def count(job: object) -> None:
    """One execution more, from a thread."""
    executed(job.id)  # type: ignore[attr-defined]  # a Job


@worker(name="count_async")
async def count_async(job: object) -> None:
    """One execution more, from the event loop."""
    async with await psycopg.AsyncConnection.connect(
        os.environ["PGJOBS_DSN"], autocommit=True
    ) as connection:
        await connection.execute(
            "INSERT INTO executions (job_id, process) VALUES (%s, %s)",
            (job.id, os.getpid()),  # type: ignore[attr-defined]  # a Job
        )
