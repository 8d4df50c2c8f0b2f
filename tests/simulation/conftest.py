"""Stores for simulated worlds: one in memory, and an emptied database of the session's server."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs_testing.servers import Server
from pgjobs_testing.stores import LocalPostgres


@pytest.fixture(scope="session")
def worlds_database(server: Server) -> Iterator[LocalPostgres]:
    """A migrated database, kept for the session."""
    store = PostgresStore(server.create_database(f"worlds{os.getpid()}"))
    store.migrate()
    local = LocalPostgres(store)
    yield local
    local.close()


ON_POSTGRES = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=ON_POSTGRES)])
def store(request: pytest.FixtureRequest) -> LocalStore:
    """An empty store of each kind."""
    if request.param == "memory":
        return MemoryStore()
    found: LocalPostgres = request.getfixturevalue("worlds_database")
    found.clear()
    return found
