"""Where everything stands in a picture of a trace: moments in, frozen lanes of bars out.

A queue has a lane for each node that ran its jobs, and one for jobs that no node ran; where there is
but one node, a single lane. A job is a row in the lane of the node that ran it; rescued, or retried
elsewhere, it goes on in the other node's lane, and a line leads there.

A lane is roomy (with labels) while its jobs fit into ``ROOMY`` rows, then tight. Where they do not fit
into ``TIGHT`` rows either the queue is crowded: waiting jobs become a chart of how many wait, runs
alone have rows, and what is narrower than a pixel is merged. A picture so has a bounded size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pgjobs_testing.pictures.axis import Axis, axis
from pgjobs_testing.pictures.crowds import Chart, chart, merged
from pgjobs_testing.pictures.kinds import BY_NAME
from pgjobs_testing.pictures.packing import packed
from pgjobs_testing.pictures.rows import Bar, Item, item, labelled
from pgjobs_testing.pictures.story import Mark, Span, Story, micros, stories
from pgjobs_testing.pictures.strips import Strip, strip
from pgjobs_testing.pictures.surroundings import Band, Place, surroundings
from pgjobs_testing.trace import Trace

PLOT = 920.0
ROOMY, TIGHT = 28, 56
NEVER_RAN = ""
"""The node of the lane of jobs that no node ran."""


@dataclass(frozen=True, slots=True)
class Part:
    """Spans of one job that follow one another on one node, with the waits before and after."""

    story: Story
    node: str
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """``items`` with the row of each, or in a crowded queue ``bars``, or a ``chart`` alone."""

    node: str
    rows: int
    roomy: bool = True
    items: tuple[tuple[int, Item], ...] = ()
    bars: tuple[tuple[int, Bar], ...] = ()
    chart: Chart | None = None
    bands: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A queue: its strip, and its lanes from top to bottom."""

    strip: Strip
    lanes: tuple[Lane, ...]
    bands: tuple[Band, ...]
    jobs: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole trace. ``kinds`` are those that occur, ``marks`` likewise."""

    axis: Axis
    world: Strip
    nodes: tuple[Strip, ...]
    groups: tuple[Group, ...]
    kinds: tuple[str, ...]
    marks: tuple[str, ...]
    stories: tuple[Story, ...]
    moments: int
    begin: int
    end: int


def layout(trace: Trace) -> Picture:
    """The picture of a trace."""
    told, around = stories(trace), surroundings(trace)
    instants = [micros(moment.at, trace.start) for moment in trace.moments] or [0]
    runs = [
        span.end - span.begin for each in told for span in each.spans if BY_NAME[span.kind].thick
    ]
    along = axis(instants, runs, PLOT)
    parts = [part for each in told for part in divided(each)]
    nodes = {part.node for part in parts} - {NEVER_RAN} | {place.name for place in around.nodes}
    by_node = {place.name: place for place in around.nodes}
    alone = next(iter(nodes)) if len(nodes) == 1 else None
    by_queue: dict[str, list[Part]] = {place.name: [] for place in around.queues}
    for part in parts:
        by_queue.setdefault(part.story.queue, []).append(part)
    groups = []
    order = [*by_node, NEVER_RAN]
    for queue, inside in by_queue.items():
        place = next((each for each in around.queues if each.name == queue), Place(queue))
        lanes = _lanes(inside, along, order, alone, by_node)
        if lanes or place.bands or place.marks:
            count = len({part.story.ordinal for part in inside})
            groups.append(Group(strip(place, along), lanes, place.bands, count))
    eventful = any(node.bands or node.marks for node in around.nodes)
    kinds = {span.kind for each in told for span in each.spans}
    return Picture(
        along,
        strip(around.world, along),
        tuple(strip(node, along) for node in around.nodes) if eventful else (),
        tuple(groups),
        tuple(kind for kind in BY_NAME if kind in kinds),
        tuple(dict.fromkeys(mark.kind for each in told for mark in each.marks)),
        told,
        len(trace.moments),
        min(instants),
        max(instants),
    )


def divided(story: Story) -> list[Part]:
    """A story by node: what a job waited for belongs to the run after it, the last wait to the last run."""
    found: list[tuple[str, list[Span]]] = []
    waits: list[Span] = []
    for span in story.spans:
        if not BY_NAME[span.kind].thick:
            waits.append(span)
        elif found and found[-1][0] == span.node:
            found[-1][1].extend((*waits, span))
            waits = []
        else:
            found.append((span.node, [*waits, span]))
            waits = []
    if not found:
        found.append((NEVER_RAN, []))
    found[-1][1].extend(waits)
    marks: list[list[Mark]] = [[] for _ in found]
    for mark in story.marks:
        marks[_part_of(mark, found)].append(mark)
    return [
        Part(story, node, tuple(spans), tuple(here))
        for (node, spans), here in zip(found, marks, strict=True)
    ]


def _part_of(mark: Mark, found: Sequence[tuple[str, Sequence[Span]]]) -> int:
    """Which part of a story a mark belongs to: a late outcome to the node that it came from."""
    if mark.kind == "late":
        own = [number for number, (node, _) in enumerate(found) if node == mark.node]
        if own:
            return own[-1]
    for number, (_, spans) in enumerate(found[:-1]):
        if mark.at <= spans[-1].end:
            return number
    return len(found) - 1


def _lanes(
    parts: Sequence[Part],
    along: Axis,
    order: Sequence[str],
    alone: str | None,
    places: dict[str, Place],
) -> tuple[Lane, ...]:
    by_node: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        by_node[part.node if alone is None else alone].append(part)
    nodes = sorted(by_node, key=lambda node: order.index(node) if node in order else len(order))
    lanes = []
    for node in nodes:
        lane = _lane(node, by_node[node], along, _dark(places.get(node)))
        if lane is None:
            return _crowded(parts, along, places, nodes)
        lanes.append(lane)
    return tuple(lanes)


def _lane(node: str, parts: Sequence[Part], along: Axis, bands: tuple[Band, ...]) -> Lane | None:
    """The lane with a row for each job, side by side where they fit; None when it is too crowded."""
    if len(parts) > 40 * TIGHT:
        return None
    plain = [item(part.story, part.spans, part.marks, along) for part in parts]
    for roomy, at_most in ((True, ROOMY), (False, TIGHT)):
        items = [labelled(each, along) for each in plain] if roomy else plain
        items.sort(key=lambda each: (each.x, each.story.ordinal))
        rows = packed([(each.x, each.end + 4) for each in items], at_most)
        if rows is not None:
            placed = tuple(zip(rows, items, strict=True))
            return Lane(node, max(rows) + 1, roomy, placed, bands=bands)
    return None


def _crowded(
    parts: Sequence[Part], along: Axis, places: dict[str, Place], nodes: Sequence[str]
) -> tuple[Lane, ...]:
    waits = [
        (part.story.ordinal, span)
        for part in parts
        for span in part.spans
        if not BY_NAME[span.kind].thick
    ]
    lanes = []
    if waits:
        lanes.append(Lane(NEVER_RAN, 0, chart=chart(waits, along)))
    for node in (node for node in nodes if node != NEVER_RAN):
        runs = sorted(
            (
                (part.story.ordinal, span)
                for part in parts
                for span in part.spans
                if span.node == node
            ),
            key=lambda run: (run[1].begin, run[0]),
        )
        if not runs:
            continue
        rows = packed([(span.begin, span.end) for _, span in runs], TIGHT)
        bands = _dark(places.get(node))
        if rows is None:
            lanes.append(Lane(node, 0, chart=chart(runs, along), bands=bands))
            continue
        by_row: dict[int, list[tuple[int, Span]]] = defaultdict(list)
        for row, run in zip(rows, runs, strict=True):
            by_row[row].append(run)
        bars = tuple((row, bar) for row in by_row for bar in merged(by_row[row], along))
        lanes.append(Lane(node, max(rows) + 1, roomy=False, bars=bars, bands=bands))
    return tuple(lanes)


def _dark(place: Place | None) -> tuple[Band, ...]:
    """The bands in which a node is not there for its jobs."""
    bands: Iterable[Band] = () if place is None else place.bands
    return tuple(band for band in bands if band.kind in ("down", "suspended", "cut"))
