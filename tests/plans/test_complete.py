"""The catalogue is complete: no effect, no place that asks for one, no function that writes SQL is left."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import psycopg
import pytest

import pgjobs
from pgjobs.adapters.postgres import inspecting, privileges, statements
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Statement
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.rules.job import JobState
from pgjobs_testing.conformance.given import NOW, row
from tests.plans import tables
from tests.plans.catalogue import CASES
from tests.plans.explaining import MODES, Touched, explained, told, touched
from tests.plans.promises import BATCH, STATES, There
from tests.plans.test_plans import there

ROOT = Path(pgjobs.__file__ or "").parent
KINDS = {kind.__name__ for kind in statements._PLANS}
MODULES = {"effects", "leading"}
RUN = tuple(
    row(JobState.EXECUTING, id=n, attempted_by=("node", f"t{n}")) for n in range(1, BATCH + 1)
)
THERE = There(RUN, RUN, row(JobState.EXECUTING, id=1, meta={"pgjobs_unique": "always"}))


def test_every_effect_that_the_store_carries_out_has_a_case() -> None:
    assert KINDS == {type(case.effect(THERE)).__name__ for case in CASES.values()}


def test_every_place_that_asks_for_an_effect_has_a_case_and_no_case_is_of_another() -> None:
    assert {*places()} == {place for case in CASES.values() for place in case.places}


def test_a_case_is_asked_for_where_it_says() -> None:
    """``ClaimWithin`` and ``Tick`` are carried out by the statements of another effect, too."""
    within = {"ClaimWithin": "Claim", "Tick": "Insert"}
    for name, case in CASES.items():
        kind = type(case.effect(THERE)).__name__
        asked = {place.rpartition(":")[2] for place in case.places}
        assert {kind} == asked - {within.get(kind)}, name


def places() -> Iterator[str]:
    """Every call in pgjobs that makes an effect: ``file:function:effect``."""
    for path in sorted(ROOT.rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        if not file.startswith("adapters/memory/"):
            tree = ast.parse(path.read_text("utf-8"))
            for function, name in _made(tree, "", {*_imported(tree)}):
                yield f"{file}:{function}:{name}"


def _imported(tree: ast.Module) -> Iterator[str]:
    """The effects, and their modules, that a file has."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            known = {"pgjobs": MODULES, "pgjobs.effects": KINDS, "pgjobs.leading": KINDS}
            yield from {alias.name for alias in node.names} & known.get(node.module or "", set())


def _made(node: ast.AST, function: str, known: set[str]) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        inside = function
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = child.name
        if isinstance(child, ast.Call):
            called = ast.unparse(child.func)
            module, _, name = called.rpartition(".")
            if name in KINDS and (module or name) in known:
                yield function, name
        yield from _made(child, inside, known)


SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\b")
WITHOUT_A_TABLE = {
    ("migrations.py", "_applied"),
    ("migrations.py", "_refuse_another"),
    ("migrations.py", "migration_sql"),
    ("pooler.py", "_process"),
}
"""What is sent when tables are made or a connection is opened, and reads none that grows."""


@pytest.mark.postgres
@pytest.mark.pgjobs(mode="live")
def test_every_function_that_writes_sql_is_run_by_a_case(
    new_database: Callable[[], str],
) -> None:
    ran: set[tuple[str, str]] = set()

    def entered(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.parent.name == "postgres":
            ran.add((path.name, frame.f_code.co_name))

    dsn = new_database()
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        table = tables.made(connection, "never_analysed", 2_000)
        given = there(dsn, table)
        sys.setprofile(entered)
        try:
            for case in CASES.values():
                touched(connection, case.effect(given), table.schema, MODES[0], own=case.own)
            asked_by_the_doctor(dsn, table.schema)
        finally:
            sys.setprofile(None)
    assert {*writers()} - ran == WITHOUT_A_TABLE & {*writers()}


def writers() -> Iterator[tuple[str, str]]:
    """Functions of the store with SQL in them, docstrings apart."""
    for path in sorted((ROOT / "adapters" / "postgres").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                own = node.body[1:] if ast.get_docstring(node) else node.body
                texts = [
                    text.value
                    for statement in own
                    for text in ast.walk(statement)
                    if isinstance(text, ast.Constant) and isinstance(text.value, str)
                ]
                if any(map(SQL.search, texts)):
                    yield path.name, node.name


class Recording(PostgresStore):
    """Remembers what it was asked."""

    asked: list[Statement]

    def query(self, sql: str, *parameters: str | None) -> list[Row]:
        self.asked.append(Statement(sql, parameters))
        return super().query(sql, *parameters)


def asked_by_the_doctor(dsn: str, schema: str) -> list[Statement]:
    with closing(Recording(dsn, schema=schema)) as store:
        store.asked = []
        inspecting.server(store)
        privileges.privileges(store)
        found = inspecting.tables(store)
        inspecting.executing(store)
        inspecting.neighbours(store, found, NOW)
        return store.asked


def test_the_doctor_asks_all_that_it_can() -> None:
    """By every function that takes a store."""
    taking = {
        name
        for module in (inspecting, privileges)
        for name, value in vars(module).items()
        if callable(value) and "store" in getattr(value, "__annotations__", {})
    }
    assert {"server", "privileges", "tables", "executing", "neighbours"} == taking


@pytest.mark.postgres
@pytest.mark.pgjobs(mode="live")
@pytest.mark.parametrize("worst", ["never_analysed", "analysed_at_rest"])
def test_the_doctor_reads_of_the_jobs_those_that_execute_and_no_other(
    worst: str, new_database: Callable[[], str]
) -> None:
    dsn = new_database()
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        table = tables.made(connection, worst, 20_000)
        with connection.transaction(force_rollback=True):
            total = Touched(frozenset(), False, 0, 0)
            for statement in asked_by_the_doctor(dsn, table.schema):
                if "oban_jobs" in statement.sql and "pg_class" not in statement.sql:
                    total += told(explained(connection, statement))
    assert (frozenset({STATES}), False) == (total.indexes, total.whole)
    assert total.rows <= tables.EXECUTING
