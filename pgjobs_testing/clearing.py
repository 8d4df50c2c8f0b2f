"""How a database is emptied between two tests: every row of every table of ours, in one statement.

DELETE takes 0.05 ms on small tables, TRUNCATE 1 to 16 ms. Ids go on rising, as in production.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.adapters.postgres.migrations import TABLES
from pgjobs.adapters.postgres.names import quoted

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.store import PostgresStore


def clear(store: PostgresStore) -> None:
    """Delete what was stored; the tables and the migrations stay."""
    deletions = [
        f"deleted_{n} AS (DELETE FROM {quoted(store.schema)}.{table})"  # noqa: S608 - quoted
        for n, table in enumerate(TABLES)
    ]
    store.query(f"WITH {', '.join(deletions)} SELECT")
