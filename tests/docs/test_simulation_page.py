"""The page on simulated worlds names every fault, invariant, mark and method that there is, and no other."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from pgjobs_testing import invariants
from pgjobs_testing.invariants import EXPECTED_MARKS
from pgjobs_testing.nodes.traps import ANY, EFFECTS, FAILURES
from pgjobs_testing.simulation.verdict import FAULTS
from pgjobs_testing.simulation.world import World

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "simulation.md"
NUMBERS = re.compile(r"(edges?|bugs?) ((?:\d+(?:, )?)+)")


def section(title: str) -> str:
    found = re.search(
        rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found is not None, title
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of each row whose first cell is code."""
    found = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in found]


def named(cell: str) -> list[str]:
    return [each.partition("(")[0] for each in re.findall(r"`([^`]+)`", cell)]


def alarms() -> dict[str, dict[str, set[int]]]:
    """Each invariant with the edges and bugs that the docstring of its judge names."""
    found: dict[str, dict[str, set[int]]] = {}
    for file in sorted(Path(invariants.__file__).parent.glob("*.py")):
        for judge in ast.parse(file.read_text("utf-8")).body:
            if not isinstance(judge, ast.FunctionDef | ast.ClassDef):
                continue
            told: dict[str, set[int]] = {}
            docstring = re.sub(r"\s+", " ", ast.get_docstring(judge) or "")
            for kind, numbers in NUMBERS.findall(docstring):
                told.setdefault(kind.rstrip("s"), set()).update(
                    map(int, re.findall(r"\d+", numbers))
                )
            found |= dict.fromkeys(_raised_in(judge), told)
    return found


def _raised_in(judge: ast.AST) -> list[str]:
    return [
        str(call.args[0].value)
        for call in ast.walk(judge)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("alarm", "_alarm")
        and call.args
        and isinstance(call.args[0], ast.Constant)
    ]


def test_every_fault_is_told_once_in_order() -> None:
    assert [*FAULTS] == [named(row[0])[0] for row in rows(section("Faults"))]


def test_every_invariant_is_told_once_with_the_edges_and_bugs_that_it_is_for() -> None:
    table = rows(section("Invariants"))
    told = {named(row[0])[0]: row for row in table}
    expected = alarms()
    assert len(told) == len(table)
    assert sorted(expected) == sorted(told)
    for name, row in told.items():
        for place, kind in ((2, "edge"), (3, "bug")):
            numbers = {int(each) for each in re.findall(r"\d+", row[place])}
            assert expected[name].get(kind, set()) == numbers, f"{kind}s of {name}"


def test_every_mark_is_told_with_the_words_of_the_code() -> None:
    told = {named(row[0])[0]: row[1] for row in rows(section("Marks"))}
    assert EXPECTED_MARKS == told


def test_every_method_of_a_world_is_told_with_its_effects_and_failures() -> None:
    told = {name for row in rows(section("`World`")) for name in named(row[0])}
    methods = {name for name, _ in inspect.getmembers(World) if not name.startswith("_")}
    arguments = {*inspect.signature(World).parameters}
    expected = {*methods, *arguments, *EFFECTS, ANY, *FAILURES, "clock.now"} - {"clock"}
    assert expected == told
