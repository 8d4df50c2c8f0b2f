"""What a database looks like from outside, for ``pgjobs doctor``: facts, read and not judged.

The catalogs are read, so that nothing here fails where a table is missing or of another shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pgjobs.adapters.postgres.migrations import migrations
from pgjobs.adapters.postgres.names import quoted
from pgjobs.adapters.postgres.values import Parameters

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.store import PostgresStore

SESSION_LINES = 3
"""Connections that a node holds beside its store's pool; one more, where a queue has limits."""

FRESH = timedelta(seconds=60)
"""A producer of Oban that was not refreshed for so long is gone, as Oban itself has it."""


@dataclass(frozen=True, slots=True)
class Server:
    """``number`` is as in ``server_version_num``: 180006 for 18.6. ``connections``: for all clients."""

    number: int
    version: str
    database: str
    connections: int


@dataclass(frozen=True, slots=True)
class Tables:
    """``names`` are those that may be read; ``applied`` is None where no migration has run;
    ``columns`` (name: type) are of ``oban_jobs``."""

    names: frozenset[str]
    applied: tuple[int, ...] | None
    known: tuple[int, ...]
    columns: Mapping[str, str]
    states: tuple[str, ...]
    comment: str | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A producer (with its ``queue``) or a leader (without) of an Oban that works here now."""

    table: str
    node: str
    queue: str | None


def server(store: PostgresStore) -> Server:
    """The server; ``StoreUnavailableError`` when it cannot be reached."""
    ((number, version, database, connections),) = store.query(
        "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'),"
        " current_database()::text, current_setting('max_connections')::bigint"
        " - current_setting('superuser_reserved_connections')::bigint"
    )
    return Server(number, version.split(" ")[0], database, connections)


def tables(store: PostgresStore) -> Tables:
    """The tables of the store's schema."""
    schema = store.schema
    names = frozenset(
        name
        for (name,) in store.query(
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = $1::text AND c.relkind IN ('r', 'p', 'v', 'f')"
            " AND has_table_privilege(c.oid, 'SELECT')",
            schema,
        )
    )
    columns = store.query(
        "SELECT a.attname::text, format_type(a.atttypid, NULL), obj_description(c.oid, 'pg_class')"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1::text AND c.relname = 'oban_jobs' AND c.relkind IN ('r', 'p')"
        " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        schema,
    )
    states = store.query(
        "SELECT e.enumlabel::text FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid"
        " JOIN pg_namespace n ON n.oid = t.typnamespace"
        " WHERE n.nspname = $1::text AND t.typname = 'oban_job_state' ORDER BY e.enumsortorder",
        schema,
    )
    applied = None
    if "pgjobs_migrations" in names:
        rows = store.query(
            f"SELECT version::bigint FROM {quoted(schema)}.pgjobs_migrations ORDER BY 1"
        )
        applied = tuple(version for (version,) in rows)
    return Tables(
        names,
        applied,
        tuple(migration.version for migration in migrations()),
        {name: type_ for name, type_, _ in columns},
        tuple(state for (state,) in states),
        columns[0][2] if columns else None,
    )


def executing(store: PostgresStore) -> dict[str, int]:
    """How many jobs execute in each node's name."""
    rows = store.query(
        "SELECT coalesce(attempted_by[1], ''), count(*) FROM "
        f"{quoted(store.schema)}.oban_jobs WHERE state = 'executing' GROUP BY 1 ORDER BY 1"
    )
    return dict(rows)


def neighbours(store: PostgresStore, found: Tables, now: datetime) -> list[Neighbour]:
    """The Obans of this schema that were heard of lately, in the tables that may be read."""
    lately = []
    for table, queue, instant, since in (
        ("oban_producers", "queue", "updated_at", now - FRESH),
        ("oban_leaders", "NULL::text", "expires_at", now),
        ("oban_peers", "NULL::text", "expires_at", now),
    ):
        if table in found.names:
            given = Parameters()
            rows = store.query(
                f"SELECT DISTINCT node::text, {queue} FROM {quoted(store.schema)}.{table}"
                f" WHERE {instant} > {given.instant(since)} ORDER BY 1, 2",
                *given.values,
            )
            lately += [Neighbour(table, *row) for row in rows]
    return lately
