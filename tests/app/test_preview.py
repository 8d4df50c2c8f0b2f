"""The preview of a cron entry, as a function and as a shell command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from pgjobs import ConfigurationError, cron_preview
from pgjobs.cli import main

NIGHT = datetime(2025, 11, 2, 4, 0, tzinfo=UTC)


def pgjobs(*words: str) -> Result:
    return CliRunner().invoke(main, ["cron", "preview", *words])


def printed(*words: str) -> list[str]:
    result = pgjobs(*words)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_it_lists_instants_from_start_to_end_both_included():
    expected = [NIGHT, NIGHT + timedelta(hours=1), NIGHT + timedelta(hours=2)]
    assert expected == cron_preview("0 * * * *", start=NIGHT, end=NIGHT + timedelta(hours=2))
    assert [] == cron_preview("30 * * * *", start=NIGHT, end=NIGHT)
    assert [] == cron_preview("@reboot", start=NIGHT)


def test_a_zone_is_a_name_or_a_tzinfo():
    expected = [datetime(2025, 11, 2, 5, 30, tzinfo=UTC), datetime(2025, 11, 3, 6, 30, tzinfo=UTC)]
    for zone in ("America/New_York", ZoneInfo("America/New_York")):
        assert expected == cron_preview("30 1 * * *", timezone=zone, start=NIGHT, limit=2)


def test_without_an_end_it_lists_ten():
    assert 10 == len(cron_preview("* * * * *", start=NIGHT))
    assert 61 == len(cron_preview("* * * * *", start=NIGHT, end=NIGHT + timedelta(hours=1)))


def test_it_starts_now_by_the_clock_of_the_test(jobs):
    now = jobs.clock.now()
    assert now < cron_preview("* * * * *")[0] <= now + timedelta(minutes=1) or now.second == 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"limit": 0}, "limit takes a number from 1 to 100,000, not 0"),
        ({"limit": True}, "limit takes a number from 1 to 100,000, not True"),
        ({"timezone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        ({"timezone": 5}, "no time zone 5"),
        ({"end": NIGHT - timedelta(days=1)}, "end .* is before start"),
        ({"end": NIGHT.replace(tzinfo=None)}, "end takes an aware datetime"),
        ({"end": NIGHT.replace(year=2026)}, "more than 100,000 runs there: give a limit"),
    ],
)
def test_what_cannot_be_used_is_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        cron_preview("* * * * *", **{"start": NIGHT, **options})


def test_the_command_shows_local_time_zone_and_utc_and_what_comes_twice():
    words = ("--timezone", "America/New_York", "--from", "2025-11-01", "--to", "2025-11-04")
    assert [
        "local time            zone  UTC",
        "Sat 2025-11-01 01:30  EDT   2025-11-01 05:30",
        "Sun 2025-11-02 01:30  EDT   2025-11-02 05:30  01:30 comes twice: runs once, at the first",
        "Mon 2025-11-03 01:30  EST   2025-11-03 06:30",
    ] == printed("30 1 * * *", *words)
    hourly = printed("0 * * * *", *words[:2], "--from", "2025-11-02 01:00", "--limit", "2")
    assert [
        "Sun 2025-11-02 01:00  EDT   2025-11-02 05:00  01:00 comes twice: the first",
        "Sun 2025-11-02 01:00  EST   2025-11-02 06:00  01:00 comes twice: the second",
    ] == hourly[1:]


def test_the_command_says_which_run_a_gap_moves():
    words = ("--timezone", "America/New_York", "--from", "2025-03-09", "--limit", "1")
    moved = "Sun 2025-03-09 03:00  EDT   2025-03-09 07:00  moved: "
    assert [f"{moved}02:30 does not exist, the clocks go forward"] == printed("30 2 * * *", *words)[
        1:
    ]
    assert [f"{moved}02:00 to 02:45 do not exist, the clocks go forward"] == printed(
        "*/15 2,3 * * *", *words
    )[1:]
    apia = ("--timezone", "Pacific/Apia", "--from", "2011-12-30T00:00-10:00", "--limit", "1")
    assert (
        "Sat 2011-12-31 00:00  +14   2011-12-30 10:00  "
        "moved: 2011-12-30 01:30 does not exist, the clocks go forward"
    ) == printed("30 1 * * *", *apia)[1]


def test_the_command_speaks_json():
    words = ("--timezone", "America/New_York", "--from", "2025-03-09T05:00Z", "--limit", "1")
    result = pgjobs("30 2 * * *", *words, "--json")
    assert [
        {
            "utc": "2025-03-09T07:00:00Z",
            "local": "2025-03-09T03:00:00-04:00",
            "zone": "EDT",
            "skipped": ["2025-03-09T02:30:00"],
            "twice": None,
            "note": "moved: 02:30 does not exist, the clocks go forward",
        }
    ] == json.loads(result.stdout)
    assert [] == json.loads(pgjobs("@reboot", "--json").stdout)


def test_the_command_says_when_there_is_nothing_or_more():
    assert ["@reboot has no times: it is due when nodes start"] == printed("@reboot")
    day = ("--from", "2025-01-02", "--to", "2025-01-03")
    assert ["no run between the two"] == printed("@yearly", *day)
    assert (
        "more follow before 2025-01-03: raise --limit\n"
        == pgjobs("@hourly", *day, "--limit", "3").stderr
    )
    assert 11 == len(printed("@hourly"))


@pytest.mark.parametrize(
    "words, message",
    [
        (("61 * * * *",), "Error: the minute field of '61 * * * *' has '61': accepted"),
        (("0 0 30 2 *",), "Error: '0 0 30 2 *' never comes: no FEB has a day 30;"),
        (("@daily", "--from", "soon"), "--from takes a date or a time, as in 2025-11-01"),
        (("@daily", "--timezone", "Mars"), "Error: no time zone 'Mars'"),
        (("@daily", "--from", "2025-01-02", "--to", "2025-01-01"), "is before start"),
    ],
)
def test_the_command_refuses_what_the_function_refuses(words, message):
    result = pgjobs(*words)
    assert (2, "") == (result.exit_code, result.stdout)
    assert message in result.stderr
