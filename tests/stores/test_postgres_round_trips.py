"""How often a transaction waits for the server: what needs no rows of earlier statements goes with them."""

import itertools
import json
from dataclasses import replace

import psycopg
import pytest

from pgjobs.adapters.postgres import conversation, pipelining, waiting, writing
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.pipelining import Sent
from pgjobs.adapters.postgres.prepared import Prepared
from pgjobs.adapters.postgres.preparing import Preparing
from pgjobs.adapters.postgres.statement import Plan, Statement
from pgjobs.adapters.postgres.statements import plan, plan_of_own
from pgjobs.effects import Claim, ClaimWithin, Insert
from pgjobs.ports import Done
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.errors import StoreError
from pgjobs.rules.limits import Limits
from pgjobs.rules.options import RateLimit
from pgjobs.rules.unique import Unique
from pgjobs_testing.conformance.given import NOW, insert, new
from pgjobs_testing.conformance.limits import within

UNPREPARED = Prepared(Preparing(given_up=True))
DYING = b"SELECT pg_terminate_backend(pg_backend_pid())"

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]


class Counted:
    """libpq's connection, on which it is counted how often something is sent after something was received."""

    def __init__(self, pgconn):
        self._pgconn = pgconn
        self.round_trips = 0
        self._received = True

    def __getattr__(self, name):
        if name == "consume_input":
            self._received = True
        elif name.startswith("send_"):
            self.round_trips += self._received
            self._received = False
        return getattr(self._pgconn, name)


@pytest.fixture
def connection(dsn, postgres):  # migrated
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def trips(connection, call):
    """The round trips of ``call``, which is given libpq's connection."""
    counted = Counted(connection.pgconn)
    call(counted)
    return counted.round_trips


def carrying_out(effect):
    """Carries out ``effect`` over a connection of libpq's."""

    def carry_out(pgconn):
        made = plan(effect, Names("public"))
        talk = conversation.carry_out(pgconn, made, UNPREPARED)
        return made.answer(waiting.wait(talk, pgconn.socket))

    return carry_out


def claim_within(token, limits):
    change = lifecycle.claim("node", token, NOW)
    return ClaimWithin("default", selection.claimable("default"), 100, change, limits)


@pytest.fixture(params=[True, False], ids=["pipelined", "one by one"])
def pipelined(request, monkeypatch):
    """As with a libpq that has a pipeline mode, and as with one that has none."""
    monkeypatch.setattr(pipelining, "supported", lambda: request.param)
    return request.param


@pytest.mark.parametrize(
    "limits, one_by_one",
    [(Limits(RateLimit(9, 60)), 4), (Limits(concurrency=9), 5), (Limits(RateLimit(9, 60), 9), 5)],
)
def test_a_limited_claim_takes_two_round_trips(connection, postgres, pipelined, limits, one_by_one):
    insert(postgres, *[new() for _ in range(20)])
    within(postgres, "first", rate=RateLimit(5, 60))  # makes the queue's row
    claim = carrying_out(claim_within("second", limits))
    assert (2 if pipelined else one_by_one) == trips(connection, claim)


def test_a_limited_claim_that_finds_no_room_takes_two_round_trips(connection, postgres):
    insert(postgres, *[new() for _ in range(20)])
    within(postgres, "first", rate=RateLimit(5, 60))
    full = carrying_out(claim_within("second", Limits(RateLimit(5, 60))))
    assert 2 == trips(connection, full)


def test_the_statements_of_a_large_insert_travel_together_as_far_as_they_fit(
    connection, postgres, pipelined, monkeypatch
):
    monkeypatch.setattr(writing, "INSERT_ROWS", 10)
    inserting = carrying_out(Insert(tuple(new(args={"n": n}) for n in range(50)), NOW))
    assert (1 if pipelined else 7) == trips(connection, inserting)
    monkeypatch.setattr(conversation, "FLIGHT_CHARACTERS", 1)
    assert 7 == trips(connection, inserting)


@pytest.fixture
def within_limits(connection, postgres):
    """Claims a job of a queue with a rate and a limit, over one connection; returns its id."""
    insert(postgres, *[new() for _ in range(20)])
    known = Prepared(Preparing())
    tokens = itertools.count()

    def claimed(prepared=known):
        effect = claim_within(f"token {next(tokens)}", Limits(RateLimit(19, 60), 19))
        made = plan(replace(effect, demand=1), Names("public"))
        talk = conversation.carry_out(connection.pgconn, made, prepared)
        (job,) = made.answer(waiting.wait(talk, connection.pgconn.socket)).jobs
        return job.id

    return claimed


def listed(connection):
    return connection.execute("SELECT name FROM pg_prepared_statements").fetchall()


def test_the_statements_of_a_limited_claim_are_prepared(connection, within_limits, pipelined):
    taken = [within_limits() for _ in range(4)]
    assert 4 == len({*taken})
    assert 3 == len(listed(connection))  # its turn, what executes, the claim: not how a row is made


def forgotten(connection):
    connection.execute("DEALLOCATE ALL")


def of_another_type(connection):
    connection.execute("ALTER TABLE oban_jobs ALTER worker TYPE varchar")


@pytest.mark.parametrize("break_it", [forgotten, of_another_type])
def test_a_limited_claim_is_done_once_where_preparing_fails(
    connection, postgres, within_limits, pipelined, break_it
):
    before = [within_limits() for _ in range(3)]
    break_it(connection)
    after = [within_limits() for _ in range(6)]
    assert 9 == len({*before, *after})
    ((starts,),) = postgres.query("SELECT starts::text FROM pgjobs_queues")
    assert 9 == sum(n for _, n in json.loads(starts))
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_limited_claim_is_done_once_where_another_has_prepared_its_statements(
    within_limits, pipelined
):
    others, ours = Prepared(Preparing()), Prepared(Preparing())
    taken = [within_limits(prepared) for prepared in (others, others, ours, ours, ours)]
    assert 5 == len({*taken})


def test_what_is_prepared_again_in_a_transaction_and_fails_is_sent_unnamed(
    connection, within_limits, monkeypatch
):
    monkeypatch.setattr("pgjobs.adapters.postgres.prepared.USES", 2)
    before = [within_limits() for _ in range(3)]
    forgotten(connection)
    after = [within_limits() for _ in range(6)]
    assert 9 == len({*before, *after})
    assert [] == listed(connection)


def test_what_goes_behind_is_made_once_the_server_has_work_and_takes_no_round_trip_of_its_own(
    dsn, connection, pipelined
):
    connection.execute("SELECT pg_advisory_lock(1)")
    ahead = (Statement("SELECT pg_advisory_unlock(1)"),)

    def behind():
        with psycopg.connect(dsn) as other:
            other.execute("SET lock_timeout = '10s'")
            other.execute("SELECT pg_advisory_lock(1)")  # only when what is ahead was carried out
        return Statement("SELECT $1::text", ("behind",))

    made = Plan(ahead, lambda found: found, then=lambda found: None, behind=behind)
    found = []

    def carry_out(pgconn):
        talk = conversation.carry_out(pgconn, made, UNPREPARED)
        found.append(waiting.wait(talk, pgconn.socket))

    assert (2 if pipelined else 4) == trips(connection, carry_out)
    assert [[[(True,)], [("behind",)]]] == found


def test_what_goes_behind_may_fail_and_leaves_the_connection_idle(connection, pipelined):
    def behind():
        raise LookupError("nothing to go behind")

    connection.execute("CREATE TEMPORARY TABLE kept (n int)")
    ahead = (Statement("INSERT INTO kept VALUES (1)"),)
    made = Plan(ahead, lambda found: found, then=lambda found: None, behind=behind)
    with pytest.raises(LookupError, match="nothing to go behind"):
        waiting.wait(
            conversation.carry_out(connection.pgconn, made, UNPREPARED), connection.pgconn.socket
        )
    assert [] == connection.execute("SELECT n FROM kept").fetchall()


def test_what_goes_behind_a_failure_is_not_carried_out(connection, pipelined):
    connection.execute("CREATE TEMPORARY TABLE kept (n int)")
    made = Plan(
        (Statement("SELECT 1 / 0"),),
        lambda found: found,
        then=lambda found: None,
        behind=lambda: Statement("INSERT INTO kept VALUES (1)"),
    )
    with pytest.raises(psycopg.errors.DivisionByZero):
        waiting.wait(
            conversation.carry_out(connection.pgconn, made, UNPREPARED), connection.pgconn.socket
        )
    assert [] == connection.execute("SELECT n FROM kept").fetchall()


def test_many_unique_jobs_take_four_round_trips(connection, postgres):
    rules = (Unique().rule("w", "default", {"n": n}) for n in range(writing.INSERT_ROWS + 1))
    many = Insert(tuple(new(unique=rule, args={"n": n}) for n, rule in enumerate(rules)), NOW)

    def carry_out(pgconn):
        made = plan_of_own(many, Names("public"))
        talk = conversation.carry_out(pgconn, made, UNPREPARED)
        return made.answer(waiting.wait(talk, pgconn.socket))

    assert 4 == trips(connection, carry_out)  # slots and look, ids, rows, the end


def test_what_fails_in_a_flight_is_rolled_back_and_leaves_the_connection_idle(postgres, pipelined):
    insert(postgres, new())
    within(postgres, "first", rate=RateLimit(5, 60))
    postgres.query("UPDATE pgjobs_queues SET starts = '[1]'")
    with pytest.raises(StoreError, match="which is no window"):
        within(postgres, "again", rate=RateLimit(5, 60))
    postgres.query("DROP TABLE pgjobs_queues CASCADE")
    with pytest.raises(StoreError, match="pgjobs_queues"):
        within(postgres, "again", rate=RateLimit(5, 60))
    assert [(1,)] == postgres.query("SELECT 1")


def test_a_backend_that_dies_in_a_flight_is_an_error_of_it(connection):
    flight = [Sent(sql, ()) for sql in (b"BEGIN", DYING, b"COMMIT")]
    talk = pipelining.together(connection.pgconn, flight)
    with pytest.raises(psycopg.OperationalError):
        waiting.wait(talk, connection.pgconn.socket)


def each(pgconn, plans, prepared=None, found=None):
    """How each of the plans ended, in the order in which they did."""
    found = [] if found is None else found
    talk = conversation.carry_out_each(
        pgconn, plans, prepared or UNPREPARED, lambda n, rows: found.append((n, rows))
    )
    waiting.wait(talk, pgconn.socket)
    return found


def asking(sql, *parameters, often=False):
    return Plan((Statement(sql, parameters, often),), lambda results: results[0])


def test_what_is_carried_out_side_by_side_takes_one_round_trip(connection):
    plans = [asking("SELECT $1::text", f"{n}") for n in range(20)]
    assert 1 == trips(connection, lambda pgconn: each(pgconn, plans))
    assert [(n, [[(f"{n}",)]]) for n in range(20)] == each(connection.pgconn, plans)


def test_a_statement_that_many_share_is_prepared_once(connection):
    prepared = Prepared(Preparing())
    plans = [asking("SELECT $1::text", f"{n}", often=True) for n in range(20)]
    taken = [trips(connection, lambda pgconn: each(pgconn, plans, prepared)) for _ in range(3)]
    assert [2, 1, 1] == taken
    listed = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert (1,) == listed


def test_one_that_fails_keeps_no_other_from_its_end(connection, postgres):
    plans = [
        asking("SELECT $1::text", "a"),
        asking("SELECT 1 / $1::text::int", "0"),
        asking("SELECT $1::text", "\ud800"),
        asking("SELECT $1::text FROM nowhere", "prepared", often=True),
        asking("INSERT INTO pgjobs_queues (queue, updated_at) VALUES ($1::text, now())", "kept"),
    ]
    prepared = Prepared(Preparing())
    prepared.uses(plans[3].statements[0].sql)  # it was sent once, so it is prepared now
    found = dict(each(connection.pgconn, plans, prepared))
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert ([[("a",)]], [[]]) == (found[0], found[4])
    expected = [psycopg.errors.DivisionByZero, psycopg.DataError, psycopg.errors.UndefinedTable]
    assert expected == [type(found[n]) for n in (1, 2, 3)]
    assert [("kept",)] == postgres.query("SELECT queue FROM pgjobs_queues")


def test_they_end_in_their_order_where_another_has_prepared_their_statement(connection):
    plans = [asking("SELECT $1::text", f"{n}", often=True) for n in range(5)]
    for n in range(2):  # the name is there, and this connection's own user does not know it
        prepared = Prepared(Preparing())
        prepared.uses(plans[0].statements[0].sql)  # it was sent once, so it is prepared now
        found = each(connection.pgconn, plans, prepared)
        assert [(n, [[(f"{n}",)]]) for n in range(5)] == found


def test_a_statement_that_is_prepared_no_more_is_sent_again(connection):
    prepared = Prepared(Preparing())
    plans = [asking("SELECT $1::text", f"{n}", often=True) for n in range(3)]
    each(connection.pgconn, plans, prepared)
    connection.execute("DEALLOCATE ALL")
    found = each(connection.pgconn, plans, prepared)
    assert [(n, [[(f"{n}",)]]) for n in range(3)] == sorted(found)


def test_those_that_ended_before_the_backend_died_have_ended(connection):
    found = []
    plans = [asking("SELECT 1"), asking(DYING.decode()), asking("SELECT 2")]
    with pytest.raises(psycopg.OperationalError):
        each(connection.pgconn, plans, found=found)
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
