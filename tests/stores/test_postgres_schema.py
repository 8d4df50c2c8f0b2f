"""Migrations make Oban's table or adopt it, once, in any schema, from any number of processes."""

import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from pgjobs import PgJobs
from pgjobs.adapters.postgres.migrations import migrate, migration_sql, migrations
from pgjobs.adapters.postgres.names import Names, migrate_command, quoted
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Find, Insert
from pgjobs.rules.errors import ConfigurationError, StoreError
from pgjobs.rules.job import JobState
from pgjobs.rules.selection import Selection
from pgjobs_testing.conformance.given import NOW, claim, insert, new

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

ALL = [migration.version for migration in migrations()]
NAIVE = "timestamp without time zone"

COLUMNS = {
    "id": ("bigint", "NO", None),
    "state": ("oban_job_state", "NO", "'available'::oban_job_state"),
    "queue": ("text", "NO", "'default'::text"),
    "worker": ("text", "NO", None),
    "attempt": ("smallint", "NO", "0"),
    "max_attempts": ("smallint", "NO", "20"),
    "priority": ("smallint", "NO", "0"),
    "args": ("jsonb", "NO", "'{}'::jsonb"),
    "meta": ("jsonb", "NO", "'{}'::jsonb"),
    "tags": ("text[]", "NO", "ARRAY[]::text[]"),
    "errors": ("jsonb", "NO", "'[]'::jsonb"),
    "attempted_by": ("text[]", "NO", "ARRAY[]::text[]"),
    "inserted_at": (NAIVE, "NO", "timezone('UTC'::text, now())"),
    "scheduled_at": (NAIVE, "NO", "timezone('UTC'::text, now())"),
    "attempted_at": (NAIVE, "YES", None),
    "cancelled_at": (NAIVE, "YES", None),
    "completed_at": (NAIVE, "YES", None),
    "discarded_at": (NAIVE, "YES", None),
}
"""What Oban for Python 0.7.0 installs, in its order."""

CONSTRAINTS = {
    "attempt_range": "CHECK (((attempt >= 0) AND (attempt <= max_attempts)))",
    "non_negative_priority": "CHECK ((priority >= 0))",
    "oban_jobs_pkey": "PRIMARY KEY (id)",
    "positive_max_attempts": "CHECK ((max_attempts > 0))",
    "queue_length": "CHECK ((char_length(queue) > 0))",
    "worker_length": "CHECK ((char_length(worker) > 0))",
}

INDEXES = {
    "oban_jobs_pkey",
    "oban_jobs_state_queue_priority_scheduled_at_id_index",
    "oban_jobs_staging_index",
    "oban_jobs_completed_at_index",
    "oban_jobs_cancelled_at_index",
    "oban_jobs_discarded_at_index",
    "pgjobs_jobs_unique",
}

STATES = [
    "available",
    "scheduled",
    "suspended",
    "executing",
    "retryable",
    "completed",
    "discarded",
    "cancelled",
]


@pytest.fixture
def connection(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def columns(connection, schema="public"):
    found = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), "
        "CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END, pg_get_expr(d.adbin, d.adrelid) "
        "FROM pg_attribute a LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum) "
        "WHERE a.attrelid = %s::regclass AND a.attnum > 0 ORDER BY a.attnum",
        (f"{quoted(schema)}.oban_jobs",),
    )
    return {name: tuple(rest) for name, *rest in found}


def states(connection):
    found = connection.execute("SELECT unnest(enum_range(NULL::oban_job_state))::text")
    return [state for (state,) in found]


def indexes(connection):
    found = connection.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'oban_jobs'")
    return {name for (name,) in found}


def test_the_table_is_obans(dsn, connection):
    assert ALL == migrate(dsn)
    assert COLUMNS == columns(connection)
    assert list(COLUMNS) == list(columns(connection))
    assert STATES == states(connection)
    assert INDEXES == indexes(connection)
    found = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'oban_jobs'::regclass AND contype IN ('c', 'p')"
    )
    assert dict(found.fetchall()) == CONSTRAINTS
    (identity,) = connection.execute(
        "SELECT attidentity FROM pg_attribute WHERE attrelid = 'oban_jobs'::regclass "
        "AND attname = 'id'"
    ).fetchone()
    assert identity in ("a", b"a")
    for table in ("oban_leaders", "oban_producers"):
        assert connection.execute(f"SELECT FROM {table}").fetchall() == []
    assert connection.execute("SELECT oban_count_estimate('available', 'x')").fetchone()


def test_migrating_again_does_nothing(dsn, connection):
    migrate(dsn)
    before = connection.execute("SELECT * FROM pgjobs_migrations").fetchall()
    assert [] == migrate(dsn)
    assert before == connection.execute("SELECT * FROM pgjobs_migrations").fetchall()
    assert all(applied_at is not None for _, applied_at in before)


def test_processes_may_migrate_at_the_same_time(dsn, connection):
    code = f"from pgjobs.adapters.postgres import migrate; print(migrate({dsn!r}))"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = [process.communicate(timeout=60)[0].strip() for process in started]
    assert [0] * 4 == [process.returncode for process in started]
    assert sorted([str(ALL), "[]", "[]", "[]"]) == sorted(answers)
    assert [(len(ALL),)] == connection.execute("SELECT count(*) FROM pgjobs_migrations").fetchall()


@pytest.mark.parametrize("schema", ["public", """we"ird 'schema' $body$ {schema} \\ ä😀"""])
def test_the_printed_sql_makes_the_same_and_may_be_run_again(dsn, connection, schema):
    sql = migration_sql(schema)
    for _ in range(2):
        with connection.transaction():
            connection.execute(sql)
    assert [] == migrate(dsn, schema)
    assert list(COLUMNS) == list(columns(connection, schema))
    store = PostgresStore(dsn, schema=schema)
    assert insert(store, new()) == store.run(Find(Selection()))
    store.close()


def test_schemas_of_one_database_share_nothing(dsn):
    one, other = PostgresStore(dsn, schema="one"), PostgresStore(dsn, schema="Other")
    for store in (one, other):
        assert ALL == store.migrate()
    insert(one, new())
    assert [] == other.run(Find(Selection()))
    one.close()
    other.close()


def test_a_migration_inside_a_transaction_becomes_part_of_it(dsn, connection):
    with connection.transaction(force_rollback=True):
        assert ALL == migrate(connection)
    assert (None,) == connection.execute("SELECT to_regclass('oban_jobs')").fetchone()
    with connection.transaction():
        assert ALL == migrate(connection)
    assert [] == migrate(dsn)


def test_a_table_of_oban_for_elixir_is_adopted_with_its_rows(dsn, connection):
    connection.execute(Path(__file__).with_name("elixir.sql").read_text())
    connection.execute(
        "INSERT INTO oban_jobs (worker, meta, tags, attempted_by, errors) VALUES "
        '(\'Shop.Mail\', NULL, NULL, NULL, \'{"{\\"error\\": \\"x\\"}"}\')'
    )
    before = columns(connection)
    assert ALL == migrate(dsn)
    assert before == columns(connection)
    assert set(STATES) == set(states(connection))
    assert indexes(connection) > INDEXES
    store = PostgresStore(dsn)
    (job,) = store.run(Find(Selection()))
    assert ("Shop.Mail", {}, (), ()) == (job.worker, job.meta, job.tags, job.attempted_by)
    assert ({"error": "x"},) == job.errors
    assert [job.id] == [taken.id for taken in claim(store, now=job.scheduled_at)]
    store.close()


BESIDE_OBAN = Path(__file__).parents[2] / "docs" / "how-to" / "beside-oban.md"


def made_indexes(connection):
    """The indexes of ``oban_jobs``: which they are, and what they hold."""
    found = connection.execute(
        "SELECT c.relname, (c.oid, c.relfilenode), pg_get_indexdef(c.oid) FROM pg_index i "
        "JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = 'oban_jobs'::regclass"
    ).fetchall()
    return {name: file for name, file, _ in found}, {name: text for name, _, text in found}


def test_indexes_that_were_made_before_as_the_docs_say_are_kept(dsn, connection, new_database):
    elixir = Path(__file__).with_name("elixir.sql").read_text()
    connection.execute(elixir)
    before, _ = made_indexes(connection)
    ((written,),) = [
        re.findall(r"^```sql\n(.*?)^```$", BESIDE_OBAN.read_text(), re.DOTALL | re.MULTILINE)
    ]
    for statement in written.split(";\n")[:-1]:
        connection.execute(statement)
    by_hand, held = made_indexes(connection)
    migrate(dsn)
    assert (by_hand, held) == made_indexes(connection)
    with psycopg.connect(new_database(), autocommit=True) as other:
        other.execute(elixir)
        migrate(other)
        added, expected = made_indexes(other)
    assert expected == held
    assert 5 == len(added) - len(before)


def test_what_migrate_adds_to_a_table_of_oban_for_elixir_is_what_the_docs_say(dsn, connection):
    connection.execute(Path(__file__).with_name("elixir.sql").read_text())
    relations = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    before = {*connection.execute(f"{relations} AND relkind = 'r'").fetchall()}
    migrate(dsn)
    after = {*connection.execute(f"{relations} AND relkind = 'r'").fetchall()}
    added = {name for (name,) in after - before if not name.startswith("pgjobs_")}
    assert {"oban_leaders", "oban_producers"} == added
    functions = connection.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert {"oban_count_estimate"} == {name for (name,) in functions if "pgjobs" not in name}
    assert "suspended" == states(connection)[states(connection).index("scheduled") + 1]


def test_a_table_of_another_is_told_from_obans_and_left_alone(dsn, connection):
    connection.execute("CREATE SCHEMA weird; CREATE TABLE weird.oban_jobs (id bigint, queue text)")
    with pytest.raises(StoreError) as raised:
        migrate(dsn, "weird")
    said = str(raised.value)
    assert said.startswith(
        "the schema weird has a table oban_jobs already, which lacks state, worker, args, "
    )
    assert said.endswith("or where it is not Oban's choose another schema")
    left = "SELECT relname FROM pg_class WHERE relnamespace = 'weird'::regnamespace"
    assert [("oban_jobs",)] == connection.execute(left).fetchall()


def test_a_migration_that_fails_does_not_say_to_migrate(dsn, connection):
    connection.execute("CREATE SCHEMA weird; CREATE TABLE weird.pgjobs_migrations (id bigint)")
    with pytest.raises(StoreError) as raised:
        migrate(dsn, "weird")
    assert str(raised.value) == (
        'column "version" does not exist: something in the schema weird has the name of a table, '
        "type or function of Oban or pgjobs and is none. Rename it, or choose another schema"
    )


def test_columns_of_an_adopted_table_that_are_empty_are_filtered_as_they_are_read(dsn, connection):
    from pgjobs.rules.selection import filtered

    connection.execute(Path(__file__).with_name("elixir.sql").read_text())
    connection.execute(
        "INSERT INTO oban_jobs (worker, meta, tags, attempted_by) VALUES ('w', NULL, NULL, NULL)"
    )
    migrate(dsn)
    store = PostgresStore(dsn)
    (job,) = store.run(Find(Selection()))
    for filters in ({"meta": {}}, {"tags": []}, {"attempted_by": []}, {"tags": ["x"]}):
        chosen = filtered(filters)
        assert chosen.matches(job) == bool(store.run(Find(chosen)))
    store.close()


def test_no_number_of_ours_is_narrower_than_eight_bytes(dsn, connection):
    migrate(dsn)
    narrow = connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_name LIKE 'pgjobs%%' AND data_type IN ('integer', 'smallint')"
    )
    assert [] == narrow.fetchall()


def test_a_store_without_tables_names_the_remedy(dsn):
    store = PostgresStore(dsn, schema="elsewhere")
    for effect in (Find(Selection()), Insert((new(),), NOW)):
        with pytest.raises(StoreError, match=r"Run `pgjobs migrate --schema elsewhere`$"):
            store.run(effect)
    store.close()


@pytest.mark.parametrize(
    "schema, command",
    [
        ("public", "pgjobs migrate"),
        ("jobs", "pgjobs migrate --schema jobs"),
        ("my 'jobs'", """pgjobs migrate --schema 'my '"'"'jobs'"'"''"""),
    ],
)
def test_the_remedy_is_a_command_for_the_schema_as_a_shell_takes_it(schema, command):
    assert command == migrate_command(schema)


async def test_every_way_into_a_store_names_the_schema_to_migrate(dsn):
    store = PostgresStore(dsn, schema="elsewhere")
    with pytest.raises(StoreError, match=r"Run `pgjobs migrate --schema elsewhere`$"):
        await store.run_async(Find(Selection()))
    store.close()
    jobs = PgJobs(store=PostgresStore(dsn, schema="elsewhere"))
    with pytest.raises(StoreError, match=r"Run `pgjobs migrate --schema elsewhere`$"):
        await jobs.start_async()
    jobs.store.close()


@pytest.mark.parametrize("schema", ["", "x" * 64, "ä" * 32, "a\x00b", "\ud800", None, 3])
def test_what_cannot_name_a_schema_is_refused(schema):
    with pytest.raises(ConfigurationError):
        Names(schema)


def test_a_dsn_for_a_driver_is_refused_without_showing_its_password():
    with pytest.raises(ConfigurationError) as caught:
        migrate("postgresql+psycopg://user:secret@localhost/x")
    assert "secret" not in str(caught.value)
    assert "postgresql://" in str(caught.value)


def test_migrate_takes_a_dsn_or_a_connection():
    with pytest.raises(ConfigurationError, match="DSN"):
        migrate(3)


def test_every_state_of_a_job_is_a_state_of_the_table():
    assert set(STATES) == {state.value for state in JobState}
