"""How a change becomes the SET clause of an UPDATE: the fields of ``lifecycle.apply``, no more.

``one`` renders the same change for every row that an UPDATE touches; ``each`` renders settlements,
where every row has a change of its own, read from arrays side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgjobs.adapters.postgres.names import Names, literal
from pgjobs.adapters.postgres.values import (
    Parameters,
    array_text,
    instants_text,
    json_text,
    numbers_text,
)
from pgjobs.rules.job import FINAL, MAX_ATTEMPTS, JobState
from pgjobs.rules.lifecycle import Change, Settlement

_ISO = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""


def one(change: Change, names: Names, parameters: Parameters) -> str:
    """The assignments of ``change`` to the row ``job``."""
    set_: dict[str, str] = {"state": f"{literal(change.state.value)}::{names.state}"}
    attempt = "job.attempt"
    if change.attempt_by:
        attempt = set_["attempt"] = f"job.attempt + {parameters.number(change.attempt_by)}"
    if change.attempted_by is not None:
        set_["attempted_by"] = parameters.texts(change.attempted_by)
    if change.scheduled_at is not None:
        set_["scheduled_at"] = parameters.instant(change.scheduled_at)
    if change.revive:
        set_ |= dict.fromkeys(("completed_at", "discarded_at", "cancelled_at"), "NULL")
        set_["attempt"] = capped = f"least({attempt}, {MAX_ATTEMPTS - 1})"
        set_["max_attempts"] = f"greatest(job.max_attempts, {capped} + 1)"
    if change.state is JobState.EXECUTING:
        set_["attempted_at"] = parameters.instant(change.at)
    elif change.state in FINAL:
        set_[f"{change.state.value}_at"] = parameters.instant(change.at)
    if change.error is not None:
        entry = _entry(parameters.instant(change.at), parameters.text(change.error))
        set_["errors"] = f"job.errors || {entry}"
    if change.meta:
        set_["meta"] = f"coalesce(job.meta, '{{}}') || {parameters.json(dict(change.meta))}"
    return ", ".join(f"{column} = {value}" for column, value in set_.items())


def each(
    settlements: Sequence[Settlement], names: Names, parameters: Parameters
) -> tuple[str, str]:
    """The assignments to the row ``job``, and the rows ``given`` that they come from.

    ``given`` has ``n`` (from 1), ``id`` and ``token`` beside the fields of the changes. Columns that
    no change sets travel as empty arrays, which ``unnest`` fills up with NULL. Each array is a query of its
    own, so that the planner does not count its rows: it would rather read a table that it takes for
    empty than look up so many ids in it.
    """
    texts = zip(_COLUMNS.items(), columns_of(settlements), strict=True)
    columns = {name: f"{parameters.text(text)}::{kind}" for (name, kind), text in texts}
    stamps = ", ".join(
        f"{state.value}_at = CASE given.state WHEN {literal(state.value)} THEN given.at "
        f"ELSE job.{state.value}_at END"
        for state in FINAL
    )
    assignments = (
        f"state = given.state::{names.state}, "
        "attempt = job.attempt + coalesce(given.attempt_by, 0), "
        "scheduled_at = coalesce(given.scheduled_at, job.scheduled_at), "
        f"{stamps}, "
        "errors = CASE WHEN given.error IS NULL THEN job.errors "
        f"ELSE job.errors || {_entry('given.at', 'given.error')} END, "
        "meta = CASE WHEN given.meta IS NULL THEN job.meta "
        "ELSE coalesce(job.meta, '{}') || given.meta END"
    )
    arrays = ", ".join(f"(SELECT {values})" for values in columns.values())
    rows = f"unnest({arrays}) WITH ORDINALITY AS given({', '.join(columns)}, n)"
    return assignments, rows


_COLUMNS = {
    "id": "bigint[]",
    "token": "text[]",
    "state": "text[]",
    "at": "timestamp[]",
    "attempt_by": "text[]::bigint[]",
    "scheduled_at": "timestamp[]",
    "error": "text[]",
    "meta": "jsonb[]",
}


def columns_of(settlements: Sequence[Settlement]) -> tuple[str, ...]:
    """The parameters of ``each``: the columns of ``given`` as arrays, but for ``n``."""
    changes = [settlement.change for settlement in settlements]
    assert all(change.attempted_by is None and not change.revive for change in changes)
    assert all(change.state is not JobState.EXECUTING for change in changes)
    return (
        numbers_text(settlement.id for settlement in settlements),
        array_text([settlement.token for settlement in settlements]),
        array_text([change.state.value for change in changes]),
        instants_text([change.at for change in changes]),
        array_text(_attempts(changes)),
        instants_text([change.scheduled_at for change in changes]),
        array_text([change.error for change in changes]),
        array_text([json_text(dict(change.meta)) if change.meta else None for change in changes]),
    )


def cancelled(given: str, names: Names) -> str:
    """The assignments to the row ``job`` of a cancellation whose instant and error are in ``given``."""
    return (
        f"state = 'cancelled'::{names.state}, cancelled_at = {given}.at, "
        f"errors = CASE WHEN {given}.error IS NULL THEN job.errors "
        f"ELSE job.errors || {_entry(f'{given}.at', f'{given}.error')} END"
    )


def _attempts(changes: Sequence[Change]) -> list[str | None]:
    return [str(change.attempt_by) if change.attempt_by else None for change in changes]


def _entry(at: str, error: str) -> str:
    """An element for ``errors``. ``||`` appends it to ``jsonb`` and to ``jsonb[]`` alike."""
    return (
        f"jsonb_build_object('at', to_char({at}, {_ISO}), 'attempt', job.attempt, 'error', {error})"
    )
