"""What a row of another library says, in Python's own types, whatever its settings make of them.

A plan's columns are whole numbers, truths and texts, told apart by the type that the server names. A
caller's loader may have turned a number into a ``Decimal`` or a text into bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pgjobs.adapters.postgres.rows import Row

BOOL = 16
NUMBERS = frozenset({20, 21, 23})
"""The OIDs of bool; and of int8, int2 and int4."""


def plain(rows: Iterable[Sequence[Any]], description: Sequence[Any]) -> list[Row]:
    """Rows as tuples. ``description`` is that of PEP 249: the second of each column is its type."""
    types = [column[1] for column in description]
    return [
        tuple(_scalar(value, oid) for value, oid in zip(row, types, strict=True)) for row in rows
    ]


def _scalar(value: Any, oid: int) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value).decode()
    if value is None:
        return None
    if oid in NUMBERS:
        return int(value)
    if oid == BOOL and not isinstance(value, bool):
        return str(value).lower() in ("t", "true", "1")
    return value
