"""A node's way to the store: what befalls an effect befalls no other, and whoever watches is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgjobs.client import Client, drive
from pgjobs.effects import Claim, Poll, Settle
from pgjobs.leading import Beat, Heartbeats, Leave
from pgjobs.ports import Done, Signal
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs.rules.job import NewJob
from pgjobs.rules.options import Queue
from pgjobs.rules.outcome import returned
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.nodes.line import CLIENT, Exchange, Line
from pgjobs_testing.nodes.traps import FAILURES, Asked, CutOffError, RefusedError, Trap
from pgjobs_testing.nodes.watching import Alarm, AlarmError
from pgjobs_testing.recorder import Recorder

START = datetime(2025, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Seen:
    """Who watches: what took place and what failed, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def committed(self, node, effect, answer, now):
        self.told.append(("committed", node, type(effect).__name__))

    def failed(self, node, effect, error, now):
        self.told.append(("failed", node, type(effect).__name__))


class Place:
    """An exchange over a store, two lines, and time to pass."""

    def __init__(self, store) -> None:
        self.clock = VirtualClock(START)
        self.exchange = Exchange(store, self.clock)
        self.exchange.watch = self.seen = Seen()
        self.a, self.b = Line(self.exchange, "a", "a#2"), Line(self.exchange, "b", "b")
        self.client = Client(self.clock, Recorder(self.clock, passing_on=None), {"q": Queue(1)})

    def beat(self, line: Line) -> Beat:
        """A heartbeat, submitted now."""
        effect = Beat(line.name, START, self.clock.now(), 10 * SECOND)
        line.submit(effect)
        return effect

    def insert(self) -> None:
        drive(self.exchange, self.client.insert(NewJob("w", {}, queue="q")))

    def work(self, line: Line) -> None:
        """Claim one job and complete it."""
        now = self.clock.now()
        line.submit(Claim(selection.claimable("q"), 1, lifecycle.claim(line.name, "token", now)))
        (done,) = (each for each in line.collect() if isinstance(each, Done))
        (job,) = done.answer
        line.submit(Settle((lifecycle.settle(job, returned(None), now, 1.0),)))

    def beating(self) -> list[str]:
        return [heard.node for heard in self.exchange.inside.run(Heartbeats())]

    def advance(self, seconds: float) -> None:
        self.clock.set(self.clock.now() + timedelta(seconds=seconds))
        self.exchange.deliver(self.clock.now())


@pytest.fixture
def place(store):
    return Place(store)


def error_of(line: Line) -> Exception:
    """The error of the one effect that has ended."""
    (done,) = line.collect()
    assert isinstance(done, Done)
    assert done.error is not None
    return done.error


TOOK_PLACE = {"after"}
"""Ways to fail of an effect that has taken place when its node gets the error."""


@pytest.mark.parametrize("how", FAILURES)
def test_an_effect_that_fails_gives_an_error_that_was_asked_for_and_took_place_or_not(place, how):
    place.a.traps.append(Trap("beat", how, by=3 * SECOND))
    place.beat(place.a)
    kind = RefusedError if how == "refused" else CutOffError
    assert type(error_of(place.a)) is kind
    assert place.beating() == (["a#2"] if how in TOOK_PLACE else [])
    committed = [("committed", "a#2", "Beat")] if how in TOOK_PLACE else []
    assert [*committed, ("failed", "a#2", "Beat")] == place.seen.told


@pytest.mark.parametrize("how", FAILURES)
def test_a_trap_takes_as_many_effects_as_it_says_and_those_of_its_line_alone(place, how):
    place.a.traps.append(Trap("beat", how, times=2))
    place.a.submit(Leave("nobody"))
    assert [None] == [done.error for done in place.a.collect()]
    for _ in range(2):
        place.beat(place.a)
        assert isinstance(error_of(place.a), Asked)
    place.beat(place.b)
    place.beat(place.a)
    assert [None, None] == [done.error for line in (place.a, place.b) for done in line.collect()]
    assert [] == place.a.traps


def test_the_first_of_several_traps_takes_an_effect_that_both_mean(place):
    place.a.traps += [Trap("any", "conflict"), Trap("beat", "refused")]
    for said in ("could not serialize", "refuses the beat"):
        place.beat(place.a)
        assert said in str(error_of(place.a))


def test_what_is_late_commits_when_it_is_due_and_nobody_is_answered(place):
    place.a.traps.append(Trap("beat", "late", by=3 * SECOND))
    commits: list[Any] = []
    place.a.committed = commits.append
    beat = place.beat(place.a)
    place.a.collect()
    assert (1, START + 3 * SECOND) == (place.exchange.late, place.exchange.next_due())
    place.advance(2.999999)
    assert [] == place.beating()
    place.advance(0.000001)
    assert ["a#2"] == place.beating()
    assert ([], [beat], 0) == (place.a.collect(), commits, place.exchange.late)
    assert [("failed", "a#2", "Beat"), ("committed", "a#2", "Beat")] == place.seen.told


def test_what_is_late_finds_a_database_that_is_down_and_is_gone(place):
    place.a.traps.append(Trap("beat", "late", by=3 * SECOND))
    commits: list[Any] = []
    place.a.committed = commits.append
    place.beat(place.a)
    place.exchange.down = True
    place.advance(3)
    place.exchange.down = False
    assert ([], [], 0) == (place.beating(), commits, place.exchange.late)


def test_a_statement_commits_late_though_its_process_is_gone_or_its_node_cut_off(place):
    for line in (place.a, place.b):
        line.traps.append(Trap("beat", "late", by=3 * SECOND))
        place.beat(line)
    place.a.cut, place.b.dead = True, True
    place.advance(3)
    assert ["a#2", "b"] == place.beating()


@pytest.mark.parametrize("when, left", [("crash before", []), ("crash after", ["a#2"])])
def test_a_crash_is_before_the_effect_or_after_its_commit_and_the_process_learns_of_nothing(
    place, when, left
):
    died: list[Trap] = []
    place.a.died = died.append
    trap = Trap("beat", when)
    place.a.traps.append(trap)
    place.beat(place.a)
    assert (left, [trap], True) == (place.beating(), died, place.a.dead)
    place.insert()
    place.beat(place.a)
    assert (False, []) == (bool(place.a.inbox), place.a.collect())
    assert place.beating() == left
    with pytest.raises(StoreUnavailableError, match="node a is cut off"):
        place.a.check()


@pytest.mark.parametrize("away", ["cut", "down"])
def test_a_crash_after_an_effect_that_failed_waits_for_the_next(place, away):
    place.a.traps.append(Trap("beat", "crash after"))
    holder = place.a if away == "cut" else place.exchange
    setattr(holder, away, True)
    place.beat(place.a)
    assert isinstance(error_of(place.a), Asked)
    assert not place.a.dead
    setattr(holder, away, False)
    place.beat(place.a)
    assert place.a.dead
    assert ["a#2"] == place.beating()


@pytest.mark.parametrize("how", FAILURES)
def test_while_the_database_is_down_an_effect_fails_for_that(place, how):
    place.exchange.down = True
    place.a.traps.append(Trap("beat", how, by=SECOND))
    place.beat(place.a)
    assert "the database is down" == str(error_of(place.a))
    place.exchange.down = False
    place.advance(1)
    assert [] == place.beating()


@pytest.mark.parametrize(
    "trap, at_once", [("", True), ("beat", False), ("any", False), ("settle", True), ("poll", True)]
)
def test_an_expected_answer_is_had_at_once_where_nothing_befalls_its_effect(place, trap, at_once):
    if trap:
        place.a.traps.append(Trap(trap, "before"))
    beat = Beat("a#2", START, place.clock.now(), 10 * SECOND)
    done = place.a.at_once(beat, lambda answer: answer is None)
    assert (at_once, not at_once) == (done is not None, bool(place.a.inbox))


@pytest.mark.parametrize("trap, at_once", [("", True), ("claim", False), ("settle", False)])
def test_polls_are_taken_in_turn_while_a_trap_awaits_anything(place, trap, at_once):
    if trap:
        place.a.traps.append(Trap(trap, "before"))
    poll = Poll(lifecycle.stage(place.clock.now()), 1, ())
    assert at_once == (place.a.at_once(poll, lambda polled: not polled.staged) is not None)


def test_an_answer_that_was_not_expected_is_taken_in_turn(place):
    beat = Beat("a#2", START, place.clock.now(), 10 * SECOND)
    assert place.a.at_once(beat, lambda _: False) is None
    assert [Done(beat)] == place.a.collect()


def test_an_answer_is_slow_and_its_effect_is_not(place):
    place.a.slow = 2 * SECOND
    beat = place.beat(place.a)
    assert ["a#2"] == place.beating()
    place.advance(1.999999)
    assert [] == place.a.collect()
    place.advance(0.000001)
    assert [Done(beat)] == place.a.collect()


def test_a_slow_line_hears_signals_in_time(place):
    place.a.slow = 2 * SECOND
    place.insert()
    assert [("insert", "q")] == [(each.kind, each.queue) for each in place.a.collect()]


@pytest.mark.parametrize("doubled, times", [(False, 1), (True, 2)])
@pytest.mark.parametrize("delay_s", [0, 3])
def test_signals_come_late_and_twice_to_every_line(place, doubled, times, delay_s):
    place.exchange.delay, place.exchange.doubled = delay_s * SECOND, doubled
    place.insert()
    if delay_s:
        place.advance(delay_s - 0.000001)
        assert [[], []] == [line.collect() for line in (place.a, place.b)]
        place.advance(0.000001)
    for line in (place.a, place.b):
        heard = line.collect()
        assert times == len(heard)
        assert all(isinstance(each, Signal) and each.kind == "insert" for each in heard)


@pytest.mark.parametrize("deaf", ["cut", "dead", "mute"])
def test_a_signal_is_lost_to_who_cannot_hear(place, deaf):
    setattr(place.exchange if deaf == "mute" else place.a, deaf, True)
    place.insert()
    assert [] == place.a.collect()
    assert (deaf == "mute") == (place.b.collect() == [])


def test_what_is_under_way_arrives_in_the_order_in_which_it_is_due_and_was_sent(place):
    arrived = []
    for name, wait in (("late", 3), ("first", 1), ("second", 1)):
        place.exchange.after(wait * SECOND, lambda name=name: arrived.append(name))
    place.advance(5)
    assert ["first", "second", "late"] == arrived
    assert place.exchange.next_due() is None


def test_while_something_befalls_a_line_no_poll_of_it_is_left_out(place):
    assert place.a.changes() is not None
    for holder, name, value in (
        (place.a, "cut", True),
        (place.a, "slow", SECOND),
        (place.a, "traps", [Trap("poll", "before")]),
        (place.exchange, "down", True),
    ):
        before = getattr(holder, name)
        setattr(holder, name, value)
        assert place.a.changes() is None
        assert not place.a.empty("q")
        setattr(holder, name, before)
        assert place.a.changes() is not None


@pytest.mark.parametrize("name, value", [("mute", True), ("delay", SECOND)])
def test_a_signal_that_is_lost_or_late_is_a_change_that_only_a_poll_tells(place, name, value):
    before = place.a.changes()
    place.insert()
    assert before == place.a.changes()
    setattr(place.exchange, name, value)
    assert before == place.a.changes()
    place.insert()
    assert place.a.changes() > before


def test_ends_of_others_count_and_those_that_its_own_settling_tells_do_not(place):
    place.insert()
    place.insert()
    before = place.a.ends()
    place.work(place.a)
    assert before == place.a.ends()
    place.work(place.b)
    assert before + 1 == place.a.ends()


def test_what_fails_may_have_happened_and_counts_as_a_change(place):
    for how in FAILURES:
        before = place.a.changes()
        place.a.traps.append(Trap("beat", how))
        place.beat(place.a)
        assert place.a.changes() != before


def test_an_alarm_is_raised_by_every_effect_that_comes_after(place):
    alarm = AlarmError(Alarm("books", "wrong", START))

    def committed(*_):
        raise alarm

    place.seen.committed = committed
    place.beat(place.a)
    assert place.exchange.alarm is alarm
    with pytest.raises(AlarmError, match="books: wrong"):
        place.insert()
    assert CLIENT == place.exchange.acting
