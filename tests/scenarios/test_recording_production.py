"""``pgjobs-testing record``: rows of a real database become a scenario that leaves the same rows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.types.json import Jsonb

from pgjobs import Cancel, Discard, Retry, Snooze, Unique, worker
from pgjobs.adapters.memory import MemoryStore
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs_testing import harness
from pgjobs_testing.cli import main
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import replay
from pgjobs_testing.stores import LocalPostgres, own_databases

pytestmark = pytest.mark.pgjobs(mode="live")
ELIXIR = Path(__file__).parents[1] / "stores" / "elixir.sql"
START = datetime(2025, 5, 5, 8, 0, 0, 123_456, tzinfo=UTC)


class Fixed:
    """A source of one store."""

    def __init__(self, store):
        self._store = store

    def store(self, n, schema="public"):
        return self._store


@pytest.fixture
def production(database):
    """The store of a migrated database, and its DSN."""
    store = PostgresStore(database)
    store.migrate()
    own_databases.add(database)
    yield LocalPostgres(store), database
    own_databases.discard(database)
    store.close()


def record(dsn, *options):
    return CliRunner().invoke(main, ["record", dsn, *map(str, options)])


def test_a_job_and_its_neighbours_replay_to_the_rows_that_they_had(production):
    store, dsn = production
    with harness(
        mode="manual", start=START, source=Fixed(store), queues={"sync": 1}, jitter=True
    ) as jobs:

        @worker(queue="sync", max_attempts=4, name="Sync", unique=Unique(period=60))
        async def sync(job):
            await asyncio.sleep(job.args["takes"])  # noqa: TID251 - in virtual time
            kind = job.args["kind"]
            if kind == "fails" or (kind == "flaky" and job.attempt < 4):
                raise ValueError(f"attempt {job.attempt}: no")
            if kind == "discard":
                return Discard("not wanted")
            if kind == "cancel":
                return Cancel("by itself")
            if kind == "snooze" and not job.snoozed:
                return Snooze(30)
            return Retry("busy") if kind == "retry" and job.attempt == 1 else None

        kinds = ["flaky", "ok", "fails", "discard", "cancel", "snooze", "retry", "ok"]
        stored = []
        for n, kind in enumerate(kinds):
            stored.append(
                jobs.insert(sync.new({"kind": kind, "takes": 2 + n * 0.5, "secret": "hunter2"}))
            )
            jobs.advance(1.25)
        later = jobs.insert(sync.new({"kind": "ok", "takes": 1}, schedule_in=40))
        gone = jobs.insert(sync.new({"kind": "ok", "takes": 3}, schedule_in=500))
        jobs.advance(20)
        jobs.cancel_job(gone)
        jobs.advance(400)
        hanging = jobs.insert(sync.new({"kind": "ok", "takes": 1e6}))
        jobs.advance(5)
        rows = {job.id: job for job in jobs.all_jobs()}
    assert {stored[0].id, later.id, gone.id, hanging.id} < set(rows)
    result = record(dsn, "--job", stored[0].id)
    assert 0 == result.exit_code, result.output
    assert "Not told exactly" not in result.output, result.output
    scenario, source = read_text(result.output)
    after = MemoryStore()
    played = replay(scenario, source, after)
    assert [] == [failure.text(source) for failure in played.failures]
    last = {m.ordinal: m.job for m in played.trace.moments if m.ordinal and m.job}
    for ordinal, row in enumerate(rows.values(), 1):
        assert (row.state, row.attempt) == (last[ordinal].state, last[ordinal].attempt)
        assert (row.attempted_at, row.completed_at) == (
            last[ordinal].attempted_at,
            last[ordinal].completed_at,
        )
        assert [e["at"] for e in row.errors] == [e["at"] for e in last[ordinal].errors]
    redacted = record(dsn, "--job", stored[0].id, "--redact")
    assert "hunter2" not in redacted.output
    assert redacted.output.count("secret: text 2") >= 1


def test_what_cannot_be_read_is_said_in_one_line(production):
    _, dsn = production
    for options, said in [
        (("--job", 77), "no job has the id 77 in public.oban_jobs"),
        (("--job", 77, "--schema", "nowhere"), "there is no table nowhere.oban_jobs"),
    ]:
        result = record(dsn, *options)
        assert 1 == result.exit_code
        assert said in result.output
        assert 1 == len(result.output.strip().splitlines())
    result = record("postgresql://nobody@127.0.0.1:1/none", "--job", 1)
    assert (1, True) == (result.exit_code, "the database cannot be read" in result.output)
    result = record("host=127.0.0.1 password=hunter2 foo", "--job", 1)
    assert (2, True) == (
        result.exit_code,
        "the DSN cannot be read: give postgresql" in result.output,
    )
    assert "hunter2" not in result.output
    result = record(dsn, "--job", 1, "--around", "soon")
    assert (2, True) == (result.exit_code, "accepted: a duration" in result.output)


def test_the_database_is_that_of_the_environment_where_none_is_given(production, monkeypatch):
    _, dsn = production
    of_none = CliRunner().invoke(main, ["record", "--job", "77"], env={"PGJOBS_DSN": None})
    assert 2 == of_none.exit_code
    assert of_none.stderr.endswith("Error: name the database: give its DSN, or set PGJOBS_DSN\n")
    of_another = CliRunner().invoke(main, ["record", "--job", "77"], env={"PGJOBS_DSN": dsn})
    given = CliRunner().invoke(
        main,
        ["record", dsn, "--job", "77"],
        env={"PGJOBS_DSN": "postgresql://nobody@127.0.0.1:1/none"},
    )
    for result in (of_another, given):
        assert (1, "") == (result.exit_code, result.stdout)
        assert "no job has the id 77 in public.oban_jobs" in result.stderr


def planted(connection, table, **given):
    """One row, written as another program would."""
    columns = {
        "worker": "Mix.Sync",
        "queue": "sync",
        "args": '{"id": 1}',
        "state": "completed",
        "attempt": 1,
        "max_attempts": 20,
        "inserted_at": "2025-05-05 08:00:00",
        "scheduled_at": "2025-05-05 08:00:00",
    } | given
    names = ", ".join(columns)
    marks = ", ".join("%s" for _ in columns)
    row = connection.execute(
        f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING id", [*columns.values()]
    ).fetchone()
    return row[0]


def test_rows_of_elixirs_table_in_a_schema_of_any_name_are_read(database):
    schema = """we"ird ä"""
    table = '"we""ird ä".oban_jobs'
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "we""ird ä"')
        text = ELIXIR.read_text(encoding="utf-8").replace("public.", '"we""ird ä".')
        connection.execute(text)
        error = {"at": "2025-05-05T08:00:10.500000Z", "attempt": 1, "error": "** (RuntimeError) no"}
        job = planted(
            connection,
            table,
            attempt=2,
            errors=[Jsonb(error)],
            attempted_by=["elixir@host", "uuid"],
            scheduled_at="2025-05-05 08:00:28",
            attempted_at="2025-05-05 08:00:28.25",
            completed_at="2025-05-05 08:00:31",
        )
        near = planted(
            connection,
            table,
            attempted_at="2025-05-05 08:00:01",
            completed_at="2025-05-05 08:00:02",
            args='{"id": 2}',
        )
        planted(connection, table, queue="other", args='{"id": 3}')
        planted(
            connection,
            table,
            args='{"id": 4}',
            inserted_at="2025-05-06 08:00:00",
            scheduled_at="2025-05-06 08:00:00",
            state="available",
            attempt=0,
        )
    result = record(database, "--job", job, "--schema", schema, "--around", "1m")
    assert 0 == result.exit_code, result.output
    assert near == job + 1
    assert "Not told exactly" not in result.output, result.output
    trace = replay(*read_text(result.output), MemoryStore()).trace
    assert ["insert", "insert"] == [m.event for m in trace.moments if m.event == "insert"]
    assert "28.25s  elixir@host start      #1    attempt 2" in trace.text()
    assert "10.5s  elixir@host retryable  #1" in trace.text()


def test_recording_writes_nothing_and_takes_no_lock_beyond_reading(production):
    _, dsn = production
    with psycopg.connect(dsn) as blocker:
        job = planted(blocker, "public.oban_jobs", state="available", attempt=0)
        blocker.commit()
        blocker.execute("LOCK TABLE public.oban_jobs IN EXCLUSIVE MODE")  # readers alone get past
        assert 0 == record(dsn, "--job", job).exit_code


def test_jobs_claimed_as_they_were_inserted_replay_as_they_were(production):
    """A claim bears the instant at which it was sent, and meets what was inserted since."""
    store, dsn = production
    with harness(mode="manual", start=START, source=Fixed(store), queues={"default": 2}) as jobs:

        @worker(name="Work", max_attempts=2)
        async def work(job):
            await asyncio.sleep(0.2)  # noqa: TID251 - in virtual time
            if job.args["n"] == 0 and job.attempt == 1:
                raise ValueError("no")

        stored = [jobs.insert(work.new({"n": n})) for n in range(2)]
        jobs.advance(0.1)
        stored += [jobs.insert(work.new({"n": n})) for n in range(2, 5)]
        waits = jobs.insert(work.new({"n": 9}, schedule_in=3600))
        jobs.advance(60)
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "UPDATE oban_jobs SET inserted_at = inserted_at + '3 ms', scheduled_at = scheduled_at + '3 ms'"
            " WHERE id = %s",
            [stored[1].id],
        )
    text = record(dsn, "--job", stored[0].id).stdout
    assert [line for line in text.splitlines() if line.startswith("# Not told")] == [
        "# Not told exactly: job2 has attempted_at 0s; in the replay: 0.003s"
    ]
    assert "job: job6, state: scheduled, attempt: 0" in text
    assert waits.state == "scheduled"


def test_a_job_dated_later_than_the_node_that_ran_it_dates_its_run_is_recorded(production):
    _, dsn = production
    with psycopg.connect(dsn) as connection:
        given = {"inserted_at": "2025-05-05 08:00:00.08", "scheduled_at": "2025-05-05 08:00:00.08"}
        ran = {"attempted_at": "2025-05-05 08:00:00", "completed_at": "2025-05-05 08:00:00.006"}
        job = planted(connection, "public.oban_jobs", **given, **ran)
        planted(connection, "public.oban_jobs", **ran, inserted_at="2025-05-05 08:00:00.004")
    result = record(dsn, "--job", job)
    assert 0 == result.exit_code, result.output
    said = "# Not told exactly: job2 has attempted_at -0.004s; in the replay: 0.076s"
    assert said in result.output.splitlines()
    scenario, source = read_text(result.output)
    assert not replay(scenario, source, MemoryStore()).failures
