"""Jobs in a transaction of psycopg 3, whatever the connection is set to."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal

import psycopg
import pytest
from psycopg.adapt import Dumper, Loader

from pgjobs import ConfigurationError, PgJobs, StoreError, worker
from pgjobs.adapters.postgres.writing import INSERT_ROWS
from tests.stores.callers import PSYCOPG
from tests.stores.within import Within, exchanges, refusing, with_makes

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]


@pytest.fixture
def jobs(postgres):
    return PgJobs(store=postgres)


@pytest.fixture
def connection(dsn, postgres):
    with closing(psycopg.connect(dsn)) as connection:
        yield connection


@pytest.fixture
def work():
    @worker
    def work(job):
        """Does nothing."""

    return work


class Shouting(Dumper):
    """A caller's own way to write texts."""

    def dump(self, obj):
        return obj.upper().encode()


class Wrong(Loader):
    """A caller's own way to read anything."""

    def load(self, data):
        return Decimal(-1)


@with_makes(PSYCOPG)
class TestWithinPsycopg(Within):
    def test_an_insert_is_one_round_trip(self, jobs, caller, works, tmp_path):
        caller.execute("SELECT 1")
        jobs.count_jobs()
        sent = exchanges(
            caller.pgconn, tmp_path / "trace", lambda: caller.insert(jobs, works.new())
        )
        assert 1 == sent

    def test_an_insert_of_many_is_one_round_trip(self, jobs, caller, works, tmp_path):
        caller.execute("SELECT 1")
        many = [works.new({"n": n}, queue=f"q{n % 3}", schedule_in=n % 2) for n in range(100)]
        sent = exchanges(caller.pgconn, tmp_path / "trace", lambda: caller.insert_all(jobs, many))
        assert 1 == sent

    def test_adapters_of_the_connection_do_not_touch_the_job(self, jobs, caller, works):
        caller.given.adapters.register_dumper(str, Shouting)
        for name in ("int8", "text", "bool"):
            caller.given.adapters.register_loader(name, Wrong)
        job = caller.insert(jobs, works.new({"quiet": "words"}))
        caller.commit()
        assert [job] == jobs.all_jobs()


@pytest.mark.parametrize(
    "options",
    [
        {"row_factory": psycopg.rows.dict_row},
        {"row_factory": psycopg.rows.scalar_row},
        {"row_factory": psycopg.rows.class_row(Decimal)},
        {"cursor_factory": psycopg.ClientCursor},
        {"cursor_factory": psycopg.RawCursor, "prepare_threshold": 0},
        {"prepare_threshold": None},
    ],
    ids=["dicts", "scalars", "objects", "client", "raw", "unprepared"],
)
def test_factories_of_the_connection_do_not_touch_the_job(dsn, jobs, work, options):
    with psycopg.connect(dsn, **options) as connection:
        found = [jobs.insert(work.new({"n": n}), connection=connection) for n in range(8)]
    assert found == jobs.all_jobs()


def test_a_pipeline_carries_the_job_along(jobs, connection, work):
    with connection.pipeline():
        connection.execute("CREATE TABLE orders (id bigint)")
        job = jobs.insert(work.new(), connection=connection)
        connection.execute("INSERT INTO orders VALUES (1)")
    assert 0 == jobs.count_jobs()
    connection.commit()
    assert [job] == jobs.all_jobs()


def test_a_pipeline_in_autocommit_keeps_a_large_insert_whole(dsn, postgres, jobs, work):
    refusing(postgres, "queue <> 'refused'")
    many = [work.new() for _ in range(INSERT_ROWS)] + [work.new(queue="refused")]
    with psycopg.connect(dsn, autocommit=True) as connection:
        with connection.pipeline(), pytest.raises(StoreError, match="check constraint"):
            jobs.insert_all(many, connection=connection)
        assert 0 == jobs.count_jobs()
        with connection.pipeline():
            jobs.insert_all(many[1:-1], connection=connection)
    assert INSERT_ROWS - 1 == jobs.count_jobs()


def test_an_error_in_a_pipeline_is_raised_by_the_insert(postgres, jobs, connection, work):
    refusing(postgres, "queue <> 'refused'")
    with connection.pipeline(), pytest.raises(StoreError, match="check constraint"):
        jobs.insert(work.new(queue="refused"), connection=connection)
    connection.rollback()


def test_a_transaction_block_in_autocommit_covers_the_job(dsn, jobs, work):
    with psycopg.connect(dsn, autocommit=True) as connection:
        with connection.transaction(force_rollback=True):
            jobs.insert(work.new(), connection=connection)
        assert 0 == jobs.count_jobs()
        with connection.transaction():
            kept = jobs.insert(work.new(), connection=connection)
            with connection.transaction(force_rollback=True):
                jobs.insert(work.new(), connection=connection)
    assert [kept] == jobs.all_jobs()


def test_threads_that_share_a_connection_share_its_transaction(jobs, connection, work):
    def insert(n):
        return jobs.insert(work.new({"n": n}), connection=connection)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(insert, range(40)))
    assert 0 == jobs.count_jobs()
    connection.commit()
    assert sorted(job.id for job in found) == [job.id for job in jobs.all_jobs()]


def test_an_encoding_that_holds_the_job_carries_it_and_another_is_named(dsn, jobs, work):
    with psycopg.connect(dsn, client_encoding="LATIN1") as connection:
        job = jobs.insert(work.new({"text": "ä"}), connection=connection)
        connection.commit()
        with pytest.raises(StoreError, match="client_encoding") as raised:
            jobs.insert(work.new({"text": "😀"}), connection=connection)
    assert isinstance(raised.value.__cause__, UnicodeEncodeError)
    assert [job] == jobs.all_jobs()


def test_a_closed_connection_is_refused(jobs, connection, work):
    connection.close()
    with pytest.raises(ConfigurationError, match=r"psycopg\.Connection given .* is not open"):
        jobs.insert(work.new(), connection=connection)


async def test_a_closed_asynchronous_connection_is_refused(dsn, jobs, work):
    connection = await psycopg.AsyncConnection.connect(dsn)
    await connection.close()
    with pytest.raises(ConfigurationError, match=r"psycopg\.AsyncConnection .* is not open"):
        await jobs.insert_async(work.new(), connection=connection)


async def test_a_connection_of_the_wrong_colour_is_refused(dsn, jobs, connection, work):
    with pytest.raises(ConfigurationError, match=r"a psycopg\.Connection would block"):
        await jobs.insert_async(work.new(), connection=connection)
    with pytest.raises(ConfigurationError, match=r"a psycopg\.Connection would block"):
        await jobs.insert_all_async([work.new()], connection=connection)
    async with await psycopg.AsyncConnection.connect(dsn) as asynchronous:
        with pytest.raises(ConfigurationError, match="await its _async twin"):
            jobs.insert(work.new(), connection=asynchronous)


@pytest.mark.parametrize(
    "given,found",
    [
        (object(), "builtins.object"),
        ("postgresql://localhost/shop", "builtins.str"),
        (False, "builtins.bool"),
        (psycopg.Connection, "builtins.type"),
    ],
    ids=["object", "dsn", "false", "class"],
)
def test_what_is_no_connection_is_refused_with_what_is_accepted(jobs, work, given, found):
    with pytest.raises(ConfigurationError) as raised:
        jobs.insert(work.new(), connection=given)
    assert str(raised.value).endswith(f"not a {found}")
    assert "psycopg 3" in str(raised.value)
    with pytest.raises(ConfigurationError):
        asyncio.run(jobs.insert_async(work.new(), connection=given))


def test_connections_of_other_libraries_are_no_connections(dsn, jobs, connection, work):
    import psycopg2

    with (
        closing(psycopg2.connect(dsn)) as other,
        pytest.raises(ConfigurationError, match=r"psycopg2\.extensions\.connection"),
    ):
        jobs.insert(work.new(), connection=other)
    with pytest.raises(ConfigurationError, match=r"psycopg\.Cursor"):
        jobs.insert(work.new(), connection=connection.cursor())
