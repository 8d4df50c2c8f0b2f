"""A PostgreSQL store for scenarios: one database of the session's server, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgjobs import PgJobs
from pgjobs.adapters.postgres.store import PostgresStore
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


@pytest.fixture
def shop_instance() -> Iterator[None]:
    """The shop's own instance; nothing listens there."""
    shop.jobs = PgJobs("postgresql://nobody@127.0.0.1:1/shop")
    yield
    del shop.jobs
