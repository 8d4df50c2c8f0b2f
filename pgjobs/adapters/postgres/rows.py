"""How rows become jobs: each decoded once, as directly as Python allows.

What is read has the types of ``Job`` whichever shape the table has: ``errors`` as ``jsonb`` or
``jsonb[]``, and columns that Oban for Elixir leaves empty.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from pgjobs.rules.job import COLUMNS, CancelFlag, Job, JobState, made
from pgjobs.rules.schedule import LAST_INSTANT

Row = tuple[Any, ...]

_READ = {
    "state": "{j}state::text",
    "args": "{j}args::text",
    "meta": "coalesce({j}meta, '{{}}')::text",
    "tags": "coalesce({j}tags, '{{}}')",
    "errors": "to_jsonb({j}errors)::text",
    "attempted_by": "coalesce({j}attempted_by, '{{}}')",
}
FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)
_FIRST_STAMP = COLUMNS.index("inserted_at")
_STATES = {state.value: state for state in JobState}


@cache
def job_columns(alias: str = "") -> str:
    """The columns of a job in a SELECT or RETURNING, in the order that ``job`` takes."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(_READ.get(name, "{j}" + name).format(j=prefix) for name in COLUMNS)


def job(row: Row) -> Job:
    """The job of a row of ``job_columns``; further columns are left alone."""
    args, meta, errors = row[4], row[5], row[7]
    worker = row[3]
    try:
        decoded = (
            _scan(args, 0)[0] if args != "{}" else {},
            _scan(meta, 0)[0] if meta != "{}" else {},
            tuple(_scan(errors, 0)[0]) if errors != "[]" else (),
        )
    except (ValueError, RecursionError):
        worker, decoded = _hardly_readable(worker, args, meta, errors)
    return made(
        row[0],
        _STATES[row[1]],
        row[2],
        worker,
        decoded[0],
        decoded[1],
        tuple(row[6]),
        decoded[2],
        row[8],
        row[9],
        row[10],
        tuple(row[11]),
        *row[12:18],
        False,
        False,
        CancelFlag(),
    )


def job_of_text(text: str) -> Job:
    """The job of a row that SQL gave as one JSON array of ``job_columns``."""
    row = json.loads(text)
    row[_FIRST_STAMP:] = map(_instant, row[_FIRST_STAMP:])
    return job(tuple(row))


def _instant(text: str | None) -> datetime | None:
    """A ``timestamp`` as JSON shows it; the first or the last one, where Python has no such instant."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return FIRST_INSTANT if text.startswith("-") or text.endswith("BC") else LAST_INSTANT


_decoder: Any = json.JSONDecoder()
_scan = _decoder.scan_once


def _hardly_readable(
    worker: str, args: str, meta: str, errors: str
) -> tuple[str, tuple[dict[str, Any], dict[str, Any], tuple[Any, ...]]]:
    """JSON of a foreign row that Python's parser does not take: numbers of thousands of digits become
    ``Decimal``; where it is nested too deeply, the job keeps a worker's name that nobody has, so that
    it fails for all to see instead of running with the wrong args."""
    try:
        found = [json.loads(text, parse_int=_number) for text in (args, meta, errors)]
        return worker, (found[0], found[1], tuple(found[2]))
    except RecursionError:
        return f"{worker} (its JSON is nested too deeply to be read)", ({}, {}, ())


def _number(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < 4_000 else Decimal(digits)
