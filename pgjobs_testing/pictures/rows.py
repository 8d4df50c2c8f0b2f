"""What is drawn of one job in one lane: bars, badges and a label that do not overlap.

Everything is in pixels of the plot. A run is a thick bar of at least ``THINNEST`` pixels where there is
room for it; runs that begin within the same pixel become one bar that stands for all of them. A wait is
a thin bar between thick ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from pgjobs_testing.pictures.axis import Axis
from pgjobs_testing.pictures.kinds import BY_NAME
from pgjobs_testing.pictures.story import Mark, Span, Story
from pgjobs_testing.pictures.text import fitted, width

THINNEST = 4.0
BADGE = 13.0
GLYPH = 14.0
LABEL_SIZE = 11.0
LABEL_MOST = 190.0
_GAP = 5.0
_BOLD = 1.1
"""How much wider text is in a bar, where it is bold."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One or several spans from ``x`` to ``end``; ``kind`` is the one that wants to be seen most.

    ``glyph`` is where the middle of the outcome's glyph stands; None where there is no room for one.
    """

    kind: str
    x: float
    end: float
    spans: tuple[tuple[int, Span], ...]
    glyph: float | None = None

    @property
    def thick(self) -> bool:
        """Whether this is a run."""
        return BY_NAME[self.kind].thick


@dataclass(frozen=True, slots=True)
class Badge:
    """Marks that stand at one place; ``x`` is the middle."""

    x: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """Text that begins at ``x``; ``inside`` a bar it has the colour that goes with it."""

    x: float
    text: str
    inside: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One job in one lane, from ``x`` to ``end``; ``inserted`` is where it came to be."""

    story: Story
    x: float
    end: float
    bars: tuple[Bar, ...]
    badges: tuple[Badge, ...] = ()
    label: Label | None = None
    inserted: float | None = None
    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()


def item(story: Story, spans: Sequence[Span], marks: Sequence[Mark], axis: Axis) -> Item:
    """The job's part of a lane, without a label."""
    badges = _badges((mark for mark in marks if mark.kind != "insert"), axis)
    bars = _glyphs(_bars(story.ordinal, spans, axis), badges, axis)
    inserts = [axis.x(mark.at) for mark in marks if mark.kind == "insert"]
    edges = [(bar.x, bar.end if bar.glyph is None else max(bar.end, bar.glyph + 7)) for bar in bars]
    edges += [(badge.x - BADGE / 2, badge.x + BADGE / 2) for badge in badges]
    edges += [(x - 3, x + 3) for x in inserts]
    edges = edges or [(axis.x(spans[0].begin), axis.x(spans[-1].end))]
    left, right = min(x for x, _ in edges), max(end for _, end in edges)
    inserted = inserts[0] if inserts else None
    return Item(story, left, right, bars, badges, None, inserted, tuple(spans), tuple(marks))


def labelled(plain: Item, axis: Axis) -> Item:
    """The item with its job's number and worker, where there is room: in it, after it or before it."""
    name = f"#{plain.story.ordinal} {plain.story.worker.rpartition('.')[2]}".rstrip()
    text = fitted(name, LABEL_MOST, LABEL_SIZE)
    room = width(text, LABEL_SIZE)
    badges = [(badge.x - BADGE / 2, badge.x + BADGE / 2) for badge in plain.badges]
    for bar in plain.bars:
        taken = (
            2 * _GAP
            + _BOLD * room
            + (GLYPH if bar.glyph is not None and bar.glyph < bar.end else 0)
        )
        inner = (bar.x, bar.x + _GAP + _BOLD * room)
        if bar.thick and taken <= bar.end - bar.x and _free(inner, badges):
            return replace(plain, label=Label(bar.x + _GAP, text, bar.kind))
    taken_by = sorted([*badges, *_obstacles(plain.bars)])
    reached = list(accumulate((end for _, end in taken_by), max))  # a badge may lie inside a bar
    for end, (begin, _) in zip(reached, taken_by[1:], strict=False):
        if begin - end >= room + 2 * _GAP:
            return replace(plain, label=Label(end + _GAP, text))
    first, last = (
        (taken_by[0][0], max(end for _, end in taken_by)) if taken_by else (plain.end, plain.x)
    )
    if first - plain.x >= room + 2 * _GAP:
        return replace(plain, label=Label(plain.x + _GAP, text))
    if max(last, plain.x) + _GAP + room <= axis.width:
        label = Label(max(last, plain.x) + _GAP, text)
        return replace(plain, label=label, end=max(plain.end, label.x + room))
    if plain.x - _GAP - room >= 0:
        label = Label(plain.x - _GAP - room, text)
        return replace(plain, label=label, x=label.x)
    return plain


def kind_of(spans: Iterable[Span]) -> str:
    """The kind of these spans that wants to be seen most."""
    return max((BY_NAME[span.kind] for span in spans), key=lambda kind: kind.rank).name


def _bars(ordinal: int, spans: Sequence[Span], axis: Axis) -> tuple[Bar, ...]:
    runs: list[tuple[float, float, list[tuple[int, Span]]]] = []
    for span in spans:
        if not BY_NAME[span.kind].thick:
            continue
        x, end = axis.x(span.begin), axis.x(span.end)
        if runs and x - runs[-1][0] < 1:
            before = runs.pop()
            runs.append((before[0], max(before[1], end), [*before[2], (ordinal, span)]))
        else:
            runs.append((x, end, [(ordinal, span)]))
    found = []
    for number, (x, end, of) in enumerate(runs):
        limit = runs[number + 1][0] if number + 1 < len(runs) else axis.width
        widest = max(end, x + THINNEST)
        found.append(Bar(kind_of(span for _, span in of), x, min(widest, limit), tuple(of)))
    for span in spans:
        if BY_NAME[span.kind].thick:
            continue
        x, end = axis.x(span.begin), axis.x(span.end)
        if span.open:
            end = max(end, x + THINNEST)
        x = max([x, *(bar.end for bar in found if bar.thick and bar.x <= x)])
        end = min([end, *(bar.x for bar in found if bar.thick and bar.x >= x)])
        if end - x >= 0.5:
            found.append(Bar(span.kind, x, end, ((ordinal, span),)))
    return tuple(sorted(found, key=lambda bar: (bar.x, bar.end)))


def _glyphs(bars: tuple[Bar, ...], badges: tuple[Badge, ...], axis: Axis) -> tuple[Bar, ...]:
    """Each thick bar with its glyph inside, or behind it; without one where there is no room."""
    taken = [(badge.x - BADGE / 2, badge.x + BADGE / 2) for badge in badges]
    taken += [(bar.x, bar.end) for bar in bars if bar.thick]
    found = []
    for bar in bars:
        inside = bar.end - bar.x >= GLYPH + 4
        x = bar.end - GLYPH if inside else bar.end + 1
        others = [each for each in taken if each != (bar.x, bar.end)]
        fits = x + GLYPH <= axis.width and _free((x, x + GLYPH), others)
        wanted = bar.thick and BY_NAME[bar.kind].glyph and fits
        found.append(replace(bar, glyph=x + GLYPH / 2 - 0.5) if wanted else bar)
    return tuple(found)


def _badges(marks: Iterable[Mark], axis: Axis) -> tuple[Badge, ...]:
    placed: list[Badge] = []
    for mark in marks:
        x = min(axis.x(mark.at), axis.width - BADGE / 2)
        if placed and x - placed[-1].x < BADGE:
            placed[-1] = replace(placed[-1], marks=(*placed[-1].marks, mark))
        else:
            placed.append(Badge(x, (mark,)))
    return tuple(placed)


def _obstacles(bars: Iterable[Bar]) -> list[tuple[float, float]]:
    return [
        (bar.x, bar.end if bar.glyph is None else max(bar.end, bar.glyph + GLYPH / 2))
        for bar in bars
        if bar.thick
    ]


def _free(room: tuple[float, float], taken: Iterable[tuple[float, float]]) -> bool:
    return all(end <= room[0] or x >= room[1] for x, end in taken)
