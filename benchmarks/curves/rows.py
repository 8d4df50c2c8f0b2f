"""How a table is filled for a measurement: by SQL on the server, since the inserting is not measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks.curves.bench import Database

ZERO = "timezone('utc', now()) - interval '1 day'"
"""When the first of the rows was inserted: not so long ago that it would be pruned."""

_JOBS = """
INSERT INTO oban_jobs (state, queue, worker, args, meta, priority, attempt, attempted_by,
  inserted_at, scheduled_at, attempted_at, completed_at)
SELECT {state}::oban_job_state, {queue}, 'measured', {args}, {meta}, {priority}, {attempt}, {by},
  {at}, {scheduled}, {attempted}, {attempted}
FROM generate_series(1, {count}) AS n, LATERAL (SELECT {zero} + n * interval '5 ms' AS t) AS x
"""


def available(
    database: Database,
    count: int,
    *,
    queue: str = "'default'",
    args: str = "'{}'",
    priority: int = 0,
) -> None:
    """``count`` jobs that may start; ``queue`` and ``args`` are SQL, in which ``n`` counts from 1."""
    sql = _JOBS.format(
        state="'available'", queue=queue, args=f"{args}::jsonb", meta="'{}'", priority=priority,
        attempt=0, by="'{}'", at="t", scheduled="t", attempted="NULL::timestamp", count=count, zero=ZERO,
    )  # fmt: skip
    database.run(sql)


def finished(database: Database, count: int) -> None:
    """``count`` jobs that were completed, one each five milliseconds of the last day."""
    sql = _JOBS.format(
        state="'completed'", queue="'default'", args="jsonb_build_object('i', n)", meta="'{}'",
        priority=0, attempt=1, by="'{node,token}'", at="t", scheduled="t", attempted="t", count=count,
        zero=ZERO,
    )  # fmt: skip
    database.run(sql)


def waiting(database: Database, count: int, *, meta: str = "'{}'") -> None:
    """``count`` jobs that are due in years, one each second; ``meta`` is SQL."""
    sql = _JOBS.format(
        state="'scheduled'", queue="'default'", args="jsonb_build_object('i', n)", meta=meta,
        priority=0, attempt=0, by="'{}'", at="t", scheduled="timestamp '2090-01-01' + n * interval '1 s'",
        attempted="NULL::timestamp", count=count, zero=ZERO,
    )  # fmt: skip
    database.run(sql)


@contextlib.contextmanager
def without_indexes(database: Database) -> Iterator[None]:
    """Drops the indexes but the primary key, and makes them again behind what was filled in."""
    made = database.connection.execute(
        "SELECT format('%I', indexname), indexdef FROM pg_indexes "
        "WHERE tablename = 'oban_jobs' AND indexname <> 'oban_jobs_pkey' ORDER BY 1"
    ).fetchall()
    for name, _ in made:
        database.run(f"DROP INDEX {name}")
    yield
    database.run("SET maintenance_work_mem = '512MB'")
    for _, definition in made:
        database.run(str(definition))


def settle_down(database: Database) -> None:
    """Leave no vacuum, analyze or checkpoint to be done while something is measured."""
    database.run("VACUUM ANALYZE oban_jobs")
    database.run("CHECKPOINT")
