"""What PostgreSQL does with a statement: its plan, the rows and the pages that it touched.

A statement is prepared as the store does it, over the protocol and with the types left to the server, and
explained while it runs, under a plan made for its values or for any. What it changes is rolled back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.results import rows_of
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, Statement
from pgjobs.adapters.postgres.statements import plan, plan_of_own
from pgjobs.effects import Effect
from tests.plans.tables import Connection

MODES = ("force_custom_plan", "force_generic_plan")
READS = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan")
SEARCHES = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")


@dataclass(frozen=True)
class Touched:
    """What the statements of an effect touched, all together.

    ``whole``: whether ``oban_jobs`` was read without an index. Bitmap scans name their index alone, so
    ``indexes`` holds those of other tables too, but for primary keys.
    """

    indexes: frozenset[str]
    whole: bool
    rows: int
    pages: int

    def __add__(self, other: Touched) -> Touched:
        return Touched(
            self.indexes | other.indexes,
            self.whole or other.whole,
            self.rows + other.rows,
            self.pages + other.pages,
        )


def touched(
    connection: Connection, effect: Effect[Any], schema: str, mode: str, *, own: bool = False
) -> Touched:
    """What ``effect`` touches, in a transaction that is rolled back.

    COPY has no plan, and reads nothing: it is carried out alone.
    """
    made = (plan_of_own if own else plan)(effect, Names(schema))
    found: list[list[Row]] = []
    total = Touched(frozenset(), False, 0, 0)
    with connection.transaction(force_rollback=True):
        connection.execute(f"SET LOCAL plan_cache_mode = {mode}".encode())
        for statement in _following(made, found):
            if statement.data is not None:
                found.append(_copied(connection, statement.sql, statement.data()))
                continue
            total += told(explained(connection, statement))
            if len(made.statements) > 1 or made.then is not None:
                found.append(_carried_out(connection, statement))
    return total


def told(top: dict[str, Any]) -> Touched:
    """What a plan says of itself."""
    indexes, whole, rows = set(), False, 0
    for node in _nodes(top):
        if not node["Actual Loops"]:
            continue
        kind = node["Node Type"]
        ours = node.get("Relation Name", "oban_jobs") == "oban_jobs"
        if ours and kind in SEARCHES and not _of_another_table(node["Index Name"]):
            indexes.add(node["Index Name"])
        looked_at = node.get("Rows Removed by Join Filter", 0)
        if ours and kind in READS:
            whole = whole or kind == "Seq Scan"
            lost = [
                node.get(f"Rows Removed by {check}", 0) for check in ("Filter", "Index Recheck")
            ]
            looked_at += node["Actual Rows"] + sum(lost)
        rows += round(looked_at * node["Actual Loops"])
    return Touched(
        frozenset(indexes), whole, rows, top["Shared Hit Blocks"] + top["Shared Read Blocks"]
    )


def explained(connection: Connection, statement: Statement) -> dict[str, Any]:
    """The plan of ``statement``, as EXPLAIN (ANALYZE, BUFFERS) has it; its changes are rolled back."""
    _done(connection.pgconn.prepare(b"explained", statement.sql.encode()))
    values = ", ".join(sql.Literal(value).as_string(connection) for value in statement.parameters)
    execute = f"EXECUTE explained ({values})" if values else "EXECUTE explained"
    explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {execute}"
    with connection.transaction(force_rollback=True):
        result = _done(connection.pgconn.exec_(explain.encode()))
    _done(connection.pgconn.exec_(b"DEALLOCATE explained"))
    ((found,),) = [(result.get_value(0, 0),)]
    assert found is not None
    top: dict[str, Any] = json.loads(found)[0]["Plan"]
    return top


def _following(made: Plan[Any], found: Sequence[list[Row]]) -> Iterator[Statement]:
    yield from made.statements
    if made.behind is not None:
        yield made.behind()
    while made.then is not None and (following := made.then(found)) is not None:
        yield following


def _carried_out(connection: Connection, statement: Statement) -> list[Row]:
    values = [None if value is None else value.encode() for value in statement.parameters]
    result = connection.pgconn.exec_params(statement.sql.encode(), values, result_format=1)
    return rows_of(_done(result))


def _copied(connection: Connection, statement: str, data: Iterable[bytes]) -> list[Row]:
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for piece in data:
            copy.write(piece)
    return []


def _done(result: Any) -> Any:
    if result.status not in (psycopg.pq.ExecStatus.TUPLES_OK, psycopg.pq.ExecStatus.COMMAND_OK):
        raise psycopg.errors.error_from_result(result)
    return result


def _of_another_table(index: str) -> bool:
    return index.endswith("_pkey") and index != "oban_jobs_pkey"


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)
