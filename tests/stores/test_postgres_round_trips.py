"""How often a transaction waits for the server: what needs no rows of earlier statements goes with them."""

import socket
import threading

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgjobs.adapters.postgres import conversation, pipelining
from pgjobs.adapters.postgres.pipelining import Sent
from pgjobs.adapters.postgres.preparing import Prepared, Preparing
from pgjobs.adapters.postgres.statement import Plan, Statement
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Claim
from pgjobs.ports import Done
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.errors import StoreError
from pgjobs.rules.options import RateLimit
from pgjobs_testing.conformance.given import NOW, insert, new
from pgjobs_testing.conformance.limits import within

UNPREPARED = Prepared(Preparing())
DYING = b"SELECT pg_terminate_backend(pg_backend_pid())"

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
        flight = [Sent(sql, ()) for sql in (b"BEGIN", DYING, b"COMMIT")]
        talk = pipelining.together(connection.pgconn, flight)
        with pytest.raises(psycopg.OperationalError):
            conversation.wait(talk, connection.pgconn.socket)


def each(connection, plans, prepared=None):
    """How each of the plans ended, in the order in which they did."""
    found = []
    talk = conversation.carry_out_each(
        connection.pgconn, plans, prepared or UNPREPARED, lambda n, rows: found.append((n, rows))
    )
    conversation.wait(talk, connection.pgconn.socket)
    return found


def asking(sql, *parameters, often=False):
    return Plan((Statement(sql, parameters, often),), lambda results: results[0])


def test_what_is_carried_out_side_by_side_takes_one_round_trip(line, dsn):
    with psycopg.connect(line.dsn, autocommit=True) as connection:
        plans = [asking("SELECT $1::text", f"{n}") for n in range(20)]
        expected = [(n, [[(f"{n}",)]]) for n in range(20)]
        assert 1 == trips(line, lambda: each(connection, plans))
        assert expected == each(connection, plans)


def test_a_statement_that_many_share_is_prepared_once(line, postgres):
    prepared = Prepared(Preparing())
    with psycopg.connect(line.dsn, autocommit=True) as connection:
        plans = [asking("SELECT $1::text", f"{n}", often=True) for n in range(20)]
        assert [2, 1, 1] == [
            trips(line, lambda: each(connection, plans, prepared)) for _ in range(3)
        ]
        listed = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
        assert (1,) == listed


def test_one_that_fails_keeps_no_other_from_its_end(dsn, postgres):
    with psycopg.connect(dsn, autocommit=True) as connection:
        plans = [
            asking("SELECT $1::text", "a"),
            asking("SELECT 1 / $1::text::int", "0"),
            asking("SELECT $1::text", "\ud800"),
            asking(
                "INSERT INTO pgjobs_queues (queue, updated_at) VALUES ($1::text, now())", "kept"
            ),
        ]
        found = dict(each(connection, plans))
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert [[("a",)]] == found[0]
    assert [[]] == found[3]
    assert isinstance(found[1], psycopg.errors.DivisionByZero)
    assert isinstance(found[2], psycopg.DataError)
    assert [("kept",)] == postgres.query("SELECT queue FROM pgjobs_queues")


def test_a_statement_that_is_prepared_no_more_is_sent_again(dsn, postgres):
    prepared = Prepared(Preparing())
    plans = [asking("SELECT $1::text", f"{n}", often=True) for n in range(3)]
    with psycopg.connect(dsn, autocommit=True) as connection:
        each(connection, plans, prepared)
        connection.execute("DEALLOCATE ALL")
        found = each(connection, plans, prepared)
    assert [(n, [[(f"{n}",)]]) for n in range(3)] == found


def test_those_that_ended_before_the_backend_died_have_ended(dsn, postgres):
    found = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        plans = [asking("SELECT 1"), asking(DYING.decode()), asking("SELECT 2")]
        talk = conversation.carry_out_each(
            connection.pgconn, plans, UNPREPARED, lambda n, rows: found.append((n, rows))
        )
        with pytest.raises(psycopg.OperationalError):
            conversation.wait(talk, connection.pgconn.socket)
    assert (0, [[(1,)]]) == found[0]
    assert 2 not in dict(found)


@pytest.mark.live
def test_claims_of_many_queues_are_each_answered(postgres, pipelined):
    insert(postgres, *[new(queue=f"q{n % 50}") for n in range(100)])
    session = postgres.session("node")
    claims = [
        Claim(selection.claimable(f"q{n}"), 2, lifecycle.claim("node", f"t{n}", NOW))
        for n in range(50)
    ]
    for claim in claims:
        session.submit(claim)
    ended = []
    while len(ended) < len(claims):
        session.wait(None)
        ended += [each for each in session.collect() if isinstance(each, Done)]
    session.close()
    assert claims == [done.effect for done in ended]
    assert [[f"q{n}"] * 2 for n in range(50)] == [
        [job.queue for job in done.answer] for done in ended
    ]
