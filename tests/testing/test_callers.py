"""``connection=`` in a test: in memory it stores at once, on a server it must be the test's own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pgjobs import CapturedStoreError, ConfigurationError, Job, MemoryStore, PgJobs, worker
from pgjobs_testing import Harness, harness
from pgjobs_testing.stores import LocalPostgres

app: PgJobs


@pytest.fixture(autouse=True)
def application() -> Iterator[None]:
    """The application's instance, which is gone after each test: other tests have none."""
    global app  # noqa: PLW0603 - as an application has it
    app = PgJobs("postgresql://db.example.invalid/production")
    yield
    del app


@worker
def pack(job: Job) -> None:
    """A worker that has nothing to do."""


def django_on_sqlite() -> Any:
    from django.db.backends.sqlite3.base import DatabaseWrapper

    return DatabaseWrapper({"NAME": ":memory:"})


@pytest.fixture
def engine() -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine("sqlite://")
    yield engine
    engine.dispose()


class TestInMemory:
    def test_the_job_is_stored_at_once_whatever_the_connection(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        with Session(engine) as session:
            app.insert(pack.new({"n": 1}), connection=session)
            app.insert_all([pack.new({"n": 2})], connection=object())
            jobs.insert(pack.new({"n": 3}), connection=session)
            assert jobs.drain_queue() == {"completed": 3}

    async def test_the_asynchronous_twins_store_at_once_too(self, jobs: Harness) -> None:
        await app.insert_async(pack.new(), connection=object())
        await app.insert_all_async([pack.new()], connection=object())
        assert await jobs.count_jobs_async() == 2

    def test_a_connection_that_production_would_refuse_for_its_colour_is_refused(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        asynchronous = AsyncSession(create_async_engine("postgresql+asyncpg://localhost/none"))
        with pytest.raises(ConfigurationError, match="await its _async twin"):
            app.insert(pack.new(), connection=asynchronous)
        with Session(engine) as session, pytest.raises(ConfigurationError, match="would block"):
            asyncio.run(app.insert_async(pack.new(), connection=session))
        assert jobs.count_jobs() == 0

    @pytest.mark.pgjobs(mode="inline")
    def test_inline_runs_the_job_at_once(self, jobs: Harness) -> None:
        job = app.insert(pack.new(), connection=object())
        assert jobs.get_job(job).state == "completed"

    def test_a_memory_store_of_the_application_s_own_stores_at_once(self) -> None:
        own = PgJobs(store=MemoryStore())
        job = own.insert(pack.new(), connection=object())
        assert own.all_jobs() == [job]


class TestOnAServer:
    pytestmark = pytest.mark.postgres

    @pytest.fixture
    def jobs(self, server: object) -> Iterator[Harness]:
        with harness(mode="postgres") as made:
            yield made

    @pytest.fixture
    def dsn(self, jobs: Harness) -> str:
        assert isinstance(jobs.store, LocalPostgres)
        return jobs.store.postgres.dsn

    def test_the_job_runs_once_it_is_committed(self, jobs: Harness, dsn: str) -> None:
        with closing(psycopg.connect(dsn)) as connection:
            app.insert(pack.new(), connection=connection)
            assert jobs.advance(1).of("start") == []
            connection.commit()
            jobs.advance(1)
            assert jobs.count_jobs(by="state") == {"completed": 1}
            app.insert(pack.new(), connection=connection)
            connection.rollback()
            jobs.advance(1)
            assert jobs.count_jobs(by="state") == {"completed": 1}

    def test_what_a_worker_commits_runs_in_the_same_advance(self, jobs: Harness, dsn: str) -> None:
        @worker
        def order(job: Job) -> None:
            with psycopg.connect(dsn) as connection:
                app.insert(pack.new(), connection=connection)

        app.insert(order.new())
        jobs.advance(1)
        assert jobs.count_jobs(by="state") == {"completed": 2}

    def test_an_asynchronous_connection_of_the_test_s_database_is_taken(
        self, jobs: Harness, dsn: str
    ) -> None:
        async def insert() -> Job:
            async with await psycopg.AsyncConnection.connect(dsn) as connection:
                return await app.insert_async(pack.new(), connection=connection)

        assert asyncio.run(insert()) == jobs.all_jobs()[0]

    def test_another_database_is_refused_with_the_remedy(
        self, jobs: Harness, dsn: str, new_database: Callable[[], str]
    ) -> None:
        elsewhere = new_database()
        url = sqlalchemy.make_url(elsewhere.replace("postgresql://", "postgresql+psycopg://"))
        engine = sqlalchemy.create_engine(url)
        refused = pytest.raises(CapturedStoreError, match=r"connect to jobs\.store\.postgres\.dsn")
        with psycopg.connect(elsewhere) as connection, refused:
            app.insert(pack.new(), connection=connection)
        with Session(engine) as session, refused:
            app.insert(pack.new(), connection=session)
        engine.dispose()

        async def insert() -> None:
            async with await psycopg.AsyncConnection.connect(elsewhere) as connection:
                await app.insert_async(pack.new(), connection=connection)

        with refused:
            asyncio.run(insert())
        assert jobs.count_jobs() == 0

    def test_another_kind_of_server_is_refused_with_the_remedy_and_without_the_password(
        self, jobs: Harness, dsn: str, engine: sqlalchemy.Engine
    ) -> None:
        found = conninfo_to_dict(dsn)
        where = re.escape(f"{found['host']}:{found['port']}/{found['dbname']}")
        remedy = (
            rf"connect to jobs\.store\.postgres\.dsn \({where}; .*pgjobs_dsn.*how-to/django\.md"
        )
        for connection, vendor in ((django_on_sqlite(), "vendor is 'sqlite'"), (None, "sqlite\\+")):
            refused = pytest.raises(
                ConfigurationError, match=rf"{vendor}.*{remedy}.*mode=\"manual\""
            )
            with Session(engine) as session, refused as told:
                app.insert(pack.new(), connection=connection or session)
            assert not found.get("password") or str(found["password"]) not in str(told.value)
        assert jobs.count_jobs() == 0
