"""What a test is told where its engine waited for a lock that the test's own transactions hold.

A server lets that wait last for ever, as it sees no deadlock: the holder is merely idle. So connections of
the engine have a ``lock_timeout``, and what it ends is no outage, which a node would meet by trying again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs.adapters.postgres.failures import waited
from pgjobs.effects import Effect, Insert
from pgjobs.leading import Tick
from pgjobs.rules.errors import OpenTransactionError, StoreUnavailableError
from pgjobs.rules.waiting import waits

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.store import PostgresStore

_OPEN = """
SELECT pid::text, application_name, extract(epoch FROM clock_timestamp() - xact_start)::int::text
FROM pg_stat_activity
WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()
ORDER BY xact_start
LIMIT 5"""


def refusal(
    effect: Effect[Any], error: StoreUnavailableError, store: PostgresStore
) -> OpenTransactionError | None:
    """What to raise in the place of ``error``; None where no lock was waited for."""
    if not waited(error.__cause__):
        return None
    found = waits(effect.jobs, "this test") if isinstance(effect, Insert | Tick) else None
    if found is None:
        found = OpenTransactionError(
            f"{type(effect).__name__} waits for rows that a transaction which is open in this test has "
            "locked: end the transaction first"
        )
    found.add_note(_told(store))
    return found


def not_emptied(error: StoreUnavailableError, store: PostgresStore) -> OpenTransactionError | None:
    """The same where the database was to be emptied for the next test."""
    if not waited(error.__cause__):
        return None
    found = OpenTransactionError(
        "the test's database cannot be emptied: a transaction that an earlier test, or a wider fixture, "
        "left open holds rows of it. End what was opened there, session or connection"
    )
    found.add_note(_told(store))
    return found


def _told(store: PostgresStore) -> str:
    """How long was waited, and which transactions are idle: the ones that may be meant."""
    ((limit,),) = store.query("SHOW lock_timeout")
    shown = [
        f"server process {pid}" + (f" of {name}" if name else "") + f", begun {age} s ago"
        for pid, name, age in store.query(_OPEN)
    ]
    return f"Waited for {limit} (lock_timeout); idle in a transaction: {'; '.join(shown) or 'none'}"
