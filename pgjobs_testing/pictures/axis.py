"""Where an instant stands: a time axis to scale, on which long quiet gaps are folded.

A gap is a stretch without any moment. It is folded to a fixed width, and says how long it is, where
the axis to scale would make a typical run narrower than ``LEGIBLE`` pixels while a few gaps take
more than half of it. So a job that runs for 2 s and again a day later is seen to run. Between folds
everything is to scale, and to the same one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

LEGIBLE = 3
"""Pixels that a typical run is to have."""

INVISIBLE = 0.5
"""Pixels below which a typical run is worth many folds."""

FOLD = 44
"""The width of a folded gap."""

PAD = 14
"""Room on each side of what lies between two folds, so that an instant alone can be seen."""

TAIL = 76
"""Room behind the last instant, for the names of what ended there."""

FOLDS, FOLDS_AT_MOST = 4, 12
"""How many folds a picture bears: so many, or where runs are invisible without them so many."""

SECOND = 1_000_000
_STEPS = (
    *(size * 10**power for power in range(6) for size in (1, 2, 5)),
    *(size * SECOND for size in (1, 2, 5, 10, 15, 30)),
    *(size * 60 * SECOND for size in (1, 2, 5, 10, 15, 30)),
    *(size * 3600 * SECOND for size in (1, 2, 3, 6, 12)),
    *(size * 86_400 * SECOND for size in (1, 2, 5, 7, 14, 28, 91, 182)),
    *(size * 365 * 86_400 * SECOND for size in (1, 2, 5, 10, 20, 50, 100, 1000)),
)
"""Distances of ticks that read well, in microseconds."""


@dataclass(frozen=True, slots=True)
class Section:
    """What is to scale: from ``begin`` to ``end`` (microseconds), the former ``left`` pixels in."""

    begin: int
    end: int
    left: float


@dataclass(frozen=True, slots=True)
class Axis:
    """Instants (microseconds after the start) to pixels: ``scale`` pixels a microsecond."""

    sections: tuple[Section, ...]
    scale: float
    width: float
    _begins: tuple[int, ...] = field(repr=False)

    def x(self, at: int) -> float:
        """Pixels from the left edge, ever more with time; instants outside stand at the edges."""
        number = max(0, bisect_right(self._begins, at) - 1)
        section = self.sections[number]
        inside = section.left + (max(section.begin, min(at, section.end)) - section.begin) * (
            self.scale
        )
        if at <= section.end or number + 1 == len(self.sections):
            return inside
        after = self.sections[number + 1]
        share = (at - section.end) / (after.begin - section.end)
        return inside + share * (after.left - inside)

    def folds(self) -> list[tuple[Section, Section]]:
        """The sections on both sides of each folded gap."""
        return list(pairwise(self.sections))

    def ticks(self, apart: float) -> list[int]:
        """Instants to name: round ones at least ``apart`` pixels from each other, one a section."""
        step = next((size for size in _STEPS if size * self.scale >= apart), _STEPS[-1])
        found: list[int] = []
        for section in self.sections:
            first = -(-section.begin // step) * step
            inside = list(range(first, section.end + 1, step))
            if not inside:
                inside = [section.begin]
            elif (first - section.begin) * self.scale >= apart:
                inside.insert(0, section.begin)
            found += inside
        return found


def axis(instants: Iterable[int], runs: Iterable[int], width: float) -> Axis:
    """The axis over ``instants`` (microseconds); ``runs`` are the durations that are to be seen."""
    points = sorted(set(instants)) or [0]
    folded = folds(points, [run for run in runs if run > 0], width)
    edges = [0, *folded, len(points)]
    spans = [(points[first], points[last - 1]) for first, last in pairwise(edges)]
    fixed = len(spans) * 2 * PAD + len(folded) * FOLD + TAIL
    width = max(width, fixed + width / 2)
    length = sum(end - begin for begin, end in spans)
    scale = (width - fixed) / length if length else 0.0
    sections, left = [], 0.0
    for begin, end in spans:
        sections.append(Section(begin, end, left + PAD))
        left += 2 * PAD + (end - begin) * scale + FOLD
    return Axis(tuple(sections), scale, width, tuple(begin for begin, _ in spans))


def folds(points: Sequence[int], runs: Sequence[int], width: float) -> list[int]:
    """The indices of the instants before which a gap is folded, ascending."""
    gaps = [after - before for before, after in pairwise(points)]
    if not gaps:
        return []
    sizes = sorted(runs or gaps)
    typical = sizes[len(sizes) // 4]
    folded: set[int] = set()
    left = list(range(len(gaps)))
    while left:
        total = sum(gaps[each] for each in left)
        largest = max(gaps[each] for each in left)
        alike = {each for each in left if 2 * gaps[each] >= largest}
        worth = 2 * sum(gaps[each] for each in alike) >= total and largest > 4 * typical
        enough = typical * width >= LEGIBLE * total
        bearable = FOLDS if typical * width >= INVISIBLE * total else FOLDS_AT_MOST
        if enough or not worth or len(folded) + len(alike) > bearable:
            break
        folded |= alike
        left = [each for each in left if each not in alike]
    return sorted(each + 1 for each in folded)
