"""When: durations and instants at which a rule changes its mind, and one microsecond beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)

START = datetime(2025, 3, 30, 0, 59, 30, tzinfo=UTC)
"""Where the clock of every example begins: half a minute before European clocks go forward."""

BOUNDARIES_S = (0, 1, 10, 15, 16, 20, 30, 31, 46, 60, 61, 300, 600, 3_600, 86_400)
"""Seconds at which the engine does something by default: polls, backoffs, periods, leases, ages."""

FARTHEST = (
    datetime.min.replace(tzinfo=UTC),
    datetime(1969, 7, 20, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
)


def beside() -> st.SearchStrategy[timedelta]:
    """One microsecond before, none, one after."""
    return st.sampled_from([timedelta(0), -MICROSECOND, MICROSECOND])


def spans(longest_s: float = 600) -> st.SearchStrategy[timedelta]:
    """Durations up to ``longest_s``, at a boundary or one microsecond beside it; never negative."""
    whole = [timedelta(seconds=s) for s in BOUNDARIES_S if s <= longest_s]
    near = st.builds(
        lambda span, by: max(timedelta(0), span + by), st.sampled_from(whole), beside()
    )
    return near | st.floats(0, longest_s).map(lambda s: timedelta(seconds=s))


def instants(now: datetime) -> st.SearchStrategy[datetime]:
    """Instants near ``now`` that tie, at boundaries around it, far ones, and any in UTC."""
    near = st.integers(-2, 2).map(lambda steps: now + steps * MICROSECOND)
    edges = st.builds(lambda span, sign: now + sign * span, spans(), st.sampled_from([1, -1]))
    return near | edges | st.sampled_from(FARTHEST) | st.datetimes(timezones=st.just(UTC))
