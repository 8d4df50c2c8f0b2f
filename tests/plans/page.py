"""The tables of docs/reference/plans.md, as the catalogue has them.

``python -m tests.plans.page`` writes them.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.plans.catalogue import ROOMS
from tests.plans.promises import KEY, STAGING, STATES, UNIQUE, Case

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "plans.md"
SHORT = {KEY: "id", STATES: "states", STAGING: "staging", UNIQUE: "unique"}
_TABLE = r"(^## {room}\n(?:(?!^## ).*\n)*?\n)(\| statement \|.*\n(?:\|.*\n)*)"


def table(room: str) -> str:
    """The rows of one section."""
    lines = ["| statement | indexes | rows | pages |", "|---|---|---|---|"]
    for name, case in ROOMS[room].items():
        rows = f"{case.rows:,}" if case.rows is not None else case.rest
        pages = f"{case.pages:,}" if case.pages is not None else ""
        lines.append(f"| {name} | {indexes(case)} | {rows} | {pages} |")
    return "\n".join(lines)


def indexes(case: Case) -> str:
    """By their short names; none is told where the planner has its choice."""
    if case.rows is None:
        return ""
    short = dict.fromkeys(SHORT.get(index, "finished") for index in case.indexes)
    return ", ".join(short)


def told(text: str, room: str) -> str:
    """The rows of a section as the page has them."""
    found = re.search(_TABLE.format(room=room), text, re.MULTILINE)
    assert found is not None, room
    return found[2].rstrip("\n")


def main() -> None:
    text = PAGE.read_text("utf-8")
    for room in ROOMS:
        rows = table(room) + "\n"
        pattern = re.compile(_TABLE.format(room=room), re.MULTILINE)
        text = pattern.sub(lambda found, rows=rows: found[1] + rows, text)  # type: ignore[misc]  # bound now
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
