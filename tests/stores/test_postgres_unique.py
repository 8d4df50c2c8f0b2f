"""Uniqueness in PostgreSQL: all or nothing, at every isolation level, by its index, in bounded space."""

import threading

import psycopg
import pytest

from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.statements import plan
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.adapters.postgres.unique import SLOTS
from pgjobs.adapters.postgres.writing import INSERT_ROWS
from pgjobs.effects import Delete, Insert, Settle
from pgjobs.rules import lifecycle, outcome
from pgjobs.rules.errors import StoreError
from pgjobs.rules.job import COLUMNS, Cancel
from pgjobs.rules.selection import Selection
from pgjobs.rules.unique import Unique
from pgjobs_testing.conformance.given import NOW, claim, every, ids, insert, new
from pgjobs_testing.conformance.uniqueness import unique
from tests.stores.conftest import blocked

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

NAMES = Names("public")


def carried_out(connection, effect):
    """The answer to ``effect`` in the transaction of a connection of somebody else's."""
    made = plan(effect, NAMES)
    cursor = psycopg.RawCursor(connection)
    results = [
        cursor.execute(statement.sql, statement.parameters).fetchall()
        for statement in made.statements
    ]
    return made.answer(results)


@pytest.mark.parametrize("size", [1, 2, 6_000])
def test_a_batch_that_is_refused_stores_and_replaces_nothing(postgres, size):
    (old,) = insert(postgres, unique({"n": 0}))
    batch = [unique({"n": n}, replace={"available": ["tags"]}, tags=("x",)) for n in range(size)]
    for refused in (unique({"n": -1}, queue=""), new(queue="")):
        with pytest.raises(StoreError, match="queue_length"):
            insert(postgres, *batch, refused)
    assert [old] == every(postgres)


def test_one_insert_with_unique_is_one_statement_and_so_is_a_batch_of_them(postgres):
    for size in (1, 2, 5_000):
        batch = tuple(unique({"n": n % 1_000}) for n in range(size))
        assert len(plan(Insert(batch, NOW), NAMES).statements) == 1
    assert len(plan(Insert((new(), new()), NOW), NAMES).statements) == 1


def test_a_settlement_without_a_group_stays_one_statement(postgres):
    insert(postgres, new(), unique())
    first, second = claim(postgres)
    settlements = [
        lifecycle.settle(first, outcome.returned(Cancel("x")), NOW),
        lifecycle.settle(second, outcome.returned(None), NOW),
    ]
    assert len(plan(Settle(tuple(settlements)), NAMES).statements) == 1


def test_the_answer_to_an_insert_is_made_of_numbers_and_texts_alone(postgres, dsn):
    """So that any driver gives the same Python values for it."""
    insert(postgres, unique({"n": 1}))
    made = plan(Insert((unique({"n": 1}), unique({"n": 2})), NOW), NAMES)
    with psycopg.connect(dsn) as connection:
        cursor = psycopg.RawCursor(connection)
        (statement,) = made.statements
        cursor.execute(statement.sql, statement.parameters)
        types = [column.type_code for column in cursor.description]
    by_name = psycopg.adapters.types
    assert [by_name["int8"].oid] * 2 + [by_name["text"].oid] * 2 == types


def test_an_insert_gives_every_column(dsn):
    migrate(dsn)
    with psycopg.connect(dsn) as connection:
        ((body,),) = connection.execute(
            "SELECT prosrc FROM pg_proc WHERE proname = 'pgjobs_insert'"
        ).fetchall()
    (given,) = [part.split(")")[0] for part in body.split(".oban_jobs (")[1:]]
    assert set(COLUMNS) - {"id"} == {name.strip() for name in given.split(",")}


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("ending", ["commit", "rollback"])
@pytest.mark.parametrize("known", [False, True], ids=["new slot", "slot that is there"])
def test_a_duplicate_waits_for_the_first_to_end_and_never_trusts_a_ghost(
    postgres, dsn, level, ending, known
):
    effect = Insert((unique(how=Unique(period=None)),), NOW)
    if known:  # a lock on a row that is there is another one than on a row that is being made
        postgres.run(effect)
        postgres.run(Delete(Selection(), 1))
    found = []
    with (
        psycopg.connect(dsn) as winner,
        psycopg.connect(dsn) as loser,
        psycopg.connect(dsn, autocommit=True) as watcher,
    ):
        for connection in (winner, loser):
            connection.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        loser.execute("SELECT count(*) FROM oban_jobs")  # the snapshot of the upper levels
        (first,) = carried_out(winner, effect)

        def lose():
            try:
                found.extend(carried_out(loser, effect))
                loser.commit()
            except psycopg.errors.SerializationFailure as error:
                found.append(error)

        thread = threading.Thread(target=lose)
        thread.start()
        while not blocked(watcher):
            assert thread.is_alive()
        getattr(winner, ending)()
        thread.join(30)
    (answer,) = found
    if ending == "rollback":
        assert not answer.conflict
        assert [answer.id] == ids(every(postgres))
    elif level == "READ COMMITTED":
        assert (True, first.id) == (answer.conflict, answer.id)
    else:
        assert isinstance(answer, psycopg.errors.SerializationFailure)


def test_an_old_snapshot_fails_also_where_nobody_waits(postgres, dsn):
    effect = Insert((unique(how=Unique(period=None)),), NOW)
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM oban_jobs")
        postgres.run(effect)
        with pytest.raises(psycopg.errors.SerializationFailure):
            carried_out(connection, effect)
    assert len(every(postgres)) == 1


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_many_that_are_copied_look_only_when_they_have_waited(postgres, dsn, ending):
    """What they look for is on its way to the server while it waits for a slot."""
    many = [unique({"n": n}, how=Unique(period=None)) for n in range(INSERT_ROWS + 1)]
    found = []
    with psycopg.connect(dsn) as winner, psycopg.connect(dsn, autocommit=True) as watcher:
        (first,) = carried_out(winner, Insert((many[7],), NOW))
        thread = threading.Thread(target=lambda: found.extend(insert(postgres, *many)))
        thread.start()
        while not blocked(watcher):
            assert thread.is_alive()
        getattr(winner, ending)()
        thread.join(30)
    in_the_way = {7: first.id} if ending == "commit" else {}
    assert in_the_way == {n: job.id for n, job in enumerate(found) if job.conflict}
    assert sorted(ids(found)) == sorted(ids(every(postgres)))


def test_an_old_snapshot_fails_also_after_a_copy(postgres, dsn):
    many = [unique({"n": n}, how=Unique(period=None)) for n in range(INSERT_ROWS + 1)]
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM oban_jobs")
        insert(postgres, *many)
        with pytest.raises(psycopg.errors.SerializationFailure):
            carried_out(connection, Insert((many[7],), NOW))
    assert len(many) == len(every(postgres))


def test_a_transaction_sees_what_it_inserted_itself(postgres, dsn):
    effect = Insert((unique(),), NOW)
    with psycopg.connect(dsn) as connection:
        (first,) = carried_out(connection, effect)
        (again,) = carried_out(connection, effect)
        assert (again.id, again.conflict) == (first.id, True)
        connection.rollback()
    assert [] == every(postgres)


def test_the_lock_rows_have_a_bound(postgres):
    insert(postgres, *[unique({"n": n}) for n in range(3_000)])
    ((rows, least, most),) = postgres.query(
        "SELECT count(*), min(slot), max(slot) FROM pgjobs_unique"
    )
    assert 2_900 < rows <= 3_000
    assert 0 <= least < most < SLOTS


def test_a_look_up_reads_its_index_however_old_the_statistics_are(postgres, dsn):
    """The plans of the function are made, and kept, on a table that is nearly empty."""
    postgres.query("ANALYZE oban_jobs")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE oban_jobs SET (autovacuum_enabled = false)")
        for n in range(10):
            carried_out(connection, Insert((unique({"warm": n}),), NOW))
        size = 30_000
        carried_out(connection, Insert(tuple(unique({"n": n}) for n in range(size)), NOW))
        connection.execute("SET track_functions = 'all'")
        before = read_blocks(connection)
        for n in range(100):
            (found,) = carried_out(connection, Insert((unique({"n": n * 7}),), NOW))
            assert found.conflict
        assert read_blocks(connection) - before < 100 * 40


def read_blocks(connection):
    """Pages of the jobs' table and its indexes that were read, from wherever."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    connection.execute("SELECT pg_stat_clear_snapshot()")
    ((count,),) = connection.execute(
        "SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit "
        "FROM pg_statio_user_tables WHERE relname = 'oban_jobs'"
    ).fetchall()
    return count


def test_a_store_without_the_function_says_to_migrate(postgres):
    postgres.query("DROP FUNCTION pgjobs_insert")
    with pytest.raises(StoreError, match="pgjobs migrate"):
        insert(postgres, unique())
    store = PostgresStore(postgres.dsn)
    assert [] == store.migrate()
    store.close()
