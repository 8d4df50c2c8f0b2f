"""What a curve is: a frozen value that is drawn, written as a table, and read back from JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: ``values`` at the chart's places, None where nothing was measured.

    They are kept in four digits. ``bound`` draws it as what could be had at most, or had to be paid at
    least: it was computed.
    """

    name: str
    values: tuple[float | None, ...]
    bound: bool = False

    def __post_init__(self) -> None:
        kept = (None if value is None else float(f"{value:.4g}") for value in self.values)
        object.__setattr__(self, "values", tuple(kept))


@dataclass(frozen=True, slots=True)
class Chart:
    """Some lines over the same places, which stand at equal distances whatever they are called.

    ``name`` is that of its file and of its place on the page. ``x`` says what the places are, ``y`` the
    quantity with its unit. ``log``: each step up is ten times as much; else the axis begins at 0.
    """

    name: str
    title: str
    x: str
    places: tuple[str, ...]
    y: str
    lines: tuple[Line, ...]
    log: bool = False

    def __post_init__(self) -> None:
        for line in self.lines:
            assert len(line.values) == len(self.places), f"{self.name}: {line.name}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, read: dict[str, Any]) -> Chart:
        lines = tuple(
            Line(line["name"], tuple(line["values"]), line["bound"]) for line in read["lines"]
        )
        return cls(**{**read, "places": tuple(read["places"]), "lines": lines})


def shown(value: float | None) -> str:
    """A figure in as many digits as a noisy machine can mean: three."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    text = f"{rounded:,.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def table(chart: Chart) -> str:
    """The chart as a Markdown table: a row for each place, a column for each line."""
    rows: list[Sequence[str]] = [
        [chart.x, *(line.name for line in chart.lines)],
        ["---", *("---:" for _ in chart.lines)],
    ]
    rows += [
        [place, *(shown(line.values[n]) for line in chart.lines)]
        for n, place in enumerate(chart.places)
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
