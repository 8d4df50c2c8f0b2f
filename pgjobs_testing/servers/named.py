"""The server that a user named by a DSN: it runs already, and keeps what it had."""

from typing import Self

from pgjobs_testing.servers import leftovers
from pgjobs_testing.servers.server import Server, ServerError


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
