"""How instants, durations and lists read in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

LISTED = 5
"""Names that a sentence lists; of more it says how many."""
ERROR_CHARACTERS = 120


def shown_at(at: datetime) -> str:
    """An instant in UTC, to the second or, where it has a fraction, the microsecond."""
    fraction = f".{at.microsecond:06}".rstrip("0") if at.microsecond else ""
    return f"{at:%Y-%m-%d %H:%M:%S}{fraction}Z"


def shown_span(span: timedelta) -> str:
    """A duration by its two largest units: ``2 d 3 h``, ``5 min``, ``1.5 s``."""
    whole = span // timedelta(seconds=1)
    if whole < 60:
        return f"{span.total_seconds():g} s"
    units = (("d", whole // 86_400), ("h", whole // 3_600 % 24), ("min", whole // 60 % 60))
    parts = [f"{n} {unit}" for unit, n in (*units, ("s", whole % 60)) if n]
    return " ".join(parts[:2])


def times(n: int) -> str:
    """``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def listed(names: Sequence[str]) -> str:
    """Some names, and how many there are beside them."""
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "") or "none"


def first_line(text: str) -> str:
    """The first line of an error, cut where it is long."""
    lines = text.strip().splitlines()
    line = lines[0] if lines else ""
    return line if len(line) <= ERROR_CHARACTERS else f"{line[: ERROR_CHARACTERS - 3]}..."
