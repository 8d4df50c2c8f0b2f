"""What lasts and what happens at one node or queue, as one strip: bands, and marks with their names.

A band says what it is where there is room inside, else beside it as a mark does. Marks that would
cover one another become one that counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pgjobs_testing.pictures.axis import Axis
from pgjobs_testing.pictures.kinds import BANDS
from pgjobs_testing.pictures.packing import packed
from pgjobs_testing.pictures.story import Mark
from pgjobs_testing.pictures.surroundings import Band, Place
from pgjobs_testing.pictures.text import width

SIZE = 10.5
SIGN = 12.0
"""The room that the sign of a mark takes."""

_TOLD_BY_BANDS = frozenset(
    ("elected", "lost the lead", "suspend", "partition", "heal", "restart", "pause", "resume")
)
_GAP = 6.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """A band in pixels; ``text`` is what it says inside, empty where it has no room."""

    band: Band
    x: float
    end: float
    text: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Sign:
    """Marks at one place; ``text`` begins ``SIGN`` pixels after ``x``, in ``line`` 0 or 1."""

    x: float
    line: int
    text: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """A node's, a queue's or the world's; ``tiers`` of bands above ``lines`` of signs."""

    name: str
    stretches: tuple[Stretch, ...]
    signs: tuple[Sign, ...]
    lines: int
    tiers: int


def strip(place: Place, axis: Axis) -> Strip:
    """The strip of one place."""
    stretches, marks = [], [mark for mark in place.marks if mark.kind not in _TOLD_BY_BANDS]
    for band in place.bands:
        x, end = axis.x(band.begin), axis.x(band.end)
        end = min(max(end, x + 3), axis.width)
        text = BANDS[band.kind]
        if width(text, SIZE) + 8 > end - x:
            text = ""
            crashed = any(mark.at == band.begin for mark in marks)
            if not (band.kind == "down" and crashed):
                marks.append(Mark(band.begin, BANDS[band.kind]))
        stretches.append(Stretch(band, x, end, text))
    signs = _signs(sorted(marks, key=lambda mark: (mark.at, mark.kind)), axis)
    tiers = packed([(each.x, each.end) for each in stretches], len(stretches)) or []
    return Strip(
        place.name,
        tuple(replace(each, line=tier) for each, tier in zip(stretches, tiers, strict=True)),
        signs,
        max((sign.line + 1 for sign in signs), default=0),
        max(tiers, default=0) + 1,
    )


def _signs(marks: Iterable[Mark], axis: Axis) -> tuple[Sign, ...]:
    groups: list[list[Mark]] = []
    for mark in marks:
        alike = [group for group in groups if group[0].kind == mark.kind]
        near = bool(alike) and axis.x(mark.at) - axis.x(alike[-1][-1].at) < 90
        if near:
            alike[-1].append(mark)
        else:
            groups.append([mark])
    ends = [0.0, 0.0]
    found: list[Sign] = []
    for group in groups:
        text = group[0].kind if len(group) == 1 else f"{group[0].kind} \u00d7{len(group)}"
        note = group[0].note
        if len(group) == 1 and group[0].kind in ("skew", "scale") and note:
            text = f"{text} {note}"
        room = SIGN + width(text, SIZE)
        x = axis.x(group[0].at)
        line = next((line for line in (0, 1) if ends[line] <= x - SIGN / 2), None)
        if line is not None and x + room <= axis.width:
            ends[line] = x + room + _GAP
            found.append(Sign(x, line, text, tuple(group)))
        elif line is not None:
            ends[line] = x + SIGN
            found.append(Sign(x, line, "", tuple(group)))
        else:
            last = found[-1]
            found[-1] = Sign(last.x, last.line, last.text, (*last.marks, *group))
    return tuple(found)
