"""What every server of the tests can do: start, stop, and hold databases of its own naming.

A database made here is named `pgjobs_test_<token>_<name>`, with a token per server object, so
that sessions sharing one server never meet; no other database is ever created or dropped.
"""

import abc
import os
import re
from types import TracebackType
from typing import TYPE_CHECKING, LiteralString, Self

from pgjobs_testing.servers.dsn import place, with_database

if TYPE_CHECKING:
    import psycopg

NAME = re.compile(r"[a-z0-9_]{1,32}")
CONNECT_TIMEOUT_S = 10


class ServerError(Exception):
    """A server that cannot be had or used: what was tried, what was found, the remedy."""


class Server(abc.ABC):
    """A PostgreSQL server for tests; a context manager, or `start()` and `stop()`.

    The process that starts it owns it: `stop()` in a forked child does nothing.
    """

    prefix = "--pgjobs-"
    """How the options begin by which somebody asked for it: the plugin's, or a command's ``--``."""

    def __init__(self) -> None:
        self._token = os.urandom(4).hex()
        self._owner_pid: int | None = None
        self._dsn: str | None = None
        self._version = ""
        self._databases: dict[str, str] = {}

    @property
    def dsn(self) -> str:
        """Of the database from which others are created. Raises ServerError before `start()`."""
        if self._dsn is None:
            raise ServerError("the test server is not running: call start() first")
        return self._dsn

    @property
    def description(self) -> str:
        """One line for a report, without the password: "PostgreSQL 18.6 at 127.0.0.1:20417"."""
        return f"PostgreSQL {self._version} at {place(self.dsn)}"

    def start(self) -> Self:
        """Starts it and waits until it answers. Raises ServerError; leaves nothing then."""
        if self._dsn is not None:
            raise ServerError("the test server is running already")
        self._owner_pid = os.getpid()
        try:
            self._dsn = self._start()
            with self._connect() as connection:
                self._version = connection.info.parameter_status("server_version") or "?"
        except BaseException:
            self._stop()
            self._dsn = None
            raise
        return self

    def stop(self) -> None:
        """Stops it and removes what was made on it; a second call does nothing."""
        if self._dsn is None or self._owner_pid != os.getpid():
            return
        try:
            self._stop()
        finally:
            self._databases.clear()
            self._dsn = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def create_database(self, name: str) -> str:
        """Creates an empty UTF-8 database and returns its DSN.

        `name`: 1 to 32 of a-z, 0-9 and _, such as an xdist worker's ("gw0"). Raises ServerError
        where that name is taken, or where the server's user may not create databases.
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"database name {name!r}: expected 1 to 32 of a-z, 0-9 and _")
        if name in self._databases:
            raise ServerError(f"the test database {name!r} exists already: drop it first")
        database = f"pgjobs_test_{self._token}_{name}"
        self._execute("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", database)
        self._databases[name] = database
        return with_database(self.dsn, database)

    def drop_database(self, name: str) -> None:
        """Drops what `create_database(name)` made, ending the connections to it."""
        database = self._databases.get(name)
        if database is None:
            raise ServerError(
                f"there is no test database {name!r} here; only those made by create_database "
                f"are dropped: {', '.join(self._databases) or 'none yet'}"
            )
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)
        del self._databases[name]

    def interrupt(self) -> None:
        """Stops the server as a crash would, keeping its port and data for `restart()`."""
        raise ServerError(
            "this server cannot be interrupted by tests: outages need the embedded one"
        )

    def restart(self) -> None:
        """Starts the server again after `interrupt()`: same port, same data, same DSN."""
        raise ServerError("this server cannot be restarted by tests: outages need the embedded one")

    @abc.abstractmethod
    def _start(self) -> str:
        """Starts the server; returns the DSN."""

    @abc.abstractmethod
    def _stop(self) -> None:
        """Undoes `_start`, also where it failed half way."""

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        try:
            if "connect_timeout" in conninfo_to_dict(self.dsn) or "PGCONNECT_TIMEOUT" in os.environ:
                return psycopg.connect(self.dsn, autocommit=True)
            return psycopg.connect(self.dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
        except psycopg.ProgrammingError:  # libpq quotes what it could not read: the password
            raise ServerError(
                f"the DSN (of {place(self.dsn)}) is not one that libpq reads: check its quoting, "
                "percent-encoding and option names"
            ) from None
        except psycopg.Error as error:
            raise ServerError(
                f"cannot connect to PostgreSQL at {place(self.dsn)}: {_one_line(error)}. Check "
                f"{self.prefix}postgres and PGJOBS_TEST_DSN"
            ) from error

    def _execute(self, statement: LiteralString, database: str) -> None:
        import psycopg
        from psycopg import sql

        with self._connect() as connection:
            try:
                connection.execute(sql.SQL(statement).format(sql.Identifier(database)))
            except psycopg.errors.InsufficientPrivilege as error:
                user = connection.info.user
                raise ServerError(
                    f"user {user!r} may not do this on PostgreSQL at {place(self.dsn)}: "
                    f"{_one_line(error)}. Each test session needs databases of its own: "
                    f'ALTER ROLE "{user}" CREATEDB, or use {self.prefix}postgres embedded'
                ) from error
            except psycopg.Error as error:
                raise ServerError(
                    f"PostgreSQL at {place(self.dsn)} refused "
                    f"{statement.format(database)!r}: {_one_line(error)}"
                ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
