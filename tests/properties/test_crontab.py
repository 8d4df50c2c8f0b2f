"""A cron entry is due when the clock on the wall says so, in every minute, wherever clocks change."""

from __future__ import annotations

import functools
import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pgjobs.rules.crontab import next_tick, parse, ticks
from pgjobs.rules.errors import ConfigurationError
from pgjobs_testing.clock import MICROSECOND
from tests.properties.every_minute import CHOSEN, ZONES, differing, drawn
from tests.properties.walls import DAY, MINUTE, Entry, Minutes, minutes_ahead

SEED = 20_250_330


@pytest.mark.parametrize("zone", ZONES)
def test_five_years_are_as_a_clock_on_the_wall_shows_them_minute_by_minute(zone: str):
    chosen = [*CHOSEN, *drawn(SEED, zone, 1)]
    wrong = [(text, count) for text, _, count in differing(zone, chosen, 15) if count]
    assert [] == wrong


@functools.cache
def changes(name: str) -> list[datetime]:
    """The instants, to the minute, at which the clocks of a zone changed from 1980 to 2040."""
    zone, found = ZoneInfo(name), []
    low, end = datetime(1980, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
    while low < end:
        high = low + 3 * DAY
        if minutes_ahead(zone, low) != minutes_ahead(zone, high):
            one, two = low, high
            while two - one > MINUTE:
                middle = one + (two - one) // MINUTE // 2 * MINUTE
                same = minutes_ahead(zone, middle) == minutes_ahead(zone, one)
                one, two = (middle, two) if same else (one, middle)
            found.append(two)
        low = high
    return found


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, high - low + 1)
    item = st.one_of(
        number.map(str),
        span,
        st.tuples(span | st.just("*"), step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )
    return st.just("*") | st.lists(item, min_size=1, max_size=3).map(",".join)


EXPRESSIONS = st.tuples(
    fields(0, 59),
    fields(0, 23) | fields(0, 3),
    st.just("*") | fields(1, 31),
    st.just("*") | fields(1, 12),
    st.just("*") | fields(0, 6),
).map(" ".join)
CHANGING = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Kwajalein",
]


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(CHANGING), EXPRESSIONS)
def test_around_any_change_of_any_clock_the_ticks_are_those_of_the_wall(
    data: st.DataObject, name: str, expression: str
):
    try:
        entry = parse(expression)
    except ConfigurationError:  # a date that never comes
        assume(False)
    zone, change = ZoneInfo(name), data.draw(st.sampled_from(changes(name)))
    quarter = change - (change - datetime(1980, 1, 1, tzinfo=UTC)) % (15 * MINUTE)
    begin, end = quarter - 2 * DAY, quarter + 3 * DAY
    if change != quarter:  # St. John's, at 00:01
        begin, end = begin + (change - quarter), end + (change - quarter)
    expected = Minutes(zone, begin, end).expected(Entry.read(expression))
    expected = [minute for minute in expected if minute > 1440]  # what began before is not known
    after = begin + 1440 * MINUTE
    found = list(ticks(entry, zone, after, end - MINUTE))
    assert expected == [(tick - begin) // MINUTE for tick in found]
    for one, two in itertools.islice(itertools.pairwise([after, *found]), 20):
        assert two == next_tick(entry, zone, one) == next_tick(entry, zone, two - MICROSECOND)


@given(EXPRESSIONS)
def test_an_expression_is_read_as_the_model_reads_it(expression: str):
    try:
        entry = parse(expression)
    except ConfigurationError:
        assume(False)
    read = Entry.read(expression)
    for name in ("minutes", "hours", "days", "months", "weekdays"):
        assert tuple(sorted(getattr(read, name))) == getattr(entry, name), name
    assert (read.either_day, read.real_hours) == (entry.either_day, entry.real_hours)


def test_clocks_read_every_quarter_of_an_hour_show_what_they_show_every_minute():
    begin = datetime(2025, 3, 30, tzinfo=UTC)
    evenly, minutely = (
        Minutes(ZoneInfo("Europe/London"), begin, begin + timedelta(days=2), step)
        for step in (15, 1)
    )
    assert evenly.stretches == minutely.stretches
    assert (
        evenly.skipped
        == minutely.skipped
        == [(evenly.skipped[0][0], evenly.skipped[0][0] + 60, 60)]
    )
