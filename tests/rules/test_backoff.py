"""How long a failed job waits: the guide's table, growth, caps, jitter, and no surprise at any attempt."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.rules import backoff
from pgjobs.rules.backoff import DEFAULT, Backoff, usable_delay
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.schedule import LAST_INSTANT, later
from tests.rules.factory import NOW

attempts = st.integers(1, 10**6)
seconds = st.floats(0, 1e9)
schedules = st.one_of(
    st.builds(backoff.guide, jitter=st.floats(0, 1), max=st.none() | seconds),
    st.builds(backoff.constant, seconds, jitter=st.floats(0, 1), max=st.none() | seconds),
    st.builds(backoff.linear, seconds, jitter=st.floats(0, 1), max=st.none() | seconds),
    st.builds(
        backoff.exponential,
        seconds,
        st.floats(1, 1e6),
        st.none() | seconds,
        jitter=st.floats(0, 1),
    ),
)


@pytest.mark.parametrize("made", [backoff.guide(), DEFAULT])
def test_the_default_is_the_table_of_the_guide(made: Backoff):
    assert [16, 31, 46, 61, 61, 61] == [made(attempt) for attempt in range(1, 7)]
    assert 61 == made(10**6)


def test_a_constant_backoff_never_changes():
    assert [5, 5] == [backoff.constant(timedelta(seconds=5))(attempt) for attempt in (1, 10**6)]


def test_a_linear_backoff_grows_by_its_step():
    assert [60, 120, 180] == [backoff.linear(60)(attempt) for attempt in (1, 2, 3)]
    assert 100 == backoff.linear(60, max=100)(2)


def test_an_exponential_backoff_multiplies_and_stops_at_its_cap():
    assert [60, 120, 240] == [backoff.exponential(60)(attempt) for attempt in (1, 2, 3)]
    assert [15, 30] == [backoff.exponential()(attempt) for attempt in (1, 2)]
    assert [2, 6, 18, 20, 20] == [backoff.exponential(2, 3, max=20)(n) for n in range(1, 6)]
    assert 86_400 == backoff.exponential()(10**6)


def test_growth_without_a_cap_ends_at_the_last_instant():
    assert math.inf == backoff.exponential(max=None)(10**6)
    assert LAST_INSTANT == later(NOW, backoff.exponential(max=None)(10**6))


def test_an_exponential_backoff_from_zero_is_zero_at_every_attempt():
    assert [0, 0, 0] == [backoff.exponential(0)(attempt) for attempt in (1, 2, 10**6)]
    assert 0 == backoff.exponential(0, math.inf, None)(10**6)


@given(schedules, attempts, st.floats(0, 1, exclude_max=True))
def test_a_delay_is_never_negative_nor_a_nan_and_can_be_waited(
    made: Backoff, attempt: int, drawn: float
):
    delay = made(attempt, lambda: drawn)
    assert delay >= 0
    assert NOW <= later(NOW, delay) <= LAST_INSTANT


@given(schedules, attempts)
def test_delays_do_not_shrink_from_one_attempt_to_the_next(made: Backoff, attempt: int):
    assert made(attempt) <= made(attempt + 1)


@given(schedules, attempts, st.floats(0, 1, exclude_max=True))
def test_jitter_adds_up_to_its_share_and_takes_nothing_away(
    made: Backoff, attempt: int, drawn: float
):
    exact = made.without_jitter()(attempt, lambda: drawn)
    assert exact == made(attempt)
    assert exact <= made(attempt, lambda: drawn) <= exact * (1 + made.jitter)


def test_jitter_takes_one_draw_and_none_when_there_is_none():
    def never() -> float:
        raise AssertionError("a backoff without jitter drew a random number")

    assert 16 * 1.15 == pytest.approx(backoff.guide(jitter=0.3)(1, lambda: 0.5))
    assert 16 == backoff.guide()(1, never)


def test_the_default_has_ten_percent_of_jitter():
    assert 0.1 == DEFAULT.jitter


@pytest.mark.parametrize("attempt", [0, -1, -(10**6)])
def test_an_attempt_below_one_counts_as_the_first(attempt: int):
    assert 16 == backoff.guide()(attempt)
    assert 60 == backoff.linear(60)(attempt)


@pytest.mark.parametrize(
    "value, expected",
    [
        (3, 3),
        (-3, 0),
        (timedelta(minutes=1), 60),
        (timedelta(days=-1), 0),
        (math.inf, math.inf),
        (10**400, math.inf),
        (-(10**400), 0),
    ],
)
def test_the_answer_of_a_custom_backoff_becomes_seconds(value: Any, expected: float):
    assert expected == usable_delay(value)


@pytest.mark.parametrize("value", [None, "5", True, math.nan, [1]])
def test_an_answer_that_is_no_duration_is_refused(value: Any):
    with pytest.raises(ConfigurationError, match="a backoff returns seconds or a timedelta"):
        usable_delay(value)


@pytest.mark.parametrize("bad", [-0.1, 1.1, True, "0.3", math.nan, None])
def test_a_jitter_outside_of_zero_to_one_is_refused(bad: Any):
    with pytest.raises(ConfigurationError, match="share from 0 to 1"):
        backoff.guide(jitter=bad)


@pytest.mark.parametrize("bad", [0.5, 0, -2, True, "2", math.nan, None])
def test_a_factor_below_one_is_refused(bad: Any):
    with pytest.raises(ConfigurationError, match="factor of a backoff must be 1 or more"):
        backoff.exponential(1, bad)


@pytest.mark.parametrize(
    "make",
    [
        backoff.constant,
        backoff.linear,
        backoff.exponential,
        lambda bad: backoff.guide(max=bad),
    ],
)
@pytest.mark.parametrize("bad", [-1, True, "5", math.nan, timedelta(seconds=-1)])
def test_a_negative_or_unusable_duration_is_refused(make: Any, bad: Any):
    with pytest.raises(ConfigurationError, match="of a backoff"):
        make(bad)


@pytest.mark.parametrize("factor", [10**400, math.inf])
def test_a_huge_factor_saturates(factor: float):
    assert 86_400 == backoff.exponential(1, factor)(3)


def test_no_jitter_takes_a_delay_past_its_cap():
    made = backoff.linear(5, max=7, jitter=0.3)
    assert [5 * 1.3, 7.0, 7.0] == [made(attempt, lambda: 1.0) for attempt in (1, 2, 3)]
