"""A rate limit holds in every window, lets start what it can, and remembers no more than it must."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pgjobs.rules import ratelimit
from pgjobs.rules.limits import Limits, Turn
from pgjobs.rules.options import RateLimit
from pgjobs.rules.ratelimit import ENTRIES_LIMIT, Window
from pgjobs.rules.schedule import from_micros, micros
from tests.rules.factory import NOW

STEP = timedelta(seconds=1)
TICK = timedelta(microseconds=1)


def claimed(limit: RateLimit, window: Window, now: datetime, wanted: int) -> tuple[int, Window]:
    """Start as many as are wanted and may start."""
    n = min(wanted, ratelimit.permits(limit, window, now))
    return n, ratelimit.started(limit, window, now, n) if n else window


def fullest(starts: list[datetime], period: timedelta) -> int:
    """The most starts in any half-open window: one that begins with a start holds as many as any."""
    return max((sum(a <= b < a + period for b in starts) for a in starts), default=0)


limits = st.builds(
    RateLimit, st.integers(1, 6), st.sampled_from([1, 2, 3, 5, 2.5]).map(lambda s: s * STEP)
)
moments = st.integers(-6, 12).map(lambda n: n * STEP / 2) | st.sampled_from([TICK, -TICK])


@given(limits, st.lists(st.tuples(moments, st.integers(0, 9)), max_size=25))
def test_no_window_holds_more_than_is_allowed_and_no_start_is_put_off_that_could_be(
    limit: RateLimit, claims: list[tuple[timedelta, int]]
):
    window: Window = ()
    starts: list[datetime] = []
    now = NOW
    for moved, wanted in claims:
        now += moved  # clocks go back, too
        at = max([now, *starts[-1:]])
        counted = sum(at - limit.period < start for start in starts)
        n, window = claimed(limit, window, now, wanted)
        assert min(wanted, limit.allowed - counted) == n
        starts += [at] * n
        assert fullest(starts, limit.period) <= limit.allowed
        assert len(window) <= limit.allowed
        assert [at for at, _ in window] == sorted({at for at, _ in window})


@given(limits, st.lists(st.tuples(moments, st.integers(1, 9)), min_size=1, max_size=12))
def test_it_opens_at_the_first_instant_at_which_a_job_may_start(
    limit: RateLimit, claims: list[tuple[timedelta, int]]
):
    window: Window = ()
    now = NOW
    for moved, wanted in claims:
        now += moved
        _, window = claimed(limit, window, now, wanted)
    opens = ratelimit.opens_at(limit, window, now)
    assert (opens is None) == (ratelimit.permits(limit, window, now) > 0)
    if opens is not None:
        assert opens > now
        assert 0 == ratelimit.permits(limit, window, opens - TICK)
        assert 0 < ratelimit.permits(limit, window, opens)


def test_a_start_counts_for_exactly_a_period():
    limit = RateLimit(1, 60)
    window = ratelimit.started(limit, (), NOW, 1)
    edge = NOW + 60 * STEP
    assert [0, 1] == [ratelimit.permits(limit, window, at) for at in (edge - TICK, edge)]
    assert edge == ratelimit.opens_at(limit, window, NOW)
    assert ((micros(edge), 1),) == ratelimit.started(limit, window, edge, 1)


def test_a_clock_that_is_behind_starts_at_the_last_start():
    limit = RateLimit(2, 60)
    window = ratelimit.started(limit, (), NOW, 1)
    assert ((micros(NOW), 2),) == ratelimit.started(limit, window, NOW - 3600 * STEP, 1)
    assert 1 == ratelimit.used(limit, window, NOW - 3600 * STEP)


def test_what_is_allowed_now_holds_for_what_started_under_another_limit():
    window = tuple((micros(NOW + k * STEP), n) for k, n in enumerate((4, 3, 1)))
    limit = RateLimit(3, 60)
    assert 0 == ratelimit.permits(limit, window, NOW + 2 * STEP)
    opens = ratelimit.opens_at(limit, window, NOW + 2 * STEP)
    assert NOW + 61 * STEP == opens
    assert 2 == ratelimit.permits(limit, window, opens)


def test_a_period_longer_than_time_has_run_never_ends():
    limit = RateLimit(1, timedelta.max)
    window = ratelimit.started(limit, (), NOW, 1)
    assert 0 == ratelimit.permits(limit, window, datetime.max.replace(tzinfo=UTC))


@given(st.lists(st.integers(1, 3_000_000), min_size=ENTRIES_LIMIT, max_size=ENTRIES_LIMIT + 60))
def test_a_long_window_forgets_no_start_and_lets_none_leave_early(gaps: list[int]):
    limit = RateLimit(1_000_000, timedelta(days=365))
    window: Window = ()
    starts = []
    now = NOW
    for gap in gaps:
        now += gap * TICK
        window = ratelimit.started(limit, window, now, 2)
        starts += [now, now]
    assert len(window) <= ENTRIES_LIMIT
    remembered = [from_micros(at) for at, n in window for _ in range(n)]
    assert len(starts) == len(remembered)
    assert all(kept >= start for kept, start in zip(remembered, starts, strict=True))
    delay = sum(((kept - start) for kept, start in zip(remembered, starts, strict=True)), 0 * TICK)
    assert delay <= len(starts) * max(gaps) * TICK


@given(
    st.none() | limits,
    st.none() | st.integers(1, 6),
    st.integers(0, 9),
    st.integers(0, 6),
    st.integers(0, 9),
)
def test_a_turn_takes_what_all_limits_leave(
    rate: RateLimit | None, most: int | None, demand: int, running: int, before: int
):
    window: Window = ()
    if rate is not None:
        _, window = claimed(rate, window, NOW, before)
    turn = Turn(Limits(rate, most), demand, NOW + STEP / 2, window, running)
    left = [demand]
    if rate is not None:
        left.append(max(0, rate.allowed - before))
    if most is not None:
        left.append(max(0, most - running))
    assert min(left) == turn.room
    assert turn.at >= turn.now
    assert turn.after(0) == window
    assert (0 if most is None else running + turn.room) == turn.running_after(turn.room)
    if rate is not None:
        used = ratelimit.used(rate, turn.after(turn.room), turn.now)
        assert used == min(before, rate.allowed) + turn.room
        assert (turn.opens_at(turn.room) is None) == (used < rate.allowed)
