"""What holds of a job in the caller's transaction, over every library alike.

A test module subclasses ``Within`` and gives ``MAKES``: names of connections, and what makes each.
"""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from pgjobs import PgJobs, StoreError, StoreUnavailableError, telemetry, worker
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.adapters.postgres.writing import INSERT_ROWS
from pgjobs.effects import Insert
from pgjobs.ports import Signal
from pgjobs.rules.jsonb import normal_object
from pgjobs_testing.conformance.given import NOW, claim, new
from pgjobs_testing.conformance.sessions import listening, opened, until
from tests.stores.callers import ISOLATION

TRAPS = {"text": "100 % of %s, $1 and :x 'q' \"d\" \\ ä😀\n", "n": 2**70, "none": None, "[]": [{}]}

ODD_SCHEMA = """we"ird $1 %s %% :x {y} 'q' \\ ä"""


def with_makes(makes):
    """A decorator that runs a class for each connection of ``makes``."""
    return pytest.mark.parametrize("make", makes.values(), ids=makes)


class Within:
    """The suite."""

    @pytest.fixture
    def jobs(self, postgres):
        return PgJobs(store=postgres)

    @pytest.fixture
    def caller(self, make, dsn, postgres):
        with closing(make(dsn)) as made:
            yield made

    @pytest.fixture
    def on_its_own(self, make, dsn, postgres):
        with closing(make(dsn, autocommit=True)) as made:
            yield made

    @pytest.fixture
    def works(self):
        @worker(queue="mail", max_attempts=3)
        def work(job):
            """Does nothing."""

        return work

    def test_a_committed_job_is_there_and_runs(self, jobs, caller, works):
        job = caller.insert(jobs, works.new({"n": 1}))
        caller.commit()
        assert job == jobs.get_job(job.id)
        assert {"completed": 1} == jobs.drain_queue()

    def test_a_job_that_was_rolled_back_is_gone(self, jobs, caller, works):
        caller.insert(jobs, works.new())
        caller.rollback()
        assert 0 == jobs.count_jobs()

    def test_the_caller_s_rows_and_the_job_are_one_transaction(self, jobs, postgres, caller, works):
        postgres.query("CREATE TABLE orders (id bigint)")
        for end, expected in ((caller.rollback, (0, 0)), (caller.commit, (1, 1))):
            caller.execute("INSERT INTO orders VALUES (1)")
            caller.insert(jobs, works.new())
            end()
            ((orders,),) = postgres.query("SELECT count(*) FROM orders")
            assert expected == (orders, jobs.count_jobs())

    def test_a_savepoint_takes_back_what_came_after_it(self, jobs, caller, works):
        kept = caller.insert(jobs, works.new())
        with caller.savepoint():
            caller.insert(jobs, works.new())
        last = caller.insert(jobs, works.new())
        caller.commit()
        assert [kept, last] == jobs.all_jobs()

    def test_a_job_in_an_open_transaction_cannot_be_claimed(self, postgres, jobs, caller):
        caller.run_within(postgres, Insert((new(),), NOW))
        assert [] == claim(postgres)
        caller.commit()
        assert 1 == len(claim(postgres))

    def test_a_node_hears_of_the_job_at_the_commit_and_not_before(self, postgres, jobs, caller):
        with opened(postgres) as session:
            listening(postgres, session)
            caller.run_within(postgres, Insert((new(queue="within"),), NOW))
            postgres.run(Insert((new(queue="mark"),), NOW))
            heard = until(session, lambda items: Signal("insert", "mark") in items)
            assert Signal("insert", "within") not in heard
            caller.commit()
            until(session, lambda items: Signal("insert", "within") in items)

    def test_the_job_comes_back_complete(self, jobs, caller, works):
        at = datetime(2100, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
        given = works.new(TRAPS, meta=TRAPS, tags=["a", 'b"', "ä"], priority=3, scheduled_at=at)
        job = caller.insert(jobs, given)
        caller.commit()
        assert job == jobs.get_job(job.id)
        assert (normal_object(TRAPS, "args"), "scheduled", at) == (
            job.args,
            job.state,
            job.scheduled_at,
        )
        assert (int, timedelta(0)) == (type(job.id), job.inserted_at.utcoffset())

    def test_many_are_inserted_together_in_the_order_given(self, jobs, caller, works):
        later = works.new({"n": 2}, schedule_in=60, queue="other")
        found = caller.insert_all(jobs, [works.new({"n": 1}), later, works.new({"n": 3})])
        caller.commit()
        assert [1, 2, 3] == [job.args["n"] for job in found]
        assert ["available", "scheduled", "available"] == [job.state for job in found]
        assert found == jobs.all_jobs(order_by="id")

    def test_none_inserts_nothing_and_begins_nothing(self, jobs, caller):
        assert [] == caller.insert_all(jobs, [])

    def test_an_insert_of_several_statements_is_part_of_the_transaction(self, postgres, caller):
        many = Insert(tuple(new(args={"n": n}) for n in range(INSERT_ROWS + 2)), NOW)
        for end in (caller.rollback, caller.commit):
            found = caller.run_within(postgres, many)
            end()
        assert [job.id for job in found] == sorted(job.id for job in found)
        ((count,),) = postgres.query("SELECT count(*) FROM oban_jobs")
        assert INSERT_ROWS + 2 == count

    def test_in_autocommit_the_job_is_there_at_once(self, jobs, on_its_own, works):
        job = on_its_own.insert(jobs, works.new())
        assert [job] == jobs.all_jobs()

    def test_in_autocommit_an_insert_of_several_statements_is_all_or_nothing(
        self, postgres, on_its_own
    ):
        many = Insert(tuple(new(args={"n": n}) for n in range(INSERT_ROWS + 1)), NOW)
        assert INSERT_ROWS + 1 == len(on_its_own.run_within(postgres, many))
        postgres.query("DELETE FROM oban_jobs")
        refusing(postgres, f"args <> '{{\"n\": {INSERT_ROWS}}}'")
        with pytest.raises(StoreError):
            on_its_own.run_within(postgres, many)
        assert [(0,)] == postgres.query("SELECT count(*) FROM oban_jobs")
        on_its_own.run_within(postgres, Insert((new(),), NOW))
        assert [(1,)] == postgres.query("SELECT count(*) FROM oban_jobs")

    def test_in_autocommit_a_transaction_begun_by_hand_stays_the_caller_s(
        self, postgres, on_its_own
    ):
        on_its_own.execute("BEGIN")
        on_its_own.run_within(postgres, Insert((new(),) * (INSERT_ROWS + 1), NOW))
        on_its_own.execute("ROLLBACK")
        assert [(0,)] == postgres.query("SELECT count(*) FROM oban_jobs")

    def test_the_driver_s_refusal_is_the_cause_and_ends_the_transaction_alone(
        self, postgres, jobs, caller, works
    ):
        refusing(postgres, "queue <> 'refused'")
        with pytest.raises(StoreError, match="violates check constraint") as raised:
            caller.insert(jobs, works.new(queue="refused"))
        assert type(raised.value) is StoreError
        assert "23514" == sqlstate(raised.value.__cause__)
        with pytest.raises(StoreError, match="transaction is aborted"):
            caller.run_within(postgres, Insert((new(),), NOW))
        caller.rollback()
        caller.insert(jobs, works.new())
        caller.commit()
        assert 1 == jobs.count_jobs()

    def test_a_refused_insert_is_undone_by_the_caller_s_savepoint(
        self, postgres, jobs, caller, works
    ):
        refusing(postgres, "queue <> 'refused'")
        kept = caller.insert(jobs, works.new())
        with caller.savepoint(), pytest.raises(StoreError):
            caller.insert(jobs, works.new(queue="refused"))
        caller.commit()
        assert [kept] == jobs.all_jobs()

    @pytest.mark.parametrize("isolation", ISOLATION[1:], ids=lambda level: level.name)
    def test_every_isolation_level_takes_jobs(self, jobs, make, dsn, isolation, works):
        with closing(make(dsn, isolation=isolation)) as caller:
            job = caller.insert(jobs, works.new())
            caller.commit()
        assert [job] == jobs.all_jobs()

    def test_a_serialization_failure_can_be_told_by_its_cause(self, postgres, make, dsn):
        postgres.query("CREATE TABLE seats (taken bigint)")
        postgres.query(
            "CREATE FUNCTION seat() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN INSERT INTO seats SELECT count(*) FROM seats; RETURN NEW; END'"
        )
        postgres.query(
            "CREATE TRIGGER seat BEFORE INSERT ON oban_jobs FOR EACH ROW EXECUTE FUNCTION seat()"
        )
        serializable = psycopg.IsolationLevel.SERIALIZABLE
        with (
            closing(make(dsn, isolation=serializable)) as caller,
            psycopg.connect(dsn) as other,
        ):
            other.isolation_level = serializable
            caller.execute("SELECT count(*) FROM seats")
            other.execute("INSERT INTO seats SELECT count(*) FROM seats")
            other.commit()
            with pytest.raises(StoreUnavailableError) as raised:
                caller.run_within(postgres, Insert((new(),), NOW))
        assert "40001" == sqlstate(raised.value.__cause__)

    def test_a_connection_that_the_server_ended_is_unavailable(self, postgres, caller):
        caller.execute("SELECT set_config('application_name', 'doomed', false)")
        postgres.query(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE application_name = 'doomed' AND datname = current_database()"
        )
        with pytest.raises(StoreUnavailableError) as raised:
            caller.run_within(postgres, Insert((new(),), NOW))
        assert raised.value.__cause__ is not None

    def test_tables_that_are_missing_are_named_with_the_remedy(self, dsn, caller):
        with (
            closing(PostgresStore(dsn, schema="elsewhere")) as store,
            pytest.raises(StoreError, match=r"Run `pgjobs migrate --schema elsewhere`$"),
        ):
            caller.run_within(store, Insert((new(),), NOW))

    def test_a_schema_of_any_name_is_found(self, dsn, caller, works):
        with closing(PostgresStore(dsn, schema=ODD_SCHEMA)) as store:
            store.migrate()
            elsewhere = PgJobs(store=store)
            job = caller.insert(elsewhere, works.new(TRAPS))
            caller.commit()
            assert [job] == elsewhere.all_jobs()

    def test_transactions_at_once_do_not_disturb_each_other(self, jobs, make, dsn, caller, works):
        caller.insert(jobs, works.new({"thread": 0}))

        def inserting(thread):
            with closing(make(dsn)) as own:
                for n in range(10):
                    own.insert(jobs, works.new({"thread": thread, "n": n}))
                    (own.commit if n % 2 else own.rollback)()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(inserting, range(1, 5)))
        assert 20 == jobs.count_jobs()
        caller.commit()
        assert [1, 5, 5, 5, 5] == [jobs.count_jobs(args={"thread": n}) for n in range(5)]

    def test_telemetry_tells_of_the_insert_when_its_statement_ran(self, jobs, caller, works):
        told = []
        telemetry.attach("within", ["pgjobs.job.insert"], lambda *event: told.append(event))
        try:
            job = caller.insert(jobs, works.new())
            assert [job] == [metadata["job"] for _, _, metadata in told]
            caller.rollback()
        finally:
            telemetry.detach("within")


def refusing(store, condition):
    """Let the table take only what meets ``condition``."""
    store.query(f"ALTER TABLE oban_jobs ADD CONSTRAINT refused CHECK ({condition})")


def sqlstate(error):
    return getattr(error, "sqlstate", None) or error.pgcode


def exchanges(pgconn, path, act):
    """How often the client waited for the server while ``act`` ran: libpq's own trace of the wire."""
    if sys.platform != "linux":
        pytest.skip("libpq traces on Linux alone")
    with path.open("w+") as file:
        pgconn.trace(file.fileno())
        try:
            act()
        finally:
            pgconn.untrace()
        file.seek(0)
        return len(re.findall(r"\tB\t[0-9]+\tReadyForQuery\t", file.read()))
