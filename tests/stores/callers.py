"""The connections that an application may have, each library's in one and the same hand.

A ``Caller`` holds one connection with a transaction that begins when it is used. Everything is called
in the plain way: an asynchronous library runs on a loop of the caller's own.
"""

import asyncio
from contextlib import contextmanager

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker


class Caller:
    """``given`` is what is passed as ``connection``; ``autocommit`` where each statement commits."""

    given: object

    def insert(self, jobs, job):
        return jobs.insert(job, connection=self.given)

    def insert_all(self, jobs, new):
        return jobs.insert_all(new, connection=self.given)

    def run_within(self, store, effect):
        return store.run_within(effect, self.given)

    @contextmanager
    def savepoint(self):
        """A savepoint that is rolled back when the block ends."""
        self.execute("SAVEPOINT before")
        yield
        self.execute("ROLLBACK TO SAVEPOINT before")


class Psycopg(Caller):
    def __init__(self, dsn, *, autocommit=False, isolation=None, **options):
        self.given = psycopg.connect(dsn, autocommit=autocommit, **options)
        self.given.isolation_level = isolation

    @property
    def pgconn(self):
        return self.given.pgconn

    def execute(self, sql):
        self.given.execute(sql)

    def commit(self):
        self.given.commit()

    def rollback(self):
        self.given.rollback()

    def close(self):
        self.given.close()


class Sqlalchemy(Caller):
    """``make`` makes what is given from an engine."""

    def __init__(self, dsn, driver, make, *, autocommit=False, isolation=None, **options):
        level = "AUTOCOMMIT" if autocommit else _level(isolation)
        self.engine = sqlalchemy.create_engine(url(dsn, driver), isolation_level=level)
        self.engine = self.engine.execution_options(**options)
        self.given = make(self.engine)

    @property
    def pgconn(self):
        session = isinstance(self.given, Session | scoped_session)
        made = self.given.connection() if session else self.given
        return made.connection.driver_connection.pgconn

    def execute(self, sql):
        self.given.execute(sqlalchemy.text(sql))

    def commit(self):
        self.given.commit()

    def rollback(self):
        self.given.rollback()

    def close(self):
        self.given.close()
        self.engine.dispose()


class Asynchronous(Caller):
    """What the two asynchronous libraries share: a loop."""

    def __init__(self):
        self.runner = asyncio.Runner()

    def insert(self, jobs, job):
        return self.runner.run(jobs.insert_async(job, connection=self.given))

    def insert_all(self, jobs, new):
        return self.runner.run(jobs.insert_all_async(new, connection=self.given))

    def run_within(self, store, effect):
        return self.runner.run(store.run_within_async(effect, self.given))

    def commit(self):
        self.runner.run(self.given.commit())

    def rollback(self):
        self.runner.run(self.given.rollback())

    def close(self):
        self.runner.run(self.given.close())
        self.runner.close()


class AsyncPsycopg(Asynchronous):
    def __init__(self, dsn, *, autocommit=False, isolation=None, **options):
        super().__init__()
        opening = psycopg.AsyncConnection.connect(dsn, autocommit=autocommit, **options)
        self.given = self.runner.run(opening)
        self.runner.run(self.given.set_isolation_level(isolation))

    @property
    def pgconn(self):
        return self.given.pgconn

    def execute(self, sql):
        self.runner.run(self.given.execute(sql))


class AsyncSqlalchemy(Asynchronous):
    def __init__(self, dsn, driver, make, *, autocommit=False, isolation=None, **options):
        super().__init__()
        level = "AUTOCOMMIT" if autocommit else _level(isolation)
        self.engine = create_async_engine(url(dsn, driver), isolation_level=level)
        self.engine = self.engine.execution_options(**options)
        self.given = self.runner.run(make(self.engine))

    @property
    def pgconn(self):
        raise NotImplementedError("asked of synchronous engines alone")

    def execute(self, sql):
        self.runner.run(self.given.execute(sqlalchemy.text(sql)))

    def close(self):
        self.runner.run(self.given.close())
        self.runner.run(self.engine.dispose())
        self.runner.close()


class Django(Caller):
    """Django's default connection; its transaction is an ``atomic`` block, or none in autocommit."""

    def __init__(self, dsn, *, autocommit=False, isolation=None, alias="default", **options):
        connections = _django()
        level = {} if isolation is None else {"isolation_level": isolation}
        there = conninfo_to_dict(dsn)
        databases = {
            alias: {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": there["dbname"],
                "USER": there.get("user", ""),
                "PASSWORD": there.get("password", ""),
                "HOST": there.get("host", ""),
                "PORT": there.get("port", ""),
                "OPTIONS": level | options,
            }
        }
        databases.setdefault("default", {"ENGINE": "django.db.backends.dummy"})
        for name, made in connections.configure_settings(databases).items():
            connections.databases[name] = made
            if hasattr(connections._connections, name):
                del connections[name]
        self.alias, self.autocommit = alias, autocommit
        self.connection = self.given = connections[alias]
        self.block = None

    @property
    def pgconn(self):
        return self.connection.connection.pgconn

    def insert(self, jobs, job):
        self._begin()
        return super().insert(jobs, job)

    def insert_all(self, jobs, new):
        self._begin()
        return super().insert_all(jobs, new)

    def run_within(self, store, effect):
        self._begin()
        return super().run_within(store, effect)

    def execute(self, sql):
        self._begin()
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def commit(self):
        self._end(None)

    def rollback(self):
        self._end(_RolledBack())

    def close(self):
        self.rollback()
        self.connection.close()

    def _begin(self):
        if self.block is None and not self.autocommit:
            from django.db import transaction

            self.block = transaction.atomic(using=self.alias)
            self.block.__enter__()

    def _end(self, error):
        if self.block is not None:
            self.block.__exit__(None if error is None else type(error), error, None)
            self.block = None


class _RolledBack(Exception):
    """Leaves an atomic block."""


def _django():
    import django
    from django.conf import settings

    if not settings.configured:
        dummy = {"default": {"ENGINE": "django.db.backends.dummy"}}
        settings.configure(DATABASES=dummy, LOGGING_CONFIG=None)
        django.setup()
    from django.db import connections

    return connections


def url(dsn, driver):
    """The DSN as SQLAlchemy takes it."""
    there = conninfo_to_dict(dsn)
    return sqlalchemy.URL.create(
        f"postgresql+{driver}",
        username=there.get("user"),
        password=there.get("password"),
        host=there.get("host"),
        port=int(there["port"]) if "port" in there else None,
        database=there["dbname"],
    )


def _level(isolation):
    names = {None: "READ COMMITTED"} | {each: each.name.replace("_", " ") for each in ISOLATION}
    return names[isolation]


ISOLATION = tuple(psycopg.IsolationLevel)


def _plain(driver):
    return lambda dsn, **options: Sqlalchemy(dsn, driver, lambda e: e.connect(), **options)


def _session(dsn, **options):
    return Sqlalchemy(dsn, "psycopg", Session, **options)


def _scoped(dsn, **options):
    return Sqlalchemy(dsn, "psycopg", lambda e: scoped_session(sessionmaker(e)), **options)


async def _connected(engine):
    return await engine.connect()


async def _async_session(engine):
    return AsyncSession(engine)


async def _async_scoped(engine):
    return async_scoped_session(async_sessionmaker(engine), asyncio.get_running_loop)


def _asynchronous(driver, make):
    return lambda dsn, **options: AsyncSqlalchemy(dsn, driver, make, **options)


PSYCOPG = {"Connection": Psycopg, "AsyncConnection": AsyncPsycopg}
SQLALCHEMY = {
    "Connection over psycopg": _plain("psycopg"),
    "Connection over psycopg2": _plain("psycopg2"),
    "Session": _session,
    "scoped_session": _scoped,
    "AsyncConnection over asyncpg": _asynchronous("asyncpg", _connected),
    "AsyncConnection over psycopg": _asynchronous("psycopg", _connected),
    "AsyncSession over asyncpg": _asynchronous("asyncpg", _async_session),
    "AsyncSession over psycopg": _asynchronous("psycopg", _async_session),
    "async_scoped_session": _asynchronous("asyncpg", _async_scoped),
}
DJANGO = {
    "connections[alias]": lambda dsn, **options: Django(dsn, alias="shop", **options),
    "server-side binding": lambda dsn, **options: Django(dsn, server_side_binding=True, **options),
}
EVERY = {
    f"{library}: {name}": make
    for library, makes in (("psycopg", PSYCOPG), ("SQLAlchemy", SQLALCHEMY), ("Django", DJANGO))
    for name, make in makes.items()
}
