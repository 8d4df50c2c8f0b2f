"""jsonb's normal form, equality and containment, as PostgreSQL's documentation gives them."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.rules.errors import InvalidJobError
from pgjobs.rules.jsonb import (
    MAX_DEPTH,
    contains,
    copied,
    equal,
    merged,
    normal_object,
    storable_text,
)

texts = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=6)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=5)
small = st.recursive(  # few enough values that parts are often found in wholes
    st.sampled_from([None, True, False, 0, 1, 1.0, "", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=6,
)


class Level(enum.IntEnum):
    LOW = 1


class Colour(enum.StrEnum):
    RED = "red"


def nested(levels: int, kind: type = dict) -> Any:
    """An empty container inside ``levels`` of containers."""
    value: Any = {} if kind is dict else []
    for _ in range(levels):
        value = {"k": value} if kind is dict else [value]
    return value


@given(objects)
def test_the_normal_form_is_idempotent(value: dict[str, Any]):
    normal = normal_object(value, "args")
    again = normal_object(normal, "args")
    assert repr(normal) == repr(again)


@given(objects)
def test_the_normal_form_equals_what_it_came_from(value: dict[str, Any]):
    assert equal(normal_object(value, "args"), value)


@given(objects)
def test_the_normal_form_survives_a_round_trip_through_json_text(value: dict[str, Any]):
    normal = normal_object(value, "args")
    assert repr(json.loads(json.dumps(normal))) == repr(normal)


@given(objects)
def test_object_keys_are_ordered_by_length_and_then_by_bytes(value: dict[str, Any]):
    keys = [key.encode() for key in normal_object(value, "args")]
    assert sorted(keys, key=lambda key: (len(key), key)) == keys


def test_keys_are_ordered_by_their_bytes_and_not_by_their_characters():
    assert ["b", "aa", "é", "aaa"] == list(normal_object({"aaa": 1, "é": 1, "b": 1, "aa": 1}, "a"))


@pytest.mark.parametrize(
    "given_, expected",
    [
        ((1, 2), [1, 2]),
        ([(1,), [2]], [[1], [2]]),
        (1e16, 10**16),
        (-1.5e300, -(15 * 10**299)),
        (1e15, 1e15),
        (-0.0, 0.0),
        (1.0, 1.0),
        (True, True),
        (Level.LOW, 1),
        (Colour.RED, "red"),
        (OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
    ],
)
def test_a_value_becomes_what_jsonb_gives_back(given_: object, expected: object):
    normal = normal_object({"k": given_}, "args")["k"]
    assert repr(expected) == repr(normal)


def test_minus_zero_loses_its_sign():
    assert math.copysign(1, normal_object({"k": -0.0}, "args")["k"]) == 1.0


def test_keys_become_the_text_that_json_gives_them():
    assert {"2": 1, "true": 2, "null": 3, "0.5": 4} == normal_object(
        {2: 1, True: 2, None: 3, 0.5: 4}, "args"
    )


def test_the_last_of_two_keys_with_one_text_wins():
    assert {"1": "last"} == normal_object({1: "first", "1": "last"}, "args")


def test_equal_keys_before_unicode_normalisation_stay_apart():
    composed, decomposed = "\u00e9", "e\u0301"
    assert {composed: 1, decomposed: 2} == normal_object({composed: 1, decomposed: 2}, "args")


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"a": {"b": [0, "x\x00y"]}}, r"args\.a\.b\[1\] holds a NUL"),
        ({"a": "\ud800"}, r"args\.a holds a NUL character or a lone surrogate"),
        ({"a": {"\ud800": 1}}, r"a key of args\.a holds .* lone surrogate"),
        ({"a\x00": 1}, r"a key of args holds a NUL"),
        ({"a": [math.nan]}, r"args\.a\[0\] is nan"),
        ({"a": math.inf}, r"args\.a is inf"),
        ({"a": -math.inf}, r"args\.a is -inf"),
        ({"a": json.loads("1e400")}, r"args\.a is inf"),
        ({"a": {math.nan: 1}}, r"a key of args\.a is nan"),
        ({"a": {b"x": 1}}, r"a key of args\.a is b'x' \(bytes\)"),
        ({"a": {(1, 2): 1}}, r"a key of args\.a is \(1, 2\) \(tuple\)"),
        ({"a": datetime(2025, 1, 1, tzinfo=UTC)}, r"args\.a is datetime.*\(datetime\)"),
        ({"a": {1, 2}}, r"args\.a is .*\(set\)"),
        ({"a": b"x"}, r"args\.a is b'x' \(bytes\)"),
        ({"a": object}, r"args\.a is <class 'object'> \(type\)"),
        ({"a": 10**4000}, r"args\.a is an integer of more than 3,900 digits"),
        ({"a": {10**5000: 1}}, r"a key of args\.a is .*3,900 digits"),
    ],
)
def test_a_refusal_names_the_path_and_the_value(bad: dict[Any, Any], message: str):
    with pytest.raises(InvalidJobError, match=message):
        normal_object(bad, "args")


@pytest.mark.parametrize("bad", [None, 1, "text", [1], [("a", 1)], object()])
def test_only_an_object_can_be_args(bad: object):
    with pytest.raises(InvalidJobError, match="meta must be a JSON object"):
        normal_object(bad, "meta")


def test_a_value_that_cannot_be_printed_is_still_refused_with_its_path():
    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    with pytest.raises(InvalidJobError, match=r"args\.a is an unprintable value \(Unprintable\)"):
        normal_object({"a": Unprintable()}, "args")


@pytest.mark.parametrize("kind", [dict, list])
def test_nesting_is_held_up_to_the_limit_and_refused_beyond(kind: type):
    held = {"k": nested(MAX_DEPTH - 2, kind)}
    assert held == normal_object(held, "args")
    with pytest.raises(InvalidJobError, match=f"nested more than {MAX_DEPTH} levels"):
        normal_object({"k": nested(MAX_DEPTH - 1, kind)}, "args")


def test_scalars_of_every_kind_are_held_at_the_deepest_level():
    value: Any = Colour.RED
    for _ in range(MAX_DEPTH):
        value = {"k": value}
    normal_object(value, "args")


def test_a_value_that_contains_itself_is_refused():
    cycle: list[Any] = []
    cycle.extend([cycle, cycle])
    with pytest.raises(InvalidJobError, match="nested more than"):
        normal_object({"k": cycle}, "args")


@pytest.mark.parametrize(
    "one, other, expected",
    [
        (1, 1.0, True),
        (10**16, 1e16, True),
        (True, 1, False),
        (0, False, False),
        (None, False, False),
        (True, True, True),
        (2**53 + 1, float(2**53), False),
        (0.1, 0.1, True),
        (0.0, -0.0, True),
        ("1", 1, False),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}, True),
        ({"a": None}, {}, False),
        ({"a": 1}, {"a": True}, False),
        ({}, [], False),
        ("\u00e9", "e\u0301", False),
    ],
)
def test_equality_is_that_of_jsonb(one: object, other: object, expected: bool):
    assert expected == equal(one, other) == equal(other, one)


@given(values, values)
def test_equality_is_symmetric_and_two_equal_values_contain_each_other(one: Any, other: Any):
    assert equal(one, one)
    assert equal(one, other) == equal(other, one)
    if equal(one, other):
        assert contains(one, other)
        assert contains(other, one)


@pytest.mark.parametrize(
    "whole, part, expected",
    [  # PostgreSQL documentation, "jsonb Containment and Existence"
        ("foo", "foo", True),
        ([1, 2, 3], [1, 3], True),
        ([1, 2, 3], [3, 1], True),
        ([1, 2, 3], [1, 2, 2], True),
        ({"product": "PostgreSQL", "version": 9.4, "jsonb": True}, {"version": 9.4}, True),
        ([1, 2, [1, 3]], [1, 3], False),
        ([1, 2, [1, 3]], [[1, 3]], True),
        ({"foo": {"bar": "baz"}}, {"bar": "baz"}, False),
        ({"foo": {"bar": "baz"}}, {"foo": {}}, True),
        (["foo", "bar"], "bar", True),
        ("bar", ["bar"], False),
        ({"a": [1, 2]}, {"a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": None}, {"a": None}, True),
        ({}, {"a": None}, False),
        ({"a": 1}, {}, True),
        ([], {}, False),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"y": 2}]}, True),
    ],
)
def test_containment_is_that_of_jsonb(whole: object, part: object, expected: bool):
    assert expected == contains(whole, part)


@given(small)
def test_everything_contains_itself(value: Any):
    assert contains(value, value)


@given(small, small, small)
def test_containment_is_transitive_among_objects(one: Any, two: Any, three: Any):
    a, b, c = {"k": one}, {"k": two}, {"k": three}
    if contains(a, b) and contains(b, c):
        assert contains(a, c)


@given(st.dictionaries(texts, values), st.dictionaries(texts, values))
def test_a_merge_contains_the_new_and_keeps_the_rest_in_order(old: Any, new: Any):
    both = merged(normal_object(old, "meta"), normal_object(new, "meta"))
    assert equal({**old, **new}, both)
    assert list(both) == list(normal_object(both, "meta"))


def test_a_copy_shares_nothing_that_can_be_changed():
    value = {"a": [{"b": [1]}]}
    copy = copied(value)
    copy["a"][0]["b"].append(2)
    assert {"a": [{"b": [1]}]} == value


@given(st.text())
def test_storable_text_can_be_stored_and_leaves_good_text_alone(text: str):
    stored = storable_text(text)
    assert "\x00" not in stored
    stored.encode("utf-8")
    if "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text):
        assert text == stored


def test_what_cannot_be_stored_is_written_as_an_escape():
    assert r"a\x00b\ud800é" == storable_text("a\x00b\ud800é")
