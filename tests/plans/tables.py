"""The tables at their worst: what PostgreSQL believes of each, and what is really in it.

Every table has the same kinds of rows, some 400 of which are executing however large it is. They differ in
what was there when the statistics were taken, and in what is dead. Autovacuum is off: nothing is put
right while a test looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg

from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.adapters.postgres.names import quoted
from pgjobs_testing.conformance.given import NOW

Connection = psycopg.Connection[Any]

EXECUTING = 400
"""Jobs that execute, whatever else is there: half in the name of nodes that are gone."""
NODES = 20
QUEUES = 11
"""Queues that have jobs."""
GROUP = "always"
"""A fingerprint with a long history: one of fifty rows has it, all but one of them finished."""
SPAN = timedelta(days=365)
BULK = 1_000_000
"""Rows of a table whose indexes are made when it is full."""

FILL = """
INSERT INTO {schema}.oban_jobs (state, queue, worker, args, meta, tags, attempt, attempted_by,
  inserted_at, scheduled_at, attempted_at, completed_at, cancelled_at, discarded_at)
SELECT state::{schema}.oban_job_state,
  CASE WHEN n / 100 %% 2 = 0 THEN 'default' ELSE 'q' || n / 100 %% 20 END,
  'w' || n %% 10, jsonb_build_object('n', n),
  CASE WHEN n %% 50 = 1 THEN '{"pgjobs_unique": "always"}'
    WHEN n %% 10 = 0 THEN jsonb_build_object('pgjobs_unique', 'u' || n) ELSE '{}' END,
  CASE n %% 10 WHEN 3 THEN '{a,b}' ELSE '{}' END::text[],
  CASE WHEN state IN ('available', 'scheduled') THEN 0 ELSE 1 END,
  CASE WHEN state IN ('available', 'scheduled') THEN '{}'
    ELSE ARRAY['node' || n %% %(nodes)s, 't' || n] END,
  at, CASE WHEN n %% 100 BETWEEN 76 AND 87 THEN at + interval '10 years' ELSE at END,
  CASE WHEN state NOT IN ('available', 'scheduled') THEN at END,
  CASE state WHEN 'completed' THEN at END,
  CASE state WHEN 'cancelled' THEN at END,
  CASE state WHEN 'discarded' THEN at END
FROM (
  SELECT n, %(now)s::timestamp - %(span)s * (1 - n / %(of)s::float8) AS at,
    coalesce(%(state)s, CASE WHEN n %% 100 < 70 THEN 'completed' WHEN n %% 100 < 73 THEN 'cancelled'
      WHEN n %% 100 < 76 THEN 'discarded' WHEN n %% 100 < 86 THEN 'scheduled'
      WHEN n %% 100 < 88 THEN 'retryable' WHEN n %% 100 < 98 THEN 'available'
      WHEN n %% 100 < 99 THEN 'scheduled' ELSE 'suspended' END) AS state
  FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
) AS made
WHERE state = ANY (%(states)s)
"""
EVERY = [
    "completed",
    "cancelled",
    "discarded",
    "scheduled",
    "retryable",
    "available",
    "suspended",
    "executing",
]
AT_REST = ["completed", "cancelled", "discarded", "suspended"]


@dataclass(frozen=True)
class Table:
    """A schema with ``rows`` entries in its ``oban_jobs``, of which a tenth or all are alive."""

    connection: Connection
    schema: str
    rows: int
    missing: list[str] = field(default_factory=list)

    def do(self, sql: str, **values: Any) -> None:
        """Run a statement; with ``values`` it writes ``%%`` for ``%``."""
        filled = sql.replace("{schema}", quoted(self.schema)).encode()
        self.connection.execute(filled, values or None)

    def fill(
        self, first: float = 0, last: float = 1, states: list[str] = EVERY, state: str | None = None
    ) -> None:
        """Rows from one part of the whole to another: those of ``states``, or all in one ``state``."""
        self.do(
            FILL,
            first=int(first * self.rows) + 1,
            last=int(last * self.rows),
            of=self.rows,
            states=states,
            state=state,
            now=NOW.replace(tzinfo=None),
            span=SPAN,
            nodes=NODES,
        )

    def drop_indexes(self) -> None:
        """Until they are made again a large table is filled faster; the primary key stays."""
        found = self.connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s "
            "AND tablename = 'oban_jobs' AND indexname <> 'oban_jobs_pkey'",
            (self.schema,),
        )
        for name, definition in found.fetchall():
            self.missing.append(definition)
            self.do(f"DROP INDEX {{schema}}.{quoted(name)}")

    def make_indexes(self) -> None:
        """All that were dropped."""
        while self.missing:
            self.connection.execute(self.missing.pop().encode())

    def execute(self) -> None:
        """The rows that execute, the newest of all."""
        self.fill(1 - EXECUTING / self.rows, 1, state="executing")

    def analyze(self) -> None:
        for table in ("oban_jobs", "oban_producers"):
            self.do(f"VACUUM (ANALYZE) {{schema}}.{table}")


def never_analysed(table: Table) -> None:
    """Nothing is known but how many pages there are."""
    table.fill()
    table.execute()


def analysed_when_empty(table: Table) -> None:
    """The statistics say that there is nothing."""
    table.analyze()
    table.fill()
    table.execute()


def analysed_at_rest(table: Table) -> None:
    """The statistics say that no job executes, waits or is due: they do, since."""
    table.fill(states=AT_REST)
    table.make_indexes()
    table.analyze()
    table.fill(states=["available", "scheduled", "retryable"])
    table.execute()


def analysed_when_little_waited(table: Table) -> None:
    """The statistics say that a few jobs execute, wait and are due: there are hundreds of times more."""
    table.fill(states=AT_REST)
    table.fill(0, 100 / table.rows, state="executing")
    table.fill(0, 100 / table.rows, state="available")
    table.fill(0, 100 / table.rows, state="scheduled")
    table.analyze()
    table.do("DELETE FROM {schema}.oban_jobs WHERE state = 'executing'")
    table.fill(states=["available", "scheduled", "retryable"])
    table.execute()


def analysed_when_emptied(table: Table) -> None:
    """The statistics say that as many pages hold a single row."""
    table.fill()
    table.do("DELETE FROM {schema}.oban_jobs WHERE id < (SELECT max(id) FROM {schema}.oban_jobs)")
    table.analyze()
    table.fill()
    table.execute()


def analysed_in_a_rush(table: Table) -> None:
    """The statistics say that half of the jobs execute and the others wait: most are finished since."""
    table.fill(0, 0.005, state="executing")
    table.fill(0.005, 0.01, state="available")
    table.analyze()
    table.do("DELETE FROM {schema}.oban_jobs")
    table.fill()
    table.execute()


def nine_tenths_dead(table: Table) -> None:
    """Nine of ten entries are dead, at the head of every index; known are those that were alive."""
    table.fill(0, 0.45)
    table.fill(0.45, 0.6, state="executing")
    table.fill(0.6, 0.9, state="available")
    table.make_indexes()
    table.do("DELETE FROM {schema}.oban_jobs")
    table.fill(0.9, 1)
    table.do("ANALYZE {schema}.oban_jobs")
    table.execute()


WORST: Mapping[str, Callable[[Table], None]] = {
    made.__name__: made
    for made in (
        never_analysed,
        analysed_when_empty,
        analysed_when_emptied,
        analysed_at_rest,
        analysed_when_little_waited,
        analysed_in_a_rush,
        nine_tenths_dead,
    )
}


def made(connection: Connection, worst: str, rows: int) -> Table:
    """The table, filled, in a schema of its own; with nodes, a lease that is held, and watermarks."""
    table = Table(connection, f"{worst}_{rows}", rows)
    table.do("CREATE SCHEMA {schema}")
    migrate(connection, table.schema)
    table.do("ALTER TABLE {schema}.oban_jobs SET (autovacuum_enabled = false)")
    if rows > BULK:
        table.drop_indexes()
    WORST[worst](table)
    table.make_indexes()
    at = {"now": NOW.replace(tzinfo=None), "nodes": NODES}
    table.do(
        "INSERT INTO {schema}.pgjobs_leases VALUES ('default', 'leader', 1, "
        "%(now)s::timestamp + interval '1 day')",
        **at,
    )
    table.do(
        "INSERT INTO {schema}.pgjobs_nodes SELECT 'node' || n, %(now)s, "
        "%(now)s::timestamp - n %% 2 * interval '1 hour', '1 second' "
        "FROM generate_series(0, %(nodes)s - 1) AS n",
        **at,
    )
    table.do(
        "INSERT INTO {schema}.pgjobs_ticks SELECT 'entry' || n, %(now)s "
        "FROM generate_series(1, 1000) AS n",
        **at,
    )
    return table
