"""How values travel: parameters as text, whatever the driver; columns back as Python's own.

Every parameter is a text (or None) that SQL casts, ``$1::text::bigint``: libpq, psycopg, asyncpg and
any other driver then send the same thing, and none has to know PostgreSQL's types. Instants are
naive UTC in the table and aware in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pgjobs.rules.jsonb import encoder

json_text = encoder()
"""A JSON value as compact text."""


def instant_text(at: datetime) -> str:
    """An aware instant as a ``timestamp`` in UTC."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.replace(tzinfo=None).isoformat(" ")


def array_text(items: Sequence[str | None]) -> str:
    """An array of texts; empty for an array of nothing but None, which ``unnest`` fills up again."""
    if not any(item is not None for item in items):
        return "{}"
    if None in items:
        return "{" + ",".join([_element(item) for item in items]) + "}"
    joined = '","'.join(items)  # type: ignore[arg-type]  # none is None here
    if "\\" in joined or joined.count('"') != 2 * (len(items) - 1):
        return "{" + ",".join([_element(item) for item in items]) + "}"
    return '{"' + joined + '"}'


def digests_text(items: Sequence[str | None]) -> str | None:
    """Digests, or anything else without commas, with commas between; None where that tells not all."""
    if "" in items:
        return None
    joined = ",".join([item or "" for item in items])
    return joined if joined.count(",") == len(items) - 1 else None


def numbers_text(items: Iterable[int]) -> str:
    """An array of whole numbers."""
    return "{" + ",".join(map(str, items)) + "}"


def _element(item: str | None) -> str:
    if item is None:
        return "NULL"
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


LONGEST_SPAN = 10**17
"""Microseconds, three thousand years: sums of instants and spans stay within what PostgreSQL holds."""


def instants_text(values: Sequence[datetime | None]) -> str:
    """An array of instants, of which most are equal."""
    shown: dict[datetime | None, str | None] = {None: None}
    for at in values:
        if at not in shown:
            assert at is not None
            shown[at] = instant_text(at)
    return array_text([shown[at] for at in values])


def span_text(value: timedelta) -> str:
    """A span as whole microseconds."""
    return str(min(value // timedelta(microseconds=1), LONGEST_SPAN))


class Parameters:
    """The parameters of one statement, numbered as they are added; each method gives the SQL for it."""

    def __init__(self) -> None:
        self._values: list[str | None] = []

    @property
    def values(self) -> tuple[str | None, ...]:
        return tuple(self._values)

    def text(self, value: str | None) -> str:
        self._values.append(value)
        return f"${len(self._values)}::text"

    def texts(self, values: Sequence[str | None]) -> str:
        return f"{self.text(array_text(values))}::text[]"

    def digests(self, values: Sequence[str | None]) -> str:
        """Texts that the server reads in a fifth of the time: an array's elements may need unquoting."""
        joined = digests_text(values)
        if joined is None:
            return self.texts(values)
        return f"string_to_array({self.text(joined)}, ',', '')"

    def number(self, value: int) -> str:
        return f"{self.text(str(value))}::bigint"

    def numbers(self, values: Iterable[int]) -> str:
        return f"{self.text(numbers_text(values))}::bigint[]"

    def truth(self, value: bool | None) -> str:
        return f"{self.text(None if value is None else str(value))}::boolean"

    def instant(self, at: datetime) -> str:
        return f"{self.text(instant_text(at))}::timestamp"

    def instants(self, values: Sequence[datetime | None]) -> str:
        return f"{self.text(instants_text(values))}::timestamp[]"

    def span(self, value: timedelta) -> str:
        return f"({self.text(span_text(value))}::bigint * interval '1 microsecond')"

    def json(self, value: Any) -> str:
        return f"{self.text(json_text(value))}::jsonb"

    def jsons(self, values: Sequence[str | None]) -> str:
        """JSON values, as texts already."""
        return f"{self.text(array_text(values))}::jsonb[]"
