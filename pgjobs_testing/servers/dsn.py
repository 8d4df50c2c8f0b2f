"""Tells what a DSN says: whether it is one, where it leads, and the same for another database;
and the server that a user named by one.
"""

import re
from typing import Self
from urllib.parse import quote

from pgjobs_testing.servers import leftovers
from pgjobs_testing.servers.server import Server, ServerError

URL = re.compile(r"postgres(?:ql)?://")
SHOWN = re.compile(r"\b(host|hostaddr|port|dbname|service)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)")


class DsnServer(Server):
    """A server that runs already. It is only ever given databases, and they are dropped again:
    at the end, or where that end never came, by a later run."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self._given_dsn = dsn

    def start(self) -> Self:
        """Finds that it answers, and drops what killed runs left there."""
        super().start()
        with self._connect() as connection:
            leftovers.sweep(connection)
        return self

    def create_database(self, name: str) -> str:
        """As of any server. A commit there does not wait for the disk: nobody needs a test's rows after
        a crash of the machine, and that wait is most of what a small test costs."""
        dsn = super().create_database(name)
        self._comment(self._databases[name], leftovers.mark())
        self._execute("ALTER DATABASE {} SET synchronous_commit = off", self._databases[name])
        return dsn

    def _start(self) -> str:
        return self._given_dsn

    def _stop(self) -> None:
        refusals = []
        for name in list(self._databases):
            database = self._databases[name]
            try:
                self.drop_database(name)
            except ServerError as error:
                refusals.append(f"{database} ({error})")
        if refusals:
            raise ServerError(f"test databases left behind, drop them: {'; '.join(refusals)}")

    def _comment(self, database: str, text: str) -> None:
        from psycopg import sql

        statement = sql.SQL("COMMENT ON DATABASE {} IS {}")
        with self._connect() as connection:
            connection.execute(statement.format(sql.Identifier(database), sql.Literal(text)))


def is_dsn(text: str) -> bool:
    """Whether it has a DSN's shape: a URL that libpq takes, or `key=value` pairs."""
    if "://" in text.partition("?")[0]:
        return URL.match(text) is not None
    return re.match(r"\s*[a-z_]+\s*=", text) is not None


def with_database(dsn: str, database: str) -> str:
    """The same server, user and options, another database. A URL stays a URL."""
    if not URL.match(dsn):
        from psycopg.conninfo import make_conninfo

        return make_conninfo(dsn, dbname=database)
    head, _, query = dsn.partition("?")
    scheme, _, rest = head.partition("://")
    authority = rest.partition("/")[0]
    kept = [pair for pair in query.split("&") if pair and not pair.startswith("dbname=")]
    changed = f"{scheme}://{authority}/{quote(database, safe='')}"
    return f"{changed}?{'&'.join(kept)}" if kept else changed


def place(dsn: str) -> str:
    """Where it leads, for people to read: host, port and database, never user or password."""
    head, _, query = dsn.partition("?")
    if not URL.match(dsn):
        return " ".join(f"{key}={value}" for key, value in SHOWN.findall(dsn)) or "libpq's default"
    address = head.partition("://")[2].rpartition("@")[2]
    options = "&".join(f"{key}={value}" for key, value in SHOWN.findall(query))
    return f"{address}?{options}" if options else address or "libpq's default"
