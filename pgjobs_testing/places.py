"""Whether a caller's connection leads to the database of the test: the server itself is asked.

A name or an address has many spellings, and each library keeps its own; what the server says of
itself is the same over all of them. It costs one statement more, in tests alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.adapters.callers import carrying
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, single
from pgjobs.adapters.postgres.values import Parameters
from pgjobs.rules.errors import CapturedStoreError

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.store import PostgresStore

_PLACE: Plan[Row] = single(
    "SELECT current_database()::text, extract(epoch FROM pg_postmaster_start_time())::text",
    Parameters(),
    lambda rows: rows[0],
)
"""The name of the database, and when its server was started, to the microsecond."""


def refuse_another(store: PostgresStore, connection: object) -> None:
    """``CapturedStoreError`` where ``connection`` leads to another database than ``store``."""
    _compare(store, carrying.carry_out(_PLACE, connection, store.schema))


async def refuse_another_async(store: PostgresStore, connection: object) -> None:
    """The same for an asynchronous connection."""
    _compare(store, await carrying.carry_out_async(_PLACE, connection, store.schema))


def _compare(store: PostgresStore, found: Row) -> None:
    (own,) = store.query(_PLACE.statements[0].sql)
    if found != own:
        raise CapturedStoreError(
            f"in mode postgres a test has a database of its own, {own[0]!r}, and the connection "
            f"given leads to another, {found[0]!r}, where the test would not see the job: connect "
            "to jobs.store.postgres.dsn, or mark the test with "
            '@pytest.mark.pgjobs(mode="live")'
        )
