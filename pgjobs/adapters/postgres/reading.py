"""How jobs are read and counted. Texts are ordered by code point (``COLLATE "C"``), empty values last."""

from __future__ import annotations

from collections.abc import Sequence

from pgjobs import effects
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.rows import job, job_columns
from pgjobs.adapters.postgres.statement import Plan, single
from pgjobs.adapters.postgres.values import Parameters
from pgjobs.adapters.postgres.where import up_to, where
from pgjobs.rules.errors import reject_unknown
from pgjobs.rules.job import COLUMNS, FINAL, Job, JobState
from pgjobs.rules.selection import (
    INSTANT_FIELDS,
    INTEGER_FIELDS,
    JSON_FIELDS,
    LIST_FIELDS,
    OneOf,
)

_ENDS = {f"{state}_at": OneOf("state", (state,)) for state in FINAL}
EXECUTING = OneOf("state", (JobState.EXECUTING,))
_SORTABLE = tuple(name for name in COLUMNS if name not in JSON_FIELDS)
_COUNTABLE = ("state", "queue", "worker", *INTEGER_FIELDS)


def find(effect: effects.Find, names: Names) -> Plan[list[Job]]:
    given = Parameters()
    column = effect.order_by.removeprefix("-")
    down = effect.order_by.startswith("-")
    reject_unknown((column,), _SORTABLE, "column to order by")
    parts = [where(effect.selection, names, given)]
    if effect.after is not None:
        parts.append(_behind(effect.after, column, down, given))
    if down and effect.limit is not None and _ENDS.get(column) in effect.selection.conditions:
        return _ended_last(effect, parts, column, names, given)
    order = f"{_sorted(column)}{' DESC' if down else ''} NULLS LAST, id"
    if column not in INSTANT_FIELDS or column in ("inserted_at", "scheduled_at"):
        order = order.replace(" NULLS LAST", "")  # never empty; and so indexes can give this order
    if column == "id" and EXECUTING in effect.selection.conditions:
        order = order.replace(
            "id", "id + 0"
        )  # few execute: they are sorted, not sought by their ids
    limit = "" if effect.limit is None else f"LIMIT {given.number(effect.limit)}"
    sql = f"""
SELECT {job_columns()} FROM {names.jobs}
WHERE {" AND ".join(f"({part})" for part in parts)}
ORDER BY {order} {limit}"""
    return single(sql, given, lambda rows: [job(row) for row in rows])


def _ended_last(
    effect: effects.Find, parts: Sequence[str], column: str, names: Names, given: Parameters
) -> Plan[list[Job]]:
    """Of one final state, the jobs that reached it last: from the end of that state's own index.

    Empty values come last here and first there, so that those are a query of their own: rows of
    another's making, few, and sorted rather than sought by their ids. ``<=`` lets the index begin where
    the page before has ended.
    """
    limit = up_to(given.number(effect.limit or 0))
    condition = " AND ".join(f"({part})" for part in parts)
    begins = ""
    if effect.after is not None and (at := getattr(effect.after, column)) is not None:
        begins = f" AND {column} <= {given.instant(at)}"
    sql = f"""
SELECT {job_columns("job")} FROM (
  (SELECT * FROM {names.jobs} WHERE {condition} AND {column} IS NOT NULL{begins}
  ORDER BY {column} DESC, id LIMIT {limit})
  UNION ALL
  (SELECT * FROM {names.jobs} WHERE {condition} AND {column} IS NULL ORDER BY id + 0 LIMIT {limit})
) AS job
ORDER BY {column} DESC NULLS LAST, id LIMIT {limit}"""
    return single(sql, given, lambda rows: [job(row) for row in rows])


def find_ids(effect: effects.FindIds, names: Names) -> Plan[list[int]]:
    given = Parameters()
    parts = [where(effect.selection, names, given)]
    if effect.after is not None:
        parts.append(f"id > {given.number(effect.after)}")
    sql = f"""
SELECT id FROM {names.jobs} WHERE {" AND ".join(parts)}
ORDER BY id LIMIT {given.number(effect.limit)}"""
    return single(sql, given, lambda rows: [job_id for (job_id,) in rows])


def count(effect: effects.Count, names: Names) -> Plan[dict[str, int]]:
    given = Parameters()
    condition = where(effect.selection, names, given)
    if effect.by is None:
        total = f"SELECT '', count(*) FROM {names.jobs} WHERE {condition}"
        return single(total, given, dict)
    reject_unknown((effect.by,), _COUNTABLE, "column to count by")
    sql = f"""
SELECT {effect.by}::text, count(*) FROM {names.jobs} WHERE {condition} GROUP BY {effect.by}"""
    return single(sql, given, lambda rows: dict(sorted(rows)))


def _behind(after: Job, column: str, down: bool, given: Parameters) -> str:
    value = getattr(after, column)
    if column == "id":
        return f"id {'<' if down else '>'} {given.number(after.id)}"
    by_id = f"id > {given.number(after.id)}"
    sorted_by = _sorted(column)
    if value is None:
        return f"{column} IS NULL AND {by_id}"
    if column in INSTANT_FIELDS:
        bound = given.instant(value)
    elif column in INTEGER_FIELDS:
        bound = given.number(value)
    elif column in LIST_FIELDS:
        bound = given.texts(value)
    else:
        bound = given.text(str(value))
    further = f"{sorted_by} {'<' if down else '>'} {bound}"
    level = f"{sorted_by} = {bound} AND {by_id}"
    return f"{further} OR {level} OR {column} IS NULL"


def _sorted(column: str) -> str:
    """The column as it is compared."""
    if column in LIST_FIELDS:
        return f"coalesce({column}::text[], '{{}}') COLLATE \"C\""
    if column in ("queue", "worker", "state"):
        return f'{column}::text COLLATE "C"'
    return column
