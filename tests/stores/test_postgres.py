"""The Postgres store passes the suite of every store, on Oban's table in both of its shapes."""

import json
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from pgjobs.adapters.postgres.names import quoted
from pgjobs.adapters.postgres.rows import job as read_job
from pgjobs.adapters.postgres.rows import job_columns
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.adapters.postgres.values import Parameters, array_text
from pgjobs.rules.job import Job
from pgjobs_testing.clearing import clear
from pgjobs_testing.conformance import StoreConformance
from pgjobs_testing.conformance.given import BEYOND_INT4
from pgjobs_testing.conformance.sessions import Sessions
from tests.stores.conftest import begin_beyond_int4

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

STAMPS = ("attempted_at", "completed_at", "discarded_at", "cancelled_at")


@pytest.fixture(scope="class")
def made(request, class_dsn):
    """The store that the tests of a class share."""
    request.cls.prepare(class_dsn)
    store = PostgresStore(class_dsn, schema=request.cls.schema)
    store.migrate()
    begin_beyond_int4(store)
    yield store
    store.close()


class OnPostgres:
    """Fixtures for tests that share one database."""

    schema = "public"

    @staticmethod
    def prepare(dsn):
        """Make what is there before the migration."""

    @pytest.fixture
    def store(self, made):
        clear(made, BEYOND_INT4)
        return made

    @pytest.fixture
    def plant(self, store):
        def plant(jobs: Sequence[Job]) -> list[Job]:
            return [planted(store, job) for job in jobs]

        return plant


class TestOnTheTableOfObanForPython(OnPostgres, StoreConformance):
    pass


class TestOnTheTableOfObanForElixir(OnPostgres, StoreConformance):
    @staticmethod
    def prepare(dsn):
        with psycopg.connect(dsn) as connection:
            connection.execute(Path(__file__).with_name("elixir.sql").read_text())


class TestInASchemaOfAnOddName(OnPostgres, StoreConformance):
    schema = """we"ird 'schema' $body$ {schema} %s ä😀"""


class TestInASchemaThatLeavesNoRoomForObansChannels(OnPostgres, Sessions):
    schema = "long " + "ä" * 29


def planted(store, job: Job) -> Job:
    """Write a row as it is. Its errors are written as the type of the column, by way of the row's."""
    given = Parameters()
    jobs = f"{quoted(store.schema)}.oban_jobs"
    columns = {
        "state": f"{given.text(job.state)}::{quoted(store.schema)}.oban_job_state",
        "queue": given.text(job.queue),
        "worker": given.text(job.worker),
        "args": given.json(job.args),
        "meta": given.json(job.meta),
        "tags": f"{given.text(array_text(job.tags))}::text[]",
        "errors": f"(SELECT (jsonb_populate_record(NULL::{jobs}, "
        f"{given.text(json.dumps({'errors': job.errors}))}::jsonb)).errors)",
        "attempt": given.number(job.attempt),
        "max_attempts": given.number(job.max_attempts),
        "priority": given.number(job.priority),
        "attempted_by": f"{given.text(array_text(job.attempted_by))}::text[]",
        "inserted_at": given.instant(job.inserted_at),
        "scheduled_at": given.instant(job.scheduled_at),
    }
    for stamp in STAMPS:
        if (at := getattr(job, stamp)) is not None:
            columns[stamp] = given.instant(at)
    sql = (
        f"INSERT INTO {jobs} ({', '.join(columns)}) VALUES ({', '.join(columns.values())}) "
        f"RETURNING {job_columns()}"
    )
    (row,) = store.query(sql, *given.values)
    return read_job(row)
