"""The live session: what a lost connection, a lost server and a refusal do to effects under way."""

import threading

import psycopg
import pytest

from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Claim, ClaimWithin, Controls, Count, Find, Insert, Poll, Settle
from pgjobs.ports import Done, Signal
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.errors import StoreError, StoreUnavailableError
from pgjobs.rules.job import JobState
from pgjobs.rules.limits import Limits
from pgjobs.rules.selection import Selection
from pgjobs_testing.conformance.given import NOW, claim, every, insert, new, row
from pgjobs_testing.conformance.sessions import ended, listening, opened, until
from tests.stores.conftest import blocked
from tests.stores.test_postgres_connections import NOWHERE, all_gone, backends, kill_backends

pytestmark = pytest.mark.pgjobs(mode="live")

POLL = Poll(lifecycle.stage(NOW), 100, ("default",))


def outcome_of(session, effect):
    session.submit(effect)
    (done,) = ended(session, effect)
    return done


class TestWithoutAServer:
    def test_every_effect_ends_with_an_error_and_nothing_is_raised(self):
        with opened(PostgresStore(NOWHERE)) as session:
            for _ in range(3):
                effects = [Controls(), POLL, Settle(()), Find(Selection())]
                for effect in effects:
                    session.submit(effect)
                for done in ended(session, *effects):
                    assert isinstance(done.error, StoreUnavailableError) or done.answer == []

    def test_a_guard_or_a_dsn_that_raises_ends_effects_as_well(self):
        def dsn():
            raise OSError("no password today")

        with opened(PostgresStore(dsn)) as session:
            done = outcome_of(session, Controls())
            assert isinstance(done.error, StoreUnavailableError)
            assert "no password today" in str(done.error)

    def test_a_session_may_be_closed_while_it_is_connecting(self):
        for _ in range(5):
            with opened(PostgresStore(NOWHERE)) as session:
                session.submit(Controls())


@pytest.mark.pgjobs(mode="manual")
def test_a_test_run_that_keeps_databases_closed_keeps_sessions_out_too():
    with opened(PostgresStore(NOWHERE)) as session:
        done = outcome_of(session, Controls())
    assert isinstance(done.error, StoreError)
    assert "mode=" in str(done.error)


@pytest.mark.postgres
class TestOnAServer:
    def test_a_connection_for_which_no_thread_is_to_be_had_is_tried_again(self, postgres):
        settle = Settle((lifecycle.Settlement(1, "t", complete()),))
        with opened(postgres) as session:
            before = threading.stack_size(1 << 47)  # more than there are addresses
            try:
                for effect in (settle, Controls()):
                    done = outcome_of(session, effect)
                    assert isinstance(done.error, StoreUnavailableError)
                    assert "can't start new thread" in str(done.error)
            finally:
                threading.stack_size(before)
            assert [False] == outcome_of(session, settle).answer
            assert {} == outcome_of(session, Controls()).answer
            until_heard(postgres, session, "q")

    def test_a_session_holds_three_connections_and_gives_them_back(self, dsn, postgres):
        with opened(postgres) as session:
            listening(postgres, session)
            postgres.close()
            outcome_of(session, Settle((lifecycle.Settlement(1, "t", complete()),)))
            while len(backends(dsn)) != 3:
                outcome_of(session, Controls())
        assert all_gone(dsn)

    def test_lost_connections_are_opened_again_and_signals_are_heard_again(self, dsn, postgres):
        with opened(postgres) as session:
            listening(postgres, session)
            for n in range(3):
                assert kill_backends(dsn) >= 2
                until_heard(postgres, session, f"q{n}")

    def test_an_effect_whose_connection_is_lost_ends_as_unavailable(self, dsn, postgres):
        insert(postgres, new())
        with opened(postgres) as session, psycopg.connect(dsn) as other:
            outcome_of(session, Controls())
            other.execute("LOCK TABLE oban_jobs")
            find, count = Find(Selection()), Count(Selection())
            session.submit(find)
            session.submit(count)
            while not (waiting := blocked(other)):
                pass
            other.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", (waiting,))
            (lost,) = ended(session, find)
            assert find is lost.effect
            assert isinstance(lost.error, StoreUnavailableError)
            other.rollback()
            (done,) = ended(session, count)
            assert {"": 1} == done.answer

    def test_a_refused_effect_leaves_the_lane_to_the_next(self, postgres):
        with opened(postgres) as session:
            refused = outcome_of(session, Insert((new(queue=""),), NOW))
            assert type(refused.error) is StoreError
            torn = outcome_of(session, Insert((*[new()] * 6_000, new(queue="")), NOW))
            assert type(torn.error) is StoreError
            unspeakable = outcome_of(session, Insert((new(queue="\ud800"),), NOW))
            assert type(unspeakable.error) is StoreError
            assert {"": 0} == outcome_of(session, Count(Selection())).answer

    def test_a_settlement_of_twenty_megabytes_is_sent_whole(self, postgres):
        insert(postgres, *[new(max_attempts=5) for _ in range(500)])
        jobs = claim(postgres, demand=500)
        text = "é\\\"'\n" * 6_000
        failures = tuple(
            lifecycle.settle(job, outcome.Outcome(lifecycle.Event.FAIL, f"{n} {text}"), NOW)
            for n, job in enumerate(jobs)
        )
        with opened(postgres) as session:
            assert [True] * 500 == outcome_of(session, Settle(failures)).answer
        errors = [job.last_error for job in every(postgres)]
        assert [f"{n} {text}" for n in range(500)] == errors

    def test_an_answer_of_many_megabytes_is_read_whole(self, postgres):
        insert(postgres, *[new(args={"n": n, "text": "x" * 20_000}) for n in range(1_000)])
        with opened(postgres) as session:
            change = lifecycle.claim("node", "token", NOW)
            done = outcome_of(session, Claim(selection.claimable("default"), 1_000, change))
        assert [*range(1_000)] == [job.args["n"] for job in done.answer]

    def test_a_settlement_does_not_wait_for_a_claim(self, dsn, postgres):
        insert(postgres, new(), new(queue="mail"))
        (job,) = claim(postgres)
        with opened(postgres) as session, psycopg.connect(dsn) as other:
            outcome_of(session, Controls())
            other.execute("LOCK TABLE pgjobs_queues")  # a poll waits for it
            session.submit(POLL)
            settle = Settle((lifecycle.settle(job, outcome.COMPLETED, NOW),))
            assert [True] == outcome_of(session, settle).answer
            other.rollback()
            (polled,) = ended(session, POLL)
            assert polled.error is None

    def test_nothing_waits_while_a_limited_claim_waits_for_its_turn(self, dsn, postgres):
        insert(postgres, new(), new(queue="mail"))
        change = lifecycle.claim("node", "token", NOW)
        limits = Limits(None, 5)
        limited = ClaimWithin("mail", selection.claimable("mail"), 1, change, limits)
        postgres.run(limited)  # makes the row that takes turns
        with opened(postgres) as session, psycopg.connect(dsn) as other:
            outcome_of(session, Controls())
            other.execute("SELECT FROM pgjobs_queues FOR UPDATE")
            session.submit(limited)
            claim = Claim(selection.claimable("default"), 1, change)
            for effect in (POLL, claim, Settle((lifecycle.Settlement(1, "t", complete()),))):
                assert outcome_of(session, effect).error is None
            other.rollback()
            (done,) = ended(session, limited)
            assert done.error is None

    def test_wakes_from_many_threads_lose_nothing_and_block_nobody(self, postgres):
        with opened(postgres) as session:
            listening(postgres, session)
            stop = threading.Event()

            def waking():
                while not stop.is_set():
                    session.wake()

            threads = [threading.Thread(target=waking) for _ in range(2)]
            for thread in threads:
                thread.start()
            for _ in range(100):
                session.wait(10)
            stop.set()
            for thread in threads:
                thread.join()
            session.wake()
            session.wait(10)

    def test_signals_are_handed_on_once_a_collection(self, postgres):
        with opened(postgres) as session:
            listening(postgres, session)
            for _ in range(50):
                insert(postgres, new(queue="a"), new(queue="b"))
            last = Insert((new(queue="c"),), NOW)
            session.submit(last)
            found = until(session, lambda items: Signal("insert", "c") in items)
            assert len([item for item in found if isinstance(item, Signal)]) < 103


@pytest.mark.postgres
@pytest.mark.slow
def test_a_session_outlives_an_outage_of_the_server():
    """The server crashes with effects under way, is away for a while, and comes back."""
    from pgjobs_testing.servers import ServerError, choose

    try:
        server = choose("embedded", None, {}).server()
    except ServerError as error:
        pytest.skip(f"outages need the embedded server: {error}")
    with server:
        store = PostgresStore(server.create_database("outage"))
        store.migrate()
        insert(store, new(), new())
        with opened(store) as session:
            listening(store, session)
            for n in range(2):
                server.interrupt()
                for _ in range(3):
                    for effect in (POLL, Settle((lifecycle.Settlement(1, "t", complete()),))):
                        assert isinstance(outcome_of(session, effect).error, StoreUnavailableError)
                with pytest.raises(StoreUnavailableError):
                    store.run(Controls())
                server.restart()
                until_heard(store, session, f"q{n}")
        store.close()


def complete():
    return lifecycle.settle(row(JobState.EXECUTING), outcome.COMPLETED, NOW).change


def until_heard(store, session, queue):
    """Poll as a node does, until an insert is heard of; a poll that fails ends as unavailable.

    One answer is not enough: the listener may learn of its loss only after it.
    """
    heard = Signal("insert", queue)
    for _ in range(100):
        session.submit(POLL)
        items = until(session, lambda items: any(isinstance(item, Done) for item in items))
        (done,) = (item for item in items if isinstance(item, Done))
        assert done.error is None or isinstance(done.error, StoreUnavailableError)
        if done.error is None:
            store.run(Insert((new(queue=queue),), NOW))
            session.wait(0.1)
            if heard in [*items, *session.collect()]:
                return
    raise AssertionError(f"the session never heard of {queue}")
