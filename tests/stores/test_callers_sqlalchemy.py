"""Jobs in a transaction of SQLAlchemy 2, over each of its drivers."""

from contextlib import closing

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgjobs import ConfigurationError, PgJobs, StoreError, StoreUnavailableError, worker
from tests.stores.callers import SQLALCHEMY, url
from tests.stores.within import Within, exchanges, with_makes

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

OVER_PSYCOPG = {
    name: SQLALCHEMY[name] for name in ("Connection over psycopg", "Session", "scoped_session")
}


class Base(DeclarativeBase):
    """The application's tables."""


class Order(Base):
    """One of them."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def jobs(postgres):
    return PgJobs(store=postgres)


@pytest.fixture
def engine(dsn, postgres):
    engine = sqlalchemy.create_engine(url(dsn, "psycopg"), pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


@pytest.fixture
def work():
    @worker
    def work(job):
        """Does nothing."""

    return work


@with_makes(SQLALCHEMY)
class TestWithinSqlalchemy(Within):
    def test_an_insert_is_one_statement_to_sqlalchemy(self, jobs, caller, works):
        sent = []
        engine = getattr(caller.engine, "sync_engine", caller.engine)
        sqlalchemy.event.listen(
            engine, "before_cursor_execute", lambda *given: sent.append(given[2])
        )
        caller.insert(jobs, works.new())
        assert 1 == len(sent)

    def test_a_connection_that_streams_its_results_takes_jobs(self, jobs, make, dsn, works):
        with closing(make(dsn, stream_results=True)) as caller:
            job = caller.insert(jobs, works.new())
            caller.commit()
        assert [job] == jobs.all_jobs()


@with_makes(OVER_PSYCOPG)
class TestOverPsycopg:
    def test_an_insert_is_one_round_trip(self, postgres, jobs, make, dsn, work, tmp_path):
        with closing(make(dsn)) as caller:
            caller.execute("SELECT 1")
            sent = exchanges(
                caller.pgconn, tmp_path / "trace", lambda: caller.insert(jobs, work.new())
            )
        assert 1 == sent


def test_the_insert_begins_sqlalchemys_own_transaction(jobs, engine, work):
    with engine.connect() as connection:
        assert not connection.in_transaction()
        jobs.insert(work.new(), connection=connection)
        assert connection.in_transaction()
    with Session(engine) as session:
        jobs.insert(work.new(), connection=session)
        assert session.in_transaction()
    assert 0 == jobs.count_jobs()
    with engine.begin() as connection:
        jobs.insert(work.new(), connection=connection)
    with Session(engine) as session, session.begin():
        jobs.insert(work.new(), connection=session)
    assert 2 == jobs.count_jobs()


def test_nested_transactions_of_sqlalchemy_cover_the_job(jobs, engine, work):
    with Session(engine) as session, session.begin():
        kept = jobs.insert(work.new(), connection=session)
        with session.begin_nested() as nested:
            jobs.insert(work.new(), connection=session)
            nested.rollback()
    assert [kept] == jobs.all_jobs()


def test_objects_of_the_session_and_the_job_are_one_transaction(jobs, engine, work):
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(order := Order())
        session.flush()
        jobs.insert(work.new({"order": order.id}), connection=session)
        session.rollback()
        session.add(order := Order())
        session.flush()
        job = jobs.insert(work.new({"order": order.id}), connection=session)
        session.commit()
        assert [order.id] == session.scalars(sqlalchemy.select(Order.id)).all()
    assert [job] == jobs.all_jobs()


def test_another_database_is_refused_with_what_is_accepted(jobs, work):
    engine = sqlalchemy.create_engine("sqlite://")
    for open_ in (engine.connect, lambda: Session(engine)):
        with open_() as given, pytest.raises(ConfigurationError, match=r"sqlite\+pysqlite"):
            jobs.insert(work.new(), connection=given)
    engine.dispose()


def test_a_closed_connection_is_refused(jobs, engine, work):
    connection = engine.connect()
    connection.close()
    with pytest.raises(ConfigurationError, match=r"sqlalchemy\.engine\.Connection .* not open"):
        jobs.insert(work.new(), connection=connection)


async def test_an_asynchronous_connection_that_is_not_open_is_refused(dsn, jobs, work):
    engine = create_async_engine(url(dsn, "asyncpg"))
    connection = engine.connect()
    with pytest.raises(ConfigurationError, match=r"AsyncConnection .* not open"):
        await jobs.insert_async(work.new(), connection=connection)
    await connection.start()
    await connection.close()
    with pytest.raises(ConfigurationError, match=r"AsyncConnection .* not open"):
        await jobs.insert_async(work.new(), connection=connection)
    await engine.dispose()


def test_an_engine_is_no_connection(jobs, engine, work):
    with pytest.raises(ConfigurationError, match=r"not a sqlalchemy\.engine\.base\.Engine"):
        jobs.insert(work.new(), connection=engine)


def test_a_session_that_does_not_say_its_engine_is_refused_with_the_remedy(jobs, engine, work):
    with Session(binds={Order: engine}) as session:
        with pytest.raises(ConfigurationError, match="bind_arguments"):
            jobs.insert(work.new(), connection=session)
        connection = session.connection(bind_arguments={"bind": engine})
        job = jobs.insert(work.new(), connection=connection)
        session.commit()
    assert [job] == jobs.all_jobs()


async def test_a_session_of_the_wrong_colour_is_refused(dsn, jobs, engine, work):
    would_block = pytest.raises(ConfigurationError, match=r"sqlalchemy\.orm\.Session would block")
    with Session(engine) as session, would_block:
        await jobs.insert_async(work.new(), connection=session)
    asynchronous = create_async_engine(url(dsn, "asyncpg"))
    async with AsyncSession(asynchronous) as session:
        with pytest.raises(ConfigurationError, match="await its _async twin"):
            jobs.insert(work.new(), connection=session)
    await asynchronous.dispose()


def test_a_session_that_must_be_rolled_back_first_is_told_by_its_cause(jobs, engine, work):
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Order(id=1), Order(id=1)])
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            session.flush()
        with pytest.raises(StoreError, match="rolled back") as raised:
            jobs.insert(work.new(), connection=session)
    assert isinstance(raised.value.__cause__, sqlalchemy.exc.PendingRollbackError)


def test_a_pool_without_a_free_connection_is_unavailable(dsn, postgres, jobs, work):
    engine = sqlalchemy.create_engine(
        url(dsn, "psycopg"), pool_size=1, max_overflow=0, pool_timeout=0
    )
    unavailable = pytest.raises(StoreUnavailableError, match="QueuePool")
    with engine.connect(), Session(engine) as session, unavailable:
        jobs.insert(work.new(), connection=session)
    engine.dispose()


async def test_a_server_that_is_not_there_is_unavailable(jobs, work):
    for driver in ("asyncpg", "psycopg"):
        engine = create_async_engine(f"postgresql+{driver}://nobody@127.0.0.1:1/none")
        async with AsyncSession(engine) as session:
            with pytest.raises(StoreUnavailableError):
                await jobs.insert_async(work.new(), connection=session)
        await engine.dispose()
