"""Which tables there are: versioned SQL files, applied in order, each once.

Every file may run again on what it made itself, and ``pgjobs_migrations`` says which have run. One
transaction holds an advisory lock of its own, so that two processes may migrate at once; it works
behind a transaction pooler, and leaves nothing behind when it fails.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pgjobs.adapters.postgres.failures import text_of, translated, unmigrated
from pgjobs.adapters.postgres.names import Names, literal, quoted
from pgjobs.rules.errors import ConfigurationError, StoreError
from pgjobs.rules.job import COLUMNS

if TYPE_CHECKING:
    import psycopg

PROBE = "SELECT clock_timestamp()"
"""The server's clock. It is read for the production clock and to date migrations, and decides nothing."""

TABLES = ("oban_jobs", "pgjobs_queues", "pgjobs_nodes", "pgjobs_leases", "pgjobs_ticks")
"""The tables that hold what users stored."""


TABLE_REMEDY = (
    "bring it up to date with Oban's own migrations first, or where it is not Oban's choose another "
    "schema"
)
"""What to do about a table ``oban_jobs`` that lacks columns."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its version and its SQL, with ``{schema}`` and ``{schema_text}`` to be filled in."""

    version: int
    name: str
    template: str

    def sql(self, schema: str) -> str:
        """The SQL for one schema, whatever its name."""
        mark = ""
        while f"body{mark}$" in schema or f"func{mark}$" in schema:
            mark += "_"
        fill = {
            "{schema}": quoted(schema),
            "{schema_text}": literal(schema),
            "$body$": f"$body{mark}$",
            "$func$": f"$func{mark}$",
        }
        return _PLACES.sub(lambda place: fill[place[0]], self.template)


_PLACES = re.compile(r"\{schema\}|\{schema_text\}|\$body\$|\$func\$")


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration, in order."""
    found = []
    for file in files("pgjobs.adapters.postgres").joinpath("schema").iterdir():
        if file.name.endswith(".sql"):
            number = int(file.name.split("_", 1)[0])
            found.append(Migration(number, file.name[:-4], file.read_text(encoding="utf-8")))
    ordered = tuple(sorted(found, key=lambda migration: migration.version))
    assert len({migration.version for migration in ordered}) == len(ordered)
    return ordered


def migrate(target: str | psycopg.Connection[Any], schema: str = "public") -> list[int]:
    """Bring ``schema`` up to date; return the versions that were applied now.

    ``target`` is a DSN, or an open psycopg connection (inside a transaction, it becomes part of
    it). ``StoreUnavailableError`` when the database cannot be reached, ``StoreError`` when it
    refuses.
    """
    import psycopg

    names = Names(schema)
    if isinstance(target, str):
        from pgjobs.adapters.postgres.connect import opened

        with opened(target) as connection:
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            return migrate(connection, schema)
    if not isinstance(target, psycopg.Connection):
        raise ConfigurationError(
            f"migrate takes a DSN or an open psycopg connection, not {target!r}"
        )
    try:
        with target.transaction(), target.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
            return _applied(cursor, names)
    except psycopg.Error as error:
        raise _refused(error, names) from error


def migration_sql(schema: str = "public") -> str:
    """The SQL of every migration, to be run by hand in one transaction (``psql -1``), also again."""
    names = Names(schema)
    parts = [f"SELECT pg_advisory_xact_lock({_lock_key(schema)});\n"]
    for migration in migrations():
        parts.append(migration.sql(schema))
        if migration.version == 1:
            parts.append(_own_table(names))
    known = ", ".join(f"({migration.version}, NULL)" for migration in migrations())
    parts.append(
        f"INSERT INTO {_versions(names)} (version, applied_at) VALUES {known}\n"
        "ON CONFLICT (version) DO NOTHING;\n"
    )
    return "\n".join(parts)


def _applied(cursor: psycopg.Cursor[Any], names: Names) -> list[int]:
    cursor.execute(f"SELECT pg_advisory_xact_lock({_lock_key(names.schema)})")
    cursor.execute(
        "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"WHERE c.relname = 'pgjobs_migrations' AND n.nspname = {literal(names.schema)}"
    )
    done: set[int] = set()
    if cursor.fetchone() is not None:
        cursor.execute(f"SELECT version FROM {_versions(names)}")
        done = {version for (version,) in cursor.fetchall()}
    missing = [migration for migration in migrations() if migration.version not in done]
    if missing:
        _refuse_another(cursor, names)
    for migration in missing:
        cursor.execute(migration.sql(names.schema).encode())
        cursor.execute(_own_table(names))
        cursor.execute(PROBE, binary=True)  # as text it would depend on the DateStyle
        ((now,),) = cursor.fetchall()
        cursor.execute(
            f"INSERT INTO {_versions(names).replace('%', '%%')} (version, applied_at) "
            "VALUES (%s, %s::timestamptz AT TIME ZONE 'UTC')",
            (migration.version, now),
        )
    return [migration.version for migration in missing]


def _refused(error: psycopg.Error, names: Names) -> StoreError:
    """The error for one of a migration, where to migrate is no advice."""
    if not unmigrated(error):
        return translated(error)
    return StoreError(
        f"{text_of(error)}: something in the schema {names.schema} has the name of a table, type or "
        "function of Oban or pgjobs and is none. Rename it, or choose another schema"
    )


def _refuse_another(cursor: psycopg.Cursor[Any], names: Names) -> None:
    """``StoreError`` where ``oban_jobs`` is there and is not Oban's, or older than what is adopted."""
    cursor.execute(
        "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        f"WHERE c.relname = 'oban_jobs' AND n.nspname = {literal(names.schema)} "
        "AND a.attnum > 0 AND NOT a.attisdropped"
    )
    found = {name for (name,) in cursor.fetchall()}
    if found and (lacking := [column for column in COLUMNS if column not in found]):
        raise StoreError(
            f"the schema {names.schema} has a table oban_jobs already, which lacks "
            f"{', '.join(lacking)}: {TABLE_REMEDY}"
        )


def _versions(names: Names) -> str:
    return f"{quoted(names.schema)}.pgjobs_migrations"


def _own_table(names: Names) -> str:
    """``applied_at`` is empty where the printed SQL was run by hand."""
    return (
        f"CREATE TABLE IF NOT EXISTS {_versions(names)} (\n"
        "    version bigint PRIMARY KEY,\n"
        "    applied_at timestamp WITHOUT TIME ZONE\n"
        ");\n"
    )


def _lock_key(schema: str) -> int:
    digest = hashlib.blake2b(b"pgjobs migrate " + schema.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
