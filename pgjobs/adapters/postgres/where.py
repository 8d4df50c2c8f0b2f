"""How a selection becomes a WHERE: the same meaning as ``matches``, condition by condition.

A condition that is NULL counts as false, and columns that Oban for Elixir leaves empty count as
``{}`` or ``[]``, as they are read. States are written into the SQL, so that partial indexes are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pgjobs.adapters.postgres.names import Names, literal
from pgjobs.adapters.postgres.values import Parameters
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.job import JobState
from pgjobs.rules.selection import (
    INSTANT_FIELDS,
    INTEGER_FIELDS,
    JSON_FIELDS,
    LIST_FIELDS,
    AtMost,
    AttemptsLeft,
    Condition,
    Contains,
    HasAll,
    OneOf,
    Selection,
    is_by_id,
)

NEVER = "false"
_INT8 = range(-(2**63), 2**63)
_TEXT_FIELDS = ("queue", "worker")


def where(selection: Selection, names: Names, parameters: Parameters, alias: str = "") -> str:
    """The condition for ``selection``; ``true`` where there is none.

    Jobs that are named by id are sought by it: no index offers what stands in a CASE. Of their states the
    planner may think little, and walk all that are in them to find the few.
    """
    prefix = f"{alias}." if alias else ""
    once: list[Condition] = []
    for condition in selection.conditions:
        if condition not in once:
            once.append(condition)
    named = [condition for condition in once if is_by_id(condition)]
    rest = [condition for condition in once if not is_by_id(condition)]
    parts = [_condition(condition, names, parameters, prefix) for condition in (*named, *rest)]
    if named and rest:
        others = " AND ".join(parts[len(named) :])
        parts[len(named) :] = [f"CASE WHEN {others} THEN true ELSE false END"]
    return " AND ".join(parts) or "true"


HEAD_ORDER = "state, queue, priority, scheduled_at, id"
"""The order of the index that a queue's jobs of one state are read from."""


def at_head(selection: Selection, names: Names, parameters: Parameters) -> tuple[str, str] | None:
    """The same condition, and the order to ask for, so that a LIMIT reads the head of the index alone.

    None but for one state of one queue, and where jobs are named by id. State and queue are compared
    as a row, the state as a query of its own: there the planner asks no statistics, and takes it for
    a ninth of the table. Of ``state = 'available'`` it may think little, having seen few or none at
    the last ANALYZE; then it reads and sorts all there is for each claim.
    """
    state, queue = (_only(selection, field) for field in ("state", "queue"))
    if state is None or queue is None or not storable(queue) or "id" in _fields(selection):
        return None
    rest = Selection(
        tuple(
            condition
            for condition in selection.conditions
            if not (isinstance(condition, OneOf) and condition.field in ("state", "queue"))
        )
    )
    edge = f"((SELECT {literal(state)}::{names.state}), {parameters.text(queue)})"
    inside = f"(state, queue) >= {edge} AND (state, queue) <= {edge}"
    return f"{inside} AND {where(rest, names, parameters)}", HEAD_ORDER


def first_of_every_queue(selection: Selection, names: Names, parameters: Parameters) -> str | None:
    """A query of the jobs of one state over all queues, of which the first alone is right and locked.

    Limit it to that. None where a queue or jobs are named. The queues are found in one index, from one to the
    next, and sorted by their first jobs: that costs a few pages for each, and nothing for what waits
    behind it. Then the first is locked, and no other: of a queue whose head is taken, the next.
    """
    state = _only(selection, "state")
    if state is None or not {"queue", "id"}.isdisjoint(_fields(selection)):
        return None
    rest = Selection(
        tuple(
            condition
            for condition in selection.conditions
            if not (isinstance(condition, OneOf) and condition.field == "state")
        )
    )
    only = f"(SELECT {literal(state)}::{names.state})"
    condition = where(rest, names, parameters)

    def following(queue: str) -> str:
        return f"""SELECT queue FROM {names.jobs}
      WHERE (state, queue) > ({only}, {queue}) AND state <= {only} ORDER BY {HEAD_ORDER} LIMIT 1"""

    def head_of(queue: str) -> str:
        return f"""SELECT id, priority, scheduled_at FROM {names.jobs}
    WHERE (state, queue) >= ({only}, {queue}) AND (state, queue) <= ({only}, {queue}) AND {condition}
    ORDER BY {HEAD_ORDER} LIMIT {up_to("1")}"""

    return f"""SELECT first.id FROM (
    WITH RECURSIVE found AS (
      SELECT ({following("''")}) AS queue
      UNION ALL
      SELECT ({following("found.queue")}) FROM found WHERE found.queue IS NOT NULL
    )
    SELECT found.queue, head.* FROM found CROSS JOIN LATERAL ({head_of("found.queue")}) AS head
    WHERE found.queue IS NOT NULL ORDER BY head.priority, head.scheduled_at, head.id
  ) AS head CROSS JOIN LATERAL (
    {head_of("head.queue")}
    FOR UPDATE SKIP LOCKED
  ) AS first
  ORDER BY head.priority, head.scheduled_at, head.id"""


def up_to(number: str) -> str:
    """The LIMIT ``number``, not shown to the planner, which then counts on a tenth of the rows.

    So it reads an index in the order that is asked for. Where it believes that there are no more rows
    than ``number``, it would as soon read and sort them all, however many there are.
    """
    return f"(SELECT {number})"


def by_id(given: str) -> str:
    """That the row ``job`` has the id ``given`` of another row, whatever the planner takes the table for.

    Of ``job.id = given`` it may make a merge of the whole primary key, or a walk of it for each row:
    where it believes in a table of one row, that costs no more. Of an array of one it cannot.
    """
    return f"job.id = ANY (ARRAY[{given}])"


def _fields(selection: Selection) -> list[str]:
    return [condition.field for condition in selection.conditions if isinstance(condition, OneOf)]


def _only(selection: Selection, field: str) -> str | None:
    """The one value that ``field`` may have."""
    found = {
        condition.values
        for condition in selection.conditions
        if isinstance(condition, OneOf) and condition.field == field
    }
    if len(found) != 1:
        return None
    (values,) = found
    return str(values[0]) if len(values) == 1 and values[0] is not None else None


def storable(text: str) -> bool:
    """Whether a text column could hold it; what it cannot hold, no row has."""
    return "\x00" not in text and (
        text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
    )


def _condition(condition: Condition, names: Names, parameters: Parameters, prefix: str) -> str:
    if isinstance(condition, OneOf):
        return _one_of(condition, names, parameters, prefix)
    if isinstance(condition, Contains):
        column = prefix + _known(condition.field, JSON_FIELDS)
        if condition.field == "errors":
            return f"to_jsonb({column}) @> {parameters.json(condition.part)}"
        if not condition.part:
            return f"coalesce({column}, '{{}}') @> '{{}}'"
        return f"{column} @> {parameters.json(condition.part)}"
    if isinstance(condition, HasAll):
        column = prefix + _known(condition.field, LIST_FIELDS)
        if not all(map(storable, condition.values)):
            return NEVER
        if not condition.values:
            return "true"
        return f"{column}::text[] @> {parameters.texts(condition.values)}"
    if isinstance(condition, AtMost):
        column = prefix + _known(condition.field, (*INSTANT_FIELDS, *INTEGER_FIELDS))
        return _at_most(column, condition.bound, parameters)
    assert isinstance(condition, AttemptsLeft)
    return f"{prefix}attempt < {prefix}max_attempts"


def _one_of(condition: OneOf, names: Names, parameters: Parameters, prefix: str) -> str:
    column = prefix + condition.field
    values = [value for value in condition.values if value is not None]
    parts = [f"{column} IS NULL"] if len(values) < len(condition.values) else []
    if condition.field == "state":
        parts.extend(_states(column, values, names))
    elif condition.field == "id" and len(values) > 1:
        numbers = [int(value) for value in values if value in _INT8]
        parts.append(f"{column} = ANY (ARRAY(SELECT unnest({parameters.numbers(numbers)})))")
    elif condition.field in INTEGER_FIELDS:
        numbers = [int(value) for value in values if value in _INT8]
        parts.extend(_equal(column, numbers, parameters.number, parameters.numbers))
    elif condition.field in INSTANT_FIELDS:
        parts.extend(_equal(column, values, parameters.instant, parameters.instants))
    else:
        column = prefix + _known(condition.field, _TEXT_FIELDS)
        texts = [value for value in values if storable(value)]
        parts.extend(_equal(column, texts, parameters.text, parameters.texts))
    return f"({' OR '.join(parts)})" if parts else NEVER


def _states(column: str, values: Sequence[Any], names: Names) -> list[str]:
    known = [state for state in JobState if state in values]
    if not known:
        return []
    listed = ", ".join(f"{literal(state.value)}::{names.state}" for state in known)
    return [f"{column} = {listed}" if len(known) == 1 else f"{column} IN ({listed})"]


def _equal(column: str, values: Sequence[Any], one: Any, many: Any) -> list[str]:
    if not values:
        return []
    return [
        f"{column} = {one(values[0])}" if len(values) == 1 else f"{column} = ANY({many(values)})"
    ]


def _at_most(column: str, bound: datetime | int, parameters: Parameters) -> str:
    if isinstance(bound, datetime):
        return f"{column} <= {parameters.instant(bound)}"
    if bound not in _INT8:
        return f"{column} IS NOT NULL" if bound > 0 else NEVER
    return f"{column} <= {parameters.number(bound)}"


def _known(field: str, fields: tuple[str, ...]) -> str:
    if field not in fields:
        raise ConfigurationError(f"{field!r} cannot be selected by this condition")
    return field
