"""Every statement keeps its promise on every table at its worst, of any size, under any plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Find
from pgjobs.rules.selection import filtered
from tests.plans import tables
from tests.plans.catalogue import CASES
from tests.plans.explaining import MODES, Touched, touched
from tests.plans.promises import BATCH, KEY, UNIQUE, Case, There
from tests.plans.tables import GROUP, Table

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

SMALLER = 10
"""How many times the smaller table goes into the larger: what is bounded must not tell them apart."""
HUGE = 1_000_000
"""Rows from which on what has no bound is not asked for."""
LEAF = 60
"""Dead entries of an index that fit on a page at the least."""


def there(dsn: str, table: Table) -> There:
    store = PostgresStore(dsn, schema=table.schema)
    executing = store.run(Find(filtered({"state": "executing"})))
    waiting = store.run(Find(filtered({"state": "available", "queue": "default"}), "-id", BATCH))
    store.close()
    (grouped, *_) = [job for job in executing if job.meta.get("pgjobs_unique") == GROUP]
    return There(tuple(executing[:BATCH]), tuple(waiting), grouped)


@pytest.mark.parametrize("worst", tables.WORST)
def test_every_statement_keeps_its_promise(
    worst: str, new_database: Callable[[], str], pytestconfig: pytest.Config
) -> None:
    rows: int = pytestconfig.getoption("--plans-rows")
    broken: list[str] = []
    for size in (rows // SMALLER, rows):
        dsn = new_database()
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
            table = tables.made(connection, worst, size)
            given = there(dsn, table)
            for name, case in CASES.items():
                if case.rows is None and size > HUGE:
                    continue
                for mode in MODES:
                    found = _measured(connection, case, given, table, mode)
                    said = "; ".join(complaints(case, found, worst, table))
                    if said:
                        broken.append(f"{name} ({mode}, {size:,} rows): {said}")
    assert not broken, "\n".join(broken)


def _measured(
    connection: tables.Connection, case: Case, given: There, table: Table, mode: str
) -> Touched:
    """A connection that does something for the first time reads the catalogs besides."""
    found = touched(connection, case.effect(given), table.schema, mode, own=case.own)
    if case.pages is not None and found.pages > case.pages:
        found = touched(connection, case.effect(given), table.schema, mode, own=case.own)
    return found


def complaints(case: Case, found: Touched, worst: str, table: Table) -> Iterator[str]:
    """How ``found`` breaks the promise of ``case``."""
    if case.rows is None or not believed(case, worst):
        if found.rows > (1 + case.heads) * table.rows + 10_000:
            yield f"{found.rows:,} rows are more than the table has"
        return
    assert case.pages is not None
    if found.whole:
        yield "reads the whole table"
    if more := found.indexes - {*case.indexes}:
        yield f"uses {', '.join(sorted(more))}"
    if found.rows > case.rows:
        yield f"{found.rows:,} rows, promised are {case.rows:,}"
    dead = case.heads * table.rows // LEAF if worst == "nine_tenths_dead" else 0
    if found.pages > case.pages + dead:
        yield f"{found.pages:,} pages, promised are {case.pages:,}"


def believed(case: Case, worst: str) -> bool:
    """Whether the promise is one for this table, too.

    Two are out of any statement's reach, until the next ANALYZE (of autovacuum: a minute). Where half of
    the table was seen to execute, all of it is read for what executes; and where one row was seen on as
    many pages, any way to read them looks the same, but for the row of an id or a fingerprint.
    """
    if worst == "analysed_in_a_rush":
        return not case.running
    return worst != "analysed_when_emptied" or {*case.indexes} <= {KEY, UNIQUE}
