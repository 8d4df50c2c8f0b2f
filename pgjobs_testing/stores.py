"""Which store a test gets: a new one in memory, or an emptied database of the session's server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import Effect
from pgjobs.rules.errors import ConfigurationError, StoreUnavailableError
from pgjobs_testing import locked

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.store import PostgresStore
    from pgjobs_testing.servers.supply import Supply

T = TypeVar("T")

GIVEN_UP_AFTER_S = 5
"""How long a statement of the engine's waits for a lock: a test that waits for itself would hang."""

own_databases: set[str] = set()
"""The DSNs of databases that tests made: the only ones that a test run may open."""


class LocalPostgres(LocalStore):
    """A Postgres store whose effects are carried out as they are submitted: equal steps, equal answers."""

    def __init__(self, store: PostgresStore) -> None:
        super().__init__()
        self.postgres = store

    def carry_out(self, effect: Effect[T]) -> T:
        try:
            return self.postgres.run(effect)
        except StoreUnavailableError as error:
            refusal = locked.refusal(effect, error, self.postgres)
            if refusal is None:
                raise
            raise refusal from error

    def run_within(self, effect: Effect[T], connection: object) -> T:
        """In the caller's transaction, if that is one of the test's database.

        Listeners are told at once; who hears it before the commit finds nothing yet.
        """
        from pgjobs_testing.places import refuse_another

        refuse_another(self.postgres, connection)
        answer = self.postgres.run_within(effect, connection)
        self.tell(effect, answer)
        return answer

    async def run_within_async(self, effect: Effect[T], connection: object) -> T:
        from pgjobs_testing.places import refuse_another_async

        await refuse_another_async(self.postgres, connection)
        answer = await self.postgres.run_within_async(effect, connection)
        self.tell(effect, answer)
        return answer

    def server_now(self) -> datetime | None:
        return self.postgres.server_now()

    def close(self) -> None:
        self.postgres.close()

    def clear(self) -> None:
        """Delete every row of every table of ours, in one statement."""
        from pgjobs_testing.clearing import clear

        try:
            clear(self.postgres)
        except StoreUnavailableError as error:
            if (refusal := locked.not_emptied(error, self.postgres)) is None:
                raise
            raise refusal from error


class StoreSource(Protocol):
    """Where stores of a kind come from: an empty one at each call; ``n`` tells databases apart."""

    def store(self, n: int) -> LocalStore: ...


@dataclass(frozen=True, slots=True)
class OneStore:
    """The store that is given, for the one instance there is: a simulated world's, in a ``harness``."""

    given: LocalStore

    def store(self, n: int) -> LocalStore:
        if n > 0:
            raise ConfigurationError(
                "one store was given, and there is a second database here: give a source of stores"
            )
        return self.given


class MemorySource:
    """New memory stores."""

    def store(self, n: int) -> LocalStore:
        return MemoryStore()


class PostgresSource:
    """Databases of this process, made when first needed; each is emptied before a test.

    ``prefix`` tells the databases of one worker of xdist from those of the others. psycopg is imported
    at once: first imported under freezegun, it would break for the whole run. ``near``: an embedded server is
    reached over its socket, where nobody asks for the store's DSN to connect by another library.
    """

    def __init__(self, supply: Supply, prefix: str = "", *, near: bool = False) -> None:
        import psycopg  # noqa: F401 - see above

        self._supply, self._prefix, self._near = supply, prefix, near
        self._stores: dict[int, LocalPostgres] = {}
        self._process = os.getpid()

    @property
    def dsn(self) -> str:
        """Of the first database, as it is: the one that a test has which uses no other."""
        return self._store(0).postgres.dsn

    def store(self, n: int) -> LocalStore:
        found = self._store(n)
        found.clear()
        return found

    def _store(self, n: int) -> LocalPostgres:
        if self._process != os.getpid():  # a fork runs one test, on a database of its own
            self._process, self._stores = os.getpid(), {}
            self._prefix = f"{self._prefix[:16]}p{self._process}_"
        found = self._stores.get(n)
        if found is None:
            found = self._stores[n] = self._made(n)
        return found

    def close(self) -> None:
        """Close the connections, and release the server if this process owns it."""
        for store in self._stores.values():
            store.close()
        self._stores.clear()
        self._supply.close()

    def _made(self, n: int) -> LocalPostgres:
        from pgjobs.adapters.postgres.store import PostgresStore

        dsn = self._supply.database(f"{self._prefix}db{n}")
        if self._near:
            from pgjobs_testing.servers.embedded import near

            dsn = near(dsn)
        own_databases.add(dsn)
        store = PostgresStore(dsn)
        store.migrate()
        store.prepare_all()
        store.give_up_locks(GIVEN_UP_AFTER_S)
        return LocalPostgres(store)
