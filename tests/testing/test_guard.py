"""No way leads from a test to the project's real database, outside mode live; each says the remedy."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

APP = """
from pgjobs import PgJobs, worker

DSN = "postgresql://127.0.0.1:1/production"
jobs = PgJobs(DSN)

@worker
def note(job):
    pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Runs one test module with the plugin on."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)

    def ran(test: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(app=APP, test_it=textwrap.dedent(test))
        switches = ("-p", "pgjobs_testing", "-p", "no:cacheprovider", *options)
        return pytester.runpytest_subprocess(*switches, timeout=120)

    return ran


def test_whoever_opens_a_store_by_hand_is_refused(run):
    """In the test's thread or another, with the DSN as text or as a function, at once or in a loop."""
    run(
        """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor
        import pytest
        import app
        from pgjobs import CapturedStoreError, PostgresStore
        from pgjobs.effects import Find
        from pgjobs.rules.selection import Selection

        EVERY = Find(Selection())
        REMEDY = 'mode="live".*mode="postgres"'

        @pytest.mark.parametrize("dsn", [app.DSN, lambda: app.DSN], ids=["text", "function"])
        def test_a_store(dsn):
            store = PostgresStore(dsn)
            for attempt in (
                store.migrate,
                lambda: store.run(EVERY),
                lambda: asyncio.run(store.run_async(EVERY)),
                store.server_now,
            ):
                with pytest.raises(CapturedStoreError, match=REMEDY):
                    attempt()

        def test_a_store_in_a_thread():
            with ThreadPoolExecutor() as pool, pytest.raises(CapturedStoreError, match=REMEDY):
                pool.submit(PostgresStore(app.DSN).migrate).result()
        """
    ).assert_outcomes(passed=3)


def test_in_mode_postgres_nobody_is_told_to_take_mode_postgres(run):
    """A store opened by hand is sent to the test's own database, a child process to the test's process."""
    run(
        """
        import subprocess
        import sys
        import pytest
        import app
        from pgjobs import CapturedStoreError, PostgresStore

        pytestmark = pytest.mark.pgjobs(mode="postgres")

        def test_a_store(jobs):
            with pytest.raises(CapturedStoreError) as refused:
                PostgresStore(app.DSN).migrate()
            assert "own database alone is open: connect to jobs.store.postgres.dsn" in str(refused.value)
            PostgresStore(jobs.store.postgres.dsn).migrate()

        def test_a_program(jobs):
            command = [sys.executable, "-m", "pgjobs.cli", "migrate", "--dsn", jobs.store.postgres.dsn]
            child = subprocess.run(command, capture_output=True, text=True)
            assert child.returncode != 0
            assert 'mode="live"' in child.stderr
            assert "do what it does in the test's own process" in child.stderr
            assert 'or mode="postgres"' not in child.stderr
        """,
        "--pgjobs-postgres",
        "embedded",
    ).assert_outcomes(passed=2)


def test_children_of_every_kind_are_refused(run):
    run(
        """
        import multiprocessing
        import subprocess
        import sys
        from concurrent.futures import ProcessPoolExecutor
        import pytest
        import app
        from pgjobs import CapturedStoreError, PostgresStore

        def inserts():
            app.jobs.insert(app.note.new())

        def opens():
            PostgresStore(app.DSN).migrate()

        @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
        @pytest.mark.parametrize("what", [inserts, opens])
        def test_a_child(method, what):
            context = multiprocessing.get_context(method)
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                with pytest.raises(CapturedStoreError, match="mode=.live."):
                    pool.submit(what).result(timeout=60)

        def test_a_program():
            command = [sys.executable, "-m", "pgjobs.cli", "migrate", "--dsn", app.DSN]
            child = subprocess.run(command, capture_output=True, text=True)
            assert child.returncode != 0
            assert 'mode="live"' in child.stderr
        """,
        "-W",
        "ignore::DeprecationWarning",
    ).assert_outcomes(passed=7)


def test_commands_called_in_a_test_work_on_its_jobs_or_are_refused(run):
    run(
        """
        import pytest
        from click.testing import CliRunner
        import app
        from pgjobs.cli import main

        def called(*words):
            return CliRunner().invoke(main, [*words, "--dsn", app.DSN])

        def test_jobs(jobs):
            app.jobs.insert(app.note.new())
            result = called("jobs", "list")
            assert result.exit_code == 0, result.output
            assert "app.note" in result.output

        def test_queues(jobs):
            app.jobs.insert(app.note.new())
            assert called("queues", "pause", "default").exit_code == 0
            jobs.advance(5)
            jobs.assert_enqueued(worker=app.note)

        @pytest.mark.parametrize("command", ["migrate", "doctor"])
        def test_what_needs_the_server_itself(command):
            result = called(command)
            assert result.exit_code != 0
            assert 'mode="live"' in result.output

        def test_run():
            result = CliRunner().invoke(main, ["run", "app:jobs"])
            assert result.exit_code != 0
            assert 'mode="live"' in result.output
        """
    ).assert_outcomes(passed=5)


def test_two_instances_of_one_database_share_it_and_two_databases_do_not(run):
    run(
        """
        import app
        from pgjobs import PgJobs, PostgresStore

        def test_it(jobs):
            twin = PgJobs(app.DSN, name="twin")
            by_hand = PgJobs(store=PostgresStore(app.DSN), name="by hand")
            other = PgJobs(app.DSN + "2", name="other")
            schema = PgJobs(app.DSN, name="schema", schema="elsewhere")
            app.jobs.insert(app.note.new())
            counts = [each.count_jobs() for each in (twin, by_hand, other, schema)]
            assert counts == [1, 1, 0, 0]
            assert [jobs[name].count_jobs() for name in ("twin", "by hand", "other")] == [1, 1, 0]
        """
    ).assert_outcomes(passed=1)


def test_in_mode_live_nothing_is_captured_or_refused(run):
    run(
        """
        import os
        import subprocess
        import sys
        import pytest
        import app
        from pgjobs import PostgresStore, StoreUnavailableError, runtime
        from pgjobs.rules.errors import CapturedStoreError

        def test_an_instance():
            with pytest.raises(StoreUnavailableError) as caught:
                app.jobs.insert(app.note.new())
            assert not isinstance(caught.value, CapturedStoreError)
            assert runtime.captured_clock() is None

        def test_a_store_and_a_child():
            with pytest.raises(StoreUnavailableError):
                PostgresStore(app.DSN).migrate()
            command = [sys.executable, "-m", "pgjobs.cli", "migrate", "--dsn", app.DSN]
            child = subprocess.run(command, capture_output=True, text=True)
            assert "mode=" not in child.stderr

        @pytest.mark.pgjobs(mode="manual")
        def test_one_may_be_captured_still(jobs):
            app.jobs.insert(app.note.new())
            assert jobs.count_jobs() == 1
        """,
        "--pgjobs-mode",
        "live",
    ).assert_outcomes(passed=3)
