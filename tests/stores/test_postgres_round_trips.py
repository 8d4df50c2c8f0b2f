"""How often a transaction waits for the server: what needs no rows of earlier statements goes with them."""

import socket
import threading

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgjobs.adapters.postgres import conversation, pipelining
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.rules.errors import StoreError
from pgjobs.rules.options import RateLimit
from pgjobs_testing.conformance.given import insert, new
from pgjobs_testing.conformance.limits import within

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]


class Line:
    """A line to the server on which round trips are counted: each time that the client speaks again after
    the server has spoken."""

    def __init__(self, dsn):
        given = conninfo_to_dict(dsn)
        self._address = (given["host"], int(given["port"]))
        self._door = socket.create_server(("127.0.0.1", 0))
        port = str(self._door.getsockname()[1])
        self.dsn = make_conninfo("", **(given | {"host": "127.0.0.1", "port": port}))
        self.round_trips = 0
        self._server_spoke = True
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with self._door:
            near, _ = self._door.accept()
        with near, socket.create_connection(self._address) as away:
            asking = threading.Thread(target=self._pass, args=(near, away, False), daemon=True)
            asking.start()
            self._pass(away, near, True)
            asking.join()

    def _pass(self, source, sink, of_server):
        while chunk := source.recv(1 << 16):
            with self._lock:
                if not of_server and self._server_spoke:
                    self.round_trips += 1
                self._server_spoke = of_server
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)

    def close(self):
        """Its client has closed its connection."""
        self._thread.join()


@pytest.fixture
def line(dsn, postgres):  # migrated
    line = Line(dsn)
    yield line
    line.close()


@pytest.fixture
def store(line):
    store = PostgresStore(line.dsn, pool_size=1)
    store.query("SELECT 1")
    yield store
    store.close()


@pytest.fixture(params=[True, False], ids=["pipelined", "one by one"])
def pipelined(request, monkeypatch):
    """As with a libpq that has a pipeline mode, and as with one that has none."""
    monkeypatch.setattr(pipelining, "supported", lambda: request.param)
    return request.param


def trips(line, call):
    before = line.round_trips
    call()
    return line.round_trips - before


def test_a_claim_within_a_rate_takes_two_round_trips(line, store, pipelined):
    insert(store, *[new() for _ in range(20)])
    within(store, "first", rate=RateLimit(5, 60))  # makes the queue's row
    claim = lambda: within(store, "second", rate=RateLimit(9, 60))  # noqa: E731 - called once
    assert (2 if pipelined else 4) == trips(line, claim)


def test_a_claim_within_a_limit_of_all_nodes_takes_two_round_trips(line, store, pipelined):
    insert(store, *[new() for _ in range(20)])
    within(store, "first", most=5)
    claim = lambda: within(store, "second", most=9)  # noqa: E731 - called once
    assert (2 if pipelined else 5) == trips(line, claim)


def test_statements_that_fit_travel_together_and_large_ones_alone(line, store, monkeypatch):
    monkeypatch.setattr(conversation, "FLIGHT_CHARACTERS", 1_000)
    small = [new(args={"n": n}) for n in range(10)]
    assert 1 == trips(line, lambda: insert(store, *small))


def test_what_fails_in_a_flight_is_rolled_back_and_leaves_the_connection_idle(store, pipelined):
    insert(store, new())
    within(store, "first", rate=RateLimit(5, 60))
    store.query("UPDATE pgjobs_queues SET starts = '[1]'")
    with pytest.raises(StoreError, match="which is no window"):
        within(store, "again", rate=RateLimit(5, 60))
    store.query("DROP TABLE pgjobs_queues CASCADE")
    with pytest.raises(StoreError, match="pgjobs_queues"):
        within(store, "again", rate=RateLimit(5, 60))
    assert [(1,)] == store.query("SELECT 1")


def test_a_backend_that_dies_in_a_flight_is_an_error_of_it(dsn, postgres):
    with psycopg.connect(dsn, autocommit=True) as connection:
        flight = [
            (b"BEGIN", ()),
            (b"SELECT pg_terminate_backend(pg_backend_pid())", ()),
            (b"COMMIT", ()),
        ]
        talk = pipelining.together(connection.pgconn, flight)
        with pytest.raises(psycopg.OperationalError):
            conversation.wait(talk, connection.pgconn.socket)
