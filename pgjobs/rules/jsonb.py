"""What a JSON value looks like after PostgreSQL's ``jsonb`` has held it.

``args`` and ``meta`` pass through here when a job is made, on every store, so that a worker never
sees a tuple, an int key or a key order that production would not give it. The rules are those of
``jsonb`` (PostgreSQL documentation, "JSON Types"): object keys are ordered by length, then by
bytes; the last of equal keys wins; a number is a ``numeric``, so ``1e16`` is an integer and
``-0.0`` is ``0.0``; NUL characters, lone surrogates, NaN and infinities do not exist.
"""

from __future__ import annotations

import json
import json.encoder
import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from pgjobs.rules.errors import InvalidJobError

if TYPE_CHECKING:
    from decimal import Decimal

MAX_DEPTH = 100
"""Nesting beyond this is refused: far below what Python's and PostgreSQL's parsers can bear."""


def normal_object(value: object, what: str) -> dict[str, Any]:
    """``value`` in jsonb's normal form; ``InvalidJobError`` unless it is a JSON object.

    ``what`` ("args", "meta") begins the path that errors name, as in ``args.user.tags[2]``.
    """
    if type(value) is not dict and not isinstance(value, Mapping):
        raise InvalidJobError(
            f"{what} must be a JSON object (a dict with string keys), not {_shown(value)}"
        )
    return _object(value, what, 0)


def normal_list(value: object, what: str) -> list[Any]:
    """``value`` in jsonb's normal form; ``InvalidJobError`` unless it is a JSON array."""
    if not isinstance(value, list | tuple):
        raise InvalidJobError(f"{what} must be a JSON array (a list), not {_shown(value)}")
    normal: list[Any] = _normal(value, what, 0)
    return normal


def normal_value(value: object, what: str) -> Any:
    """Any JSON value in jsonb's normal form."""
    return value if is_plain(value) else _normal(value, what, 0)


def encoder(*, ensure_ascii: bool = False, sort_keys: bool = False) -> Callable[[Any], str]:
    """What writes a JSON value as compact text: ``JSONEncoder.encode``, with its C part made once.

    At each call that takes most of the time.
    """
    made: Any = json.JSONEncoder(
        ensure_ascii=ensure_ascii,
        sort_keys=sort_keys,
        separators=(",", ":"),
        check_circular=False,
        allow_nan=False,
    )
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return cast("Callable[[Any], str]", made.encode)
    written = (
        json.encoder.encode_basestring_ascii if ensure_ascii else json.encoder.encode_basestring
    )
    parts = make(None, made.default, written, None, ":", ",", sort_keys, False, False)
    return lambda value: "".join(parts(value, 0))


_NESTED = (dict, list)


def copied(value: Any) -> Any:
    """A deep copy of a JSON value: what a reader may change without changing the store."""
    if type(value) is dict:
        new = value.copy()
        for key in value:
            if type(value[key]) in _NESTED:
                new[key] = copied(value[key])
        return new
    if type(value) is list:
        return [copied(item) for item in value]
    return value


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """``old || new``: the keys of ``new`` win at the top level, in jsonb's order."""
    return _ordered({**copied(dict(old)), **copied(dict(new))})


def contains(whole: Any, part: Any, _top: bool = True) -> bool:
    """Whether ``whole @> part`` by jsonb's containment.

    Objects hold every key of the part, arrays hold every element in any order, and only at the
    top may an array hold a bare scalar.
    """
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], item, False) for key, item in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(contains(item, wanted, False) for item in whole) for wanted in part
        )
    if _top and isinstance(whole, list):
        return any(equal(item, part) for item in whole)
    return equal(whole, part)


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal as jsonb: 1 equals 1.0, true does not equal 1."""
    kind = type(one)
    if kind is type(other) and kind not in _NESTED:
        return bool(one == other)
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return _numeric(one) == _numeric(other)
    return type(one) is type(other) and bool(one == other)


def storable_text(text: str) -> str:
    """``text`` with what jsonb and UTF-8 cannot hold written as escapes (``\\x00``, ``\\ud800``)."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _normal(value: Any, path: str, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return _text(value, path)
    if kind is int or kind is float:
        return _number(value, path)
    if value is None or kind is bool:
        return value
    for base in (str, int, float):  # their subclasses: enums, numpy's float64
        if isinstance(value, base):
            return _normal(base.__str__(value) if base is str else base(value), path, depth)
    if depth >= MAX_DEPTH:
        raise InvalidJobError(
            f"{_short(path)} is nested more than {MAX_DEPTH} levels deep; flatten it, or store "
            "it elsewhere and pass a reference"
        )
    if isinstance(value, Mapping):
        return _object(value, path, depth)
    if isinstance(value, list | tuple):
        return [
            item if is_plain(item) else _normal(item, f"{path}[{n}]", depth + 1)
            for n, item in enumerate(value)
        ]
    raise InvalidJobError(
        f"{path} is {_shown(value)}, which JSON cannot hold; pass a string, a number, true, false, "
        "null, a list or a dict"
    )


def _object(value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = key if type(key) is str and is_plain(key) else _key(key, path)
        found[name] = item if is_plain(item) else _normal(item, f"{path}.{name}", depth + 1)
    return found if len(found) < 2 else _ordered(found)


def is_plain(value: Any) -> bool:
    """Whether ``value`` is a text, a small number or the like in normal form already, as nearly all are.

    Told apart first, since the path that an error would name costs more than the rest.
    """
    kind = type(value)
    if kind is str:
        text: str = value
        return text.isascii() and "\x00" not in text
    if kind is int:
        number: int = value
        return _LEAST < number < _SMALL
    return kind is bool or value is None


_SMALL = 10**18
_LEAST = -_SMALL


def _ordered(found: dict[str, Any]) -> dict[str, Any]:
    if len(found) < 2:
        return found
    return {name: found[name] for name in sorted(found, key=_jsonb_order)}


def _jsonb_order(key: str) -> tuple[int, bytes]:
    encoded = key.encode()
    return len(encoded), encoded


def _key(key: object, path: str) -> str:
    """An object's key as ``json.dumps`` writes it: 1 becomes "1", True "true", None "null"."""
    if isinstance(key, str):
        return _text(str.__str__(key), f"a key of {path}")
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int):
        return int.__repr__(_number(int(key), f"a key of {path}"))
    if isinstance(key, float) and math.isfinite(key):
        return float.__repr__(key)
    raise InvalidJobError(f"a key of {path} is {_shown(key)}; JSON keys are strings")


def _text(value: str, path: str) -> str:
    if value.isascii():
        if "\x00" in value:
            raise InvalidJobError(
                f"{path} holds a NUL character, which jsonb cannot store; remove or encode it"
            )
        return value
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidJobError(
            f"{path} holds a NUL character or a lone surrogate, which jsonb cannot store; "
            "remove or encode it"
        )
    return value


def _number(value: int | float, path: str) -> int | float:
    if isinstance(value, int):
        if value.bit_length() > 13_000:  # 3,900 digits, below sys.int_info.default_max_str_digits
            raise InvalidJobError(
                f"{path} is an integer of more than 3,900 digits; pass it as a string"
            )
        return value
    if not math.isfinite(value):
        raise InvalidJobError(f"{path} is {value!r}, which JSON cannot hold; use null or a string")
    if abs(value) >= 1e16:  # from here repr() has an exponent, and numeric no fraction
        from decimal import Decimal

        return int(Decimal(repr(value)))
    return 0.0 if value == 0 else value


def _numeric(value: int | float) -> int | Decimal:
    if isinstance(value, int):
        return value
    from decimal import Decimal

    return Decimal(repr(value))


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = "an unprintable value"
    return f"{_short(text)} ({type(value).__name__})"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


assert sys.int_info.default_max_str_digits >= 4300
