"""Jobs in a transaction of Django's connection."""

from contextlib import closing

import pytest

from pgjobs import ConfigurationError, PgJobs, StoreError, worker
from tests.stores.callers import DJANGO, Django
from tests.stores.within import Within, exchanges, with_makes

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]


@pytest.fixture
def jobs(postgres):
    return PgJobs(store=postgres)


@pytest.fixture
def connection(dsn, postgres):
    """``django.db.connection``, the proxy that applications import."""
    with closing(Django(dsn)):
        from django.db import connection

        yield connection


@pytest.fixture
def work():
    @worker
    def work(job):
        """Does nothing."""

    return work


@with_makes(DJANGO)
class TestWithinDjango(Within):
    def test_an_insert_is_one_round_trip(self, jobs, caller, works, tmp_path):
        caller.execute("SELECT 1")
        sent = exchanges(
            caller.pgconn, tmp_path / "trace", lambda: caller.insert(jobs, works.new())
        )
        assert 1 == sent


def test_atomic_blocks_cover_the_job(jobs, connection, work):
    from django.db import transaction

    with transaction.atomic():
        kept = jobs.insert(work.new(), connection=connection)
        with transaction.atomic():
            jobs.insert(work.new(), connection=connection)
            transaction.set_rollback(True)
        assert 0 == jobs.count_jobs()
    assert [kept] == jobs.all_jobs()


def test_without_a_block_the_job_is_there_at_once(jobs, connection, work):
    assert [jobs.insert(work.new(), connection=connection)] == jobs.all_jobs()


def test_execute_wrappers_see_one_statement(jobs, connection, work):
    seen = []

    def wrapper(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        jobs.insert(work.new(), connection=connection)
    assert 1 == len(seen)


def test_the_query_log_takes_the_statement(jobs, connection, work):
    connection.force_debug_cursor = True
    job = jobs.insert(work.new({"percent": "%s"}), connection=connection)
    assert [job] == jobs.all_jobs()
    assert 1 == len(connection.queries)
    connection.force_debug_cursor = False


def test_a_block_that_is_to_be_rolled_back_is_told_by_its_cause(jobs, connection, work):
    from django.db import transaction

    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(StoreError, match="atomic") as raised:
            jobs.insert(work.new(), connection=connection)
    assert isinstance(raised.value.__cause__, transaction.TransactionManagementError)


def test_another_database_is_refused_with_what_it_is(jobs, connection, work):
    from django.db.utils import ConnectionHandler

    lite = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    for databases, vendor in (({"default": lite}, "sqlite"), ({}, "unknown")):
        other = ConnectionHandler(databases)["default"]
        with pytest.raises(ConfigurationError, match=f"vendor is '{vendor}'"):
            jobs.insert(work.new(), connection=other)
        other.close()


def test_a_cache_is_no_connection(jobs, connection, work):
    from django.core.cache import cache

    with pytest.raises(ConfigurationError, match="vendor is None"):
        jobs.insert(work.new(), connection=cache)


async def test_an_async_call_refuses_django(jobs, work):
    from django.db import connection

    with pytest.raises(ConfigurationError, match="would block the event loop"):
        await jobs.insert_async(work.new(), connection=connection)
