"""Which of PostgreSQL's errors mean "cannot be reached now", which "not ready" and which "refused".

| SQLSTATE | meaning here |
|---|---|
| none | the connection failed or was lost: unavailable |
| 08, 53, 57, 58 | connection, resources, shutdown or cancelled, the server's system: unavailable |
| 25006, 40, 55P03, 55006 | read-only, deadlock or serialization, locked, in use: unavailable |
| 3F000, 42P01, 42703, 42704, 42883 | no such schema, table, column, type or function: not ready; migrate |
| 42501 | the user may not: not ready |
| every other | refused |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgjobs.adapters.postgres.names import migrate_command
from pgjobs.rules.errors import StoreError, StoreNotReadyError, StoreUnavailableError

if TYPE_CHECKING:
    import psycopg

_PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
_PASSING_STATES = frozenset({"25006", "55P03", "55006"})
_LOST = frozenset({"OperationalError", "InterfaceError"})
_NAMES = _LOST | {"DataError", "IntegrityError", "InternalError", "NotSupportedError"}
"""Classes of PEP 249, which every driver has under these names."""
_NO_PRIVILEGE = "42501"
_NOT_MIGRATED = frozenset({"3F000", "42P01", "42703", "42704", "42883"})


def misplaced(error: psycopg.Error) -> bool:
    """Whether this connection leads to a server that takes no writes any more (25006), as after a
    failover: the next one may lead to its successor."""
    return error.sqlstate == "25006"


def translated(error: Any, schema: str = "public") -> StoreError:
    """The error of ours for one of psycopg's, psycopg2's or asyncpg's. Raise it from that.

    ``schema`` is where the tables should be, for the remedy when they are not.
    """
    state, text = _state(error), text_of(error)
    if state is None:
        names = (made.__name__ for made in type(error).__mro__)
        lost = next((name for name in names if name in _NAMES), None) in _LOST
        return StoreUnavailableError(text) if lost else StoreError(text)
    if state[:2] in _PASSING_CLASSES or state in _PASSING_STATES:
        return StoreUnavailableError(text)
    if state == _NO_PRIVILEGE:
        return StoreNotReadyError(text)
    if unmigrated(error):
        return StoreNotReadyError(
            f"{text}: the tables of pgjobs are missing or older than this version. "
            f"Run `{migrate_command(schema)}`"
        )
    return StoreError(text)


def waited(error: Any) -> bool:
    """Whether it was given up while it waited for a lock (55P03: ``lock_timeout``)."""
    return _state(error) == "55P03"


def unmigrated(error: Any) -> bool:
    """Whether a table, a column or a function is not there."""
    return _state(error) in _NOT_MIGRATED


def text_of(error: Any) -> str:
    """What the server, or the driver, says in its first sentence."""
    primary = getattr(getattr(error, "diag", error), "message_primary", None)
    shown = primary or getattr(error, "message", None) or str(error)  # the rest may show a row
    return " ".join(shown.split()) or type(error).__name__


def _state(error: Any) -> str | None:
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
