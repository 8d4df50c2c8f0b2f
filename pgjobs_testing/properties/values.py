"""JSON with every trap: what two stores, two drivers and two languages tend to see differently.

Numbers that are equal and are not written alike (1, 1.0, 1e0), that jsonb holds and floats do not; true
beside 1; -0.0; texts in composed and decomposed form, and all that SQL, arrays and JSON quote; an empty map
beside null beside nothing; keys in every order; deep nesting.
"""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from pgjobs.rules.jsonb import MAX_DEPTH, normal_object

TEXTS = (
    "",
    "NULL",
    "null",
    "true",
    "1",
    '"',
    "'",
    "\\",
    '\\"',
    "{}",
    "{a,b}",
    "%s",
    "$1",
    "\t\n\r",
    "\x7f",
    "\u2028",
    "\ufeff",
    "\u00e9",  # NFC
    "e\u0301",  # NFD of the same
    "\ufb01",  # NFKC would fold it
    "\u0130",  # lowers to two characters
    "\u202eabc",
    "\U0001f600",
    "\uffff",
)
"""Texts that a column can hold, and that something on the way might not."""

NUMBERS: tuple[int | float, ...] = (
    0,
    -0.0,
    1,
    1.0,
    0.1,
    1e-7,
    5e-324,
    1e15,
    9007199254740993,  # 2**53 + 1
    2**63,
    1e16,  # an integer, to jsonb
    10**16,
    1e22,
    1.5e300,
    10**400,  # no float
    123456789012345.6,
    1.7976931348623157e308,
)

REFUSED: tuple[Any, ...] = (
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfff",
    {"\x00": 1},
    {"\ud800": 1},
    ["\x00"],
    math.nan,
    math.inf,
    -math.inf,
    10**4_000,
    b"bytes",
    {1, 2},
    object,
    1j,
)
"""What JSON, jsonb or we cannot hold, in any place."""


def texts() -> st.SearchStrategy[str]:
    """Texts that a column can hold, traps among them."""
    plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
    return st.sampled_from(TEXTS) | plain


def numbers() -> st.SearchStrategy[int | float]:
    """Whole numbers of any size, and every finite float."""
    traps = st.sampled_from([*NUMBERS, *(-number for number in NUMBERS)])
    finite = st.floats(allow_nan=False, allow_infinity=False)
    return traps | st.integers() | st.integers(-(10**60), 10**60) | finite


def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value, as Python has it."""
    leaves = st.none() | st.booleans() | numbers() | texts()
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4),
        max_leaves=12,
    )


def args() -> st.SearchStrategy[dict[str, Any]]:
    """What ``worker.new`` accepts as args or meta: JSON objects, not yet in jsonb's normal form.

    Small ones that are often equal, or contain one another, as often as ones with traps; tuples, and
    now and then as deep as is accepted.
    """
    loose = st.dictionaries(texts(), json_values() | st.tuples(json_values()), max_size=4)
    return small_objects() | loose | st.integers(0, MAX_DEPTH - 1).map(nested)


def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects in jsonb's normal form."""
    found = st.dictionaries(texts(), json_values(), max_size=4)
    return found.map(lambda value: normal_object(value, "args"))


def small_objects() -> st.SearchStrategy[dict[str, Any]]:
    """Objects in normal form that are often equal, and often contain one another."""
    leaves = st.sampled_from([None, True, False, 0, 1, 1.0, 2, "", "a", "b", "\u00e9", "e\u0301"])
    values = st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
        ),
        max_leaves=6,
    )
    found = st.dictionaries(st.sampled_from("abc"), values, max_size=3)
    return found.map(lambda value: normal_object(value, "args"))


def refused_args() -> st.SearchStrategy[Any]:
    """What ``worker.new`` refuses with ``InvalidJobError``: no object, or one that holds what it may not."""
    bad = st.sampled_from(REFUSED)
    inside = st.builds(_holding, small_objects(), bad)
    too_deep = st.integers(MAX_DEPTH, MAX_DEPTH + 3).map(nested)
    no_object = st.sampled_from([[], [1], "text", 1, True, 1.5])
    return inside | too_deep | no_object


def nested(depth: int) -> dict[str, Any]:
    """An object with ``depth`` more in it, one in another."""
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def _holding(value: dict[str, Any], bad: Any) -> dict[str, Any]:
    if isinstance(bad, dict):
        return {**value, "held": bad}
    return {**value, "held": [{"deep": bad}]}
