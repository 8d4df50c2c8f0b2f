"""A PostgreSQL store for scenarios, emptied for each test, and what plays a text on both stores."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

import pytest

from pgjobs import PgJobs
from pgjobs.adapters.memory import MemoryStore
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.real import Imports
from pgjobs_testing.scenarios.replay import Replay, replay, store_difference
from pgjobs_testing.servers import Server
from pgjobs_testing.stores import LocalPostgres, own_databases
from tests.scenarios import shop


@pytest.fixture(scope="module")
def scenario_database(server: Server) -> Iterator[LocalPostgres]:
    """The store, made once a file."""
    dsn = server.create_database("scenario_tests")
    own_databases.add(dsn)
    store = PostgresStore(dsn)
    store.migrate()
    yield LocalPostgres(store)
    store.close()
    own_databases.remove(dsn)
    server.drop_database("scenario_tests")


@pytest.fixture
def scenario_store(scenario_database: LocalPostgres) -> LocalPostgres:
    """The store, empty."""
    scenario_database.clear()
    return scenario_database


Holds = Callable[[str], Replay]


@pytest.fixture
def holds(scenario_store: LocalPostgres) -> Holds:
    """Plays a text on both stores, where it must hold and give one trace."""

    def both(text: str) -> Replay:
        scenario, source = read_text(textwrap.dedent(text), "f", Imports(allowed=True))
        first = replay(scenario, source, MemoryStore())
        scenario_store.clear()
        second = replay(scenario, source, scenario_store, store_name="postgres")
        assert [] == [failure.text(source) for failure in first.failures]
        assert [] == [failure.text(source) for failure in second.failures]
        assert store_difference(first, second, source) is None
        return first

    return both


@pytest.fixture
def shop_instance() -> Iterator[None]:
    """The shop's own instance; nothing listens there."""
    shop.jobs = PgJobs("postgresql://nobody@127.0.0.1:1/shop")
    yield
    del shop.jobs
