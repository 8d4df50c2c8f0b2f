"""The table of guarantees names tests and scenarios that exist, for every edge of the contract."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "guarantees.md"
EDGES = range(1, 18)

_ROW = re.compile(r"^## (\d+)\. (.+?)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_TEST = re.compile(r"`(\w+/[\w/]+\.py)::(\w+)`")
_SCENARIO = re.compile(r"`scenarios/([\w-]+\.yaml)`")


def sections() -> dict[int, str]:
    return {int(number): text for number, _, text in _ROW.findall(PAGE.read_text("utf-8"))}


@pytest.mark.parametrize("edge", EDGES)
def test_an_edge_has_tests_that_exist_and_one_that_is_named_after_it(edge: int) -> None:
    text = sections()[edge]
    named = _TEST.findall(text)
    assert any(test.startswith(f"test_edge_{edge}_") for _, test in named)
    for file, test in named:
        assert re.search(
            rf"^\s*(async )?def {test}\b", (ROOT / file).read_text("utf-8"), re.MULTILINE
        ), f"{file} has no {test}"
    for scenario in _SCENARIO.findall(text):
        assert (ROOT / "scenarios" / scenario).is_file(), scenario


def test_the_page_tells_every_edge_once_in_order() -> None:
    assert [*EDGES] == [int(number) for number, _, _ in _ROW.findall(PAGE.read_text("utf-8"))]


def test_every_test_of_the_edges_is_in_its_section() -> None:
    source = (ROOT / "tests" / "edges" / "test_edges.py").read_text("utf-8")
    told = sections()
    for test, edge in re.findall(r"^def (test_edge_(\d+)_\w+)", source, re.MULTILINE):
        assert f"::{test}`" in told[int(edge)], test
