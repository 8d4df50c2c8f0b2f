"""What the page's script knows of a picture: numbers, and tables of the texts that they point into.

Every text is made legible here, so that the script shows what is written and nothing turns a line
around. Spans are flat rows of six numbers: job, kind, begin, duration, row, and twice the attempt plus
one where it is open.
"""

from __future__ import annotations

import json
from typing import Any

from pgjobs_testing.pictures import telling
from pgjobs_testing.pictures.kinds import BANDS, KINDS, MARKS
from pgjobs_testing.pictures.layout import Group, Lane, Picture
from pgjobs_testing.pictures.story import Span, micros
from pgjobs_testing.pictures.strips import Strip
from pgjobs_testing.pictures.text import legible
from pgjobs_testing.trace import Moment, Trace

_KINDS = {kind.name: number for number, kind in enumerate(KINDS)}


class _Table:
    """Texts, each once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def texts(self) -> list[str]:
        return [legible(text) for text in self._numbers]


def data(trace: Trace, picture: Picture) -> dict[str, Any]:
    """The picture and all moments of the trace, as JSON has it."""
    table = _Table()
    shown = {
        "summary": telling.summary(picture),
        "sections": [[section.begin, section.end] for section in picture.axis.sections],
        "kinds": [
            [kind.name, kind.label, int(kind.thick), kind.pattern, kind.glyph, kind.rank]
            for kind in KINDS
        ],
        "marks": MARKS,
        "bands": BANDS,
        "occurring": [_KINDS[kind] for kind in picture.kinds],
        "jobs": [
            [story.ordinal, table.number(story.worker), table.number(story.queue)]
            for story in picture.stories
        ],
        "strips": [
            _strip(each, table)
            for each in (picture.world, *picture.nodes)
            if each is not picture.world or each.stretches or each.signs
        ],
        "groups": [_group(group, table) for group in picture.groups],
        "moments": [number for moment in trace.moments for number in _moment(moment, trace, table)],
    }
    return {**shown, "texts": table.texts()}


def script(shown: dict[str, Any]) -> str:
    """``data`` as text that ends no script element and opens no comment in it."""
    text = json.dumps(shown, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _group(group: Group, table: _Table) -> dict[str, Any]:
    return {
        "strip": _strip(group.strip, table),
        "jobs": group.jobs,
        "paused": [[band.begin, band.end] for band in group.bands],
        "lanes": [_lane(lane, table) for lane in group.lanes],
    }


def _lane(lane: Lane, table: _Table) -> dict[str, Any]:
    spans: list[int] = []
    for row, bar in lane.bars:
        for ordinal, span in bar.spans:
            spans += _span(ordinal, span, row)
    badges: list[list[int | str]] = []
    inserts: list[int] = []
    for row, item in lane.items:
        for span in item.spans:
            spans += _span(item.story.ordinal, span, row)
        for mark in item.marks:
            if mark.kind == "insert":
                inserts += [mark.at, row]
            else:
                badges.append([item.story.ordinal, mark.at, row, mark.kind])
    if lane.chart:
        for ordinal, span in lane.chart.spans:
            spans += _span(ordinal, span, 0)
    return {
        "node": table.number(lane.node),
        "rows": lane.rows,
        "roomy": int(lane.roomy),
        "chart": int(lane.chart is not None),
        "dark": [[band.begin, band.end] for band in lane.bands],
        "spans": spans,
        "badges": badges,
        "inserts": inserts,
    }


def _span(ordinal: int, span: Span, row: int) -> tuple[int, ...]:
    rest = 2 * span.attempt + span.open
    return ordinal, _KINDS[span.kind], span.begin, span.end - span.begin, row, rest


def _strip(strip: Strip, table: _Table) -> dict[str, Any]:
    return {
        "name": table.number(strip.name),
        "tiers": strip.tiers,
        "bands": [
            [each.band.kind, each.band.begin, each.band.end, each.line] for each in strip.stretches
        ],
        "marks": [
            [mark.at, table.number(mark.kind), table.number(mark.note)]
            for sign in strip.signs
            for mark in sign.marks
        ],
    }


def _moment(moment: Moment, trace: Trace, table: _Table) -> tuple[int, ...]:
    """Instant, node, event, job, detail, and the whole error where the detail has its first line."""
    job = moment.job
    failed = moment.name in ("pgjobs.job.exception", "pgjobs.job.stop") and job is not None
    error = (job.last_error or "") if failed and job is not None and "'" in moment.detail else ""
    return (
        micros(moment.at, trace.start),
        table.number(moment.node),
        table.number(moment.event),
        moment.ordinal,
        table.number(moment.detail),
        table.number(error),
    )
