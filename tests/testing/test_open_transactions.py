"""An insert that would wait for a transaction that its own test has open is refused, on either store."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
import sqlalchemy
from psycopg.conninfo import make_conninfo
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from pgjobs import Cron, Job, OpenTransactionError, PgJobs, StoreUnavailableError, Unique, worker
from pgjobs_testing import Harness, harness
from pgjobs_testing.stores import GIVEN_UP_AFTER_S, LocalPostgres, PostgresSource

app = PgJobs("postgresql://db.example.invalid/production", queues={"default": 5})

WAITING = """
SELECT pid::text FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'"""
FORGOTTEN = r"worker 'open\.confirm'.*was connection= forgotten\?"


@worker(name="open.confirm", unique=Unique(period=None), replace={"scheduled": ("priority",)})
def confirm(job: Job) -> None: ...


@worker(name="open.plain")
def plain(job: Job) -> None: ...


class Databases:
    """Databases whose locks are given up soon."""

    def __init__(self, made: Callable[[], str]) -> None:
        self._made = made

    def database(self, name: str) -> str:
        return make_conninfo(self._made(), options="-c lock_timeout=200ms")

    def close(self) -> None: ...


@pytest.fixture
def source(new_database: Callable[[], str]) -> Iterator[PostgresSource]:
    source = PostgresSource(Databases(new_database))
    yield source
    source.close()


@pytest.fixture
def on_server(source: PostgresSource) -> Iterator[Harness]:
    with harness(mode="postgres", source=source) as made:
        yield made


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def jobs(request: pytest.FixtureRequest) -> Iterator[Harness]:
    if request.param == "postgres":
        yield request.getfixturevalue("on_server")
        return
    with harness(mode="manual") as made:
        yield made


@pytest.fixture
def engine(jobs: Harness) -> Iterator[sqlalchemy.Engine]:
    """An engine of the application: on the test's database, or on SQLite where that is in memory."""
    if isinstance(jobs.store, LocalPostgres):
        made = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn_of(jobs))
        )
    else:
        made = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool)
    yield made
    made.dispose()


def dsn_of(jobs: Harness) -> str:
    assert isinstance(jobs.store, LocalPostgres)
    return jobs.store.postgres.dsn


class TestOnBothStores:
    def test_an_insert_without_the_connection_is_refused_while_its_equal_is_not_committed(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        with Session(engine) as session:
            app.insert(confirm.new({"order": 1}), connection=session)
            for insert in (app.insert, lambda job: app.insert_all([plain.new(), job])):
                with pytest.raises(OpenTransactionError, match=FORGOTTEN):
                    insert(confirm.new({"order": 1}))
            with pytest.raises(OpenTransactionError, match=FORGOTTEN):
                asyncio.run(app.insert_async(confirm.new({"order": 1})))
            assert app.insert(confirm.new({"order": 1}), connection=session).conflict
            assert not app.insert(confirm.new({"order": 2})).conflict
            app.insert(plain.new())
            session.commit()
        assert app.insert(confirm.new({"order": 1})).conflict
        assert jobs.count_jobs(by="worker") == {"open.confirm": 2, "open.plain": 1}

    def test_it_is_free_again_after_a_rollback_wholly_or_to_a_savepoint(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        with Session(engine) as session:
            app.insert(confirm.new({"order": 1}), connection=session)
            with suppress(ZeroDivisionError), session.begin_nested():
                app.insert(confirm.new({"order": 2}), connection=session)
                raise ZeroDivisionError
            with session.begin_nested():
                app.insert(confirm.new({"order": 3}), connection=session)
            assert not app.insert(confirm.new({"order": 2})).conflict
            with pytest.raises(OpenTransactionError, match=FORGOTTEN):
                app.insert(confirm.new({"order": 3}))
            session.rollback()
            assert not app.insert(confirm.new({"order": 1})).conflict
            assert not app.insert(confirm.new({"order": 3})).conflict

    def test_a_duplicate_and_a_replacement_in_a_transaction_hold_the_place_as_well(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        app.insert(confirm.new({"order": 1}))
        app.insert(confirm.new({"order": 2}, schedule_in=60))
        with Session(engine) as session:
            assert app.insert(confirm.new({"order": 1}), connection=session).conflict
            new = confirm.new({"order": 2}, schedule_in=60, priority=3)
            assert app.insert(new, connection=session).replaced
            for n in (1, 2):
                with pytest.raises(OpenTransactionError, match=FORGOTTEN):
                    app.insert(confirm.new({"order": n}))
            session.commit()
        assert app.insert(confirm.new({"order": 2})).conflict

    def test_a_worker_that_runs_in_the_test_s_own_thread_is_told_too(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        @worker(name="open.asks")
        def asks(job: Job) -> None:
            app.insert(confirm.new({"order": 1}))

        app.insert(asks.new())
        with Session(engine) as session:
            app.insert(confirm.new({"order": 1}), connection=session)
            with pytest.raises(OpenTransactionError, match=FORGOTTEN):
                jobs.drain_queue()

    def test_a_second_session_is_refused_in_memory_and_bounded_by_its_own_settings_on_a_server(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        if isinstance(jobs.store, LocalPostgres):
            expected: Any = pytest.raises(StoreUnavailableError, match="lock timeout")
        else:
            engine = sqlalchemy.create_engine("sqlite://")
            expected = pytest.raises(OpenTransactionError, match=FORGOTTEN)
        with Session(engine) as one, Session(engine) as other:
            app.insert(confirm.new({"order": 1}), connection=one)
            with expected:
                app.insert(confirm.new({"order": 1}), connection=other)
        engine.dispose()


class TestTheEngine:
    """What its node does by itself is not tried again: no node is there but the test's."""

    @pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
    def jobs(self, request: pytest.FixtureRequest) -> Iterator[Harness]:
        found: dict[str, Any] = {"mode": "manual"}
        if request.param == "postgres":
            found = {"mode": "postgres", "source": request.getfixturevalue("source")}
        with harness(**found, plugins=[Cron([("* * * * *", confirm.new({"order": 1}))])]) as made:
            yield made

    def test_a_tick_that_waits_for_the_test_ends_the_advance(
        self, jobs: Harness, engine: sqlalchemy.Engine
    ) -> None:
        with Session(engine) as session:
            app.insert(confirm.new({"order": 1}), connection=session)
            with pytest.raises(OpenTransactionError, match=FORGOTTEN):
                jobs.advance(3_600)
            assert jobs.timeline.of("error") == []
            session.rollback()
        jobs.advance(60)
        assert jobs.count_jobs(worker=confirm) == 1


class TestInMemory:
    def test_another_thread_gets_the_job_that_is_not_committed_yet(self) -> None:
        engine = sqlalchemy.create_engine("sqlite://")
        with harness() as jobs, Session(engine) as session:
            job = app.insert(confirm.new({"order": 1}), connection=session)
            found: list[Job] = []
            thread = threading.Thread(
                target=lambda: found.append(jobs.insert(confirm.new({"order": 1})))
            )
            thread.start()
            thread.join()
            assert [(job.id, True)] == [(each.id, each.conflict) for each in found]

    async def test_another_task_gets_it_too_and_the_same_one_is_refused(self) -> None:
        engine = sqlalchemy.create_engine("sqlite://")
        opened, looked = asyncio.Event(), asyncio.Event()

        async def one() -> None:
            with Session(engine) as session:
                app.insert(confirm.new({"order": 1}), connection=session)
                opened.set()
                await looked.wait()
                with pytest.raises(OpenTransactionError, match=FORGOTTEN):
                    await app.insert_async(confirm.new({"order": 1}))

        async def other() -> Job:
            await opened.wait()
            found = await app.insert_async(confirm.new({"order": 1}))
            looked.set()
            return found

        with harness():
            _, found = await asyncio.gather(one(), other())
        assert found.conflict
        engine.dispose()

    @pytest.mark.filterwarnings(
        "ignore:unclosed database:ResourceWarning"
    )  # it drops one, on purpose
    def test_a_session_that_was_dropped_holds_nothing(self) -> None:
        engine = sqlalchemy.create_engine("sqlite://")
        with harness():
            session = Session(engine)
            app.insert(confirm.new({"order": 1}), connection=session)
            del session
            gc.collect()
            assert app.insert(confirm.new({"order": 1})).conflict
        engine.dispose()

    def test_inline_a_job_of_a_commit_may_insert_what_its_neighbour_is(self) -> None:
        """Both are committed when the first of them runs."""
        engine = sqlalchemy.create_engine("sqlite://")
        found: list[bool] = []

        @worker(name="open.asks")
        def asks(job: Job) -> None:
            found.append(app.insert(confirm.new({"order": 1})).conflict)

        with harness(mode="inline"), Session(engine) as session:
            app.insert(asks.new(), connection=session)
            app.insert(confirm.new({"order": 1}), connection=session)
            session.commit()
        assert found == [True]
        engine.dispose()


@pytest.mark.postgres
class TestOnAServer:
    def test_connections_of_the_engine_have_a_limit_and_the_test_s_own_none(
        self, server: object
    ) -> None:
        with harness(mode="postgres") as jobs, psycopg.connect(dsn_of(jobs)) as connection:
            assert isinstance(jobs.store, LocalPostgres)
            assert jobs.store.postgres.query("SHOW lock_timeout") == [(f"{GIVEN_UP_AFTER_S}s",)]
            assert connection.execute("SHOW lock_timeout").fetchall() == [("0",)]

    def test_another_thread_waits_and_gets_the_job_when_it_is_committed(
        self, server: object
    ) -> None:
        with harness(mode="postgres") as jobs, psycopg.connect(dsn_of(jobs)) as connection:
            job = app.insert(confirm.new({"order": 1}), connection=connection)
            found: list[Job] = []
            thread = threading.Thread(
                target=lambda: found.append(app.insert(confirm.new({"order": 1})))
            )
            thread.start()
            while not jobs.store.postgres.query(WAITING):  # type: ignore[attr-defined]  # as it is in this mode
                assert thread.is_alive()
            connection.commit()
            thread.join()
            assert [(job.id, True)] == [(each.id, each.conflict) for each in found]

    def test_rows_that_the_test_has_locked_are_told_of_and_who_may_hold_them(
        self, on_server: Harness
    ) -> None:
        job = app.insert(plain.new())
        dsn = make_conninfo(dsn_of(on_server), application_name="shop")
        with psycopg.connect(dsn) as connection:
            connection.execute("SELECT FROM oban_jobs FOR UPDATE")
            with pytest.raises(
                OpenTransactionError, match=r"^Transition waits for rows"
            ) as refused:
                app.cancel_job(job)
        assert "idle in a transaction: server process" in refused.value.__notes__[0]
        assert " of shop, begun 0 s ago" in refused.value.__notes__[0]

    def test_a_transaction_that_an_earlier_test_left_open_is_named_not_waited_for(
        self, source: PostgresSource
    ) -> None:
        with harness(mode="postgres", source=source) as jobs:
            dsn = dsn_of(jobs)
            app.insert(plain.new())
        with psycopg.connect(dsn) as left:
            left.execute("SELECT FROM oban_jobs FOR UPDATE")
            with (
                harness(mode="postgres", source=source),
                pytest.raises(OpenTransactionError, match="an earlier test, or a wider fixture"),
            ):
                app.insert(plain.new())
        with harness(mode="postgres", source=source) as jobs:
            assert jobs.count_jobs() == 0
