"""Fingerprints are equal just when jsonb values are; periods are half-open; options merge field by field."""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import ConfigurationError, Unique, worker
from pgjobs.rules.job import JobState, NewJob
from pgjobs.rules.jsonb import equal, normal_object
from pgjobs.rules.unique import (
    DEFAULT_STATES,
    META_KEY,
    UNSET,
    UniqueRule,
    canonical,
    fingerprint_of,
)
from pgjobs_testing.properties.values import json_objects, small_objects
from tests.rules.factory import NOW, job

MICROSECOND = timedelta(microseconds=1)


def fingerprint_in(new: NewJob) -> object:
    return new.meta[META_KEY]


def fingerprint(args: dict[str, Any], how: Unique = Unique(), **given_: str) -> str:  # noqa: B008 - frozen
    parts = {"worker": "shop.ship", "queue": "default"} | given_
    return how.rule(parts["worker"], parts["queue"], normal_object(args, "args")).fingerprint


@given(one=small_objects() | json_objects(), other=small_objects() | json_objects())
def test_fingerprints_are_equal_just_when_args_are_equal_as_jsonb(
    one: dict[str, Any], other: dict[str, Any]
):
    assert equal(one, other) == (fingerprint(one) == fingerprint(other))


@given(args=small_objects() | json_objects(), data=st.data())
def test_what_jsonb_does_not_tell_apart_has_one_fingerprint(args: dict[str, Any], data: Any):
    def rewritten(value: Any) -> Any:
        if isinstance(value, dict):
            keys = data.draw(st.permutations(list(value)))
            return {key: rewritten(value[key]) for key in keys}
        if isinstance(value, list):
            return [rewritten(item) for item in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
            return float(value)
        return value

    assert fingerprint(args) == fingerprint(rewritten(args))
    assert fingerprint(args) == fingerprint(json.loads(json.dumps(args)))


@pytest.mark.parametrize(
    "one, other, same",
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (0.0, -0.0, True),
        (1e16, 10**16, True),
        (10**20, 1e20, True),
        (2**53 + 1, float(2**53), False),
        (0.1, 0.1 + 1e-16, False),
        (5e-324, 0, False),
        ("1", 1, False),
        (None, "null", False),
        ([1, 2], [2, 1], False),
        ([[1], 2], [1, [2]], False),
        ([], {}, False),
        ([[]], [], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": None}, {}, False),
        ("\u00e9", "e\u0301", False),
        ("a", "A", False),
        ('a","b', ["a", "b"], False),
        ("1.0", "1", False),
        (["a.b", 1], ["a.b", 1.0], True),
        (["e-mail", 1e-7], ["e-mail", 0.0000001], True),
        (["1e+5", True], ["1e+5", 1], False),
    ],
)
def test_canonical_texts_are_equal_where_jsonb_is(one: Any, other: Any, same: bool):
    assert same == (canonical(one) == canonical(other))


def test_a_fingerprint_is_pinned_since_rows_keep_it():
    args = {"b": [1.5, None, True, "é"], "a": {"x": 1e300}}
    assert fingerprint(args) == "cf86ed26dc2df45de95bfbca43e6ec7c"


def test_missing_null_and_empty_are_three_things():
    found: list[dict[str, Any]] = [
        {},
        {"a": None},
        {"a": {}},
        {"a": []},
        {"a": ""},
        {"a": False},
        {"a": 0},
    ]
    assert len({fingerprint(args) for args in found}) == len(found)
    how = Unique(keys=("a",))
    assert len({fingerprint(args, how) for args in found}) == len(found)


@pytest.mark.parametrize(
    "fields, differing",
    [
        (("worker",), {"worker"}),
        (("queue",), {"queue"}),
        (["args"], {"args"}),
        (("args", "worker"), {"worker", "args"}),
        (UNSET, {"worker", "queue", "args"}),
    ],
)
def test_only_the_chosen_fields_count(fields: Any, differing: set[str]):
    how = Unique(fields=fields)
    base = fingerprint({"a": 1}, how)
    found = {
        "worker": fingerprint({"a": 1}, how, worker="other"),
        "queue": fingerprint({"a": 1}, how, queue="other"),
        "args": fingerprint({"a": 2}, how),
    }
    assert differing == {name for name, value in found.items() if value != base}


def test_the_order_in_which_fields_and_keys_are_named_does_not_matter():
    one = Unique(fields=("args", "worker"), keys=("b", "a", "b"))
    other = Unique(fields=("worker", "args", "args"), keys=["a", "b"])
    assert one == other
    assert fingerprint({"a": 1, "b": 2}, one) == fingerprint({"b": 2, "a": 1, "c": 3}, other)


def test_a_nested_key_is_not_the_key_that_has_a_dot():
    how = Unique(keys=("a.b",))
    found: list[dict[str, Any]] = [
        {},
        {"a": {"b": 1}},
        {"a.b": 1},
        {"a": {"b": None}},
        {"a": {}},
        {"a.b": None},
    ]
    assert fingerprint({}, how) == fingerprint({"a": {}}, how) == fingerprint({"a": [1]}, how)
    assert len({fingerprint(args, how) for args in found}) == len(found) - 1


@pytest.mark.parametrize("timestamp", ["inserted_at", "scheduled_at"])
@pytest.mark.parametrize(
    "age, counts",
    [
        (timedelta(0), True),
        (timedelta(seconds=60) - MICROSECOND, True),
        (timedelta(seconds=60), False),
        (timedelta(seconds=60) + MICROSECOND, False),
        (timedelta(hours=-5), True),
    ],
)
def test_a_job_counts_until_the_period_has_passed(timestamp: str, age: timedelta, counts: bool):
    other = "scheduled_at" if timestamp == "inserted_at" else "inserted_at"
    stamps: dict[str, Any] = {timestamp: NOW - age, other: NOW - timedelta(days=9)}
    row = replace(job(), **stamps)
    assert counts == UniqueRule("f", timestamp=timestamp).counts(row, NOW)


@pytest.mark.parametrize("period", [None, timedelta.max, 1e300])
def test_a_period_without_end_never_passes(period: Any):
    rule = Unique(period=period).rule("w", "q", {})
    row = job(inserted_at=datetime.min.replace(tzinfo=UTC))
    assert rule.counts(row, NOW)


@pytest.mark.parametrize("state", JobState)
def test_every_state_has_its_place_among_those_that_count(state: JobState):
    row = job(state, inserted_at=NOW)
    finished_otherwise = state in (JobState.CANCELLED, JobState.DISCARDED)
    assert UniqueRule("f").counts(row, NOW) == (not finished_otherwise)
    assert UniqueRule("f", states=(state,)).counts(row, NOW)


@pytest.mark.parametrize(
    "base, own, expected",
    [
        (Unique(), Unique(), Unique()),
        (Unique(period=5), Unique(), Unique(period=5)),
        (Unique(period=5), Unique(period=None), Unique(period=None)),
        (Unique(period=None), Unique(keys=("a",)), Unique(period=None, keys=("a",))),
        (Unique(keys=("a",)), Unique(keys=None), Unique(keys=None)),
        (Unique(keys=("a",)), Unique(fields=("worker",)), Unique(keys=None, fields=("worker",))),
        (
            Unique(period=5, states=("available",), timestamp="scheduled_at"),
            Unique(states=("executing",)),
            Unique(period=5, states=("executing",), timestamp="scheduled_at"),
        ),
    ],
)
def test_a_jobs_unique_takes_what_it_leaves_out_from_the_workers(
    base: Unique, own: Unique, expected: Unique
):
    assert expected == own.over(base)
    assert own == own.over(None)


def test_a_copy_of_unique_is_equal_and_makes_the_same_rule():
    how = Unique(period=5, keys=["b", "a"])
    for copied in (copy.copy(how), replace(how, period=5)):
        assert (how, hash(how)) == (copied, hash(copied))
        assert how.rule("w", "q", {"a": 1}) == copied.rule("w", "q", {"a": 1})
    assert Unique(period=None, keys=["a", "b"]) == replace(how, period=None)
    assert replace(how, period=None).rule("w", "q", {}).period is None


def test_what_is_left_out_everywhere_has_the_default():
    rule = Unique().rule("w", "q", {})
    assert (timedelta(seconds=60), DEFAULT_STATES, "inserted_at") == (
        rule.period,
        rule.states,
        rule.timestamp,
    )
    assert "UNSET" in repr(Unique())


@pytest.mark.parametrize(
    "given_, message",
    [
        ({"period": 0}, "the period of unique is more than 0 s, or None for ever, not 0"),
        ({"period": -1}, "the period of unique must be 0 s or more"),
        ({"period": "60"}, "the period of unique takes seconds or a timedelta, not '60'"),
        ({"period": float("nan")}, "the period of unique takes seconds"),
        ({"fields": ("arg",)}, "unknown field of unique 'arg': did you mean 'args'"),
        ({"fields": "args"}, "the fields of unique are a list of texts such as"),
        ({"fields": ()}, "the fields of unique are a list"),
        ({"fields": None}, "the fields of unique are a list"),
        ({"keys": "user_id"}, "the keys of unique are a list"),
        ({"keys": {"user_id": 1}}, "the keys of unique are a list"),
        ({"keys": ("",)}, "the keys of unique are a list"),
        ({"keys": (1,)}, "the keys of unique are a list"),
        (
            {"states": ("availabel",)},
            "unknown state of unique 'availabel': did you mean 'available'",
        ),
        ({"states": None}, "the states of unique are a list"),
        (
            {"timestamp": "inserted"},
            "unknown timestamp of unique 'inserted': did you mean 'inserted_at'",
        ),
        ({"timestamp": None}, "unknown timestamp of unique None"),
        ({"timestamp": []}, r"unknown timestamp of unique \[\]"),
        (
            {"fields": ("worker",), "keys": ("a",)},
            "keys, which narrow args, and fields without args",
        ),
    ],
)
def test_a_bad_value_is_refused_when_it_is_given(given_: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError, match=message):
        Unique(**given_)


@pytest.mark.parametrize(
    "states, gaps",
    [
        (UNSET, []),
        (("available", "scheduled", "executing"), ["retryable"]),
        (("available", "scheduled", "executing", "retryable"), []),
        (("completed",), ["scheduled", "available", "retryable", "executing"]),
    ],
)
def test_a_worker_whose_states_leave_gaps_is_warned_of_once(
    caplog: pytest.LogCaptureFixture, states: Any, gaps: list[str]
):
    with caplog.at_level(logging.WARNING, "pgjobs"):
        made = worker(name="gaps", unique=Unique(states=states))(lambda job: None)
        made.new()
        made.new({"a": 1}, unique=Unique(period=5))
    told = [record.getMessage() for record in caplog.records if record.name == "pgjobs"]
    assert len(told) == bool(gaps)
    for text in told:
        assert text.startswith("worker gaps: the states of unique leave out ")
        assert all(state in text for state in gaps)


def test_a_new_job_carries_its_rule_and_its_fingerprint():
    made = worker(name="w", queue="mail", unique=Unique(period=None, keys=("a",)))(lambda job: None)
    new = made.new({"a": 1, "b": 2}, meta={"z": 1})
    assert new.unique == Unique(period=None, keys=("a",)).rule("w", "mail", {"a": 1})
    assert new.meta == {"z": 1, META_KEY: new.unique.fingerprint}
    elsewhere = made.new({"a": 1}, queue="sync", unique=Unique(period=5))
    assert elsewhere.unique == Unique(period=5, keys=("a",)).rule("w", "sync", {"a": 1})


@pytest.mark.parametrize("off", [None, False])
def test_unique_is_switched_off_for_one_job_and_so_is_replace(off: Any):
    chosen = {"unique": Unique(), "replace": {"available": True}}
    made = worker(name="w", **chosen)(lambda job: None)
    new = made.new({}, unique=off)
    assert (new.unique, new.replace, dict(new.meta)) == (None, (), {})
    assert made.new({}).replace
    assert made.new({}, replace=off).replace == ()
    assert made.new({}, replace=off).unique is not None


def test_a_queue_that_is_named_is_the_same_as_by_default():
    plain = worker(name="w", unique=Unique())(lambda job: None)
    mail = worker(name="w", unique=Unique(), queue="mail")(lambda job: None)
    assert fingerprint_in(plain.new()) == fingerprint_in(plain.new(queue="default"))
    assert fingerprint_in(mail.new()) == fingerprint_in(plain.new(queue="mail"))
    assert fingerprint_in(mail.new()) != fingerprint_in(plain.new())


def test_the_meta_of_another_job_does_not_bring_its_fingerprint_along():
    made = worker(name="w", unique=Unique())(lambda job: None)
    plain = worker(name="p")(lambda job: None)
    meta = dict(made.new({"a": 1}).meta)
    assert dict(plain.new({}, meta=meta).meta) == {}
    assert made.new({"a": 2}, meta=meta).meta[META_KEY] == fingerprint({"a": 2}, worker="w")
    assert meta == dict(made.new({"a": 1}).meta)


def test_a_template_of_a_unique_worker_does_not_share_its_meta():
    made = worker(name="w", unique=Unique(), meta={"deep": []})(lambda job: None)
    made.new().meta["deep"].append(1)
    assert dict(made.new().meta)["deep"] == []


@pytest.mark.parametrize("meta", [{}, {META_KEY: 5}, {META_KEY: None}])
def test_a_job_without_a_fingerprint_is_in_no_group(meta: dict[str, Any]):
    assert fingerprint_of(job(meta=meta)) is None
    assert fingerprint_of(job(meta={META_KEY: "f"})) == "f"
