"""A picture as SVG: one file, without scripts, for light and dark paper, the same bytes each time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from pgjobs_testing.pictures import glyphs, telling
from pgjobs_testing.pictures.crowds import COLUMN, Chart
from pgjobs_testing.pictures.kinds import BY_NAME
from pgjobs_testing.pictures.layout import Picture
from pgjobs_testing.pictures.legend import legend, outcome
from pgjobs_testing.pictures.placing import BAND, LINE, Placed, PlacedGroup, PlacedLane, PlacedStrip
from pgjobs_testing.pictures.placing import placed as place
from pgjobs_testing.pictures.rows import BADGE, Badge, Bar, Item, Label
from pgjobs_testing.pictures.strips import SIGN
from pgjobs_testing.pictures.style import css, patterns
from pgjobs_testing.pictures.svg import at, element, n, text
from pgjobs_testing.pictures.text import escaped, fitted, width

GUTTER = 148.0
RIGHT = 20.0
_TICK = 64.0


def draw(picture: Picture, title: str) -> str:
    """The whole SVG."""
    wide = GUTTER + picture.axis.width + RIGHT
    legend_lines, legend_end = legend(picture, 20.0, 68.0, wide - RIGHT)
    axis_y = legend_end + (44 if picture.axis.folds() else 34)
    placed = place(picture, axis_y)
    high = placed.bottom + 16
    size = f'width="{n(wide)}" height="{n(high)}" viewBox="0 0 {n(wide)} {n(high)}"'
    named = 'role="img" aria-labelledby="t" aria-describedby="d"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pgjobs" {size} {named}>',
        f'<title id="t">{escaped(title)}</title>',
        f'<desc id="d">{escaped(telling.description(picture))}</desc>',
        f"<style>{css(picture.kinds)}</style>",
        f"<defs>{''.join(patterns(picture.kinds))}</defs>",
        '<rect class="paper" width="100%" height="100%"/>',
        text(20, 30, fitted(title, wide - 40, 17), "h"),
        text(20, 50, telling.summary(picture), "q"),
        *legend_lines,
        *_ground(placed, picture),
        *_axis(picture, axis_y, placed.bottom),
        *(line for strip in placed.strips for line in _strip(strip)),
        *(line for group in placed.groups for line in _group(group)),
        *_breaks(picture, axis_y, placed.bottom),
        *(line for strip in placed.strips for line in _said(strip)),
        *(line for group in placed.groups for line in _foreground(group)),
        "</svg>",
        "",
    ]
    return "\n".join(lines)


def _ground(placed: Placed, picture: Picture) -> Iterator[str]:
    """What lies below everything: queues' grounds, and where a queue is paused or a node not there."""
    for group in placed.groups:
        for lane in group.lanes:
            wide = picture.axis.width
            yield element(
                "rect", "faint", GUTTER, lane.top - 2, width=wide, height=lane.height + 4, rx=3
            )
            for bands, kind in ((group.group.bands, "pause"), (lane.lane.bands, "shade")):
                for band in bands:
                    x, end = picture.axis.x(band.begin), picture.axis.x(band.end)
                    yield element(
                        "rect",
                        kind,
                        GUTTER + x,
                        lane.top - 2,
                        width=end - x,
                        height=lane.height + 4,
                        title=telling.band(band),
                    )


def _axis(picture: Picture, top: float, bottom: float) -> Iterator[str]:
    along = picture.axis
    taken: list[tuple[float, float]] = []
    ticks = along.ticks(_TICK)
    first = [section.begin for section in along.sections]
    grid = []
    for micros in sorted(ticks, key=lambda tick: (tick not in first, tick)):
        x = along.x(micros)
        label = telling.instant(micros)
        room = width(label, 10.5)
        left = min(max(x - room / 2, -20), along.width - room)
        if all(left > end + 6 or left + room < begin - 6 for begin, end in taken):
            taken.append((left, left + room))
            yield text(GUTTER + left + room / 2, top - 7, label, "s q", anchor="middle")
            grid.append(f"M{n(GUTTER + x)} {n(top - 2)}V{n(bottom)}")
    yield f'<path class="grid" d="M{n(GUTTER)} {n(top)}H{n(GUTTER + along.width)}"/>'
    if grid:
        yield f'<path class="grid" d="{"".join(grid)}"/>'


def _breaks(picture: Picture, top: float, bottom: float) -> Iterator[str]:
    """Where the axis is folded: a torn line through everything, and how much it leaves out."""
    for before, after in picture.axis.folds():
        middle = GUTTER + (picture.axis.x(before.end) + picture.axis.x(after.begin)) / 2
        steps = int((bottom - top) // 6)
        path = f"M{n(middle)} {n(top)}" + "".join(
            f"l{4 if step % 2 == 0 else -4} 6" for step in range(steps)
        )
        gap = after.begin - before.end
        yield f"<g><title>{escaped(telling.instant(gap))} without an event</title>"
        yield f'<path class="break" d="{path}"/>'
        yield f'<g class="zig"><path d="{path}" transform="translate(-3)"/>'
        yield f'<path d="{path}" transform="translate(3)"/></g>'
        yield text(middle, top - 22, f"{telling.coarse(gap)}", "s q", anchor="middle")
        yield f'<path class="edge" d="M{n(middle - 18)} {n(top - 18)}h36"/></g>'


def _strip(placed: PlacedStrip, head: bool = False) -> Iterator[str]:
    strip, y = placed.strip, placed.top
    if not head:
        name = strip.name or "everywhere"
        label = f"node {name}" if strip.name else name
        yield text(GUTTER - 10, y + 12, fitted(label, GUTTER - 30, 11), "q", anchor="end")
        if not strip.stretches:
            yield f'<path class="grid" d="M{n(GUTTER)} {n(y + BAND / 2)}h4"/>'
    for stretch in strip.stretches:
        kind = stretch.band.kind if stretch.band.kind in ("leads", "paused") else "gone"
        yield element(
            "rect",
            kind,
            GUTTER + stretch.x,
            y + 1 + stretch.line * BAND,
            width=stretch.end - stretch.x,
            height=BAND - 2,
            rx=3,
            title=telling.band(stretch.band),
        )


def _said(placed: PlacedStrip) -> Iterator[str]:
    """What a strip says: above the breaks, so that none goes through a word."""
    strip, y = placed.strip, placed.top
    for stretch in strip.stretches:
        if stretch.text:
            kind = "s" if stretch.band.kind == "leads" else "s halo"
            below = y + 12 + stretch.line * BAND
            yield text(GUTTER + stretch.x + 6, below, stretch.text, kind)
    for sign in strip.signs:
        line = y + strip.tiers * BAND + sign.line * LINE
        path = glyphs.SIGNS.get(sign.marks[0].kind, glyphs.DIAMOND)
        yield f"<g{at(GUTTER + sign.x, line + 8)}><title>{escaped(telling.sign(sign.marks))}</title>"
        yield f'<path class="sign" d="{path}"/>'
        if sign.text:
            yield f'<text class="s halo" x="{n(SIGN - 3)}" y="3.5">{escaped(sign.text)}</text>'
        yield "</g>"


def _group(placed: PlacedGroup) -> Iterator[str]:
    head = placed.head
    plain = not (head.strip.stretches or head.strip.signs)
    name = fitted(head.strip.name, GUTTER + 500 if plain else GUTTER - 30, 12)
    count = f'<tspan class="s q" dx="8">{telling.counted(placed.group.jobs, "job")}</tspan>'
    yield (
        f'<text x="20" y="{n(head.top + 12)}"><tspan class="queue">{escaped(name)}</tspan>'
        f"{count if plain else ''}</text>"
    )
    yield from _strip(head, head=True)
    for lane in placed.lanes:
        yield from _lane(lane)


def _lane(placed: PlacedLane) -> Iterator[str]:
    lane = placed.lane
    label = lane.node or ("waiting" if lane.chart else "not run")
    middle = placed.top + min(placed.height / 2, 11) + 4
    yield text(GUTTER - 10, middle, fitted(label, GUTTER - 34, 11), "q", anchor="end")
    if lane.chart:
        yield from _chart(lane.chart, placed)
    for row, item in lane.items:
        for bar in item.bars:
            yield _bar(bar, placed, row, item.story.worker)
    for row, bar in lane.bars:
        yield _bar(bar, placed, row, "")


def _bar(bar: Bar, placed: PlacedLane, row: int, worker: str) -> str:
    middle, roomy = placed.middle(row), placed.lane.roomy
    title = telling.bar(bar, worker)
    x, wide = GUTTER + bar.x, bar.end - bar.x
    if not bar.thick:
        y = middle + (5.5 if roomy else 0)
        path = f'd="M{n(x)} {n(y)}h{n(wide)}"'
        return f'<path class="{bar.kind}" {path}><title>{escaped(title)}</title></path>'
    high = 16.0 if roomy else 8.0
    return element(
        "rect",
        bar.kind,
        x,
        middle - high / 2,
        width=wide,
        height=high,
        rx=min(2.5, wide / 3) if roomy else 0,
        title=title,
    )


def _chart(shown: Chart, placed: PlacedLane) -> Iterator[str]:
    """The areas of a chart, one on the other, and the highest it gets."""
    bottom, high = placed.top + placed.height, placed.height - 12
    below = [0] * len(shown.counts[0][1])
    for kind, tops in shown.counts:
        above = [low + top for low, top in zip(below, tops, strict=True)]
        there = [n(bottom - high * top / shown.top) for top in above]
        back = [n(bottom - high * top / shown.top) for top in below]
        path = f"M{n(GUTTER)} {back[0]}"
        path += "".join(f"V{y}h{n(COLUMN)}" for y in there)
        path += "".join(f"V{y}h{n(-COLUMN)}" for y in reversed(back)) + "Z"
        label = escaped(f"{BY_NAME[kind].label}: {max(tops):,} at most at once")
        yield f'<path class="{kind}-fill" d="{path}"><title>{label}</title></path>'
        below = above
    yield text(GUTTER - 10, placed.top + 30, f"peak {shown.peak:,}", "s q", anchor="end")


def _foreground(placed: PlacedGroup) -> Iterator[str]:
    """What lies above bars and breaks: lines from node to node, glyphs, badges, labels."""
    places: dict[int, list[tuple[Item, float]]] = defaultdict(list)
    yield from _said(placed.head)
    for lane in placed.lanes:
        for row, item in lane.lane.items:
            places[item.story.ordinal].append((item, lane.middle(row)))
    for stops in places.values():
        yield from _links(sorted(stops, key=lambda stop: _first(stop[0])))
    for lane in placed.lanes:
        for row, item in lane.lane.items:
            yield from _signs(item, lane, lane.middle(row))


def _first(item: Item) -> float:
    return min((bar.x for bar in item.bars), default=item.x)


def _links(stops: list[tuple[Item, float]]) -> Iterator[str]:
    for (before, y), (after, below) in pairwise(stops):
        x = GUTTER + max((bar.end for bar in before.bars), default=before.end)
        to = GUTTER + _first(after)
        yield f'<path class="link" d="M{n(x)} {n(y)}C{n(to)} {n(y)} {n(x)} {n(below)} {n(to)} {n(below)}"/>'


def _signs(item: Item, lane: PlacedLane, middle: float) -> Iterator[str]:
    roomy = lane.lane.roomy
    if item.inserted is not None:
        x, top = GUTTER + item.inserted, middle - (11 if roomy else 6)
        yield f'<path class="in" d="M{n(x - 3)} {n(top)}h6l-3 4z"/>'
    for bar in item.bars:
        if roomy and bar.glyph is not None:
            yield _glyph(bar, bar.glyph, middle)
    for badge in item.badges:
        yield _badge(badge, item, middle, roomy)
    if roomy and item.label is not None:
        yield _label(item.label, middle)


def _glyph(bar: Bar, x: float, middle: float) -> str:
    return outcome(bar.kind, GUTTER + x, middle)


def _badge(badge: Badge, item: Item, middle: float, roomy: bool) -> str:
    title = escaped(telling.badge(badge, item.story.ordinal))
    radius = BADGE / 2 - 0.8 if roomy else 4.5
    sign = glyphs.BADGES[badge.marks[-1].kind]
    scale = "" if roomy else ' transform="scale(.7)"'
    drawn = f'<path class="sign" d="{sign}"{scale}/>'
    if len({mark.kind for mark in badge.marks}) == 1 and len(badge.marks) > 1 and roomy:
        drawn = f'<text class="s" text-anchor="middle" y="3.5">{min(len(badge.marks), 99)}</text>'
    return (
        f"<g{at(GUTTER + badge.x, middle)}><title>{title}</title>"
        f'<circle class="badge" r="{n(radius)}"/>{drawn}</g>'
    )


def _label(label: Label, middle: float) -> str:
    x, shown = GUTTER + label.x, escaped(label.text)
    if label.inside and BY_NAME[label.inside].pattern != "hollow":
        style = f'style="stroke:var(--{label.inside});stroke-width:3px;paint-order:stroke"'
        return f'<text class="on" {style} x="{n(x)}" y="{n(middle + 4)}">{shown}</text>'
    y = middle + (4 if label.inside else 1.5)
    return f'<text class="halo" x="{n(x)}" y="{n(y)}">{shown}</text>'
