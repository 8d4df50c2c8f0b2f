"""What a caller's transaction leaves behind is the same in memory and on a server, whatever it did."""

from contextlib import closing

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from pgjobs import MemoryStore, PgJobs, Unique, worker
from tests.stores.callers import _django, url

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

KEYS = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("insert"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("many"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("outside"), st.integers(10, 12), st.integers(0, 9)),
    st.sampled_from([("savepoint",), ("release",), ("back",), ("commit",), ("rollback",)]),
)


class OverSqlalchemy:
    """A session, its savepoints by ``begin_nested``."""

    def __init__(self, engine):
        self.given = Session(engine)
        self.savepoints = []

    def savepoint(self):
        self.savepoints.append(self.given.begin_nested())

    def release(self):
        self.savepoints.pop().commit()

    def back(self):
        self.savepoints.pop().rollback()

    def commit(self):
        self.savepoints.clear()
        self.given.commit()

    def rollback(self):
        self.savepoints.clear()
        self.given.rollback()
        if self.given.in_transaction():
            self.given.rollback()

    def close(self):
        self.given.close()


class OverDjango:
    """A connection out of autocommit, its savepoints by hand."""

    def __init__(self, alias):
        from django.db import connections

        self.given = connections[alias]
        self.given.set_autocommit(False)
        self.savepoints = []

    def savepoint(self):
        self.savepoints.append(self.given.savepoint())

    def release(self):
        self.given.savepoint_commit(self.savepoints.pop())

    def back(self):
        sid = self.savepoints.pop()
        self.given.savepoint_rollback(sid)
        self.given.savepoint_commit(sid)

    def commit(self):
        self.savepoints.clear()
        self.given.commit()

    def rollback(self):
        self.savepoints.clear()
        self.given.rollback()

    def close(self):
        self.rollback()
        self.given.set_autocommit(True)


@worker(
    name="within.mix",
    unique=Unique(keys=("k",)),
    replace={"available": ("args", "priority"), "scheduled": ("scheduled_at",)},
)
def mix(job):
    """Never runs."""


def left_by(steps, jobs, caller):
    """Carry ``steps`` out; the rows that are left."""
    with closing(caller):
        for name, *given in steps:
            if name in ("insert", "many"):
                k, n = given
                new = [mix.new({"k": k + more, "n": n}, priority=n) for more in (0, 1, 0)]
                if name == "many":
                    jobs.insert_all(new, connection=caller.given)
                else:
                    jobs.insert(new[0], connection=caller.given)
            elif name == "outside":
                k, n = given
                jobs.insert(mix.new({"k": k, "n": n}))
            elif name in ("release", "back"):
                if caller.savepoints:
                    getattr(caller, name)()
            else:
                getattr(caller, name)()
    rows = [(job.args, job.priority, str(job.state)) for job in jobs.all_jobs(order_by="id")]
    return sorted(rows, key=lambda row: row[0]["k"])


@pytest.fixture
def engines(dsn):
    made = (
        sqlalchemy.create_engine("sqlite://"),
        sqlalchemy.create_engine(url(dsn, "psycopg")),
    )
    yield made
    for engine in made:
        engine.dispose()


@pytest.fixture
def aliases(dsn, tmp_path):
    from psycopg.conninfo import conninfo_to_dict

    connections = _django()
    there = conninfo_to_dict(dsn)
    databases = {
        "lite": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "lite")},
        "server": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": there["dbname"],
            "USER": there.get("user", ""),
            "PASSWORD": there.get("password", ""),
            "HOST": there.get("host", ""),
            "PORT": there.get("port", ""),
        },
        "default": {"ENGINE": "django.db.backends.dummy"},
    }
    for name, made in connections.configure_settings(databases).items():
        connections.databases[name] = made
        if hasattr(connections._connections, name):
            del connections[name]
    yield "lite", "server"
    for name in ("lite", "server"):
        connections[name].close()


class TestEqualRows:
    @pytest.fixture(params=["SQLAlchemy", "Django"])
    def callers(self, request):
        if request.param == "SQLAlchemy":
            engines = request.getfixturevalue("engines")
            return [lambda: OverSqlalchemy(engines[0]), lambda: OverSqlalchemy(engines[1])]
        aliases = request.getfixturevalue("aliases")
        return [lambda: OverDjango(aliases[0]), lambda: OverDjango(aliases[1])]

    def test_whatever_was_nested_committed_and_rolled_back(self, callers, dsn, postgres):
        @settings(
            max_examples=60,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )
        @given(st.lists(STEPS, max_size=14))
        def equal(steps):
            postgres.query("DELETE FROM oban_jobs")
            in_memory, on_server = callers
            expected = left_by(steps, PgJobs(store=postgres), on_server())
            assert expected == left_by(steps, PgJobs(store=MemoryStore()), in_memory())

        equal()
