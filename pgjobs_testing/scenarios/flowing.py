"""Data as YAML 1.2 in one line, so that what is read again is what was written.

Whatever a reader could take for something else (``no``, ``12:30``, ``1e3``, ``~``, an empty text) is
quoted, and what is not printable is escaped, so that no text can break its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pgjobs_testing.trace import elapsed

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*", re.ASCII)
_SPAN = re.compile(r"(?:\d+[dhms]|\d+\.\d+s|\d+ms)+", re.ASCII)
_OTHER = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
_UNPRINTABLE = re.compile(
    "[^\\x20-\\x7e\\xa0-\\u2027\\u202a-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]"
)


class Raw(str):
    """Text that stands as it is, such as an entry ``ok``."""

    __slots__ = ()


def flow(value: Any) -> str:
    """A value in flow style; a duration as scenarios write it, an instant in ISO 8601."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, timedelta):
        return elapsed(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {flow(each)}" for key, each in value.items()) + "}"
    return "[" + ", ".join(map(flow, value)) + "]"


def text(value: str) -> str:
    """A text as a scalar: plain where it cannot be mistaken, else in double quotes."""
    plain = _PLAIN.fullmatch(value) and value.lower() not in _OTHER
    if plain or _SPAN.fullmatch(value):
        return value
    return _UNPRINTABLE.sub(_escaped, json.dumps(value, ensure_ascii=False))


def comment(line: str) -> str:
    """A line that a reader skips, whatever is in it."""
    return f"# {_UNPRINTABLE.sub(_escaped, line)}".rstrip()


def _key(key: str) -> str:
    return _limited(text(key))


def _limited(key: str) -> str:
    """A key of more than 1,024 characters needs the mark of an explicit one."""
    return key if len(key) <= 1_000 else f"? {key} "


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
