"""How a connection is opened: always guarded, always UTF-8, and never waiting for ever.

What the DSN or the environment says wins over the defaults here, but for the encoding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pgjobs import guard
from pgjobs.adapters.postgres.failures import translated
from pgjobs.rules.errors import ConfigurationError

if TYPE_CHECKING:
    import psycopg

DEFAULTS = {
    "fallback_application_name": ("pgjobs", None),
    "connect_timeout": ("10", "PGCONNECT_TIMEOUT"),
    "keepalives_idle": ("20", None),
    "keepalives_interval": ("5", None),
    "keepalives_count": ("3", None),
    "tcp_user_timeout": ("35000", None),
}
"""parameter: (value, the environment's name for it). A server whose machine is silent is given up after 35 s.

Behind a balancer or a pooler that acknowledges every byte these see nothing: ``silence`` does."""

UNCOMPILED = "-c jit=off"
"""For the server: to read the head of an index it compiles nothing. In a table of millions of rows it would,
as it thinks of all that a LIMIT could be: 35 ms for a claim and 60 for a poll, each time."""

PLANNED_ONCE = f"{UNCOMPILED} -c plan_cache_mode=force_generic_plan"
"""Besides, a prepared statement keeps its first plan. Otherwise the server plans some anew at each use,
in the hope of a better one: on a table of few rows that takes three times as long as to carry out a poll."""


def conninfo(dsn: str, options: str = "") -> str:
    """The DSN with what it leaves open; ``ConfigurationError`` for one that is none.

    ``options`` are the server's, before those of the DSN or the environment.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:  # its text would show the password
        raise ConfigurationError(
            "the DSN cannot be read: give postgresql://user@host/database or key=value pairs, as "
            "libpq takes them, without the name of a driver"
        ) from None
    for parameter, (value, variable) in DEFAULTS.items():
        if parameter not in given and (variable is None or variable not in os.environ):
            given[parameter] = value
    if options:
        given["options"] = f"{options} {given.get('options', os.environ.get('PGOPTIONS', ''))}"
    return make_conninfo("", **(given | {"client_encoding": "UTF8"}))


def open_connection(dsn: str, options: str = UNCOMPILED) -> psycopg.Connection[Any]:
    """A connection in autocommit; ``StoreUnavailableError`` when there is none to be had.

    ``options`` are the server's, where these are let through.

    psycopg prepares nothing of its own on it: behind a transaction pooler its names would meet those
    that another client left on the same server process.
    """
    import psycopg

    guard.check(dsn)
    try:
        try:
            return psycopg.Connection.connect(
                conninfo(dsn, options), autocommit=True, prepare_threshold=None
            )
        except psycopg.OperationalError as error:
            if not _takes_no_options(error):
                raise
        return psycopg.Connection.connect(conninfo(dsn), autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        raise translated(error) from error


async def open_async_connection(
    dsn: str, options: str = UNCOMPILED
) -> psycopg.AsyncConnection[Any]:
    """The same, without blocking the running event loop."""
    import psycopg

    guard.check(dsn)
    try:
        try:
            return await psycopg.AsyncConnection.connect(
                conninfo(dsn, options), autocommit=True, prepare_threshold=None
            )
        except psycopg.OperationalError as error:
            if not _takes_no_options(error):
                raise
        return await psycopg.AsyncConnection.connect(
            conninfo(dsn), autocommit=True, prepare_threshold=None
        )
    except psycopg.Error as error:
        raise translated(error) from error


def _takes_no_options(error: psycopg.OperationalError) -> bool:
    """Whether a pooler lets no options through to the server: each says so in words of its own."""
    return "options" in str(error)


@contextmanager
def opened(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection for the length of a block."""
    connection = open_connection(dsn)
    try:
        yield connection
    finally:
        connection.close()
