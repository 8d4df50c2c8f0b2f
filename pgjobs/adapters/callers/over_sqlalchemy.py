"""How statements are carried out over SQLAlchemy 2: through the connection's own ``exec_driver_sql``.

So a session or connection begins its transaction as it does for any statement, and its events,
savepoints and rollback cover the job. An asynchronous one is SQLAlchemy's wrapper of a synchronous
one, which ``run_sync`` gives; both are spoken to in one way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pgjobs.adapters.callers.autocommit import begun, in_transaction
from pgjobs.adapters.callers.kinds import Kind, OtherServerError
from pgjobs.adapters.callers.placeholders import named
from pgjobs.adapters.callers.scalars import plain
from pgjobs.adapters.callers.sqlalchemy_connections import async_connection, connection_of
from pgjobs.adapters.postgres.failures import translated
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Statement
from pgjobs.rules.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session


def carry_out(
    kind: Kind, given: Connection | Session, statements: Sequence[Statement], schema: str
) -> list[list[Row]]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        connection = _connection(kind, given)
        if len(statements) > 1 and _in_autocommit(connection):
            with begun(connection.exec_driver_sql):
                return [_executed(connection, statement) for statement in statements]
        return [_executed(connection, statement) for statement in statements]
    except SQLAlchemyError as error:
        cause = _cause(error)
        raise _translated(cause, schema) from cause
    except OSError as error:  # asyncpg's, when a session opens its connection now
        raise StoreUnavailableError(f"no connection could be opened: {error}") from error


async def carry_out_async(
    kind: Kind, given: Any, statements: Sequence[Statement], schema: str
) -> list[list[Row]]:
    opened = async_connection(kind, given)
    rows: list[list[Row]] = await opened.run_sync(
        lambda inner: carry_out(kind, inner, statements, schema)
    )
    return rows


def _connection(kind: Kind, given: Connection | Session) -> Connection:
    connection = connection_of(kind, given)
    dialect = connection.dialect
    if dialect.name != "postgresql" or dialect.paramstyle not in ("pyformat", "numeric_dollar"):
        raise OtherServerError(
            "connection takes SQLAlchemy on PostgreSQL with the driver psycopg, psycopg2 or asyncpg; "
            f"this one is {dialect.name}+{dialect.driver}"
        )
    return connection


def _in_autocommit(connection: Connection) -> bool:
    """Whether each statement would be a transaction of its own."""
    pooled = connection.connection
    return bool(getattr(pooled.dbapi_connection, "autocommit", False)) and not in_transaction(
        pooled.driver_connection
    )


def _executed(connection: Connection, statement: Statement) -> list[Row]:
    sql: str
    parameters: Any
    if connection.dialect.paramstyle == "pyformat":
        sql, parameters = named(statement)
    else:
        sql, parameters = statement.sql, statement.parameters
    result = connection.exec_driver_sql(
        sql, parameters, execution_options={"stream_results": False}
    )
    assert result.cursor is not None, "every statement of a plan gives rows"
    description = result.cursor.description
    return plain(result.fetchall(), description)


def _cause(error: Exception) -> Exception:
    """The driver's own exception, where there is one below SQLAlchemy's."""
    found = getattr(error, "orig", None)
    if not isinstance(found, Exception):
        return error
    below = found.__cause__  # asyncpg's, below that of SQLAlchemy's adapter
    return below if isinstance(below, Exception) else found


def _translated(error: Exception, schema: str) -> StoreError:
    from sqlalchemy.exc import TimeoutError as NoConnectionInTime

    if isinstance(error, NoConnectionInTime):
        return StoreUnavailableError(str(error))
    return translated(error, schema)
