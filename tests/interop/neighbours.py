"""Two neighbours on one table: Oban for Python, whose migrations made it, and pgjobs.

Nothing of either is replaced. Oban runs on the test's event loop, a node of pgjobs in its own threads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from pgjobs import NewJob, PgJobs, worker

oban = pytest.importorskip(
    "oban",
    reason="Oban for Python is not installed: it needs Python 3.12, and `make test-interop` brings it",
)

LONG_S = 600.0
"""An interval that no test waits for: what happens before it was told, not found."""
PATIENCE_S = 30
LISTENS = """SELECT FROM pg_stat_activity
WHERE datname = current_database() AND query = 'LISTEN "public.pgjobs"' AND state = 'idle'"""


class Beside:
    """One database, and both at work on it. ``here`` is pgjobs, ``there`` is Oban."""

    def __init__(self, dsn: str, pool: Any) -> None:
        self.dsn, self.pool = dsn, pool
        self.jobs = PgJobs(dsn, queues=False)
        self.oban = oban.Oban(pool=pool)

    def defined(
        self,
        name: str,
        here: Callable[[Any], Any] | None = None,
        there: Callable[[Any], Awaitable[Any]] | None = None,
    ) -> None:
        """Define the worker ``name`` (``module.Class``, as Oban has it) on one side or on both."""
        if here is not None:
            worker(name=name)(here)
        if there is not None:
            process = there

            async def run(_: Any, job: Any) -> Any:
                return await process(job)

            module, _, qualname = name.rpartition(".")
            body = {"process": run, "__module__": module, "__qualname__": qualname}
            oban.worker()(type(qualname, (), body))

    @asynccontextmanager
    async def here(self, concurrency: int = 5, **given: Any) -> AsyncIterator[PgJobs]:
        """A node of pgjobs serves ``default`` inside the block; it listens when that begins."""
        jobs = PgJobs(self.dsn, name="here", queues={"default": concurrency}, **given)
        async with jobs.running_async():
            await self.until(f"EXISTS ({LISTENS})")
            yield jobs

    @asynccontextmanager
    async def there(self, concurrency: int = 5, **given: Any) -> AsyncIterator[Any]:
        """A node of Oban serves ``default`` inside the block; it listens when that begins."""
        node = oban.Oban(pool=self.pool, node="there", queues={"default": concurrency}, **given)
        async with node:
            for channel in ("insert", "signal"):
                await node._notifier.listen(channel, lambda *_: None, wait=True)
            yield node

    def side(self, name: str, **given: Any) -> Any:
        """The block of ``here`` or ``there``."""
        return getattr(self, name)(**given)

    async def enqueue(self, side: str, name: str, args: Any = None, **given: Any) -> int:
        """Insert a job by one side's own means."""
        if side == "here":
            return (await self.jobs.insert_async(NewJob(name, args or {}, **given))).id
        stored = await self.oban.enqueue(oban.Job(name, args=args or {}, **given))
        return int(stored.id)

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query says."""
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            cursor = await connection.execute(sql.encode())
            return await cursor.fetchall() if cursor.description else []

    async def until(self, condition: str) -> None:
        """Wait, in the server and for a while at most, until an SQL condition holds."""
        look_again = "PERFORM pg_sleep(0.002), pg_stat_clear_snapshot()"
        loop = f"WHILE NOT ({condition}) LOOP {look_again}; END LOOP"
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            await connection.execute(f"SET statement_timeout = '{PATIENCE_S}s'".encode())
            await connection.execute(f"DO $do$ BEGIN {loop}; END $do$".encode())

    async def state(self, job_id: int, *states: str) -> None:
        """Wait until a job is in one of these states."""
        listed = ", ".join(f"'{state}'" for state in states)
        await self.until(f"(SELECT state::text FROM oban_jobs WHERE id = {job_id}) IN ({listed})")
