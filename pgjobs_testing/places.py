"""Whether a caller's connection leads to the database of the test: the server itself is asked.

A name or an address has many spellings, and each library keeps its own; what the server says of
itself is the same over all of them. It costs one statement more, in tests alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.adapters.callers import carrying
from pgjobs.adapters.callers.kinds import OtherServerError
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, single
from pgjobs.adapters.postgres.values import Parameters
from pgjobs.guard import LIVE
from pgjobs.rules.errors import CapturedStoreError, ConfigurationError
from pgjobs_testing.servers.dsn import place

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.store import PostgresStore

_PLACE: Plan[Row] = single(
    "SELECT current_database()::text, extract(epoch FROM pg_postmaster_start_time())::text",
    Parameters(),
    lambda rows: rows[0],
)
"""The name of the database, and when its server was started, to the microsecond."""


def refuse_another(store: PostgresStore, connection: object) -> None:
    """``CapturedStoreError`` where ``connection`` leads to another database than ``store``.

    ``ConfigurationError`` where that is no PostgreSQL, as in production.
    """
    try:
        found = carrying.carry_out(_PLACE, connection, store.schema)
    except OtherServerError as error:
        raise _another_server(store, error) from None
    _compare(store, found)


async def refuse_another_async(store: PostgresStore, connection: object) -> None:
    """The same for an asynchronous connection."""
    try:
        found = await carrying.carry_out_async(_PLACE, connection, store.schema)
    except OtherServerError as error:
        raise _another_server(store, error) from None
    _compare(store, found)


def _compare(store: PostgresStore, found: Row) -> None:
    (own,) = store.query(_PLACE.statements[0].sql)
    if found != own:
        raise CapturedStoreError(
            f"in mode postgres a test has a database of its own, {own[0]!r}, and the connection "
            f"given leads to another, {found[0]!r}, where the test would not see the job: "
            f"{_remedy(store)}, or {LIVE}"
        )


def _another_server(store: PostgresStore, error: OtherServerError) -> ConfigurationError:
    return ConfigurationError(
        f"{error}. In mode postgres a test has a database of its own: {_remedy(store)}, or run the "
        'test in mode="manual", which takes any connection'
    )


def _remedy(store: PostgresStore) -> str:
    """Where to, without the password, and where it is told how."""
    return (
        f"connect to jobs.store.postgres.dsn ({place(store.dsn)}; the same is the session-scoped fixture "
        "pgjobs_dsn: see docs/how-to/django.md and docs/how-to/sqlalchemy.md)"
    )
