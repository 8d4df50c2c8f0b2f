"""How a database is emptied between two tests: every row of every table of ours, in one statement.

DELETE takes 0.05 ms on small tables, TRUNCATE 1 to 16 ms. Ids begin at 1 again, as they do in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgjobs.adapters.postgres.migrations import TABLES
from pgjobs.adapters.postgres.names import literal, quoted

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.store import PostgresStore


def clear(store: PostgresStore, first_id: int = 1) -> None:
    """Delete what was stored, and let ids begin at ``first_id``; tables and migrations stay."""
    deletions = [
        f"deleted_{n} AS (DELETE FROM {quoted(store.schema)}.{table})"  # noqa: S608 - quoted
        for n, table in enumerate(TABLES)
    ]
    table = literal(f"{quoted(store.schema)}.oban_jobs")
    restart = f"setval(pg_get_serial_sequence({table}, 'id'), {first_id}, false)"
    store.query(f"WITH {', '.join(deletions)} SELECT {restart}")
