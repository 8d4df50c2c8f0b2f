"""What a bar, a badge or a band says of itself in words, when it is pointed at or read aloud."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from pgjobs_testing.pictures.kinds import BANDS, BY_NAME, MARKS
from pgjobs_testing.pictures.layout import Picture
from pgjobs_testing.pictures.rows import Badge, Bar
from pgjobs_testing.pictures.story import Mark, Span
from pgjobs_testing.pictures.surroundings import Band
from pgjobs_testing.trace import elapsed


def instant(micros: int) -> str:
    """An instant as scenarios write it: ``1m30s``."""
    return elapsed(timedelta(microseconds=micros))


def coarse(micros: int) -> str:
    """A long duration by its two largest units: ``23h59m``."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if micros >= size * 1_000_000:
            smaller = {"d": 3600, "h": 60, "m": 1, "s": 1}[unit] * 1_000_000
            return instant(micros // smaller * smaller)
    return instant(micros)


def bar(shown: Bar, worker: str = "") -> str:
    """The title of a bar: of one span all that is known, of several how many of which kind."""
    spans = shown.spans
    if len(spans) == 1:
        ordinal, only = spans[0]
        return f"#{ordinal} {worker}".rstrip() + "\n" + span(only)
    numbers = [ordinal for ordinal, _ in spans]
    low, high = min(numbers), max(numbers)
    jobs = f"#{low}" if low == high else f"#{low} to #{high}"
    counts = Counter(each.kind for _, each in spans)
    kinds = ", ".join(
        f"{counts[name]} {kind.label.removeprefix('ran, ')}"
        for name, kind in BY_NAME.items()
        if name in counts
    )
    begin, end = min(each.begin for _, each in spans), max(each.end for _, each in spans)
    head = f"{jobs} {worker}".rstrip() if low == high else jobs
    return f"{head}: {len(spans)} runs\n{kinds}\n{instant(begin)} to {instant(end)}"


def span(only: Span) -> str:
    """One wait or run in words."""
    lasting = instant(only.end - only.begin)
    when = f"{instant(only.begin)} to {instant(only.end)} ({lasting})"
    if only.open:
        when = f"since {instant(only.begin)}, and on at the end"
    kind = BY_NAME[only.kind]
    if not kind.thick:
        return f"{kind.label} {when}"
    attempt = f"attempt {only.attempt} on {only.node}: " if only.attempt else ""
    note = f"\n{only.note}" if only.note else ""
    return f"{attempt}{kind.label}\n{when}{note}"


def badge(shown: Badge, ordinal: int) -> str:
    """The title of a badge."""
    return "\n".join(f"#{ordinal} {MARKS[mark.kind]} at {instant(mark.at)}" for mark in shown.marks)


def sign(marks: Sequence[Mark]) -> str:
    """The title of marks at a node or queue; of many the first ones."""
    lines = [f"{instant(mark.at)} {mark.kind} {mark.note}".rstrip() for mark in marks[:12]]
    if len(marks) > 12:
        lines.append(f"and {len(marks) - 12} more")
    return "\n".join(lines)


def band(shown: Band) -> str:
    """The title of a band."""
    return f"{BANDS[shown.kind]} {instant(shown.begin)} to {instant(shown.end)}"


def summary(picture: Picture) -> str:
    """The picture in a line: how many jobs, events, and how long."""
    return (
        f"{counted(len(picture.stories), 'job')} · {counted(picture.moments, 'event')} · "
        f"{instant(picture.end - picture.begin)}"
    )


def description(picture: Picture) -> str:
    """The picture in a sentence for each queue, for those who do not see it."""
    lines = [summary(picture) + "."]
    for group in picture.groups:
        nodes = [lane.node for lane in group.lanes if lane.node]
        on = f", on {' and '.join(dict.fromkeys(nodes))}" if nodes else ""
        lines.append(f"Queue {group.strip.name}: {counted(group.jobs, 'job')}{on}.")
    return "\n".join(lines)


def counted(number: int, what: str) -> str:
    """``1 job``, ``2,000 jobs``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
