"""Which connections are opened, kept, shared, replaced and given up."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from pgjobs.adapters.postgres import connect, prepared
from pgjobs.adapters.postgres.failures import translated
from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Controls, Count, Find, Insert
from pgjobs.rules.errors import (
    ConfigurationError,
    StoreError,
    StoreNotReadyError,
    StoreUnavailableError,
)
from pgjobs.rules.selection import Selection
from pgjobs_testing.conformance.given import NOW, claim, every, insert, new
from tests.stores.conftest import blocked

NOWHERE = "host=127.0.0.1 port=1 connect_timeout=2"
"""No server is there."""

pytestmark = pytest.mark.pgjobs(mode="live")


def python(code, *options):
    """Run code in another interpreter; what it printed."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip()


def backends(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY pid"
        )
        return [pid for (pid,) in found]


def all_gone(dsn, but=0):
    """Whether the server has ended every connection; a client hangs up, and does not wait for that."""
    return any(len(backends(dsn)) <= but for _ in range(1_000))


def kill_backends(dsn):
    """End every connection to the database but this one; returns when they are gone."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        killed = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        ).fetchall()
    return len(killed)


def test_importing_pgjobs_and_its_store_imports_no_driver():
    code = (
        "import sys, pgjobs, pgjobs.adapters.postgres.store; "
        "pgjobs.adapters.postgres.store.PostgresStore('host=x'); "
        "print([name for name in sys.modules if name.startswith('psycopg')])"
    )
    assert "[]" == python(code)


def test_nothing_is_opened_before_it_is_used():
    store = PostgresStore(NOWHERE)
    session = store.session("node")
    store.close()
    session.close()


def test_a_server_that_cannot_be_reached_is_told_as_unavailable():
    store = PostgresStore(NOWHERE)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            store.run(Controls())
        with pytest.raises(StoreUnavailableError):
            asyncio.run(store.run_async(Controls()))
    with pytest.raises(StoreUnavailableError):
        store.server_now()


def test_a_pool_of_no_size_and_a_dsn_that_is_none_are_refused():
    for size in (0, -1, True, 1.5, "3"):
        with pytest.raises(ConfigurationError, match="pool_size"):
            PostgresStore(NOWHERE, pool_size=size)
    with pytest.raises(ConfigurationError, match="dsn"):
        PostgresStore(3)


@pytest.mark.parametrize(
    "error,expected",
    [
        (psycopg.OperationalError("lost"), StoreUnavailableError),
        (psycopg.InterfaceError("closed"), StoreUnavailableError),
        (psycopg.errors.AdminShutdown("x"), StoreUnavailableError),
        (psycopg.errors.CannotConnectNow("x"), StoreUnavailableError),
        (psycopg.errors.SerializationFailure("x"), StoreUnavailableError),
        (psycopg.errors.DeadlockDetected("x"), StoreUnavailableError),
        (psycopg.errors.TooManyConnections("x"), StoreUnavailableError),
        (psycopg.errors.DiskFull("x"), StoreUnavailableError),
        (psycopg.errors.ReadOnlySqlTransaction("x"), StoreUnavailableError),
        (psycopg.errors.QueryCanceled("x"), StoreUnavailableError),
        (psycopg.errors.LockNotAvailable("x"), StoreUnavailableError),
        (psycopg.errors.CheckViolation("x"), StoreError),
        (psycopg.errors.UntranslatableCharacter("x"), StoreError),
        (psycopg.errors.InsufficientPrivilege("x"), StoreNotReadyError),
        (psycopg.errors.UndefinedTable("x"), StoreNotReadyError),
        (psycopg.errors.InternalError_("x"), StoreError),
        (psycopg.DataError("no state"), StoreError),
    ],
)
def test_an_error_says_whether_trying_again_may_help(error, expected):
    assert type(translated(error)) is expected


@pytest.mark.postgres
class TestOnAServer:
    def test_one_connection_serves_one_effect_after_another(self, dsn, postgres):
        for _ in range(5):
            insert(postgres, new())
        assert all_gone(dsn, but=1)

    def test_no_more_connections_are_opened_than_the_pool_has(self, dsn):
        migrate(dsn)
        store = PostgresStore(dsn, pool_size=3)

        async def awaiting():
            return await asyncio.gather(
                *[store.run_async(Insert((new(),), NOW)) for _ in range(40)]
            )

        with ThreadPoolExecutor(8) as pool:
            running = [pool.submit(insert, store, new()) for _ in range(40)]
            running += [pool.submit(asyncio.run, awaiting()) for _ in range(2)]
            for one in running:
                one.result(timeout=30)
        assert {"": 120} == store.run(Count(Selection()))
        assert all_gone(dsn, but=3)
        store.close()
        assert all_gone(dsn)

    def test_many_event_loops_leave_no_connections_behind(self, dsn, postgres):
        async def main():
            await asyncio.gather(*[postgres.run_async(Controls()) for _ in range(3)])

        for _ in range(20):
            asyncio.run(main())
        assert all_gone(dsn, but=3)

    def test_an_awaited_effect_that_is_cancelled_leaves_the_pool_whole(self, dsn, postgres):
        insert(postgres, new())
        with psycopg.connect(dsn) as other:
            other.execute("LOCK TABLE oban_jobs")

            async def main():
                tasks = [
                    asyncio.ensure_future(postgres.run_async(Insert((new(),), NOW)))
                    for _ in range(25)
                ]
                found = 0
                while found < 10:  # every connection of the pool waits for the lock
                    found = len(blocked(other))
                    await asyncio.sleep(0)  # noqa: TID251 - lets the tasks go on
                for task in tasks:
                    task.cancel()
                return await asyncio.gather(*tasks, return_exceptions=True)

            results = asyncio.run(main())
            assert {asyncio.CancelledError} == {type(result) for result in results}
        for _ in range(25):
            insert(postgres, new())
        assert all_gone(dsn, but=10)

    def test_a_call_inside_an_event_loop_never_waits_for_the_loops_own_tasks(self, dsn):
        migrate(dsn)
        store = PostgresStore(dsn, pool_size=1)

        async def main():
            awaited = [asyncio.ensure_future(store.run_async(Controls())) for _ in range(3)]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            others = [asyncio.ensure_future(store.run_async(Controls())) for _ in range(3)]
            await asyncio.sleep(0)  # noqa: TID251 - lets one of them take the only connection
            found = store.run(Controls())
            await asyncio.gather(*awaited, *others)
            return found

        assert {} == asyncio.run(main())
        assert all_gone(dsn, but=1)
        store.close()

    def test_a_connection_to_a_server_that_became_read_only_is_replaced(self, dsn):
        migrate(dsn)
        store = PostgresStore(dsn, pool_size=1)
        for _ in range(2):
            store.query("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            with pytest.raises(StoreUnavailableError):
                insert(store, new())
            assert 1 == len(insert(store, new()))
        store.close()

    def test_a_refusal_does_not_show_the_row(self, postgres):
        with pytest.raises(StoreError, match="queue_length") as caught:
            insert(postgres, new(queue="", args={"password": "secret"}))
        assert "secret" not in str(caught.value)

    def test_a_connection_that_the_server_closed_is_replaced(self, dsn, postgres):
        insert(postgres, new())
        for _ in range(3):
            assert kill_backends(dsn) >= 1
            assert 1 == len(every(postgres))
        assert kill_backends(dsn) >= 1
        assert 1 == len(asyncio.run(postgres.run_async(Find(Selection()))))

    def test_a_connection_that_is_lost_on_the_way_is_told_as_unavailable(self, dsn, postgres):
        insert(postgres, new())
        with psycopg.connect(dsn) as other, ThreadPoolExecutor(1) as pool:
            other.execute("LOCK TABLE oban_jobs")
            waiting = pool.submit(every, postgres)
            while not (pids := blocked(other)):
                pass
            other.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", (pids,))
            with pytest.raises(StoreUnavailableError):
                waiting.result(timeout=30)
        assert 1 == len(every(postgres))

    def test_an_error_leaves_the_connection_usable(self, dsn, postgres):
        insert(postgres, new())
        assert all_gone(dsn, but=1)
        (before,) = backends(dsn)
        for effect in (Insert((new(queue=""),), NOW), Insert((new(), new(queue="")), NOW)):
            with pytest.raises(StoreError) as caught:
                postgres.run(effect)
            assert not isinstance(caught.value, StoreUnavailableError)
            with pytest.raises(StoreError):
                asyncio.run(postgres.run_async(effect))
        assert 1 == len(every(postgres))
        assert [before] == backends(dsn)

    @pytest.mark.parametrize("text", ["\x00", "\ud800"])
    def test_a_text_that_no_column_holds_is_refused_and_not_unavailable(self, postgres, text):
        with pytest.raises(StoreError) as caught:
            insert(postgres, new(queue=text))
        assert not isinstance(caught.value, StoreUnavailableError)
        assert [] == every(postgres)

    def test_the_dsn_may_be_a_function_that_is_asked_for_each_connection(self, dsn):
        asked: list[int] = []
        migrate(dsn)

        def answer():
            asked.append(1)
            return dsn

        store = PostgresStore(answer, pool_size=1)
        assert [] == asked
        for _ in range(3):
            every(store)
        assert 1 == len(asked)
        store.close()
        every(store)
        asyncio.run(store.run_async(Controls()))
        assert 2 == len(asked)
        store.close()

    def test_what_is_taken_when_the_store_closes_is_closed_when_it_is_given_back(
        self, dsn, postgres
    ):
        insert(postgres, new())
        with psycopg.connect(dsn) as other, ThreadPoolExecutor(1) as pool:
            other.execute("LOCK TABLE oban_jobs")
            waiting = pool.submit(every, postgres)
            while not blocked(other):
                pass
            postgres.close()
            other.rollback()
            assert 1 == len(waiting.result(timeout=30))
        assert all_gone(dsn)

    def test_a_statement_is_prepared_again_after_its_uses(self, postgres, monkeypatch):
        monkeypatch.setattr("pgjobs.adapters.postgres.prepared.USES", 5)
        jobs = insert(postgres, *[new() for _ in range(40)])
        taken = [claim(postgres, f"t{n}", demand=1) for n in range(41)]
        assert [job.id for job in jobs] == [job.id for claimed in taken for job in claimed]
        names = postgres.query("SELECT name FROM pg_prepared_statements")
        assert all(name.startswith("pgjobs_") for (name,) in names)
        assert 0 < len(names) <= 2

    def test_a_statement_that_reads_no_table_stays_prepared(self, postgres, monkeypatch):
        monkeypatch.setattr("pgjobs.adapters.postgres.prepared.USES", 5)
        for _ in range(12):
            insert(postgres, new())
        used = "SELECT generic_plans + custom_plans FROM pg_prepared_statements"
        assert [(11,)] == [(int(uses),) for (uses,) in postgres.query(used)]

    def test_one_whose_table_has_changed_is_prepared_again(self, postgres):
        assert [1, 2, 3] == [insert(postgres, new())[0].id for _ in range(3)]
        postgres.query("ALTER TABLE oban_jobs ALTER id TYPE integer")
        assert [4, 5, 6] == [insert(postgres, new())[0].id for _ in range(3)]
        used = "SELECT generic_plans + custom_plans FROM pg_prepared_statements"
        assert [(2,)] == [(int(uses),) for (uses,) in postgres.query(used)]

    def test_statements_that_a_pooler_has_lost_are_sent_unnamed(self, dsn, postgres):
        insert(postgres, *[new() for _ in range(10)])
        assert 3 == sum(len(claim(postgres, f"a{n}", demand=1)) for n in range(3))
        postgres.query("DEALLOCATE ALL")
        assert 7 == sum(len(claim(postgres, f"b{n}", demand=1)) for n in range(7))
        assert [] == postgres.query("SELECT name FROM pg_prepared_statements")

    def test_a_name_that_a_pooler_has_taken_already_is_not_used(self, postgres):
        insert(postgres, *[new() for _ in range(6)])
        claim(postgres, "a", demand=1)
        claim(postgres, "b", demand=1)
        ((sql,),) = postgres.query(
            "SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%SKIP LOCKED%'"
        )
        postgres.close()
        postgres.query(f"PREPARE {prepared.name_of(sql)} AS SELECT 1")
        assert 4 == sum(len(claim(postgres, f"c{n}", demand=1)) for n in range(5))

    def test_a_forked_child_leaves_the_connections_of_its_parent_alone(self, dsn, postgres):
        insert(postgres, new())
        code = f"""
import os
import socket
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Count
from pgjobs.rules.selection import Selection
store = PostgresStore({dsn!r}, pool_size=2)
pid = store.query("SELECT pg_backend_pid()")
child = os.fork()
if not child:
    assert store.query("SELECT pg_backend_pid()") != pid
    assert store.run(Count(Selection())) == {{"": 1}}
    store.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert store.query("SELECT pg_backend_pid()") == pid
print("well")
"""
        assert "well" == python(code, "-W", "error", "-X", "dev")

    def test_a_process_that_never_closes_its_store_ends_without_a_warning(self, dsn, postgres):
        code = f"""
import asyncio
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Count
from pgjobs.rules.selection import Selection
store = PostgresStore({dsn!r})
store.run(Count(Selection()))
async def main():
    await asyncio.gather(*[store.run_async(Count(Selection())) for _ in range(3)])
asyncio.run(main())
other = PostgresStore({dsn!r})
other.run(Count(Selection()))
del other
print("well")
"""
        assert "well" == python(code, "-W", "error", "-X", "dev")

    def test_threads_that_end_leave_their_connections_to_others(self, dsn, postgres):
        for _ in range(10):
            thread = threading.Thread(target=insert, args=(postgres, new()))
            thread.start()
            thread.join()
        assert 10 == len(every(postgres))
        assert all_gone(dsn, but=1)

    def test_a_database_in_another_time_zone_and_date_style_changes_nothing(self, dsn):
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        with psycopg.connect(dsn, autocommit=True) as connection:
            for setting in (
                "timezone = 'Pacific/Chatham'",
                "datestyle = 'German, DMY'",
                "standard_conforming_strings = off",
                "search_path = 'pg_temp'",
                "bytea_output = 'escape'",
                "extra_float_digits = 0",
            ):
                connection.execute(f'ALTER DATABASE "{name}" SET {setting}')
        migrate(dsn)
        store = PostgresStore(dsn)
        jobs = insert(store, new(args={"a": "\\'"}), new(scheduled_at=NOW, meta={"b": 0.1}))
        assert jobs == every(store)
        assert [job.id for job in jobs] == [job.id for job in claim(store)]
        now = store.server_now()
        assert now is not None and now.utcoffset() == timedelta(0)
        store.close()


def test_the_environment_may_say_how_long_a_connection_may_take(monkeypatch):
    from pgjobs.adapters.postgres.connect import conninfo

    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    assert "connect_timeout=10" in conninfo("host=x")
    assert "connect_timeout=3" in conninfo("host=x connect_timeout=3")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "4")
    assert "connect_timeout" not in conninfo("host=x")
    assert "client_encoding=UTF8" in conninfo("host=x client_encoding=LATIN1")
    assert os.environ["PGCONNECT_TIMEOUT"] == "4"


def test_the_server_compiles_nothing_unless_the_dsn_says_so(dsn, postgres, monkeypatch):
    assert [("off",)] == postgres.query("SHOW jit")
    assert [("off",)] == asyncio.run(_shown(dsn))
    there = PostgresStore(
        psycopg.conninfo.make_conninfo(dsn, options="-c jit=on -c lock_timeout=7s")
    )
    assert [("on", "7s")] == there.query(
        "SELECT current_setting('jit'), current_setting('lock_timeout')"
    )
    there.close()
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=8s")
    there = PostgresStore(dsn)
    assert [("off", "8s")] == there.query(
        "SELECT current_setting('jit'), current_setting('lock_timeout')"
    )
    there.close()


def test_where_all_is_prepared_each_statement_is_planned_once(dsn, postgres):
    there = PostgresStore(dsn)
    assert [("auto",)] == there.query("SHOW plan_cache_mode")
    there.close()
    there.prepare_all()
    assert [("force_generic_plan",)] == there.query("SHOW plan_cache_mode")
    assert [("off",)] == there.query("SHOW jit")
    there.close()


async def _shown(dsn):
    connection = await connect.open_async_connection(dsn)
    try:
        return await (await connection.execute("SHOW jit")).fetchall()
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "refusal",
    [
        "unsupported startup parameter: options",
        "unsupported startup parameter in options: jit",
        "Feature not supported: RDS Proxy currently doesn't support command-line options.",
    ],
)
@pytest.mark.parametrize(
    "opens",
    [connect.open_connection, lambda dsn: asyncio.run(connect.open_async_connection(dsn))],
    ids=["blocking", "on a loop"],
)
def test_where_no_options_are_let_through_a_connection_is_opened_without(refusal, opens):
    """A pooler that refuses them, and then answers something else to who comes without."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        told = pool.submit(_refusing, server, refusal)
        dsn = f"host=127.0.0.1 port={server.getsockname()[1]} sslmode=disable gssencmode=disable"
        with pytest.raises(StoreUnavailableError, match="come back later"):
            opens(dsn)
        assert [True, False] == told.result(timeout=30)


def _refusing(server, refusal):
    """Whether each of two who come brings options: the first is refused for them."""
    brought = []
    for message in (refusal, "come back later"):
        with server.accept()[0] as line:
            length = int.from_bytes(line.recv(4, socket.MSG_WAITALL), "big")
            brought.append(b"options\0" in line.recv(length - 4, socket.MSG_WAITALL))
            fields = b"".join(
                key + text.encode() + b"\0"
                for key, text in ((b"S", "FATAL"), (b"C", "08P01"), (b"M", message))
            )
            line.sendall(b"E" + (len(fields) + 5).to_bytes(4, "big") + fields + b"\0")
    return brought
