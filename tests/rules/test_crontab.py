"""Cron expressions: what they mean, when they are due, and what changes of the clocks do to them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pgjobs.rules.crontab import MAX_LENGTH, SHORTHANDS, Crontab, next_tick, parse, ticks
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.schedule import LAST_INSTANT
from tests.properties.test_crontab import EXPRESSIONS

FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)
MOMENT, MINUTE, HOUR, DAY = (
    timedelta(microseconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
NEW_YORK = ZoneInfo("America/New_York")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # the parts of an instant


def local_ticks(expression: str, zone: str, begin: datetime, days: float) -> list[str]:
    """The ticks from ``begin`` on, as clocks of the zone show them."""
    there = ZoneInfo(zone)
    found = ticks(parse(expression), there, begin - MOMENT, begin + timedelta(days=days))
    return [f"{tick.astimezone(there):%m-%d %H:%M%z}" for tick in found]


# What an expression means

EVERY_MINUTE, EVERY_HOUR = tuple(range(60)), tuple(range(24))


@pytest.mark.parametrize(
    "text, minutes",
    [
        ("*", EVERY_MINUTE),
        ("0", (0,)),
        ("007", (7,)),
        ("59", (59,)),
        ("*/5", (0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55)),
        ("*/7", (0, 7, 14, 21, 28, 35, 42, 49, 56)),
        ("*/60", (0,)),
        ("10-40/5", (10, 15, 20, 25, 30, 35, 40)),
        ("10-12", (10, 11, 12)),
        ("5-5", (5,)),
        ("0-59", EVERY_MINUTE),
        ("30,0,15,0", (0, 15, 30)),
        ("1-3,2-4,*/30", (0, 1, 2, 3, 4, 30)),
        ("1,*", EVERY_MINUTE),
    ],
)
def test_a_field_is_made_of_numbers_ranges_steps_and_lists(text: str, minutes: tuple[int, ...]):
    assert minutes == parse(f"{text} * * * *").minutes


@pytest.mark.parametrize(
    "text, weekdays",
    [
        ("SUN", (0,)),
        ("0", (0,)),
        ("7", (0,)),
        ("0,7", (0,)),
        ("MON-FRI", (1, 2, 3, 4, 5)),
        ("mon,Wed,fRi", (1, 3, 5)),
        ("5-7", (0, 5, 6)),
        ("FRI-SUN", (0, 5, 6)),
        ("SUN-TUE", (0, 1, 2)),
        ("0-7", (0, 1, 2, 3, 4, 5, 6)),
        ("1-7/2", (0, 1, 3, 5)),
        ("*/2", (0, 2, 4, 6)),
        ("*", (0, 1, 2, 3, 4, 5, 6)),
    ],
)
def test_sunday_is_0_and_7_and_a_week_may_end_with_it(text: str, weekdays: tuple[int, ...]):
    assert weekdays == parse(f"0 0 * * {text}").weekdays


def test_months_have_names():
    assert (1, 6, 7, 8, 12) == parse("0 0 1 jan,JUN-Aug,12 *").months


@pytest.mark.parametrize("text", ["  0 6\t1  * *\n", "0\u00a06 1 * *", "0 6 1 * *"])
def test_any_white_space_separates_fields(text: str):
    assert parse("0 6 1 * *") == parse(text)
    assert "0 6 1 * *" == str(parse(text))


@pytest.mark.parametrize("name, fields", SHORTHANDS.items())
def test_a_shorthand_means_its_fields(name: str, fields: str):
    assert parse(fields) == parse(name) == parse(f" {name.upper()} ")
    assert name == str(parse(name.title()))


def test_reboot_is_a_kind_of_its_own_and_has_no_ticks():
    entry = parse("@Reboot")
    assert Crontab("@reboot", reboot=True) == entry
    assert [] == list(ticks(entry, UTC, FIRST_INSTANT))
    assert next_tick(entry, UTC, utc(2025, 1, 1)) is None


def test_two_that_mean_the_same_are_equal_and_hash_alike():
    one, two = parse("*/30 0 * * MON"), parse("0,30 0 * * 1")
    assert one == two
    assert hash(one) == hash(two)
    assert one != parse("0,30 0 1 * 1")


def test_either_day_is_enough_when_neither_begins_with_a_star():
    def days(expression: str) -> list[int]:
        found = ticks(parse(expression), UTC, utc(2025, 6, 1) - MOMENT, utc(2025, 6, 30))
        return [tick.day for tick in found]

    assert [1, 2, 9, 15, 16, 23, 30] == days("0 0 1,15 * MON")
    assert [2, 9, 16, 23, 30] == days("0 0 * * MON")
    assert [9, 23] == days("0 0 */2 * MON")
    assert [1, 15] == days("0 0 1,15 * *")
    assert [1, 15] == days("0 0 1,15 * */7")  # both are Sundays
    assert [*range(1, 31)] == days("0 0 1-31 * MON")


@pytest.mark.parametrize("hours, real", [("*", True), ("*/2", True), ("0-23", False), ("8", False)])
def test_an_hour_field_that_begins_with_a_star_runs_by_real_hours(hours: str, real: bool):
    assert real == parse(f"0 {hours} * * *").real_hours


# What is refused

NUMBERS = "accepted are 0 to 59, * for all, ranges (0-29), steps (*/2, 0-29/2) and lists (0,29)"
REFUSED = {
    "61 * * * *": f"the minute field of '61 * * * *' has '61': {NUMBERS}",
    "0-99999999 * * * *": (f"the minute field of '0-99999999 * * * *' has '0-99999999': {NUMBERS}"),
    "1,,2 * * * *": f"the minute field of '1,,2 * * * *' has '': {NUMBERS}",
    "-5 * * * *": f"the minute field of '-5 * * * *' has '-5': {NUMBERS}",
    "1.5 * * * *": f"the minute field of '1.5 * * * *' has '1.5': {NUMBERS}",
    "٣ * * * *": f"the minute field of '٣ * * * *' has '٣': {NUMBERS}",
    "*-5 * * * *": f"the minute field of '*-5 * * * *' has '*-5': {NUMBERS}",
    "*/0 * * * *": "the minute field of '*/0 * * * *' has '*/0': a step of this field is 1 to 60",
    "*/61 * * * *": "the minute field of '*/61 * * * *' has '*/61': a step of this field is 1 to 60",
    "*/ * * * *": "the minute field of '*/ * * * *' has '*/': a step of this field is 1 to 60",
    "5/10 * * * *": (
        "the minute field of '5/10 * * * *' has '5/10': a step follows * or a range: write 5-59/10"
    ),
    "0 24 * * *": (
        "the hour field of '0 24 * * *' has '24': accepted are 0 to 23, * for all, "
        "ranges (0-11), steps (*/2, 0-11/2) and lists (0,11)"
    ),
    "0 22-2 * * *": (
        "the hour field of '0 22-2 * * *' has '22-2': a range ascends: write 22-23,0-2"
    ),
    "0 0 0 * *": (
        "the day-of-month field of '0 0 0 * *' has '0': accepted are 1 to 31, * for all, "
        "ranges (1-16), steps (*/2, 1-16/2) and lists (1,16)"
    ),
    "0 0 1 JANUARY *": (
        "the month field of '0 0 1 JANUARY *' has 'JANUARY': accepted are 1 to 12, JAN to DEC, "
        "* for all, ranges (1-6), steps (*/2, 1-6/2) and lists (1,6)"
    ),
    "0 0 * * 8": (
        "the day-of-week field of '0 0 * * 8' has '8': accepted are 0 to 7 (0 and 7 are SUN), "
        "SUN to SAT, * for all, ranges (0-3), steps (*/2, 0-3/2) and lists (0,3)"
    ),
    "0 0 * * FRI-MON": (
        "the day-of-week field of '0 0 * * FRI-MON' has 'FRI-MON': a range ascends: write 5-7,0-1"
    ),
    "0 0 30 2 *": (
        "'0 0 30 2 *' never comes: no FEB has a day 30; the day-of-month field is at most 29 there"
    ),
    "0 0 31 4,JUN */2": (
        "'0 0 31 4,JUN */2' never comes: no APR or JUN has a day 31; "
        "the day-of-month field is at most 30 there"
    ),
    "* * * *": (
        "a cron expression has five fields (minute, hour, day-of-month, month, day-of-week) "
        "or is one of @annually, @daily, @hourly, @midnight, @monthly, @weekly, @yearly, "
        "@reboot; '* * * *' has 4"
    ),
    "0 * * * * *": (
        "a cron expression has five fields (minute, hour, day-of-month, month, day-of-week) "
        "or is one of @annually, @daily, @hourly, @midnight, @monthly, @weekly, @yearly, "
        "@reboot; '0 * * * * *' has 6; there is none for seconds"
    ),
    "@dayly": "unknown cron expression '@dayly': did you mean '@daily'?",
    "@every 5m": (
        "unknown cron expression '@every 5m'; known are @annually, @daily, @hourly, @midnight, "
        "@monthly, @reboot, @weekly, @yearly"
    ),
}


@pytest.mark.parametrize("expression, message", REFUSED.items())
def test_a_refusal_names_the_field_the_value_and_what_is_accepted(expression: str, message: str):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        parse(expression)


@pytest.mark.parametrize("bad", [None, 5, b"* * * * *", ["*"] * 5])
def test_what_is_no_text_is_refused(bad: Any):
    with pytest.raises(ConfigurationError, match="a cron expression is text, as in"):
        parse(bad)


def test_an_endless_expression_or_number_is_refused_at_once():
    long = ",".join(["1"] * MAX_LENGTH) + " * * * *"
    with pytest.raises(ConfigurationError, match="has at most 1,000 characters, and '1,1,"):
        parse(long)
    with pytest.raises(ConfigurationError, match=r"has '9{37}\.\.\.': accepted are 0 to 59"):
        parse("9" * 900 + " * * * *")


@given(st.text(max_size=40) | st.text("0123456789*/-, @MONJAL", max_size=40))
def test_any_text_is_read_or_refused(text: str):
    try:
        entry = parse(text)
    except ConfigurationError:
        return
    assert parse(str(entry)) == entry
    assert entry.reboot == (next_tick(entry, UTC, utc(2025, 1, 1)) is None)


# Changes of the clocks, by name


def test_0130_in_new_york_runs_once_in_the_night_in_which_it_comes_twice():
    assert ["11-01 01:30-0400", "11-02 01:30-0400", "11-03 01:30-0500"] == local_ticks(
        "30 1 * * *", "America/New_York", utc(2025, 11, 1, 4), 3
    )


def test_0230_in_new_york_runs_at_three_in_the_night_in_which_it_does_not_come():
    assert ["03-08 02:30-0500", "03-09 03:00-0400", "03-10 02:30-0400"] == local_ticks(
        "30 2 * * *", "America/New_York", utc(2025, 3, 8, 5), 3
    )


def test_all_that_a_gap_swallows_runs_once_at_its_end():
    assert ["03-09 03:00-0400", "03-09 03:01-0400"] == local_ticks(
        "* 2,3 * * *", "America/New_York", utc(2025, 3, 9, 5), 2 / 24 + 1 / 1440
    )


def test_an_hourly_entry_runs_in_both_real_hours_and_not_in_the_skipped_one():
    assert [
        "11-02 00:15-0400",
        "11-02 01:15-0400",
        "11-02 01:15-0500",
        "11-02 02:15-0500",
    ] == local_ticks("15 * * * *", "America/New_York", utc(2025, 11, 2, 4), 4 / 24)
    assert ["03-09 00:15-0500", "03-09 01:15-0500", "03-09 03:15-0400"] == local_ticks(
        "15 * * * *", "America/New_York", utc(2025, 3, 9, 5), 3 / 24
    )
    assert ["03-09 00:15-0500", "03-09 04:15-0400"] == local_ticks(
        "15 */2 * * *", "America/New_York", utc(2025, 3, 9, 5), 4 / 24
    )


def test_half_an_hour_is_repeated_and_skipped_on_lord_howe():
    assert ["04-06 01:15+1100", "04-06 01:45+1100", "04-06 02:15+1030"] == local_ticks(
        "15,45 1-2 * * *", "Australia/Lord_Howe", utc(2025, 4, 5, 14), 2 / 24
    )
    assert [
        "04-06 01:15+1100",
        "04-06 01:45+1100",
        "04-06 01:45+1030",
        "04-06 02:15+1030",
    ] == local_ticks("15,45 * * * *", "Australia/Lord_Howe", utc(2025, 4, 5, 14), 2 / 24)
    assert ["10-05 01:45+1030", "10-05 02:30+1100", "10-05 02:45+1100"] == local_ticks(
        "*/15 1-2 * * *", "Australia/Lord_Howe", utc(2025, 10, 4, 15, 15), 0.75 / 24
    )


def test_a_day_that_apia_left_out_is_made_up_for_when_it_has_passed():
    begin = utc(2011, 12, 29, 10)
    assert ["12-29 01:30-1000", "12-31 00:00+1400", "12-31 01:30+1400"] == local_ticks(
        "30 1 * * *", "Pacific/Apia", begin, 1.1
    )
    assert ["12-31 00:00+1400"] == local_ticks("30 1 30 12 *", "Pacific/Apia", begin, 9)
    assert ["12-31 00:00+1400"] == local_ticks("0 9 * * FRI", "Pacific/Apia", begin, 2)
    assert [] == local_ticks("30 * 30 12 *", "Pacific/Apia", begin, 9)


def test_a_midnight_that_does_not_come_runs_at_one():
    assert ["10-20 00:00-0300", "10-21 01:00-0200", "10-22 00:00-0200"] == local_ticks(
        "0 0 * * *", "America/Sao_Paulo", utc(2012, 10, 20, 3), 2
    )
    assert ["04-28 01:00+0300"] == local_ticks("0 0 28 4 *", "Africa/Cairo", utc(2023, 4, 27), 3)


def test_a_midnight_that_comes_twice_runs_once():
    assert ["02-25 23:30-0200", "02-26 00:00-0300"] == local_ticks(
        "*/30 0,23 * * *", "America/Sao_Paulo", utc(2012, 2, 26, 1, 30), 1.5 / 24
    )
    assert ["02-25 23:30-0200", "02-25 23:00-0300", "02-25 23:30-0300", "02-26 00:00-0300"] == (
        local_ticks("*/30 * * * *", "America/Sao_Paulo", utc(2012, 2, 26, 1, 30), 1.5 / 24)
    )


def test_a_second_showing_that_comes_after_a_later_wall_time_keeps_its_place():
    """At one minute past midnight the clocks of St. John's went back by an hour."""
    found = local_ticks("0,30 * * * *", "America/St_Johns", utc(2006, 10, 29, 2, 30), 1.9 / 24)
    assert [
        "10-29 00:00-0230",
        "10-28 23:30-0330",
        "10-29 00:00-0330",
        "10-29 00:30-0330",
    ] == found


def test_offsets_may_have_seconds():
    """Until 1972 clocks in Monrovia were 44 minutes and 30 seconds behind."""
    assert utc(1970, 1, 1, 1, 44, 30) == next_tick(
        parse("0 1 * * *"), ZoneInfo("Africa/Monrovia"), utc(1970, 1, 1)
    )


# Bounds


def test_ticks_are_after_the_first_bound_and_up_to_the_second():
    every_hour = parse("0 * * * *")
    one = utc(2025, 1, 1)
    assert [one + HOUR] == list(ticks(every_hour, UTC, one, one + HOUR))
    assert [one, one + HOUR] == list(ticks(every_hour, UTC, one - MOMENT, one + HOUR))
    assert [] == list(ticks(every_hour, UTC, one, one + HOUR - MOMENT))
    assert [] == list(ticks(every_hour, UTC, one, one))
    assert [] == list(ticks(every_hour, UTC, one + DAY, one))


def test_between_two_showings_the_next_is_that_of_tomorrow():
    between = utc(2025, 11, 2, 6, 10)  # 01:10 for the second time
    assert utc(2025, 11, 3, 6, 30) == next_tick(parse("30 1 * * *"), NEW_YORK, between)
    assert utc(2025, 11, 2, 6, 30) == next_tick(parse("30 * * * *"), NEW_YORK, between)


@pytest.mark.parametrize(
    "expression, after, expected",
    [
        ("0 0 29 2 *", utc(2025, 1, 1), utc(2028, 2, 29)),
        ("0 0 29 2 *", utc(2096, 2, 29), utc(2104, 2, 29)),
        ("0 0 29 2 */7", utc(2032, 2, 29), utc(2060, 2, 29)),
        ("0 0 29 2 */7", utc(2088, 2, 29), utc(2128, 2, 29)),
    ],
)
def test_a_rare_date_is_found(expression: str, after: datetime, expected: datetime):
    assert expected == next_tick(parse(expression), UTC, after)


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Asia/Tokyo"), NEW_YORK], ids=str)
@pytest.mark.parametrize("expression", ["* * * * *", "30 1 * * *", "0 0 29 2 */7", "0 * * * *"])
def test_the_calendar_has_two_ends(expression: str, zone: tzinfo):
    entry = parse(expression)
    begin = next_tick(entry, zone, FIRST_INSTANT)
    assert begin is not None
    assert begin < FIRST_INSTANT + 41 * 366 * DAY
    assert next_tick(entry, zone, LAST_INSTANT) is None
    end = [*ticks(entry, zone, LAST_INSTANT - 2 * DAY)]
    assert end == sorted(end)


# In a zone without changes


@given(EXPRESSIONS, st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - a wall time
def test_in_a_zone_without_changes_a_tick_shows_the_entry(expression: str, start: datetime):
    try:
        entry = parse(expression)
    except ConfigurationError:
        assume(False)
    zone = timezone(timedelta(hours=5, minutes=45))
    after = start.replace(tzinfo=UTC)
    tick = next_tick(entry, zone, after)
    assert tick is not None
    assert tick > after
    wall = tick.astimezone(zone).replace(tzinfo=None)
    assert entry.shows(wall)
    assert (0, 0) == (wall.second, wall.microsecond)
    assert UTC is tick.tzinfo
    assert tick == next_tick(entry, zone, tick - MOMENT)
