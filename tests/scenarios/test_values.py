"""Durations, instants and exceptions as scenarios write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgjobs_testing.scenarios.times import moment, span
from pgjobs_testing.scenarios.values import builtin_exception


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("0s", 0),
        ("250ms", 0.25),
        ("2s", 2),
        ("90s", 90),
        ("5m", 300),
        ("1h", 3_600),
        ("7d", 604_800),
        ("1h30m", 5_400),
        ("1d2h3m4s5ms", 93_784.005),
        ("17.078161s", 17.078161),
        ("1m500ms", 60.5),
    ],
)
def test_a_duration_adds_up_its_units(text, seconds):
    assert timedelta(seconds=seconds) == span(text)


@pytest.mark.parametrize(
    "text", ["", "5", 5, None, "5 s", "-5s", "s", "1m1h", "1s1s", "1.5m", "٣s", "1.1234567s", "5S"]
)
def test_anything_else_is_no_duration(text):
    assert span(text) is None


def test_a_duration_that_no_timedelta_holds_is_none():
    assert span("999999999d") is not None
    assert span("999999999d999999999h") is None


@pytest.mark.parametrize(
    "text, expected",
    [
        ("62s", timedelta(seconds=62)),
        ("2025-01-01T00:00:00Z", datetime(2025, 1, 1, tzinfo=UTC)),
        ("2025-01-01 01:30:00.25+01:30", datetime(2025, 1, 1, microsecond=250_000, tzinfo=UTC)),
        ("2025-01-01", None),
        ("2025-01-01T00:00:00", None),
        ("20250101T000000Z", None),
        ("2025-02-30T00:00:00Z", None),
    ],
)
def test_an_instant_is_a_duration_or_a_date_and_time_with_its_zone(text, expected):
    assert expected == moment(text)


@pytest.mark.parametrize("name", ["ValueError", "SystemExit", "KeyboardInterrupt", "OSError"])
def test_built_in_exceptions_are_known_by_name(name):
    found = builtin_exception(name)
    assert found is not None
    assert name == found.__name__


@pytest.mark.parametrize("name", ["print", "UnicodeDecodeError", "__import__", "", "os"])
def test_what_is_no_exception_of_one_text_is_not_known(name):
    assert builtin_exception(name) is None
