"""The proxy of the benchmarks passes on what both sides say, and closes when either does."""

import psycopg
import pytest

from benchmarks.real_life.proxy import far

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live"), pytest.mark.live]


@pytest.mark.parametrize("round_trip_s", [0.0, 0.002])
def test_a_server_answers_at_a_distance(database, round_trip_s):
    with far(database, round_trip_s) as dsn, psycopg.connect(dsn) as connection:
        text = "x" * 3_000_000  # more than any buffer holds
        ((size, echo),) = connection.execute("SELECT length(%s), %s", (text, text)).fetchall()
        assert (len(text), text) == (size, echo)


def test_many_statements_are_on_their_way_at_once(database):
    """Sent in one pipeline they are answered in order; one by one they would take 20 s."""
    with far(database, 0.1) as dsn, psycopg.connect(dsn) as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", (n,)) for n in range(200)]
        assert [(n,) for n in range(200)] == [cursor.fetchone() for cursor in cursors]


def test_a_connection_that_the_server_closes_is_closed(database):
    with far(database, 0.001) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        pid = connection.info.backend_pid
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_a_connection_that_the_client_closes_leaves_no_backend(database):
    with (
        far(database, 0.001) as dsn,
        psycopg.connect(database, autocommit=True) as other,
    ):
        with psycopg.connect(dsn) as connection:
            pid = connection.info.backend_pid
        gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        while other.execute(gone, (pid,)).fetchone() != (0,):  # the suite's time limit bounds this
            pass
