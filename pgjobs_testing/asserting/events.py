"""Telemetry events that a test saw: which details each has, and whether one is as expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pgjobs.rules.errors import ConfigurationError, nearest, reject_unknown, shown
from pgjobs.rules.job import Job
from pgjobs.rules.schedule import duration
from pgjobs.telemetry import EVENTS
from pgjobs_testing.asserting import verdict
from pgjobs_testing.asserting.counting import Noun, asked
from pgjobs_testing.asserting.describing import SMALL, aligned
from pgjobs_testing.asserting.errors import Raised, shown_error
from pgjobs_testing.asserting.expectation import Expectation
from pgjobs_testing.asserting.fields import (
    Wanted,
    check_args,
    checked,
    error_pattern,
    state_pattern,
    worker_pattern,
)
from pgjobs_testing.asserting.kinds import Near, Seconds
from pgjobs_testing.asserting.scene import Scene
from pgjobs_testing.asserting.verdict import Words
from pgjobs_testing.matching import matcher, pattern
from pgjobs_testing.patterns import Pattern
from pgjobs_testing.telling import counted, cut
from pgjobs_testing.trace import Event

_OF_JOBS = ("job", "worker", "queue")
_OF_RUNS = (*_OF_JOBS, "attempt", "state", "node")
_MEASURED = ("duration", "queue_time")
_ENDED = (*_OF_RUNS, "error", *_MEASURED)
DETAILS: Mapping[str, tuple[str, ...]] = {
    "pgjobs.job.insert": (*_OF_JOBS, "node"),
    "pgjobs.job.conflict": (*_OF_JOBS, "node"),
    "pgjobs.job.replace": (*_OF_JOBS, "node"),
    "pgjobs.job.stage": ("id", "queue", "node"),
    "pgjobs.job.start": (*_OF_RUNS, "queue_time"),
    "pgjobs.job.stop": _ENDED,
    "pgjobs.job.exception": (*_ENDED, "exception", "stacktrace"),
    "pgjobs.job.late": (*_ENDED, "exception", "stacktrace"),
    "pgjobs.job.release": (*_OF_RUNS, *_MEASURED),
    "pgjobs.job.rescue": _OF_RUNS,
    "pgjobs.job.cancel": _OF_JOBS,
    "pgjobs.job.retry": _OF_JOBS,
    "pgjobs.job.delete": _OF_JOBS,
    "pgjobs.queue.pause": ("queue", "concurrency"),
    "pgjobs.queue.resume": ("queue", "concurrency"),
    "pgjobs.queue.scale": ("queue", "concurrency"),
    "pgjobs.queue.reset": ("queue",),
    "pgjobs.node.start": ("node", "queues"),
    "pgjobs.node.stop": ("node", "queues"),
    "pgjobs.leader.elected": ("node",),
    "pgjobs.leader.lost": ("node",),
    "pgjobs.plugin.prune": ("node", "count"),
    "pgjobs.plugin.error": ("node", "plugin", "error"),
    "pgjobs.task.start": ("node", "task", "at"),
    "pgjobs.task.stop": ("node", "task", "at", "duration"),
    "pgjobs.task.exception": ("node", "task", "at", "duration", "error"),
    "pgjobs.task.skip": ("node", "task", "at"),
    "pgjobs.store.error": ("node", "effect", "error"),
}
"""The metadata and measurements that can be asked for, by event (some events have them not always)."""

OF_THE_JOB = ("id", "args", "meta", "tags", "priority", "max_attempts", "attempt", "state")
"""What can be asked of ``job`` too, where an event has one."""


class Seen:
    """One question about the events of a test."""

    def __init__(self, event: object, details: Mapping[str, Any], scene: Scene) -> None:
        self._scene = scene
        self._name = _event_name(event)
        self._expected: Expectation[Event] = Expectation(_wanted(self._name, details, scene))
        self._events = scene.events(self._name)

    def some(self, times: object, at_least: object) -> Event:
        """The first event that matches, where they are as many as asked for."""
        __tracebackhide__ = True
        noun = Noun(
            f"matching event {self._name}",
            f"matching events {self._name}",
            f"no event {self._name} matches",
        )
        number = asked(times, at_least, noun, zero="refute_event", name="times")
        found = verdict.found(self._expected, self._events, number, self._words)
        self._scene.saw(each.job for each in found if each.job is not None)
        return found[0]

    def none(self) -> None:
        """No event matches."""
        __tracebackhide__ = True
        jobs = [each.job for each in self._events if each.job is not None]
        if self._scene.unknown(self._expected.wanted, jobs):
            self._scene.refuse_unknown(self._expected.wanted, self._scene.jobs())
        verdict.none(self._expected, self._events, self._words)

    def _words(self) -> Words[Event]:
        scene = self._scene
        numbers = {id(each): n for n, each in enumerate(self._events, 1)}

        def called(each: Event) -> str:
            return "the only one" if len(self._events) == 1 else f"no. {numbers[id(each)]}"

        return Words(
            nothing="it did not happen",
            refused=f"no event {self._name} may match",
            called=called,
            line=lambda each: f"{called(each)}: {self._line(each)}",
            overview=self._overview,
            legend=scene.times.legend(),
            clues=lambda: [said] if (said := scene.unknown(self._expected.wanted, ())) else [],
        )

    def _line(self, event: Event) -> str:
        parts = [self._scene.times.short(event.at)]
        if event.job is not None:
            parts.append(self._scene.called(event.job))
        for name in DETAILS[self._name]:
            value = event.details.get(name)
            if name == "error" and value is not None:
                parts.append(f"error={shown_error(_raised(event.details).text)}")
            elif name not in ("job", "stacktrace", "exception", "node") and value is not None:
                parts.append(f"{name}={cut(str(value), plain=True)}")
        return " ".join(parts)

    def _overview(
        self, events: Sequence[Event], matched: Sequence[Event]
    ) -> list[tuple[str, list[str]]]:
        if events:
            if len(events) <= SMALL:
                marked = {id(each) for each in matched}
                lines = [
                    f"{'✓' if id(e) in marked else ' '} {n}. {self._line(e)}"
                    for n, e in enumerate(events, 1)
                ]
                heading = "the only one" if len(events) == 1 else f"all {len(events)}"
                return [(f"{heading} of {self._name}", lines)]
            return [(f"{counted(len(events), 'event')} {self._name} in all", [])]
        counts: dict[str, int] = {}
        for each in self._scene.recorder.events():
            counts[each.name] = counts.get(each.name, 0) + 1
        rows = [(name, str(counts[name])) for name in EVENTS if name in counts]
        return [("what happened instead", aligned(rows, right=(1,)))] if rows else []


def _event_name(given: object) -> str:
    name = str(given)
    if isinstance(given, str) and f"pgjobs.{name}" in EVENTS:
        raise ConfigurationError(f"unknown event {name!r}: did you mean 'pgjobs.{name}'?")
    reject_unknown((given,), EVENTS, "event")  # type: ignore[arg-type]  # it names what is no text
    return name


def _wanted(event: str, details: Mapping[str, Any], scene: Scene) -> Iterator[Wanted]:
    own = DETAILS[event]
    known = tuple(dict.fromkeys((*own, *(OF_THE_JOB if "job" in own else ()))))
    if "job" in own and "args" in details and "worker" in details:
        check_args(details["worker"], details["args"])
    for name, value in details.items():
        if name not in known:
            raise ConfigurationError(
                f"{event} has no {name!r}{nearest(name, known)}"
                f"{'; how often it happened is asked by times=' if name == 'count' else ''}"
            )
        yield Wanted(name, _pattern(name, value, scene), _getter(name, own))


def _getter(name: str, own: tuple[str, ...]) -> Callable[[Event], Any]:
    if name == "error":
        return lambda event: _raised(event.details)
    if name == "job":
        return lambda event: event.details["job"].id
    if name in own:
        return lambda event: event.details.get(name)
    return lambda event: getattr(event.job, name)


def _raised(details: Mapping[str, Any]) -> Raised:
    """The error of an event: a text of a run's, or an exception of the engine's."""
    error = details.get("error")
    if isinstance(error, BaseException):
        return Raised(f"{type(error).__name__}: {error}", error)
    return Raised(error, details.get("exception"))


def _pattern(name: str, value: Any, scene: Scene) -> Pattern:
    if name == "worker":
        return worker_pattern(value)
    if name == "state":
        return state_pattern(value)
    if name == "error":
        return error_pattern(value)
    if name == "job":
        return checked(
            "id", value.id if isinstance(value, Job) else value, timedelta(0), scene.times
        )
    if (made := matcher(value, name)) is not None:
        return made
    if name in ("duration", "queue_time"):
        return Seconds(duration(value, name).total_seconds())
    if name == "at":
        at = checked("scheduled_at", value, timedelta(0), scene.times)
        assert isinstance(at, Near)
        return at
    if name == "queues":
        if not isinstance(value, list | tuple):
            raise ConfigurationError(f"queues takes a list of names, not {shown(value)}")
        return pattern(list(value), name)
    if name in (
        "node",
        "task",
        "plugin",
        "effect",
        "exception",
        "stacktrace",
        "concurrency",
        "count",
    ):
        return pattern(value, name)
    return checked(name, value, timedelta(0), scene.times)
