"""How far one value is off another, in words and as a share: what a failing assertion tells.

Everything here is bounded, deterministic and free of the store's ids.
"""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from decimal import Decimal
from typing import Any

from pgjobs.rules.errors import shown

LONGEST = 100
"""The characters of a value in a failure; a longer text is cut in its middle, another value at its end."""

LONG_TEXT = 2_000
"""Texts beyond this are compared by their beginnings alone."""


def cut(value: object, *, plain: bool = False, longest: int = LONGEST) -> str:
    """A value on one line, bounded; ``plain`` for a text that is shown as it is."""
    text = _written(value, longest)
    if plain and isinstance(value, str):
        text = value if value.isprintable() else text[1:-1]
    if len(text) <= longest:
        return text
    if not isinstance(value, str):
        return f"{text[: longest - 3]}..."
    half = (longest - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def told(wanted: Any, actual: Any) -> str:
    """What tells two JSON values apart, where a reader may overlook it; an empty text otherwise."""
    one, other = kind(wanted), kind(actual)
    if {one, other} == {"true or false", "number"} and wanted == actual:
        number, truth = (actual, wanted) if one == "true or false" else (wanted, actual)
        return f"{number} is not {'true' if truth else 'false'}"
    if {one, other} == {"number", "text"} and str(wanted) == str(actual):
        return f"{_a(other)}, not {_a(one)}"
    if one != other:
        return f"{_a(other)}, not {_a(one)}" if "null" not in (one, other) else ""
    if one == "number":
        return f"off by {_number_off(wanted, actual)}" if _number_off(wanted, actual) else ""
    return _text_told(wanted, actual) if one == "text" else ""


def nearness(wanted: Any, actual: Any) -> float:
    """The share of a leaf that two unequal values cost: 1, or a little less where they are near."""
    one, other = kind(wanted), kind(actual)
    if one != other:
        return 0.9 if str(wanted) == str(actual) else 1.0
    if one == "number":
        try:
            return 1 - 0.2 / (1 + min(abs(float(actual) - float(wanted)), 1e6))
        except OverflowError:  # a whole number beyond the floats
            return 1.0
    if one == "text":
        return 0.7 if _text_told(wanted, actual).startswith("differs only") else 1.0
    return 1.0


def kind(value: object) -> str:
    """What JSON calls a value of this type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "object" if isinstance(value, dict) else "list"


def number_kind(given: type) -> bool:
    """Whether a type is one of numbers."""
    return given is int or given is float


def span(value: timedelta) -> str:
    """A signed duration in the unit that suits it: ``+12 ms``, ``-3.5 s``, ``+2 h 5 min``."""
    sign = "-" if value < timedelta(0) else "+"
    return sign + amount(abs(value))


def amount(value: timedelta) -> str:
    """A duration in the unit that suits it: ``12 ms``, ``3.5 s``, ``2 h 5 min``, ``14 d``."""
    micros = value // timedelta(microseconds=1)
    if micros < 1_000:
        return f"{micros} µs" if micros else "0 s"
    if micros < 1_000_000:
        return f"{micros / 1_000:g} ms"
    if micros < 120_000_000:
        return f"{micros / 1_000_000:.10g} s"
    parts = []
    seconds, rest = divmod(micros, 1_000_000)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    if seconds or rest:
        parts.append(f"{seconds + rest / 1_000_000:.10g} s")
    return " ".join(parts)


def counted(count: int, noun: str) -> str:
    """``1 job``, ``2 jobs``, ``10,000 jobs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _a(noun: str) -> str:
    return f"{'an' if noun == 'object' else 'a'} {noun}"


def _number_off(wanted: int | float, actual: int | float) -> str:
    off = Decimal(str(actual)) - Decimal(str(wanted))
    text = f"{off.normalize():+f}" if abs(off) < 10**15 else f"{off:+.3e}"
    return text if len(text) <= 24 else f"{off:+.3e}"


def _text_told(wanted: str, actual: str) -> str:
    if max(len(wanted), len(actual)) > LONG_TEXT:
        return _where_they_part(wanted, actual)
    if wanted.casefold() == actual.casefold():
        return "differs only in case"
    if "".join(wanted.split()) == "".join(actual.split()):
        return "differs only in white space"
    if unicodedata.normalize("NFKC", wanted) == unicodedata.normalize("NFKC", actual):
        return f"differs only in Unicode normal form: {cut(actual, plain=True)!a}"
    return _where_they_part(wanted, actual)


def _where_they_part(wanted: str, actual: str) -> str:
    """What follows the beginning that two texts share, if that is long."""
    if (alike := _alike(wanted, actual)) < 12:
        return ""
    return (
        f"alike for {alike:,} characters, then {_ahead(wanted, alike)}, is {_ahead(actual, alike)}"
    )


def _alike(wanted: str, actual: str) -> int:
    """How many characters two texts begin with in common."""
    pairs = enumerate(zip(wanted, actual, strict=False))
    return next((n for n, (one, other) in pairs if one != other), min(len(wanted), len(actual)))


def _ahead(text: str, place: int) -> str:
    ahead = text[place : place + 12]
    if not ahead:
        return "ends"
    return repr(ahead) + ("..." if len(text) > place + 12 else "")


def _written(value: object, longest: int) -> str:
    """``repr``, without writing out what is far longer than what can be shown."""
    if isinstance(value, str) and len(value) > 2 * longest:
        return repr(value[:longest] + value[-longest:])
    return shown(value)
