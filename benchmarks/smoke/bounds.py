"""Decides whether a count has grown: what was found against the bounds that the repository holds.

A bound is ``measured`` and the share by which a count may be above it. More than that fails. One that is
below it by more than twice that share is told to be tightened, for such a bound would not see it grow
back. Some counts depend on the interpreter, and have a bound for each that was tried; where none is
known, that is told.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

BOUNDS = Path(__file__).with_name("bounds.toml")
GROWN = """\
Fewer is better, and some counts have grown beyond their bounds. What made them grow is found by
`git bisect run make bench-smoke ONLY=<the part in brackets>`. Where it is worth its price,
`make bench-smoke RENEW=1` writes what was found into {path}:
commit it with the change, and say there what it buys."""
TIGHTEN = """\
Some counts have fallen far below their bounds, which would not see them grow back. Tighten these:
`make bench-smoke RENEW=1` writes what was found into {path};
commit it."""
UNBOUND = """\
Counts without a bound are new, or of an interpreter that has none: `make bench-smoke RENEW=1` adds them."""


class Answer(Enum):
    """What a count is found to be."""

    OK = "ok"
    GROWN = "GROWN"
    TIGHTEN = "TIGHTEN"
    UNBOUND = "no bound"


@dataclass(frozen=True, slots=True)
class Bound:
    """``measured`` once, and the share by which a count may be above it (0.05 is 5 %)."""

    measured: float
    slack: float

    @property
    def most(self) -> float:
        """The most that is let pass. Where nothing was measured, nothing is."""
        return self.measured * (1 + self.slack)

    @property
    def least(self) -> float:
        """Below that the bound is to be tightened."""
        return self.measured * (1 - 2 * self.slack)


@dataclass(frozen=True, slots=True)
class Found:
    """One count: its ``part`` (what is run to get it), its name, its value, and the slack that suits it.

    ``interpreter`` is that on which the value depends; an empty text where it depends on none.
    """

    part: str
    name: str
    value: float
    slack: float = 0.05
    interpreter: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A count beside its bound."""

    found: Found
    bound: Bound | None

    @property
    def answer(self) -> Answer:
        """Whether it grew."""
        if self.bound is None:
            return Answer.UNBOUND
        if self.found.value > self.bound.most:
            return Answer.GROWN
        return Answer.TIGHTEN if self.found.value < self.bound.least else Answer.OK

    @property
    def fails(self) -> bool:
        """Whether the check fails for it."""
        return self.answer is Answer.GROWN

    def line(self) -> str:
        """Found, expected and bound, as a line of the table."""
        bound, found = self.bound, self.found
        expected = "" if bound is None else f"{bound.measured:>11,.2f} {bound.most:>11,.2f}"
        change = ""
        if bound is not None and bound.measured and self.answer is not Answer.OK:
            change = f" {found.value / bound.measured - 1:+.1%}"
        name = f"{found.name} [{found.part}]"
        said = f"  {found.said}" if found.said else ""
        return f"{name:<66} {found.value:>11,.2f} {expected:<23} {self.answer.value}{change}{said}"


def remedies(verdicts: Iterable[Verdict], path: Path) -> list[str]:
    """What to do, for each answer that asks for something."""
    given = {each.answer for each in verdicts}
    texts = {Answer.GROWN: GROWN, Answer.TIGHTEN: TIGHTEN, Answer.UNBOUND: UNBOUND}
    return [text.format(path=path) for answer, text in texts.items() if answer in given]


HEAD = f"{'':<66} {'found':>11} {'measured':>11} {'at most':>11}"


def read(path: Path = BOUNDS) -> dict[str, Any]:
    """The bounds, as the file has them."""
    return tomllib.loads(path.read_text())


def judged(found: Iterable[Found], bounds: Mapping[str, Any]) -> list[Verdict]:
    """Each count beside its bound, if there is one."""
    return [Verdict(each, _bound(each, bounds)) for each in found]


def _bound(found: Found, bounds: Mapping[str, Any]) -> Bound | None:
    given = bounds.get(found.part, {}).get(found.name)
    if given is not None and found.interpreter:
        given = given.get(found.interpreter)
    return None if given is None else Bound(given["measured"], given["slack"])


def renewed(found: Iterable[Found], bounds: Mapping[str, Any]) -> dict[str, Any]:
    """The bounds with what was found in the place of what was measured before."""
    parts: dict[str, Any] = {part: dict(names) for part, names in bounds.items()}
    for each in found:
        names = parts.setdefault(each.part, {})
        measured = {"measured": round(each.value, 2), "slack": each.slack}
        if each.interpreter:
            names[each.name] = names.get(each.name, {}) | {each.interpreter: measured}
        else:
            names[each.name] = measured
    return parts


def written(bounds: Mapping[str, Any], preface: str) -> str:
    """The file's text."""
    lines = [preface.rstrip(), ""]
    for part, names in bounds.items():
        lines.append(f"[{part}]")
        for name, given in names.items():
            lines += _entries(name, given)
        lines.append("")
    return "\n".join(lines)


def _entries(name: str, given: Mapping[str, Any]) -> list[str]:
    if "measured" in given:
        return [f'"{name}" = {_value(given)}']
    return [
        f'"{name}"."{interpreter}" = {_value(given[interpreter])}' for interpreter in sorted(given)
    ]


def _value(given: Mapping[str, Any]) -> str:
    return f"{{ measured = {given['measured']}, slack = {given['slack']} }}"


def preface(path: Path = BOUNDS) -> str:
    """The comment with which the file begins."""
    lines = path.read_text().splitlines() if path.exists() else []
    return "\n".join(line for line in lines if line.startswith("#"))
