"""Large inserts by COPY: all or none, told as small ones are, and INSERTs where COPY is not allowed."""

import asyncio
from urllib.parse import quote

import psycopg
import pytest

from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.statements import plan, plan_of_own
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.adapters.postgres.writing import INSERT_ROWS
from pgjobs.effects import Insert
from pgjobs.rules.errors import StoreError
from pgjobs_testing.conformance.given import NOW, SECOND, every, ids, insert, new
from pgjobs_testing.conformance.uniqueness import unique

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

MANY = [new(args={"n": n}, queue=f"q{n % 2}") for n in range(INSERT_ROWS + 1)]


def test_what_is_larger_than_one_insert_is_copied_on_a_connection_of_our_own_alone():
    names = Names("public")
    small, large = (Insert(tuple(MANY[:size]), NOW) for size in (INSERT_ROWS, INSERT_ROWS + 1))
    assert plan_of_own(small, names).then is None
    asked = plan_of_own(large, names)
    assert asked.then is not None
    copy = asked.then([[([*range(len(MANY))], "[]", 1)]])
    assert copy is not None and copy.sql.startswith("COPY") and copy.data is not None
    assert len(MANY) == b"".join(copy.data()).count(b"\n")
    assert [None, None] == [each.data for each in plan(large, names).statements]


def test_a_copy_is_all_or_nothing_and_leaves_its_connection_usable(dsn):
    store = PostgresStore(dsn, pool_size=1)
    store.migrate()
    store.query("ALTER TABLE oban_jobs ADD CHECK (args <> '{\"n\": 700}')")
    with pytest.raises(StoreError, match="check constraint"):
        insert(store, *MANY)
    with pytest.raises(StoreError, match="check constraint"):
        asyncio.run(store.run_async(Insert(tuple(MANY), NOW)))
    assert [] == every(store)
    assert 1 == len(insert(store, new()))
    store.close()


def test_a_copy_that_is_awaited_is_that_of_a_blocking_call(postgres):
    awaited = asyncio.run(postgres.run_async(Insert(tuple(MANY), NOW)))
    assert awaited == every(postgres)
    assert len(MANY) == len(insert(postgres, *MANY))


def test_a_copy_tells_of_each_queue_once_and_of_the_first_that_waits(dsn, postgres):
    with psycopg.connect(dsn, autocommit=True) as listening:
        for channel in Names("public").channels:
            listening.execute(f'LISTEN "{channel}"')
        waiting = [new(scheduled_at=NOW + n * SECOND, queue="later") for n in (9, 2, 5)]
        insert(postgres, *MANY, *waiting)
        heard = [note.payload for note in listening.notifies(timeout=10, stop_after=3)]
    assert ['{"queue": "q0"}', '{"queue": "q1"}'] == sorted(heard)[1:]
    assert "12:00:02.123457" in min(heard)


@pytest.mark.parametrize("hindrance", ["no sequence", "row security"])
@pytest.mark.parametrize("made", [new, unique], ids=["any", "unique"])
def test_where_copy_is_not_allowed_rows_are_inserted_all_the_same(dsn, postgres, made, hindrance):
    many = [made(args={"n": n}) if made is new else made({"n": n}) for n in range(2_500)]
    there = insert(postgres, *many[:7])
    ((database,),) = postgres.query("SELECT current_database()")
    role = f"{database}_inserts"
    postgres.query(f"CREATE ROLE {role}")
    try:
        postgres.query(f"GRANT SELECT, INSERT ON oban_jobs TO {role}")
        postgres.query(f"GRANT SELECT, INSERT, UPDATE ON pgjobs_unique TO {role}")
        if hindrance == "row security":
            postgres.query(f"GRANT USAGE ON SEQUENCE oban_jobs_id_seq TO {role}")
            postgres.query("ALTER TABLE oban_jobs ENABLE ROW LEVEL SECURITY")
            postgres.query(f"CREATE POLICY every ON oban_jobs TO {role} USING (true)")
        options = quote(f"-c role={role}")
        limited = PostgresStore(f"{dsn}{'&' if '?' in dsn else '?'}options={options}")
        found = insert(limited, *many)
        limited.close()
        fresh = [job for job in found if not job.conflict]
        assert len(many) - (7 if made is unique else 0) == len(fresh)
        assert [*there, *fresh] == every(postgres)
        assert sorted(ids(fresh)) == ids(fresh)
    finally:
        postgres.query("ALTER TABLE oban_jobs DISABLE ROW LEVEL SECURITY")
        postgres.query(f"DROP OWNED BY {role}")
        postgres.query(f"DROP ROLE {role}")
