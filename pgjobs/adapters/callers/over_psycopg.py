"""How statements are carried out over a connection of psycopg 3.

psycopg's raw cursor takes ``$1`` as it is. Its rows and texts are adapted in psycopg's own way, whatever
the connection's factories and adapters are; and what the caller's ``pipeline()`` holds goes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pgjobs.adapters.callers.kinds import Kind, closed
from pgjobs.adapters.callers.scalars import plain
from pgjobs.adapters.postgres.failures import translated
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Statement

if TYPE_CHECKING:
    import psycopg


def carry_out(
    kind: Kind, connection: psycopg.Connection[Any], statements: Sequence[Statement], schema: str
) -> list[list[Row]]:
    import psycopg

    if connection.closed:
        raise closed(kind)
    try:
        if connection.autocommit and len(statements) > 1:
            with connection.transaction():
                return [_executed(connection, statement) for statement in statements]
        return [_executed(connection, statement) for statement in statements]
    except psycopg.Error as error:
        raise translated(error, schema) from error


async def carry_out_async(
    kind: Kind,
    connection: psycopg.AsyncConnection[Any],
    statements: Sequence[Statement],
    schema: str,
) -> list[list[Row]]:
    import psycopg

    if connection.closed:
        raise closed(kind)
    try:
        if connection.autocommit and len(statements) > 1:
            async with connection.transaction():
                return [await _executed_async(connection, each) for each in statements]
        return [await _executed_async(connection, each) for each in statements]
    except psycopg.Error as error:
        raise translated(error, schema) from error


def _executed(connection: psycopg.Connection[Any], statement: Statement) -> list[Row]:
    import psycopg
    from psycopg.rows import tuple_row

    with psycopg.RawCursor(connection, row_factory=tuple_row) as cursor:
        _adapt(cursor.adapters)
        cursor.execute(statement.sql, statement.parameters)
        rows = cursor.fetchall()
        return plain(rows, cursor.description or ())


async def _executed_async(
    connection: psycopg.AsyncConnection[Any], statement: Statement
) -> list[Row]:
    import psycopg
    from psycopg.rows import tuple_row

    async with psycopg.AsyncRawCursor(connection, row_factory=tuple_row) as cursor:
        _adapt(cursor.adapters)
        await cursor.execute(statement.sql, statement.parameters)
        rows = await cursor.fetchall()
        return plain(rows, cursor.description or ())


def _adapt(adapters: psycopg.adapt.AdaptersMap) -> None:
    """Let one cursor write texts and read scalars as psycopg does where nobody changed it."""
    from psycopg.types.bool import BoolLoader
    from psycopg.types.numeric import IntLoader
    from psycopg.types.string import StrDumper, TextLoader

    adapters.register_dumper(str, StrDumper)
    adapters.register_loader("int8", IntLoader)
    adapters.register_loader("text", TextLoader)
    adapters.register_loader("bool", BoolLoader)
