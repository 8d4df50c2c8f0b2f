"""In which order jobs ran, and will run: all of a test in one sequence.

First every run that started, in the order of the starts; then the jobs that wait, as ``drain_queue`` and
the passing of time would start them: due ones by priority, instant and id, later ones by instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgjobs.rules.errors import ConfigurationError, shown
from pgjobs.rules.job import WAITING, Job
from pgjobs.worker import Worker
from pgjobs_testing.asserting.describing import aligned, more
from pgjobs_testing.asserting.expectation import Expectation
from pgjobs_testing.asserting.failing import Failure
from pgjobs_testing.asserting.fields import wanted
from pgjobs_testing.asserting.scene import Scene
from pgjobs_testing.telling import cut

FILTERS = ("worker", "queue", "args", "meta", "tags", "priority", "max_attempts", "id")
_SHOWN = 25


@dataclass(frozen=True, slots=True)
class Turn:
    """One place in the sequence: a run that started at ``at``, or one that will."""

    job: Job
    at: datetime
    started: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One job that is asked for."""

    expected: Expectation[Job]
    text: str


def in_order(order: object, scene: Scene) -> list[Job]:
    """The jobs that were asked for, each found after the one before it."""
    __tracebackhide__ = True
    items = _items(order, scene)
    stored = scene.jobs()
    for each in items:
        scene.refuse_unknown(each.expected.wanted, stored)
    turns = _turns(stored, scene)
    places: list[int] = []
    for number, item in enumerate(items):
        start = places[-1] + 1 if places else 0
        place = next(
            (n for n in range(start, len(turns)) if item.expected.judge(turns[n].job)), None
        )
        if place is None:
            raise AssertionError(_failure(items, number, places, turns, scene).text())
        places.append(place)
    found = [turns[place].job for place in places]
    scene.saw(found)
    return found


def _turns(stored: Iterable[Job], scene: Scene) -> list[Turn]:
    started = [
        Turn(each.job, each.at, True)
        for each in scene.events("pgjobs.job.start")
        if each.job is not None
    ]
    now = scene.times.now
    waiting = [job for job in stored if job.state in WAITING]
    due = [job for job in waiting if job.scheduled_at <= now]
    later = [job for job in waiting if job.scheduled_at > now]
    due.sort(key=lambda job: (job.priority, job.scheduled_at, job.id))
    later.sort(key=lambda job: (job.scheduled_at, job.priority, job.id))
    return [*started, *(Turn(job, max(now, job.scheduled_at), False) for job in (*due, *later))]


def _items(order: object, scene: Scene) -> list[Item]:
    if not isinstance(order, list | tuple) or len(order) < 2:
        raise ConfigurationError(
            "assert_order takes a list of two or more: jobs, workers, or dicts of filters, as in "
            f"assert_order([first, {{'worker': send, 'args': {{...}}}}]), not {shown(order)}"
        )
    return [_item(each, scene) for each in order]


def _item(given: object, scene: Scene) -> Item:
    filters: Mapping[str, Any]
    if isinstance(given, Job):
        filters = {"id": given.id}
        text = f"{scene.called(given)} {cut(given.worker, plain=True)}"
    elif isinstance(given, Worker | str):
        filters, text = {"worker": given}, ""
    elif isinstance(given, Mapping):
        filters, text = given, ""
    else:
        raise ConfigurationError(
            f"assert_order takes jobs, workers by object or name, and dicts of filters, not {shown(given)}"
        )
    expected: Expectation[Job] = Expectation(wanted(filters, FILTERS, 0, scene.times))
    shown_filters = ", ".join(f"{each.name} {each.pattern}" for each in expected.wanted)
    return Item(expected, cut(text or shown_filters or "any job", plain=True))


def _failure(
    items: Sequence[Item], number: int, places: Sequence[int], turns: Sequence[Turn], scene: Scene
) -> Failure:
    missing = items[number]
    matching = [n for n, turn in enumerate(turns) if missing.expected.judge(turn.job)]
    if not turns:
        why = "nothing ran, and nothing waits"
    elif not matching:
        why = "no job that ran or waits matches it"
    else:
        turn = turns[matching[-1]]
        before = f"{number}. {items[number - 1].text}"
        when = f"{'ran' if turn.started else 'is due'} at {scene.times.short(turn.at)}"
        why = f"it {when}, as {_nth(matching[-1])}, before {before}, as {_nth(places[-1])}"
        if matching[-1] in places:
            why = f"it stands in the order once, as {_nth(matching[-1])}, for {before}"
    told = Failure(f"not in this order: {number + 1}. {missing.text}: {why}")
    told.wanted = [f"{n}. {item.text}" for n, item in enumerate(items[:_SHOWN], 1)]
    found = {place: f"{n}." for n, place in enumerate(places, 1)}
    late = {place: f"{number + 1}. too early" for place in matching if place not in found}
    marks = late | found
    rows = [
        (
            _nth(n),
            scene.called(turn.job),
            cut(turn.job.worker, plain=True, longest=48),
            f"{'ran' if turn.started else 'due'} {scene.times.short(turn.at)}",
            f"priority {turn.job.priority}",
            cut(turn.job.args, longest=32),
            f"<- {marks[n]}" if n in marks else "",
        )
        for n, turn in enumerate(turns[:_SHOWN])
    ]
    if rows:
        lines = aligned(rows) + more(len(turns) - _SHOWN, "turn")
        told.sections.append(("the order in which jobs ran, and would run", lines))
    told.legend = scene.times.legend()
    return told


def _nth(place: int) -> str:
    number = place + 1
    ending = (
        "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{ending}"
