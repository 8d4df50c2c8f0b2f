"""The ticks of a gap: how many, the first and the last, however long it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgjobs.rules import crontab
from pgjobs.rules.gap import COUNTED, Gap, gap

BEGIN = datetime(2025, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def of(entry: str, span: timedelta) -> Gap | None:
    return gap(crontab.parse(entry), UTC, BEGIN, BEGIN + span)


def test_a_gap_begins_after_its_begin_and_ends_with_its_end():
    assert Gap(BEGIN + MINUTE, BEGIN + 3 * MINUTE, 3) == of("* * * * *", 3 * MINUTE)
    assert Gap(BEGIN + MINUTE, BEGIN + MINUTE, 1) == of("* * * * *", MINUTE)
    assert None is of("* * * * *", MINUTE - timedelta.resolution)
    assert None is of("* * * * *", -MINUTE)
    assert None is of("@reboot", 100 * MINUTE)


def test_a_gap_is_told_in_few_words():
    assert "1 tick, 2025-03-01T00:01:00.000000Z" == str(of("* * * * *", MINUTE))
    assert "2 ticks, 2025-03-01T01:00:00.000000Z to 2025-03-01T02:00:00.000000Z" == str(
        of("@hourly", 120 * MINUTE)
    )
    assert "more than 1,000 ticks, 2025-03-01T00:01:00.000000Z to 2035-02-27T00:00:00.000000Z" == (
        str(of("* * * * *", timedelta(days=3_650)))
    )


@pytest.mark.parametrize("more", [0, 1])
def test_so_many_are_counted(more: int):
    found = of("* * * * *", (COUNTED + more) * MINUTE)
    assert found is not None
    assert (None if more else COUNTED) == found.count
    assert BEGIN + (COUNTED + more) * MINUTE == found.last


@settings(deadline=None, max_examples=60)
@given(
    entry=st.sampled_from(["* * * * *", "*/7 1-3 * * *", "30 2 * * *", "* * * 3 *", "5 4 29 2 *"]),
    zone=st.sampled_from(["Etc/UTC", "America/New_York", "Australia/Lord_Howe"]),
    since=st.integers(0, 525_600),
    minutes=st.integers(0, 80_000),
)
def test_a_gap_is_its_ticks_one_by_one(entry: str, zone: str, since: int, minutes: int):
    parsed, there, after = crontab.parse(entry), ZoneInfo(zone), BEGIN - since * MINUTE
    until = after + minutes * MINUTE
    every = list(crontab.ticks(parsed, there, after, until))
    count = len(every) if len(every) <= COUNTED else None
    expected = Gap(every[0], every[-1], count) if every else None
    assert expected == gap(parsed, there, after, until)
