"""How a trial plays seeds: on an empty store each, as the simulation's own campaign does."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs_testing.simulation.seeds import play_seed
from pgjobs_testing.simulation.verdict import Options
from pgjobs_testing.stores import LocalPostgres


class Player:
    """Plays seeds on ``store``; a database at ``dsn`` is migrated once and cleared before each seed."""

    def __init__(self, store: str, dsn: str | None) -> None:
        self._options = Options(store=store)
        self._postgres: LocalPostgres | None = None
        if store == "postgres":
            from pgjobs.adapters.postgres.store import PostgresStore

            assert dsn is not None
            made = PostgresStore(dsn)
            made.migrate()
            made.prepare_all()
            self._postgres = LocalPostgres(made)

    def alarm(self, seed: int) -> str | None:
        """What a seed's alarm says, beginning with the invariant's name; None where all held."""
        return play_seed(seed, self._options, self._store()).alarm

    def _store(self) -> LocalStore:
        if self._postgres is None:
            return MemoryStore()
        self._postgres.clear()
        return self._postgres

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._postgres is not None:
            self._postgres.close()
