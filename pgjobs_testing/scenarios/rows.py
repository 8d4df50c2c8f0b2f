"""Reads a job and its neighbours from a database in production, and changes nothing there.

One read-only transaction with a time limit for each statement, a page of rows a statement, and no lock.
Both shapes of ``oban_jobs`` are read, in any schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from pgjobs.adapters.postgres.connect import conninfo
from pgjobs.rules.errors import PgJobsError
from pgjobs.rules.job import COLUMNS, Job, JobState
from pgjobs.rules.jsonb import normal_object
from pgjobs.rules.schedule import earlier, later
from pgjobs.rules.unique import META_KEY

STATEMENT_MS = 10_000
CONNECT_S = 10
PAGE = 500
ROWS = 2_000
"""Neighbours that are read at most: the oldest; a scenario of more is none to read."""

_INSTANTS = tuple(name for name in COLUMNS if name.endswith("_at"))


class RecordError(PgJobsError, RuntimeError):
    """What was asked for cannot be read."""


def read_rows(dsn: str, schema: str, job_id: int, around: timedelta) -> tuple[list[Job], bool]:
    """The job first, then its neighbours by id; whether there were more than ``ROWS``.

    A neighbour is of the same queue or the same uniqueness group, and lived within ``around`` of the
    job's life. ``RecordError`` where there is no such job, or no such table, or no connection;
    ``ConfigurationError`` for a DSN that is none.
    """
    try:
        with psycopg.connect(
            conninfo(dsn), connect_timeout=CONNECT_S, autocommit=True
        ) as connection:
            connection.execute("BEGIN READ ONLY")
            connection.execute(f"SET LOCAL statement_timeout = {STATEMENT_MS}")
            found = _rows(connection, schema, sql.SQL("id = %s::bigint"), [job_id], 1)
            if not found:
                raise RecordError(
                    f"no job has the id {job_id} in {schema}.oban_jobs: it was pruned or deleted, or "
                    "lives in another schema (--schema) or database"
                )
            neighbours = list(_neighbours(connection, schema, found[0], around))
    except psycopg.errors.UndefinedTable:
        raise RecordError(
            f"there is no table {schema}.oban_jobs in this database: give its schema with --schema"
        ) from None
    except psycopg.errors.QueryCanceled:
        raise RecordError(
            f"the database did not answer a statement in {STATEMENT_MS // 1000} s: ask for less with "
            "--around"
        ) from None
    except psycopg.Error as error:
        said = str(error).strip().split("\n", 1)[0]
        raise RecordError(f"the database cannot be read: {said}") from None
    return [found[0], *neighbours[:ROWS]], len(neighbours) > ROWS


def life(job: Job) -> tuple[datetime, datetime]:
    """From a job's insert to the last instant that its row knows."""
    known = [getattr(job, name) for name in _INSTANTS if getattr(job, name) is not None]
    return job.inserted_at, max(known)


def _neighbours(
    connection: psycopg.Connection[Any], schema: str, job: Job, around: timedelta
) -> Iterator[Job]:
    began, ended = life(job)
    group = job.meta.get(META_KEY)
    condition = sql.SQL(
        "id > %s::bigint AND id <> %s::bigint"
        " AND (queue = %s::text OR meta->>'pgjobs_unique' = %s::text)"
        " AND inserted_at <= %s::timestamp"
        " AND coalesce(completed_at, discarded_at, cancelled_at, 'infinity') >= %s::timestamp"
    )
    last, read = -(2**63), 0
    while read <= ROWS:
        given = [
            last,
            job.id,
            job.queue,
            group if isinstance(group, str) else None,
            later(ended, around).replace(tzinfo=None),
            earlier(began, around).replace(tzinfo=None),
        ]
        page = _rows(connection, schema, condition, given, PAGE)
        yield from page
        read += len(page)
        if len(page) < PAGE:
            return
        last = page[-1].id


def _rows(
    connection: psycopg.Connection[Any],
    schema: str,
    condition: sql.SQL,
    given: Sequence[object],
    limit: int,
) -> list[Job]:
    statement = sql.SQL(
        "SELECT id, state::text, queue, worker, args, meta, tags, to_jsonb(errors), attempt,"
        " max_attempts, priority, attempted_by, inserted_at, scheduled_at, attempted_at,"
        " completed_at, discarded_at, cancelled_at"
        " FROM {table} WHERE {condition} ORDER BY id LIMIT {limit}"
    ).format(
        table=sql.Identifier(schema, "oban_jobs"), condition=condition, limit=sql.Literal(limit)
    )
    return [_job(row) for row in connection.execute(statement, given)]


def _job(row: Sequence[Any]) -> Job:
    values = dict(zip(COLUMNS, row, strict=True))
    for name in _INSTANTS:
        if values[name] is not None:
            values[name] = values[name].replace(tzinfo=UTC)
    values["state"] = JobState(values["state"])
    values["args"] = normal_object(values["args"] or {}, "args")
    values["meta"] = normal_object(values["meta"] or {}, "meta")
    values["tags"] = tuple(values["tags"] or ())
    values["errors"] = tuple(each for each in values["errors"] or () if isinstance(each, dict))
    values["attempted_by"] = tuple(values["attempted_by"] or ())
    return Job(**values)
