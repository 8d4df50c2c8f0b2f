"""How statements are carried out over Django's connection: through the cursor that it gives anybody.

So ``atomic()`` covers the job, and Django's execute wrappers and query log see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pgjobs.adapters.callers.autocommit import begun, in_transaction
from pgjobs.adapters.callers.kinds import Kind, OtherServerError
from pgjobs.adapters.callers.placeholders import named
from pgjobs.adapters.callers.scalars import plain
from pgjobs.adapters.postgres.failures import translated
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Statement


def carry_out(
    _: Kind, connection: Any, statements: Sequence[Statement], schema: str
) -> list[list[Row]]:
    from django.db.utils import Error

    vendor = getattr(connection, "vendor", None)
    if vendor != "postgresql":
        raise OtherServerError(
            "connection takes a Django connection to PostgreSQL, such as django.db.connection; this "
            f"one's vendor is {vendor!r}"
        )
    try:
        with connection.cursor() as cursor:
            if len(statements) > 1 and _in_autocommit(connection):
                with begun(cursor.execute):
                    return [_executed(cursor, statement) for statement in statements]
            return [_executed(cursor, statement) for statement in statements]
    except Error as error:
        below = error.__cause__
        cause = below if isinstance(below, Exception) else error
        raise translated(cause, schema) from cause


def _in_autocommit(connection: Any) -> bool:
    """Whether each statement would be a transaction of its own."""
    return connection.get_autocommit() and not in_transaction(connection.connection)


def _executed(cursor: Any, statement: Statement) -> list[Row]:
    cursor.execute(*named(statement))
    return plain(cursor.fetchall(), cursor.description)
