"""The legend: exactly the kinds of bars and the marks that occur, each as it looks and what it means."""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs_testing.pictures import glyphs
from pgjobs_testing.pictures.kinds import BY_NAME, MARKS
from pgjobs_testing.pictures.layout import Picture
from pgjobs_testing.pictures.svg import at, text
from pgjobs_testing.pictures.text import width

_SAMPLE = 34.0
_LINE = 20.0


def legend(picture: Picture, x: float, y: float, right: float) -> tuple[list[str], float]:
    """The lines of SVG from ``x`` to ``right`` and from ``y`` down, and where they end."""
    lines: list[str] = []
    left = x
    for sample, wide, name in entries(picture):
        room = wide + 6 + width(name, 11) + 18
        if left + room > right and left > x:
            left, y = x, y + _LINE
        lines += [f"<g{at(left, y)}>", *sample, text(wide + 6, 4, name, "q"), "</g>"]
        left += room
    return lines, y + 8


def outcome(kind: str, x: float, y: float) -> str:
    """The glyph of a kind, on a disc of its colour."""
    path = glyphs.OUTCOMES[BY_NAME[kind].glyph]
    return f'<g{at(x, y)}><circle class="{kind}-disc" r="6"/><path class="glyph" d="{path}"/></g>'


def entries(picture: Picture) -> Iterator[tuple[list[str], float, str]]:
    """For each kind and mark how it looks, how wide that is, and its name."""
    for name in picture.kinds:
        kind = BY_NAME[name]
        if not kind.thick:
            yield [f'<path class="{name}" d="M0 0h{_SAMPLE - 6:g}"/>'], _SAMPLE - 6, kind.label
            continue
        sample = [
            f'<rect class="{name}" y="-7" width="{_SAMPLE:g}" height="14" rx="2.5"/>',
            outcome(name, 25.5, 0),
        ]
        yield sample, _SAMPLE, kind.label
    for mark in picture.marks:
        if mark == "insert":
            yield ['<path class="in" d="M0 -2h6l-3 4z"/>'], 6.0, MARKS[mark]
        else:
            sign = f'<path class="sign" d="{glyphs.BADGES[mark]}"/>'
            yield [f'<g{at(6, 0)}><circle class="badge" r="5.7"/>{sign}</g>'], 12.0, MARKS[mark]
