"""The store in PostgreSQL: selects and saves what ``rules`` decide, one effect a transaction."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pgjobs.adapters.callers import carrying
from pgjobs.adapters.postgres import connect
from pgjobs.adapters.postgres import migrations as migrating
from pgjobs.adapters.postgres.failures import misplaced, translated
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.pool import Pool
from pgjobs.adapters.postgres.preparing import Preparing
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, Statement
from pgjobs.adapters.postgres.statements import plan, plan_of_own
from pgjobs.adapters.system import SystemClock
from pgjobs.effects import Effect
from pgjobs.rules.errors import ConfigurationError, StoreUnavailableError
from pgjobs.rules.options import whole
from pgjobs.rules.signatures import checks_options

if TYPE_CHECKING:
    import psycopg

    from pgjobs.ports import Session

T = TypeVar("T")


@checks_options
class PostgresStore:
    """Jobs in PostgreSQL.

    ``dsn`` is what libpq takes, or a function that returns it, called before each connection is
    opened (for passwords that change). At most ``pool_size`` connections serve ``run`` and
    ``run_async``; each session has three of its own. The tables are made by ``migrate``.
    """

    def __init__(
        self, dsn: str | Callable[[], str], *, schema: str = "public", pool_size: int = 10
    ) -> None:
        if not isinstance(dsn, str) and not callable(dsn):
            raise ConfigurationError(
                f"dsn takes a text such as 'postgresql://...', or a function that returns one: {dsn!r}"
            )
        self._dsn = dsn
        self._names = Names(schema)
        self._preparing = Preparing()
        self._options = connect.UNCOMPILED
        self.pool_size = whole(pool_size, "pool_size", 1, 1_000)
        self._pool = Pool(self.pool_size, self._preparing)
        weakref.finalize(self, self._pool.close)

    @property
    def schema(self) -> str:
        """The schema that holds the tables."""
        return self._names.schema

    @property
    def place(self) -> object:
        """What tells its database from another's, without asking anybody."""
        return (self._dsn, self.schema)

    @property
    def dsn(self) -> str:
        """The DSN that the next connection is opened with."""
        if isinstance(self._dsn, str):
            return self._dsn
        try:
            given: object = self._dsn()
        except SystemExit as error:  # it would end a thread, and nobody would say so
            raise StoreUnavailableError(
                f"the function given as dsn exits instead of returning a text: {error}"
            ) from error
        if not isinstance(given, str):
            raise ConfigurationError(
                "the function given as dsn returns a text such as 'postgresql://...', not "
                f"{type(given).__name__}"
            )
        return given

    def run(self, effect: Effect[T]) -> T:
        return self._carry_out(plan_of_own(effect, self._names))

    async def run_async(self, effect: Effect[T]) -> T:
        made = plan_of_own(effect, self._names)
        if not made.statements:
            return made.answer(())
        import psycopg

        line = await self._pool.take_async(
            lambda: connect.open_async_connection(self.dsn, self._options)
        )
        try:
            rows = await line.rows_async(made)
        except psycopg.Error as error:
            if misplaced(error):
                line.close()
            raise translated(error, self.schema) from error
        finally:
            self._pool.give(line)
        return made.answer(rows)

    def run_within(self, effect: Effect[T], connection: object) -> T:
        return carrying.carry_out(plan(effect, self._names), connection, self.schema)

    async def run_within_async(self, effect: Effect[T], connection: object) -> T:
        return await carrying.carry_out_async(plan(effect, self._names), connection, self.schema)

    def session(self, name: str) -> Session:
        from pgjobs.adapters.postgres.session import PostgresSession

        return PostgresSession(
            name, self._names, self._preparing, self._connected, SystemClock().monotonic
        )

    def server_now(self) -> datetime | None:
        """The server's clock; ``StoreUnavailableError`` where it cannot be reached."""
        ((now,),) = self.query(migrating.PROBE)
        assert isinstance(now, datetime)
        return now.astimezone(UTC)

    def migrate(self) -> list[int]:
        """Bring the tables up to date; return the versions that were applied now."""
        return migrating.migrate(self.dsn, self.schema)

    def prepare_all(self) -> None:
        """Prepare every statement from its first use on, and plan it once: a test run repeats few, on
        small tables. Connections that are there already go on as they were opened."""
        self._preparing.every = True
        self._options = connect.PLANNED_ONCE

    def give_up_locks(self, after_s: float) -> None:
        """Let the server end what waits so long for a lock, on connections that are opened from now on;
        what the DSN or the environment says of ``lock_timeout`` wins."""
        self._options += f" -c lock_timeout={round(after_s * 1_000)}ms"

    def query(self, sql: str, *parameters: str | None) -> list[Row]:
        """The rows of any one statement, with its own transaction; for diagnosis and tests."""
        return self._carry_out(Plan((Statement(sql, parameters),), lambda results: results[0]))

    def close(self) -> None:
        self._pool.close()

    def _connected(self) -> psycopg.Connection[Any]:
        return connect.open_connection(self.dsn, self._options)

    def _carry_out(self, made: Plan[T]) -> T:
        if not made.statements:
            return made.answer(())
        import psycopg

        from pgjobs.adapters.postgres.asking import SilentLineError

        line = self._pool.take(self._connected)
        try:
            rows = line.rows(made, self._connected)
        except psycopg.Error as error:
            if misplaced(error):
                line.close()
            if isinstance(error, SilentLineError):
                self._pool.close()
            raise translated(error, self.schema) from error
        finally:
            self._pool.give(line)
        return made.answer(rows)
