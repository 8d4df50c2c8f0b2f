"""Lines that stay open and go silent: the server is asked, and its word counts, not the time alone."""

import logging
import re
import threading

import psycopg
import pytest

from pgjobs.adapters.postgres import connect
from pgjobs.adapters.postgres.asking import Verdict, Word, words
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.pool import Pool
from pgjobs.adapters.postgres.preparing import Preparing
from pgjobs.adapters.postgres.session import PostgresSession
from pgjobs.adapters.postgres.silence import PATIENCE, Patience, Silence
from pgjobs.effects import Claim, ClaimWithin, Count, Poll, Settle
from pgjobs.ports import Done, Signal
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs.rules.limits import Limits
from pgjobs.rules.selection import Selection
from pgjobs_testing.conformance.given import NOW, claim, every, insert, new
from tests.stores.conftest import blocked
from tests.stores.swallowing import DOWN, UP, way
from tests.stores.test_postgres_connections import backends

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

POLL = Poll(lifecycle.stage(NOW), 100, ("default",))


class Node:
    """A session whose time is in the test's hand, over a way that can go dead."""

    def __init__(self, dsn, on):
        self.seconds = 1_000.0
        self.pids = []
        self.signals = []
        self.session = PostgresSession(
            "node", Names("public"), Preparing(), self._connect, lambda: self.seconds
        )
        self._dsn, self._on = dsn, on

    def _connect(self):
        connection = connect.open_connection(self._on.dsn)
        self.pids.append(connection.pgconn.backend_pid)
        return connection

    def ended(self, effect, most=200):
        """The end of an effect, while its time stands still."""
        for _ in range(most):
            for done in self.collected():
                if done.effect is effect:
                    return done
            self.session.wait(0.5)
        raise AssertionError(f"{effect} has not ended")

    def collected(self):
        """What has ended; signals are kept."""
        items = self.session.collect()
        self.signals += [item for item in items if isinstance(item, Signal)]
        return [item for item in items if isinstance(item, Done)]

    def hears(self, signal, most=200):
        """Wait for a signal that has not been waited for before."""
        for _ in range(most):
            self.collected()
            if signal in self.signals:
                self.signals.remove(signal)
                return
            self.session.wait(0.5)
        raise AssertionError(f"{signal} was not heard")

    def given_up(self, effect):
        """The end of an effect whose line is silent, however long that takes by its time."""
        self.pass_(PATIENCE.again_s)
        self.pass_(PATIENCE.asked_after_s)
        for _ in range(400):
            for done in self.collected():
                if done.effect is effect:
                    return done
            self.session.wait(0.05)  # a word comes by a thread of its own
            self.seconds += 1
        raise AssertionError(f"{effect} has not ended")

    def asked(self, effect):
        self.session.submit(effect)
        return self.ended(effect)

    def pass_(self, seconds):
        """So many seconds go by, and the node looks at its lines."""
        self.seconds += seconds
        self.session.wait(0)

    def told(self, caplog, count):
        """Wait until so many warnings are there; they come from the node's own thread."""
        for _ in range(200):
            if len(found := warnings(caplog)) >= count:
                return found
            assert [] == self.collected()
            self.session.wait(0.5)
        raise AssertionError(warnings(caplog))


def warnings(caplog):
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


@pytest.fixture
def on(dsn):
    with way(dsn) as made:
        yield made


@pytest.fixture
def node(dsn, postgres, on):
    made = Node(dsn, on)
    made.asked(POLL)
    yield made
    made.session.close()


def lost(node, effect):
    node.session.submit(effect)
    node.session.wait(0)
    return node.given_up(effect)


@pytest.mark.parametrize("directions", [(DOWN,), (UP, DOWN)])
def test_an_effect_whose_line_went_silent_ends_and_the_next_has_another(
    node, on, caplog, directions
):
    on.swallow(*directions)
    done = lost(node, POLL)
    assert isinstance(done.error, StoreUnavailableError)
    told = r"Poll has had no answer for \d+ s; the server says: its process \d+ is idle and waits"
    assert re.match(told, str(done.error))
    assert node.asked(POLL).error is None
    first, second = warnings(caplog)
    assert ("asked once more", "given up") == (first[-15:], second[-8:])


def test_a_claim_that_was_carried_out_and_never_answered_is_there(postgres, node, on, caplog):
    insert(postgres, new())
    on.swallow(DOWN)
    effect = Claim(selection.claimable("default"), 1, lifecycle.claim("node", "token", NOW))
    assert isinstance(lost(node, effect).error, StoreUnavailableError)
    assert ["token"] == [job.token for job in every(postgres)]


def test_what_never_reached_the_server_comes_true_no_more(dsn, postgres, node, on, caplog):
    insert(postgres, new())
    on.swallow(UP)
    effect = Claim(selection.claimable("default"), 1, lifecycle.claim("node", "token", NOW))
    assert isinstance(lost(node, effect).error, StoreUnavailableError)
    (process,) = re.findall(r"its process (\d+) is idle", warnings(caplog)[0])
    assert any(int(process) not in backends(dsn) for _ in range(1_000))
    assert [""] == [job.token for job in every(postgres)]


def test_the_locks_of_a_transaction_whose_line_went_silent_are_freed(
    dsn, postgres, node, on, caplog
):
    insert(postgres, new())
    limits = Limits(None, 5)
    change = lifecycle.claim("node", "token", NOW)
    limited = ClaimWithin("default", selection.claimable("default"), 1, change, limits)
    with psycopg.connect(dsn) as other:
        assert node.asked(limited).error is None
        other.execute("SELECT FROM pgjobs_queues FOR UPDATE")
        again = ClaimWithin("default", selection.claimable("default"), 1, change, limits)
        node.session.submit(again)
        node.session.wait(0)
        while not blocked(other):
            pass
        on.swallow(UP, DOWN)
        other.rollback()
    node.given_up(again)
    with psycopg.connect(dsn) as other:
        other.execute(
            "SET lock_timeout = '30s'"
        )  # a process that is told to end does so in a moment
        other.execute("SELECT FROM pgjobs_queues FOR UPDATE")


def test_an_effect_that_waits_for_a_lock_is_waited_for_and_told_of_once_a_minute(
    dsn, postgres, node, caplog
):
    with psycopg.connect(dsn) as other:
        holder = other.info.backend_pid
        other.execute("LOCK TABLE oban_jobs")
        node.session.submit(POLL)
        node.session.wait(0)
        while not blocked(other):
            pass
        node.pass_(PATIENCE.again_s)
        node.pass_(PATIENCE.asked_after_s)
        (line,) = node.told(caplog, 1)
        assert re.fullmatch(
            r"node node: Poll has had no answer for \d+ s; the server says: process \d+ waits for a lock "
            f"held by process {holder}",
            line,
        )
        node.pass_(PATIENCE.told_every_s / 2)
        node.session.wait(0.2)
        assert 1 == len(warnings(caplog))
        node.pass_(PATIENCE.told_every_s)
        assert 2 == len(node.told(caplog, 2))
        for _ in range(20):
            node.pass_(PATIENCE.unknown_after_s)
        assert not [item for item in node.session.collect() if isinstance(item, Done)]
        other.rollback()
    assert node.ended(POLL).error is None


def test_an_outage_of_the_question_too_is_told_and_the_question_is_asked_again(node, on, caplog):
    on.swallow(DOWN)
    on.refuse()
    node.session.submit(POLL)
    node.session.wait(0)
    node.pass_(PATIENCE.again_s)
    node.pass_(PATIENCE.asked_after_s)
    (line,) = node.told(caplog, 1)
    assert "Poll has had no answer for 30 s, and the server cannot be asked why: " in line
    on.refuse(False)
    assert isinstance(node.given_up(POLL).error, StoreUnavailableError)


def test_a_silent_listener_is_given_up_and_another_listens(postgres, node, on, caplog):
    control = Signal("control")
    node.hears(control)
    node.pass_(0)
    for _ in range(3):  # each time it is asked, and answers
        node.pass_(PATIENCE.asked_after_s)
        node.session.wait(0.2)
    node.collected()
    assert control not in node.signals
    on.swallow(DOWN)
    for _ in range(2):
        node.pass_(PATIENCE.asked_after_s)
    node.hears(control, most=1)
    lost(node, POLL)
    assert node.asked(POLL).error is None  # which revives it
    node.hears(control)
    insert(postgres, new(queue="heard"))
    node.hears(Signal("insert", "heard"))


def test_behind_a_pooler_nobody_can_say(dsn, node):
    class Pooled:
        """A connection whose greeting came from somebody else."""

        def __init__(self):
            self._connection = connect.open_connection(dsn)
            self.close = self._connection.close

        @property
        def pgconn(self):
            return Greeted(self._connection.pgconn)

    class Greeted:
        def __init__(self, pgconn):
            self._pgconn = pgconn

        def __getattr__(self, name):
            return -1 if name == "backend_pid" else getattr(self._pgconn, name)

    (word,) = words(Pooled, [node.pids[0]]).values()
    assert Verdict.UNKNOWN is word.verdict


def test_what_nobody_can_say_is_borne_for_a_time_and_work_for_ever():
    unknown, works = Word(Verdict.UNKNOWN, "?"), Word(Verdict.WORKS, "at work")
    silence = Silence(PATIENCE, 0, 0)
    late = PATIENCE.unknown_after_s
    assert [False, False, True] == [
        silence.lost(unknown, 30),
        silence.lost(unknown, late - 1),
        silence.lost(unknown, late),
    ]
    assert not silence.lost(works, 100 * late)


def test_the_server_must_have_nothing_to_do_twice_in_a_row():
    dead, works = Word(Verdict.DEAD, "idle"), Word(Verdict.WORKS, "at work")
    silence = Silence(PATIENCE, 0, 0)
    said = (dead, works, dead, dead)
    assert [False, False, False, True] == [silence.lost(word, 30) for word in said]


QUICK = Patience(asked_after_s=0.05, again_s=0.02, unknown_after_s=1, told_every_s=0.05)


def hurried(store):
    store._pool = Pool(store.pool_size, store._preparing, QUICK)
    return store


def test_a_clients_call_over_a_line_that_went_silent_ends(postgres, dsn, on):
    from pgjobs.adapters.postgres.store import PostgresStore

    store = hurried(PostgresStore(on.dsn))
    lines = [store._pool.take(store._connected) for _ in range(3)]
    for line in lines:
        store._pool.give(line)
    on.swallow(DOWN)
    with pytest.raises(StoreUnavailableError, match="is idle and waits for its client"):
        insert(store, new())
    assert 1 == len(every(store))
    store.close()


def test_a_clients_call_that_waits_for_a_lock_is_waited_for(postgres, dsn, caplog):
    store = hurried(postgres)
    answers = []
    with psycopg.connect(dsn) as other:
        other.execute("LOCK TABLE oban_jobs")
        calling = threading.Thread(target=lambda: answers.append(store.run(Count(Selection()))))
        calling.start()
        while len(warnings(caplog)) < 3:
            calling.join(0.05)
        other.rollback()
    calling.join()
    assert [{"": 0}] == answers
    assert "waits for a lock held by process" in warnings(caplog)[0]


def test_where_one_line_is_silent_those_that_do_nothing_are_not_trusted_either(postgres, node, on):
    insert(postgres, new(), new())
    one, two = (
        Settle((lifecycle.settle(job, outcome.COMPLETED, NOW),))
        for job in claim(postgres, demand=2)
    )
    assert [True] == node.asked(one).answer
    on.swallow(DOWN)
    assert isinstance(lost(node, POLL).error, StoreUnavailableError)
    assert [True] == node.asked(two).answer


def test_a_settlement_is_heard_while_another_lane_is_silent(postgres, node, on, caplog):
    insert(postgres, new())
    (job,) = claim(postgres)
    on.swallow(DOWN)
    node.session.submit(POLL)
    settle = Settle((lifecycle.settle(job, outcome.COMPLETED, NOW),))
    assert [True] == node.asked(settle).answer
