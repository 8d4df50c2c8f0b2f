"""Whatever JSON holds comes out of a scenario as it went in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pgjobs_testing.scenarios.flowing import comment, flow
from pgjobs_testing.scenarios.source import parse

TRAPS = st.sampled_from(
    [
        "no",
        "yes",
        "12:30",
        "1e3",
        "~",
        "",
        "null",
        "0x1f",
        "1_000",
        "-",
        "a: b",
        "# no",
        "- x",
        "? y",
        "two\nlines",
        "tab\t",
        " edge ",
        "\x85\u2028\x7f\x1b",
        "\ufeff",
        "\ufffe",
        "🙂",
        "'",
        '"',
        "\\",
        "{",
        "5m",
        "<<",
        "=",
        "!tag",
        "&a",
        "*a",
        "|",
        ">",
        "%YAML",
        "@x",
        "`",
        "2025-01-01",
        ".inf",
        ".nan",
        "x" * 1_100,
    ]
)

LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")  # jsonb has neither
TEXTS = st.one_of(TRAPS, st.text(LETTERS, max_size=12))
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-(10**300), 10**300),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def same(one, other):
    """Equal, and of the same kinds: 1 is not true."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and list(one) == list(other)
            and all(same(one[key], other[key]) for key in one)
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@given(VALUES)
def test_what_is_read_is_what_was_written(value):
    line = f"name: {flow({'v': value})}"
    assert 1 == len(line.splitlines())
    assert same({"v": value}, parse("x", line + "\n").data["name"]), line


@given(TEXTS)
def test_a_comment_is_one_line_whatever_is_in_it(text):
    line = comment(text)
    assert line.startswith("#")
    assert {"a": 1} == parse("x", f"{line}\na: 1\n").data
