"""The fixture ``pgjobs_dsn``: the one database of a worker's tests, for what an application keeps there."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.postgres

APP = """
from pgjobs import PgJobs, worker

jobs = PgJobs("postgresql://db.example.invalid/production")

@worker
def note(job):
    pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)

    def ran(test: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(app=APP, test_it=textwrap.dedent(test))
        given = ("-p", "pgjobs_testing", "-p", "no:cacheprovider", "--pgjobs-postgres", server.dsn)
        return pytester.runpytest_subprocess(*given, *options, timeout=120)

    return ran


def test_a_wider_fixture_prepares_once_what_tests_in_every_mode_find_with_its_rows(run):
    """Only the tables of pgjobs are emptied, at the beginning of each test on PostgreSQL."""
    run(
        """
        import psycopg
        import pytest
        import app

        @pytest.fixture(scope="session")
        def orders(pgjobs_dsn):
            with psycopg.connect(pgjobs_dsn, autocommit=True) as connection:
                connection.execute("CREATE TABLE orders (item text)")
                yield connection

        def count(orders):
            return orders.execute("SELECT count(*) FROM orders").fetchone()[0]

        @pytest.mark.parametrize("n", [0, 1])
        @pytest.mark.pgjobs(mode="postgres")
        def test_on_the_server(n, orders, pgjobs_dsn, jobs):
            assert jobs.store.postgres.dsn == pgjobs_dsn
            assert (count(orders), jobs.count_jobs()) == (n, 0)
            with psycopg.connect(pgjobs_dsn) as connection:
                connection.execute("INSERT INTO orders VALUES ('tea')")
                app.jobs.insert(app.note.new(), connection=connection)
            assert jobs.drain_queue() == {"completed": 1}

        def test_in_memory(orders, jobs):
            assert (count(orders), jobs.count_jobs()) == (2, 0)
        """
    ).assert_outcomes(passed=3)


def test_each_worker_of_xdist_has_its_own(run):
    run(
        """
        import psycopg
        import pytest

        @pytest.mark.parametrize("n", range(4))
        def test_it(n, pgjobs_dsn, worker_id):
            with psycopg.connect(pgjobs_dsn) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS own (worker text)")
                connection.execute("INSERT INTO own VALUES (%s)", [worker_id])
                found = connection.execute("SELECT DISTINCT worker FROM own").fetchall()
            assert found == [(worker_id,)]
        """,
        "-p",
        "xdist",
        "-n",
        "2",
    ).assert_outcomes(passed=4)


def test_without_a_server_it_says_what_was_tried(run):
    nowhere = run(
        "def test_it(pgjobs_dsn): pass", "--pgjobs-postgres", "postgresql://127.0.0.1:1/none"
    )
    nowhere.assert_outcomes(errors=1)
    nowhere.stdout.fnmatch_lines(
        ["*ServerError: cannot connect to PostgreSQL at 127.0.0.1:1/none*"]
    )


def test_with_the_plugin_switched_off_it_says_so(run):
    off = run("def test_it(pgjobs_dsn): pass", "-p", "no:pgjobs_testing")
    off.assert_outcomes(errors=1)
    off.stdout.fnmatch_lines(["*so there is no fixture 'pgjobs_dsn'*"])
