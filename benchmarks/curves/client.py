"""How this process inserts jobs that run in the processes of the nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pgjobs import Job, PgJobs, PostgresStore, worker


@worker(name="measured")
async def measured(job: Job) -> None:
    """What really runs is the worker of that name in ``benchmarks.curves.node``."""
    raise AssertionError(f"job {job.id} was not to run in this process")


@contextlib.contextmanager
def client(dsn: str, pool_size: int = 1) -> Iterator[PgJobs]:
    """A client with connections of its own."""
    store = PostgresStore(dsn, pool_size=pool_size)
    try:
        yield PgJobs(store=store, queues=False)
    finally:
        store.close()
