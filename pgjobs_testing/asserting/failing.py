"""The text of a failed assertion, put together of its parts; never more than ``LINES`` lines.

The first line is what pytest's summary shows, so it says what was found. Below it stand what was
wanted, the nearest subjects field by field, what else there is, and notes that may explain it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pgjobs_testing.asserting.describing import aligned, more
from pgjobs_testing.asserting.expectation import Compared, Expectation, Field
from pgjobs_testing.patterns import Difference
from pgjobs_testing.telling import cut

T = TypeVar("T")

LINES = 60
NEAREST = 3
"""So many subjects are compared field by field."""
DIFFERENCES = 6
"""So many differences of one subject are shown."""


@dataclass(slots=True)
class Failure:
    """The parts of a failure's text: sections have a title and lines, notes stand at the end."""

    headline: str
    wanted: Sequence[str] = ()
    sections: list[tuple[str, list[str]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    legend: str = ""

    def text(self) -> str:
        lines = [self.headline]
        for number, each in enumerate(self.wanted):
            lines.append(f"  {'wanted' if number == 0 else '      '}  {each}")
        for title, body in self.sections:
            lines += ["", f"{title}:", *(f"  {line}".rstrip() for line in body)]
        if self.notes:
            lines += ["", *(f"note: {note}" for note in self.notes)]
        if self.legend:
            lines += ["", self.legend]
        if len(lines) > LINES:
            lines = [*lines[: LINES - 3], *more(len(lines) - LINES + 2, "line"), lines[-1]]
        return "\n".join(lines)


def wanted(expected: Expectation[Any]) -> list[str]:
    """What was asked for, a line for each field."""
    rows = [(each.name, cut(str(each.pattern), plain=True)) for each in expected.wanted]
    return aligned(rows) if rows else ["any job"]


def by_field(compared: Compared[Any]) -> list[str]:
    """Each field of one subject: ✓ and its value, or ✗ and every difference."""
    matched: list[tuple[str, str]] = []
    differing: list[tuple[str, str]] = []
    for each in compared.fields:
        name = each.wanted.name
        if not each.matched:
            differing += [(f"✗ {_path(d)}", _sides(d)) for d in each.differences]
            if rest := _matching_leaves(each):
                others = (
                    "its other value matches" if rest == 1 else f"its {rest} other values match"
                )
                matched.append((f"✓ {name}", others))
        elif not each.implied:
            seen = each.wanted.pattern.seen(each.wanted.of(compared.subject))
            matched.append((f"✓ {name}", cut(seen, plain=True)))
    lines = aligned([*differing[:DIFFERENCES], *matched])
    left_out = more(len(differing) - DIFFERENCES, "difference")
    shown = min(len(differing), DIFFERENCES)
    return [*lines[:shown], *left_out, *lines[shown:]]


def first_difference(compared: Compared[Any]) -> str:
    """The difference that weighs most, on one line."""
    heaviest = max(compared.missed, key=lambda each: each.distance)
    difference = heaviest.differences[0]
    return f"{_path(difference)} {_sides(difference)}"


def _path(difference: Difference) -> str:
    return cut(difference.path, plain=True)


def _sides(difference: Difference) -> str:
    hint = f" ({difference.hint})" if difference.hint else ""
    expected = cut(difference.expected, plain=True)
    return f"expected {expected}, is {difference.actual}{hint}"


def _matching_leaves(each: Field) -> int:
    """How many of the values that a field asks for match, where some do not."""
    if any(difference.share >= 1.5 for difference in each.differences):
        return 0  # one stands for several, and nobody counted
    return each.wanted.pattern.leaves - len(each.differences)


def of_the_same_worker(compared: Sequence[Compared[T]], *, alone: bool) -> Sequence[Compared[T]]:
    """Those of the right worker, where the first is of it (or ``alone``): the others explain nothing."""

    def of_it(each: Compared[T]) -> bool:
        return all(field.wanted.name != "worker" for field in each.missed)

    if alone or (compared and of_it(compared[0])):
        return [each for each in compared if of_it(each)]
    return compared
