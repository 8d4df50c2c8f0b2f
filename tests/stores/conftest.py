"""Databases for the tests of the Postgres store, on the server of the whole suite."""

import os
from itertools import count

import pytest

from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.adapters.postgres.names import quoted
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs_testing.conformance.given import BEYOND_INT4

_names = count(1)


def blocked(connection):
    """The backends that wait for a lock in this database; the server may be shared with others."""
    connection.execute("SELECT pg_stat_clear_snapshot()")
    found = connection.execute(
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return [pid for (pid,) in found]


@pytest.fixture
def dsn(database):
    """An empty database."""
    return database


@pytest.fixture
def postgres(dsn):
    """A store on an empty, migrated database."""
    migrate(dsn)
    store = PostgresStore(dsn)
    yield store
    store.close()


@pytest.fixture(scope="class")
def class_dsn(server):
    """An empty database for all tests of a class."""
    name = f"c{os.getpid()}_{next(_names)}"
    yield server.create_database(name)
    server.drop_database(name)


def begin_beyond_int4(store):
    store.query(
        "SELECT setval(pg_get_serial_sequence($1::text, 'id'), $2::text::bigint)",
        f"{quoted(store.schema)}.oban_jobs",
        str(BEYOND_INT4),
    )
