"""What becomes of work in a caller's transaction where the store itself has none: it follows.

A store in memory carries an insert out at once, and is told here when the transaction that is open on
the caller's connection is rolled back, wholly or to a savepoint, and when it is committed. SQLAlchemy
and Django tell; any other connection is not followed.
"""

from __future__ import annotations

from typing import Any

from pgjobs.adapters.callers.kinds import Kind, Library, checked, kind_of
from pgjobs.adapters.callers.transaction import Transaction

KNOWN = frozenset({"sqlalchemy", "django", "psycopg", "psycopg2", "psycopg_pool", "asyncpg"})
"""Libraries of whose objects only those of ``kinds`` are connections that are accepted."""


def follow(given: object) -> Transaction | None:
    """The transaction on ``given``; None where there is none, or where nobody tells of its end.

    ``ConfigurationError`` for what is no connection, or not for a blocking call.
    """
    kind = _kind(given, awaits=False)
    if kind is None:
        return None
    if kind.library is Library.SQLALCHEMY:
        from pgjobs.adapters.callers import following_sqlalchemy

        return following_sqlalchemy.follow(kind, given)
    if kind.library is Library.DJANGO:
        from pgjobs.adapters.callers import following_django

        return following_django.follow(given)
    return None


async def follow_async(given: object) -> Transaction | None:
    """The same for a connection of an event loop."""
    kind = _kind(given, awaits=True)
    if kind is None or kind.library is not Library.SQLALCHEMY:
        return None
    from pgjobs.adapters.callers import following_sqlalchemy

    return await following_sqlalchemy.follow_async(kind, given)


def _kind(given: Any, *, awaits: bool) -> Kind | None:
    """The kind of ``given``; None for one of a library that is not known, a fake say."""
    plain = isinstance(given, type | str | bytes | int | float | tuple | list | dict | set)
    root = type(given).__module__.partition(".")[0]
    if plain or root in KNOWN or kind_of(given) is not None:
        return checked(given, awaits=awaits)
    return None
