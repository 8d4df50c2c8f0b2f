"""The page on plans tells what the catalogue promises, and of every table at its worst."""

from __future__ import annotations

import pytest

from tests.plans.catalogue import ROOMS
from tests.plans.page import PAGE, table, told
from tests.plans.tables import WORST


@pytest.mark.parametrize("room", ROOMS)
def test_the_page_has_every_statement_with_its_promise(room: str) -> None:
    assert table(room) == told(PAGE.read_text("utf-8"), room)


def test_the_page_names_every_table() -> None:
    text = PAGE.read_text("utf-8")
    assert [name for name in WORST if f"| {name.replace('_', ' ')} |" not in text] == []
