"""``connection=`` in memory: stored at once, and following the caller's transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import StaticPool

from pgjobs import ConfigurationError, Job, MemoryStore, PgJobs, Unique, worker
from pgjobs_testing import Harness

app = PgJobs("postgresql://db.example.invalid/production")
ran: list[Any] = []


@worker(name="tx.pack", unique=Unique(keys=("k",)), replace={"available": ("args", "priority")})
def pack(job: Job) -> None:
    ran.append(job.args["k"])


@worker(name="tx.apack")
async def apack(job: Job) -> None:
    ran.append(job.args["k"])


@pytest.fixture(autouse=True)
def _clean() -> None:
    ran.clear()


@pytest.fixture
def engine() -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE orders (id integer)"))
    yield engine
    engine.dispose()


def keys(jobs: PgJobs) -> list[Any]:
    return [job.args["k"] for job in jobs.all_jobs(order_by="id")]


class TestSqlalchemy:
    def test_a_rollback_takes_the_job_back_and_a_commit_keeps_it(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        with Session(engine) as session:
            app.insert(pack.new({"k": 1}), connection=session)
            assert keys(jobs) == [1]
            session.rollback()
            assert keys(jobs) == []
            app.insert(pack.new({"k": 2}), connection=session)
            session.commit()
            app.insert(pack.new({"k": 3}), connection=session)
        assert keys(jobs) == [2]
        assert [moment.ordinal for moment in jobs.timeline.of("rollback")] == [1, 3]
        assert len(jobs.timeline.of("insert")) == 3

    def test_an_exception_that_leaves_the_block_takes_it_back(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        with suppress(ZeroDivisionError), Session(engine) as session, session.begin():
            app.insert_all([pack.new({"k": 1}), pack.new({"k": 2})], connection=session)
            raise ZeroDivisionError
        assert keys(jobs) == []

    def test_a_savepoint_takes_back_what_came_within_it(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        with Session(engine) as session:
            app.insert(pack.new({"k": 1}), connection=session)
            with suppress(ZeroDivisionError), session.begin_nested():
                app.insert(pack.new({"k": 2}), connection=session)
                with session.begin_nested():
                    app.insert(pack.new({"k": 3}), connection=session)
                raise ZeroDivisionError
            with session.begin_nested():
                app.insert(pack.new({"k": 4}), connection=session)
            assert keys(jobs) == [1, 4]
            session.commit()
        assert keys(jobs) == [1, 4]

    def test_a_savepoint_that_was_there_first_takes_all_back(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        with Session(engine) as session:
            savepoint = session.begin_nested()
            app.insert(pack.new({"k": 1}), connection=session)
            savepoint.rollback()
            app.insert(pack.new({"k": 2}), connection=session)
            session.commit()
        assert keys(jobs) == [2]

    @pytest.mark.parametrize("make", ["connection", "scoped_session", "begin"])
    def test_every_kind_is_followed(
        self, jobs: Harness, engine: sqlalchemy.Engine, make: str
    ) -> None:
        given: Any
        if make == "scoped_session":
            given = scoped_session(sessionmaker(engine))
        else:
            given = engine.connect()
            if make == "begin":
                given.begin()
        app.insert(pack.new({"k": 1}), connection=given)
        given.commit()
        app.insert(pack.new({"k": 2}), connection=given)
        given.rollback()
        given.execute(sqlalchemy.text("INSERT INTO orders VALUES (1)"))
        app.insert(pack.new({"k": 3}), connection=given)
        given.close()
        assert keys(jobs) == [1]

    def test_what_it_replaced_is_as_before_and_its_key_is_free_again(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        first = app.insert(pack.new({"k": 1, "n": 1}))
        with Session(engine) as session:
            found = app.insert(pack.new({"k": 1, "n": 2}, priority=7), connection=session)
            assert found.replaced
            again = app.insert(pack.new({"k": 1, "n": 3}, priority=8), connection=session)
            assert (again.id, again.priority) == (first.id, 8)
            new = app.insert(pack.new({"k": 2}), connection=session)
            session.rollback()
        assert jobs.all_jobs() == [first]
        after = app.insert(pack.new({"k": 2}))
        assert not after.conflict
        assert after.id != new.id

    def test_in_autocommit_the_job_stays(self, jobs: Harness, engine: sqlalchemy.Engine) -> None:
        auto = engine.execution_options(isolation_level="AUTOCOMMIT")
        with auto.connect() as connection:
            app.insert(pack.new({"k": 1}), connection=connection)
            connection.rollback()
        assert keys(jobs) == [1]

    def test_a_commit_that_fails_takes_the_job_back(
        self, jobs: Harness, engine: sqlalchemy.Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_: object) -> None:
            raise sqlalchemy.exc.OperationalError("COMMIT", {}, Exception("no"))

        with Session(engine) as session:
            app.insert(pack.new({"k": 1}), connection=session)
            monkeypatch.setattr(engine.dialect, "do_commit", refuse)
            with pytest.raises(sqlalchemy.exc.OperationalError):
                session.commit()
        assert keys(jobs) == []

    def test_an_outer_transaction_of_a_fixture_takes_back_what_a_session_committed(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        connection = engine.connect()
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            app.insert(pack.new({"k": 1}), connection=session)
            session.commit()
            app.insert(pack.new({"k": 2}), connection=session)
            session.rollback()
            assert keys(jobs) == [1]
            assert jobs.drain_queue() == {"completed": 1}
        outer.rollback()
        connection.close()
        assert keys(jobs) == []

    @pytest.mark.pgjobs(mode="inline")
    def test_inline_runs_it_at_the_commit_and_not_before(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        with Session(engine) as session:
            app.insert(pack.new({"k": 1}), connection=session)
            app.insert(pack.new({"k": 9}))
            assert ran == [9]
            session.commit()
            assert ran == [9, 1]
            app.insert(pack.new({"k": 2}), connection=session)
            session.rollback()
            jobs.advance(60)
        assert ran == [9, 1]
        with engine.begin() as connection:
            app.insert(apack.new({"k": 3}), connection=connection)
            assert ran == [9, 1]
        assert ran == [9, 1, 3]

    @pytest.mark.pgjobs(mode="inline")
    def test_inline_runs_it_at_the_commit_of_a_session_within_an_outer_transaction(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        connection = engine.connect()
        outer = connection.begin()
        session = Session(connection, join_transaction_mode="create_savepoint")
        with session.begin_nested():
            app.insert(pack.new({"k": 1}), connection=session)
        assert ran == []
        session.commit()
        assert ran == [1]
        session.close()
        outer.rollback()
        connection.close()
        assert keys(jobs) == []

    @pytest.mark.pgjobs(mode="inline")
    def test_a_worker_may_use_the_very_session_that_committed(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        registry = scoped_session(sessionmaker(engine))

        @worker(name="tx.order")
        def order(job: Job) -> None:
            registry.execute(sqlalchemy.text("INSERT INTO orders VALUES (1)"))
            registry.commit()
            ran.append("order")

        app.insert(order.new(), connection=registry)
        registry.commit()
        assert ran == ["order"]
        registry.remove()

    def test_a_store_of_one_s_own_withholds_it_until_the_commit(
        self, engine: sqlalchemy.Engine
    ) -> None:
        own = PgJobs(store=MemoryStore())
        with Session(engine) as session:
            own.insert(pack.new({"k": 1}), connection=session)
            assert own.drain_queue() == {}
            session.commit()
            assert own.drain_queue() == {"completed": 1}


@pytest.mark.postgres
class TestAsynchronous:
    """Over a real server, as there is no driver of SQLite here; the jobs are in memory."""

    @pytest.fixture
    async def engine(self, database: str) -> AsyncIterator[AsyncEngine]:
        url = sqlalchemy.make_url(database).set(drivername="postgresql+psycopg")
        engine = create_async_engine(url)
        yield engine
        await engine.dispose()

    async def test_a_session_is_followed(self, jobs: Harness, engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            await app.insert_async(pack.new({"k": 1}), connection=session)
            async with session.begin_nested() as savepoint:
                await app.insert_async(pack.new({"k": 2}), connection=session)
                await savepoint.rollback()
            assert keys(jobs) == [1]
            await session.rollback()
            await app.insert_async(pack.new({"k": 3}), connection=session)
            await session.commit()
            await app.insert_async(pack.new({"k": 4}), connection=session)
        assert keys(jobs) == [3]

    async def test_a_connection_is_followed(self, jobs: Harness, engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            await app.insert_async(pack.new({"k": 1}), connection=connection)
            await connection.rollback()
            await app.insert_async(pack.new({"k": 2}), connection=connection)
            await connection.commit()
        assert keys(jobs) == [2]

    @pytest.mark.pgjobs(mode="inline")
    async def test_inline_runs_it_when_the_commit_is_awaited(
        self, jobs: Harness, engine: AsyncEngine
    ) -> None:
        async with AsyncSession(engine) as session:
            await app.insert_async(apack.new({"k": 1}), connection=session)
            await app.insert_async(pack.new({"k": 2}), connection=session)
            assert ran == []
            await session.commit()
            assert sorted(ran) == [1, 2]
        async with engine.begin() as connection:
            await app.insert_async(apack.new({"k": 3}), connection=connection)
            assert len(ran) == 2
        assert ran[2:] == [3]


@pytest.mark.parametrize(
    "given", ["postgresql://db", 0, False, b"", {}, [], Session, sessionmaker(), "engine"]
)
def test_what_is_no_connection_is_refused_as_in_production(
    jobs: Harness, engine: sqlalchemy.Engine, given: object
) -> None:
    given = engine if given == "engine" else given
    with pytest.raises(ConfigurationError, match="connection takes a Connection of psycopg 3"):
        app.insert(pack.new({"k": 1}), connection=given)
    assert jobs.count_jobs() == 0


def test_a_closed_connection_and_a_session_without_an_engine_are_refused(
    jobs: Harness, engine: sqlalchemy.Engine
) -> None:
    connection = engine.connect()
    connection.close()
    with pytest.raises(ConfigurationError, match="is not open"):
        app.insert(pack.new({"k": 1}), connection=connection)
    with pytest.raises(ConfigurationError, match="several engines, or none"):
        app.insert(pack.new({"k": 1}), connection=Session())
    assert jobs.count_jobs() == 0


def test_another_object_stores_at_once(jobs: Harness) -> None:
    app.insert(pack.new({"k": 1}), connection=object())
    assert keys(jobs) == [1]


class TestDjango:
    @pytest.fixture
    def connection(self, tmp_path: Path) -> Iterator[Any]:
        from tests.stores.callers import _django

        connections = _django()
        databases = {
            "orders": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db")},
            "default": {"ENGINE": "django.db.backends.dummy"},
        }
        for name, made in connections.configure_settings(databases).items():
            connections.databases[name] = made
        if hasattr(connections._connections, "orders"):
            del connections["orders"]
        yield connections["orders"]
        connections["orders"].close()

    def test_a_block_that_raises_takes_the_job_back(self, jobs: Harness, connection: Any) -> None:
        from django.db import transaction

        with transaction.atomic(using="orders"):
            app.insert(pack.new({"k": 1}), connection=connection)
        with suppress(ZeroDivisionError), transaction.atomic(using="orders"):
            app.insert(pack.new({"k": 2}), connection=connection)
            raise ZeroDivisionError
        app.insert(pack.new({"k": 3}), connection=connection)
        assert keys(jobs) == [1, 3]
        assert not [name for name in vars(connection) if name.startswith("_pgjobs")]

    def test_a_savepoint_takes_back_what_came_within_it(
        self, jobs: Harness, connection: Any
    ) -> None:
        from django.db import transaction

        with transaction.atomic(using="orders"):
            app.insert(pack.new({"k": 1}), connection=connection)
            with suppress(ZeroDivisionError), transaction.atomic(using="orders"):
                app.insert(pack.new({"k": 2}), connection=connection)
                with transaction.atomic(using="orders"):
                    app.insert(pack.new({"k": 3}), connection=connection)
                with transaction.atomic(using="orders", savepoint=False):
                    app.insert(pack.new({"k": 4}), connection=connection)
                raise ZeroDivisionError
            sid = transaction.savepoint(using="orders")
            app.insert(pack.new({"k": 5}), connection=connection)
            transaction.savepoint_rollback(sid, using="orders")
            app.insert(pack.new({"k": 6}), connection=connection)
        assert keys(jobs) == [1, 6]

    def test_a_block_marked_for_rollback_and_a_closed_connection_take_it_back(
        self, jobs: Harness, connection: Any
    ) -> None:
        from django.db import transaction

        with transaction.atomic(using="orders"):
            app.insert(pack.new({"k": 1}), connection=connection)
            transaction.set_rollback(True, using="orders")
        with transaction.atomic("orders"):
            app.insert(pack.new({"k": 2}), connection=connection)
            connection.close()
        assert keys(jobs) == []

    def test_a_transaction_by_hand_is_followed(self, jobs: Harness, connection: Any) -> None:
        connection.set_autocommit(False)
        app.insert(pack.new({"k": 1}), connection=connection)
        connection.commit()
        app.insert(pack.new({"k": 2}), connection=connection)
        connection.rollback()
        connection.set_autocommit(True)
        assert keys(jobs) == [1]

    @pytest.mark.pgjobs(mode="inline")
    def test_inline_runs_it_after_the_commit_with_the_connection_ready(
        self, jobs: Harness, connection: Any
    ) -> None:
        from django.db import transaction

        @worker(name="tx.django")
        def order(job: Job) -> None:
            with transaction.atomic("orders"), connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            ran.append("order")

        with transaction.atomic("orders"):
            with transaction.atomic("orders"):
                app.insert(order.new(), connection=connection)
            assert ran == []
        assert ran == ["order"]
        connection.set_autocommit(False)
        app.insert(pack.new({"k": 1}), connection=connection)
        connection.commit()
        connection.set_autocommit(True)
        assert ran == ["order", 1]

    @pytest.mark.pgjobs(mode="inline")
    def test_within_a_test_case_the_outermost_block_of_the_application_counts(
        self, jobs: Harness, connection: Any
    ) -> None:
        from django.db import transaction

        outer = transaction.atomic("orders")
        outer._from_testcase = True
        with outer:
            app.insert(pack.new({"k": 1}), connection=connection)
            assert ran == [1]
            with transaction.atomic("orders"):
                app.insert(pack.new({"k": 2}), connection=connection)
                with transaction.atomic("orders"):
                    app.insert(pack.new({"k": 3}), connection=connection)
                assert ran == [1]
            assert ran == [1, 2, 3]
            transaction.set_rollback(True, using="orders")
        assert keys(jobs) == []
