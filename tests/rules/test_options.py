"""Options are checked where they are given: the error names the option, the value and the remedy."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgjobs.rules import options
from pgjobs.rules.control import EVERY_QUEUE
from pgjobs.rules.errors import ConfigurationError, PgJobsError, nearest, reject_unknown
from pgjobs.rules.options import Queue, RateLimit
from tests.rules.factory import NOW


@pytest.mark.parametrize(
    "option, value, expected",
    [
        ("queue", "mail", "mail"),
        ("queue", "q" * 127, "q" * 127),
        ("max_attempts", 1, 1),
        ("max_attempts", 32_767, 32_767),
        ("priority", 0, 0),
        ("priority", 9, 9),
        ("tags", [], ()),
        ("tags", ["b", "a", "b"], ("b", "a")),
        ("tags", {"b", "a"}, ("a", "b")),
        ("meta", {"b": (1,), "a": 1}, {"a": 1, "b": [1]}),
        ("scheduled_at", None, None),
        ("scheduled_at", NOW, NOW),
        ("schedule_in", None, None),
        ("schedule_in", 5, timedelta(seconds=5)),
    ],
)
def test_a_good_value_is_taken_in_its_normal_form(option: str, value: Any, expected: Any):
    assert {option: expected} == options.job_options({option: value})


@pytest.mark.parametrize(
    "option, value, accepted",
    [
        ("queue", "", "1 to 127 characters"),
        ("queue", "q" * 128, "1 to 127 characters"),
        ("queue", None, "a text"),
        ("queue", 5, "a text"),
        ("queue", "a\x00b", "NUL character"),
        ("queue", "a\ud800b", "lone surrogate"),
        ("queue", EVERY_QUEUE, "every queue"),
        ("max_attempts", 0, "from 1 to 32767"),
        ("max_attempts", 32_768, "from 1 to 32767"),
        ("max_attempts", True, "whole number"),
        ("max_attempts", 1.0, "whole number"),
        ("max_attempts", None, "whole number"),
        ("priority", -1, "from 0 to 9"),
        ("priority", 10, "from 0 to 9"),
        ("priority", "1", "from 0 to 9"),
        ("tags", "vip", r'a list of texts such as \["a", "b"\]'),
        ("tags", None, "a list of texts"),
        ("tags", [1], "a tag is a text"),
        ("tags", [""], "a tag is a text of 1 to"),
        ("meta", None, "JSON object"),
        ("meta", {"a": object()}, r"meta\.a"),
        ("scheduled_at", datetime(2025, 1, 1), "time zone"),  # noqa: DTZ001 - naive on purpose
        ("scheduled_at", 5, "aware datetime"),
        ("schedule_in", -1, "0 s or more"),
        ("schedule_in", "5m", "seconds or a timedelta"),
    ],
)
def test_a_bad_value_is_refused_by_name_with_what_is_accepted(
    option: str, value: Any, accepted: str
):
    with pytest.raises(PgJobsError, match=accepted) as caught:
        options.job_options({option: value})
    message = str(caught.value)
    assert option.removesuffix("s") in message or "name" in message
    if not (isinstance(value, list | dict)):
        assert repr(value) in message


def test_an_instant_and_a_duration_exclude_each_other():
    with pytest.raises(ConfigurationError, match="scheduled_at or schedule_in, not both"):
        options.job_options({"scheduled_at": NOW, "schedule_in": 5})
    assert options.job_options({"scheduled_at": NOW, "schedule_in": None})


def test_a_datetime_of_any_zone_is_kept_as_utc():
    found = options.job_options({"scheduled_at": NOW.astimezone()})["scheduled_at"]
    assert isinstance(found, datetime)
    assert UTC is found.tzinfo


@pytest.mark.parametrize(
    "given_, expected",
    [
        (False, {}),
        (None, {}),
        ({}, {}),
        ({"a": 3}, {"a": Queue(3)}),
        ({"a": Queue(2, paused=True)}, {"a": Queue(2, True)}),
    ],
)
def test_queues_are_given_by_concurrency_or_in_full(given_: Any, expected: Any):
    assert expected == options.queues(given_)


@pytest.mark.parametrize(
    "bad, message",
    [
        (["a"], r"a dict such as"),
        (5, "a dict such as"),
        ({"": 1}, "a queue's name is a text"),
        ({1: 1}, "a queue's name is a text"),
        ({EVERY_QUEUE: 1}, "every queue"),
        ({"a": 0}, "from 1 to 100000: 0"),
        ({"a": 100_001}, "from 1 to 100000"),
        ({"a": True}, "queue 'a' takes a concurrency"),
        ({"a": "3"}, "queue 'a' takes a concurrency"),
        ({"a": None}, "queue 'a' takes a concurrency"),
        ({"mail": 0}, "queue 'mail': the concurrency of a queue"),
    ],
)
def test_bad_queues_are_refused(bad: Any, message: str):
    with pytest.raises(ConfigurationError, match=message):
        options.queues(bad)


def test_a_queue_is_paused_by_true_or_false_alone():
    with pytest.raises(ConfigurationError, match="paused takes True or False, not 1"):
        Queue(1, paused=1)  # type: ignore[arg-type]  # a mistake on purpose


@pytest.mark.parametrize(
    "name, message",
    [
        ("max_attempt", "unknown option 'max_attempt': did you mean 'max_attempts'"),
        ("zzz", "unknown option 'zzz'; known are max_attempts, meta, "),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_or_with_all(name: str, message: str):
    with pytest.raises(ConfigurationError, match=message):
        reject_unknown((name,), options.JOB_OPTIONS, "option")


def test_where_nothing_is_known_nothing_is_suggested():
    assert "" == nearest("a", ())


def test_a_rate_limit_is_equal_by_what_it_means():
    assert RateLimit(50, 60) == RateLimit(allowed=50, period=timedelta(minutes=1))
    assert RateLimit(50, 60) != RateLimit(50, 61)
    assert timedelta(seconds=60) == RateLimit(50, 60).period
    assert RateLimit(50, 60) == pickle.loads(pickle.dumps(RateLimit(50, 60)))


@pytest.mark.parametrize(
    "bad, message",
    [
        ((0, 60), "the allowed of a rate limit is a whole number from 1 to 1000000: 0"),
        ((1_000_001, 60), "from 1 to 1000000"),
        ((True, 60), "whole number"),
        ((1, 0), "the period of a rate limit must be 0.001 s or more, not 0"),
        ((1, timedelta(0)), "0.001 s or more"),
        ((1, "60s"), "the period of a rate limit takes seconds or a timedelta, not '60s'"),
    ],
)
def test_a_bad_rate_limit_is_refused(bad: Any, message: str):
    with pytest.raises(ConfigurationError, match=message):
        RateLimit(*bad)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"rate_limit": 5}, r"rate_limit takes RateLimit\(allowed=50, period=60\), or None, not 5"),
        ({"global_concurrency": 0}, "the global_concurrency of a queue is a whole number from 1"),
        ({"global_concurrency": "3"}, "whole number"),
    ],
)
def test_bad_limits_of_a_queue_are_refused(bad: Any, message: str):
    with pytest.raises(ConfigurationError, match=message):
        Queue(1, **bad)
