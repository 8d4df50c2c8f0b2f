"""The engine's tests run on both stores, on one virtual clock.

Properties stay in memory, where examples are cheap; and so do the tests marked ``long``, which poll for
hours (PostgreSQL takes a millisecond for each poll) or look into the store.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs_testing.servers import Server
from pgjobs_testing.stores import LocalPostgres
from tests.engine.rig import Stores

MOST = 3
"""Stores that one test may have at the same time."""

_numbers = itertools.count()


@pytest.fixture(scope="session")
def databases(server: Server) -> Iterator[list[LocalPostgres]]:
    """Migrated databases, kept for the session."""
    made = []
    for _ in range(MOST):
        store = PostgresStore(server.create_database(f"engine{next(_numbers)}"))
        store.migrate()
        made.append(LocalPostgres(store))
    yield made
    for local in made:
        local.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    both = not getattr(metafunc.function, "is_hypothesis_test", False) and not any(
        mark.name == "long" for mark in metafunc.definition.iter_markers()
    )
    if "stores" in metafunc.fixturenames:
        marks = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]
        kinds = ["memory", pytest.param("postgres", marks=marks)] if both else ["memory"]
        metafunc.parametrize("stores", kinds, indirect=True)


@pytest.fixture(autouse=True)
def stores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rigs get their stores from in this test."""
    if request.param == "memory":
        monkeypatch.setattr(Stores, "make", staticmethod(MemoryStore))
        return
    free = iter(request.getfixturevalue("databases"))

    def make() -> LocalStore:
        store: LocalPostgres = next(free)
        store.clear()
        return store

    monkeypatch.setattr(Stores, "make", staticmethod(make))
