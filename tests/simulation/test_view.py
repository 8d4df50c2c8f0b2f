"""A node's clock shows what it is told to, to the microsecond, and says when it will show an instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.nodes.view import NodeClock

START = datetime(2025, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

PPM = st.integers(-100_000, 100_000)
SPANS = st.timedeltas(timedelta(0), timedelta(days=400))
OFFS = st.timedeltas(-timedelta(days=2), timedelta(days=2))
CHANGES = st.lists(
    st.tuples(SPANS, st.one_of(st.tuples(st.just("drift"), PPM), st.tuples(st.just("off"), OFFS))),
    max_size=6,
)


def changed(changes):
    """A world, and a node's clock in it that was set now and then."""
    world = VirtualClock(START)
    clock = NodeClock(world)
    for passes, (what, value) in changes:
        world.set(world.now() + passes)
        setattr(clock, what, value)
    return world, clock


def shown_at(world, clock, at):
    world.set(at)
    return clock.now()


@given(CHANGES, SPANS, SPANS)
@example([(timedelta(0), ("drift", 1))], timedelta(0), timedelta(seconds=100))
@example([(timedelta(0), ("drift", -1))], timedelta(0), timedelta(microseconds=1))
def test_when_is_the_first_instant_at_which_the_clock_shows_an_instant(changes, passes, ahead):
    world, clock = changed(changes)
    world.set(world.now() + passes)
    now, shown = world.now(), clock.now() + ahead
    at = clock.when(shown)
    assert at >= now
    if at > now:
        assert shown_at(world, clock, at - MICROSECOND) < shown
    assert shown_at(world, clock, at) >= shown


@given(CHANGES, SPANS)
def test_what_the_clock_shows_it_shows_first_when_it_says(changes, passes):
    """``when`` undoes ``now``: nothing that is due at what is shown can come a microsecond late."""
    world, clock = changed(changes)
    before = world.now()
    shown = clock.now()
    world.set(before + passes)
    later = clock.now()
    assert clock.when(later) == world.now()
    other_world, other = changed(changes)
    assert other.now() == shown
    assert other.when(later) <= before + passes
    assert shown_at(other_world, other, max(before, other.when(later))) == later


@given(PPM, SPANS)
def test_a_drift_is_exact_to_the_microsecond(ppm, passes):
    world, clock = changed([(timedelta(0), ("drift", ppm))])
    micros = passes // MICROSECOND
    assert START + (micros + micros * ppm // 1_000_000) * MICROSECOND == shown_at(
        world, clock, START + passes
    )


@given(CHANGES, st.lists(SPANS, max_size=5))
def test_it_never_goes_back(changes, passes):
    world = VirtualClock(START)
    clock = NodeClock(world)
    last = clock.now()
    for passed, (what, value) in [*changes, *((each, ("drift", 0)) for each in passes)]:
        world.set(world.now() + passed)
        setattr(clock, what, value)
        assert last <= clock.now()
        last = clock.now()


def test_a_drift_goes_on_from_what_is_shown_and_off_sets_it():
    world, clock = changed([(timedelta(0), ("drift", 100_000))])
    world.set(START + timedelta(seconds=100))
    clock.drift = -100_000
    assert timedelta(seconds=10) == clock.off
    assert START + timedelta(seconds=200) == shown_at(world, clock, START + timedelta(seconds=200))
    clock.off = timedelta(seconds=5)
    assert START + timedelta(seconds=205) == clock.now()
    assert START + timedelta(seconds=214, microseconds=500_000) == shown_at(
        world, clock, START + timedelta(seconds=210, microseconds=555_556)
    )


def test_it_remembers_what_it_showed_before_it_was_set():
    world, clock = changed([(timedelta(seconds=1), ("off", timedelta(seconds=30)))])
    assert (1, START + timedelta(seconds=1)) == (clock.version, clock.before(0))
    world.set(START + timedelta(seconds=2))
    clock.drift = 5
    assert (2, START + timedelta(seconds=32)) == (clock.version, clock.before(1))
    assert world.monotonic() == clock.monotonic()  # durations are right on every machine
