"""When a job is due: durations, instants, saturation, and wall times over changes of the clocks."""

from __future__ import annotations

import functools
import itertools
import math
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.job import JobState
from pgjobs.rules.schedule import (
    LAST_INSTANT,
    duration,
    first_state,
    instant,
    later,
    next_wall_time,
    real_instant,
    time_zone,
)
from tests.rules.factory import NOW

FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    "value, expected",
    [
        (0, timedelta(0)),
        (1.5, timedelta(seconds=1.5)),
        (timedelta(hours=1), timedelta(hours=1)),
        (math.inf, timedelta.max),
        (10**400, timedelta.max),
        (1e300, timedelta.max),
    ],
)
def test_a_duration_is_seconds_or_a_timedelta(value: Any, expected: timedelta):
    assert expected == duration(value, "grace")


@pytest.mark.parametrize("bad", [None, "5", True, math.nan, [1], NOW])
def test_what_is_no_duration_is_refused_by_its_option(bad: Any):
    with pytest.raises(ConfigurationError, match="grace takes seconds or a timedelta, not"):
        duration(bad, "grace")


@pytest.mark.parametrize("bad", [-1, -0.001, timedelta(microseconds=-1), -math.inf, -(10**400)])
def test_a_duration_below_its_least_is_refused(bad: Any):
    with pytest.raises(ConfigurationError, match="grace must be 0 s or more"):
        duration(bad, "grace")


def test_the_least_duration_itself_is_accepted():
    assert timedelta(seconds=0.5) == duration(0.5, "poll", least_s=0.5)
    with pytest.raises(ConfigurationError, match=r"poll must be 0\.5 s or more, not 0\.4"):
        duration(0.4, "poll", least_s=0.5)


def test_an_instant_is_turned_into_utc():
    berlin = datetime(2025, 7, 1, 14, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    found = instant(berlin, "scheduled_at")
    assert datetime(2025, 7, 1, 12, 0, tzinfo=UTC) == found
    assert UTC is found.tzinfo


@pytest.mark.parametrize(
    "bad, message",
    [
        (datetime(2025, 1, 1), "has no time zone: add tzinfo=datetime.UTC"),  # noqa: DTZ001 - naive on purpose
        ("2025-01-01", "takes an aware datetime, not '2025-01-01'"),
        (NOW.date(), "takes an aware datetime"),
        (0, "takes an aware datetime"),
        (None, "takes an aware datetime"),
    ],
)
def test_a_naive_datetime_and_what_is_none_are_refused(bad: Any, message: str):
    with pytest.raises(ConfigurationError, match=f"scheduled_at .*{message}"):
        instant(bad, "scheduled_at")


def test_instants_beyond_the_calendar_of_utc_saturate():
    west, east = timezone(timedelta(hours=-12)), timezone(timedelta(hours=12))
    assert LAST_INSTANT == instant(datetime.max.replace(tzinfo=west), "at")
    assert FIRST_INSTANT == instant(datetime.min.replace(tzinfo=east), "at")


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.floats() | st.timedeltas() | st.just(math.inf),
)
def test_later_saturates_and_never_goes_back(now: datetime, span: Any):
    found = later(now, span)
    assert now <= found <= LAST_INSTANT
    if isinstance(span, timedelta):
        exact = span <= timedelta(0) or span > LAST_INSTANT - now or found - now == span
        assert exact
    if span in (timedelta(0), 0.0):
        assert now == found


@pytest.mark.parametrize("span", [timedelta.min, -math.inf, -1e300, timedelta(days=-800_000)])
def test_a_step_back_beyond_the_calendar_stays_at_now(span: Any):
    assert NOW == later(NOW, span)


def test_a_job_due_now_or_before_is_available_and_any_other_is_scheduled():
    tick = timedelta(microseconds=1)
    assert JobState.AVAILABLE == first_state(NOW, NOW)
    assert JobState.AVAILABLE == first_state(NOW - tick, NOW)
    assert JobState.SCHEDULED == first_state(NOW + tick, NOW)


# Wall times

CHANGES = [  # the zone, and a day on which its clocks change
    ("Europe/Berlin", datetime(2025, 3, 30)),  # noqa: DTZ001 - a day there
    ("Europe/Berlin", datetime(2025, 10, 26)),  # noqa: DTZ001 - a wall time
    ("America/New_York", datetime(2025, 3, 9)),  # noqa: DTZ001 - a wall time
    ("America/New_York", datetime(2025, 11, 2)),  # noqa: DTZ001 - a wall time
    ("Australia/Lord_Howe", datetime(2025, 10, 5)),  # noqa: DTZ001 - by half an hour
    ("Australia/Lord_Howe", datetime(2025, 4, 6)),  # noqa: DTZ001 - a wall time
    ("Asia/Beirut", datetime(2022, 3, 27)),  # noqa: DTZ001 - there is no midnight
    ("America/Santiago", datetime(2025, 4, 6)),  # noqa: DTZ001 - midnight comes twice
    ("Pacific/Apia", datetime(2011, 12, 30)),  # noqa: DTZ001 - a day that was left out
    ("Asia/Kolkata", datetime(2025, 6, 1)),  # noqa: DTZ001 - no change at all
    ("Etc/UTC", datetime(2025, 1, 1)),  # noqa: DTZ001 - a wall time
]
WALLS = ["00:00", "00:15", "01:30", "01:59", "02:00", "02:30", "03:00", "12:00", "23:59"]


def firsts(wall: time, zone: tzinfo, middle: datetime) -> list[datetime]:
    """By looking at every minute: on each local day the first instant that shows ``wall``, or the
    first instant after the gap that leaves it out."""
    shown = every_minute(zone, middle.replace(tzinfo=UTC) - timedelta(days=3))
    by_local: dict[datetime, datetime] = {}
    for at, local in shown:
        by_local.setdefault(local, at)
    found = []
    for days in range(-2, 3):
        wanted = datetime.combine(middle.date() + timedelta(days=days), wall)
        found.append(by_local.get(wanted) or _behind_a_gap(wanted, shown))
    return sorted({at for at in found if at is not None})


def _behind_a_gap(wanted: datetime, shown: list[tuple[datetime, datetime]]) -> datetime | None:
    for (_, one), (at, two) in itertools.pairwise(shown):
        if one < wanted < two:
            return at
    return None


@functools.cache
def every_minute(zone: tzinfo, start: datetime) -> list[tuple[datetime, datetime]]:
    """Six days of minutes: each instant, and what clocks in the zone show then."""
    instants = (start + n * MINUTE for n in range(6 * 1440))
    return [(at, at.astimezone(zone).replace(tzinfo=None)) for at in instants]


@pytest.mark.parametrize("name, day", CHANGES)
@pytest.mark.parametrize("wall", WALLS)
def test_the_next_wall_time_is_the_first_that_a_clock_on_the_wall_shows(
    name: str, day: datetime, wall: str
):
    zone = ZoneInfo(name)
    expected = firsts(time.fromisoformat(wall), zone, day)
    for one, two in itertools.pairwise(expected):
        tick = timedelta(microseconds=1)
        for now in (one, one + tick, one + (two - one) / 2, two - tick):
            assert two == next_wall_time(wall, zone, now), now


def test_a_wall_time_that_exists_twice_counts_once():
    zone = ZoneInfo("America/New_York")
    first = datetime(2025, 11, 2, 5, 30, tzinfo=UTC)
    assert first == next_wall_time("01:30", zone, first - MINUTE)
    between = first + timedelta(minutes=30)
    assert datetime(2025, 11, 3, 6, 30, tzinfo=UTC) == next_wall_time("01:30", zone, between)


def test_seconds_can_be_given():
    assert NOW + timedelta(seconds=7) == next_wall_time("12:00:07", UTC, NOW)


@pytest.mark.parametrize(
    "bad",
    ["", "12", "24:00", "12:60", "12:00:60", "12:00:00:00", "noon", "-1:00", None, 12, time(6)],
)
def test_what_is_no_wall_time_is_refused_with_an_example(bad: Any):
    with pytest.raises(ConfigurationError, match="give hours and minutes as '06:30'"):
        next_wall_time(bad, UTC, NOW)


GAPS = [  # a wall time in a gap, its zone, the end of the gap
    ("Europe/Berlin", "2025-03-30T02:30:00", "2025-03-30T01:00:00"),
    ("Europe/Berlin", "2025-03-30T02:00:00", "2025-03-30T01:00:00"),
    ("Europe/Berlin", "2025-03-30T02:00:00.500000", "2025-03-30T01:00:00"),
    ("Europe/Berlin", "2025-03-30T02:59:59.999999", "2025-03-30T01:00:00"),
    ("America/New_York", "2025-03-09T02:30:00", "2025-03-09T07:00:00"),
    ("Australia/Lord_Howe", "2025-10-05T02:15:00", "2025-10-04T15:30:00"),
    ("Asia/Beirut", "2022-03-27T00:00:00", "2022-03-26T22:00:00"),
    ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T10:00:00"),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name, local, expected", GAPS)
def test_a_wall_time_in_a_gap_is_the_end_of_the_gap(name: str, local: str, expected: str):
    found = real_instant(datetime.fromisoformat(local), ZoneInfo(name))
    assert datetime.fromisoformat(expected).replace(tzinfo=UTC) == found


@pytest.mark.parametrize(
    "name, local, expected",
    [
        ("Europe/Berlin", "2025-10-26T02:30:00", "2025-10-26T00:30:00"),
        ("Europe/Berlin", "2025-10-26T02:59:59.999999", "2025-10-26T00:59:59.999999"),
        ("America/New_York", "2025-11-02T01:30:00", "2025-11-02T05:30:00"),
        ("America/Santiago", "2025-04-05T23:30:00", "2025-04-06T02:30:00"),
        ("Europe/Berlin", "2025-07-01T12:00:00", "2025-07-01T10:00:00"),
    ],
)
def test_a_wall_time_that_exists_is_its_first_occurrence(name: str, local: str, expected: str):
    for fold in (0, 1):
        given_ = datetime.fromisoformat(local).replace(fold=fold)
        found = real_instant(given_, ZoneInfo(name))
        assert datetime.fromisoformat(expected).replace(tzinfo=UTC) == found


@pytest.mark.parametrize(
    "zone, remedy",
    [
        ("America/NewYork", "did you mean 'America/New_York'?"),
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("Mars/Base", "give an IANA name such as 'Europe/Berlin'"),
        ("", "give an IANA name such as 'Europe/Berlin'"),
        (5, "give an IANA name such as 'Europe/Berlin'"),
    ],
)
def test_a_misspelt_time_zone_is_told_with_the_nearest(zone: object, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        time_zone(zone)
    assert f"no time zone {zone!r}: {remedy}" == str(refused.value)
