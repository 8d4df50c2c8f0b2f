"""How a plan is carried out over the caller's connection: sent as it is, in the caller's transaction.

Nothing is begun, committed or rolled back for the caller. The one exception is a connection in
autocommit, which has no transaction: there a plan of several statements gets one of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pgjobs.adapters.callers import over_django, over_psycopg, over_sqlalchemy
from pgjobs.adapters.callers.kinds import Kind, Library, checked
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, Statement
from pgjobs.rules.errors import StoreError

T = TypeVar("T")

Rows = list[list[Row]]


def carry_out(plan: Plan[T], connection: object, schema: str) -> T:
    """The answer of ``plan``, whose tables are in ``schema``.

    ``ConfigurationError`` for a connection that cannot be used, ``StoreError`` from the driver's own
    exception when the server refused; the caller's transaction is then as its library leaves it.
    """
    kind = checked(connection, awaits=False)
    with _encoding():
        return plan.answer(_BLOCKING[kind.library](kind, connection, plan.statements, schema))


async def carry_out_async(plan: Plan[T], connection: object, schema: str) -> T:
    """The same over an asynchronous connection."""
    kind = checked(connection, awaits=True)
    with _encoding():
        return plan.answer(await _AWAITING[kind.library](kind, connection, plan.statements, schema))


@contextmanager
def _encoding() -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise StoreError(
            f"the connection's client_encoding cannot hold a text of the job ({error.reason}): "
            "UTF8 can"
        ) from error


_BLOCKING: dict[Library, Callable[[Kind, Any, Sequence[Statement], str], Rows]] = {
    Library.PSYCOPG: over_psycopg.carry_out,
    Library.SQLALCHEMY: over_sqlalchemy.carry_out,
    Library.DJANGO: over_django.carry_out,
}
_AWAITING: dict[Library, Callable[[Kind, Any, Sequence[Statement], str], Awaitable[Rows]]] = {
    Library.PSYCOPG: over_psycopg.carry_out_async,
    Library.SQLALCHEMY: over_sqlalchemy.carry_out_async,
}
