"""What happened, in order, in virtual time: the trace of an engine, and how it reads.

A trace names jobs by ordinal (``#1`` is the first that was inserted), because ids come from the
store. Equal seeds give byte-equal traces, on both stores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import starmap
from typing import Any

from pgjobs.plugins import Plugin
from pgjobs.rules.errors import ConfigurationError, shown
from pgjobs.rules.job import Job, JobState, NewJob
from pgjobs.rules.options import Queue
from pgjobs.rules.swift import swift
from pgjobs.telemetry import PROCESS, Telemetry
from pgjobs.worker import Worker
from pgjobs_testing import doing
from pgjobs_testing.naming import BEFALLS, NAMED_BY_STATE, check_word, word

CLIENT = "-"
"""The node of what a client did."""

INSERTS = ("pgjobs.job.insert", "pgjobs.job.replace")
SIMULATED = "simulation."
"""What is done to nodes from outside, which no telemetry tells: a crash, a suspension."""


@swift
@dataclass(frozen=True, slots=True)
class Moment:
    """One event: when, on which node, what, to which job (its ordinal; 0 for none), and details.

    ``event`` is the last word of the telemetry event, or for an ended run the state that it
    reached; ``name`` is the whole name of the telemetry event, or ``simulation.`` and what was done.
    ``job`` is the row after the event, where the event has one. ``by`` is the job whose run did it (0:
    none did), ``new`` what was asked to be inserted, ``took_s`` how long the run took that ended.
    """

    at: datetime
    node: str
    event: str
    ordinal: int
    detail: str
    job: Job | None = None
    name: str = ""
    by: int = 0
    new: NewJob | None = None
    took_s: float | None = None


@swift
@dataclass(frozen=True, slots=True)
class Call:
    """What a test did to time, between the moments ``index - 1`` and ``index``.

    ``let``: from here on the engine acts by itself; ``hold``: it has done what was due, and rests;
    ``drain`` (``given``: its plan, and its node) and ``drained``.
    """

    index: int
    at: datetime
    what: str
    given: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """What somebody needs to know to play a trace again.

    ``held``: the engine acts only where a ``Call`` lets it. ``others``: queues that ``queues`` does not
    name were served as well. ``worker`` gives the worker of a name, as far as there is one. ``now`` is
    where the clock stands. ``served_by`` are the nodes of queues that not all of them serve.
    """

    nodes: tuple[str, ...]
    queues: Mapping[str, Queue]
    others: bool
    plugins: tuple[Plugin, ...]
    seed: int
    jitter: bool
    mode: str
    held: bool
    now: datetime
    worker: Callable[[str], Worker[Any, Any] | None]
    served_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@swift
@dataclass(frozen=True, slots=True)
class Event:
    """One telemetry event as it was told: ``details`` are its metadata and its measurements."""

    at: datetime
    name: str
    details: Mapping[str, Any]

    @property
    def job(self) -> Job | None:
        """The job as it stood after the event, where the event has one."""
        job: Job | None = self.details.get("job")
        return job


@swift
@dataclass(frozen=True, slots=True)
class Trace:
    """Moments in order; ``text`` is a line for each, instants counted from ``start``."""

    start: datetime
    moments: tuple[Moment, ...]
    calls: tuple[Call, ...] = field(default=(), compare=False, repr=False)
    setting: Setting | None = field(default=None, compare=False, repr=False)

    def text(self) -> str:
        """The trace as text: instant, node, event, job, details."""
        return "\n".join(line(moment, self.start) for moment in self.moments)

    def digest(self) -> str:
        """A short fingerprint of ``text``: equal for equal traces."""
        return blake2b(self.text().encode(), digest_size=8).hexdigest()

    def to_svg(self, title: str = "Timeline") -> str:
        """The trace as a picture: one SVG file without scripts; equal traces give equal bytes."""
        from pgjobs_testing.pictures import svg

        return svg(self, _text(title, "title"))

    def to_html(self, title: str = "Timeline") -> str:
        """The trace as a page to zoom and search: one HTML file that loads nothing."""
        from pgjobs_testing.pictures import html

        return html(self, _text(title, "title"))

    def to_scenario(self, name: str = "what happened") -> str:
        """A scenario file (YAML) that replays it, job by job the same.

        Its first lines say what could not be told, if anything. ``ScenarioWritingError`` where the format
        cannot hold what happened, or for a part of a trace.
        """
        from pgjobs_testing.scenarios.writing import scenario_text

        return scenario_text(self, _text(name, "name"))

    def of(self, event: str) -> list[Moment]:
        """The moments of one event, such as ``start``, ``completed``, ``retryable``.

        ``ConfigurationError`` for what names no event.
        """
        found = [moment for moment in self.moments if moment.event == event]
        if not found:
            check_word(event)
        return found

    def __str__(self) -> str:
        return self.text()

    def __len__(self) -> int:
        return len(self.moments)

    def __iter__(self) -> Iterator[Moment]:
        return iter(self.moments)


class Recorder(Telemetry):
    """Telemetry that keeps every event as a moment, and passes it on to the process's handlers."""

    def __init__(self, clock: Any, passing_on: Telemetry | None = PROCESS) -> None:
        super().__init__()
        self._clock = clock
        self._passing_on = passing_on
        self.start: datetime = clock.now()
        self._moments: list[tuple[datetime, str, Mapping[str, Any], int | None, int | None]] = []
        self._calls: list[tuple[int, datetime, str, tuple[Any, ...]]] = []
        self.setting: Callable[[], Setting | None] | None = None
        self._made: list[Moment] = []
        self._ordinals: dict[int, int] = {}
        self._shown: dict[str, str] = {}

    def show(self, node: str, name: str) -> None:
        """Show ``node`` under another name: that of the node whose later incarnation it is."""
        self._shown[node] = name

    def shown(self, node: str) -> str:
        """The name under which a node is shown."""
        return self._shown.get(node, node)

    def note(
        self, event: str, node: str = CLIENT, detail: str = "", job: Job | None = None
    ) -> None:
        """Record what no telemetry tells: done to a node from outside, to what all share, to ``job``."""
        assert event in BEFALLS, event
        metadata = {"node": node, "detail": detail, "job": job}
        job_id = None if job is None else job.id
        self._moments.append((self._clock.now(), SIMULATED + event, metadata, None, job_id))

    def call(self, what: str, *given: Any) -> None:
        """Record what was done to time: see ``Call``."""
        self._calls.append((len(self._moments), self._clock.now(), what, given))

    @property
    def last(self) -> datetime:
        """When the last event was; the start where there is none."""
        return self._moments[-1][0] if self._moments else self.start

    def wanted(self, event: str) -> bool:
        return True

    def emit(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]
    ) -> None:
        kept = {**metadata, **measurements} if measurements else metadata
        by = doing.present(self)
        job = metadata.get("job")
        job_id = metadata.get("id") if job is None else job.id
        with self._lock:  # any thread may insert
            self._moments.append((self._clock.now(), event, kept, by, job_id))
            if job_id is not None and job_id not in self._ordinals:
                self._ordinals[job_id] = len(self._ordinals) + 1
        passing_on = self._passing_on
        if passing_on is not None and passing_on.wanted(event):
            passing_on.emit(event, measurements, metadata)

    def __len__(self) -> int:
        return len(self._moments)

    def ordinal(self, job_id: int) -> int:
        """The number of a job in the order of insertion, from 1; 0 for an unknown one."""
        return self._ordinals.get(job_id, 0)

    def events(self, first: int = 0) -> list[Event]:
        """The telemetry events from the moment with index ``first`` on."""
        return [
            Event(*each[:3]) for each in self._moments[first:] if not each[1].startswith(SIMULATED)
        ]

    def trace(self, first: int = 0) -> Trace:
        """What was recorded from the moment with index ``first`` on."""
        self._made += [self._moment(*each) for each in self._moments[len(self._made) :]]
        moments = tuple(self._made[first:])
        if first or self.setting is None:
            return Trace(self.start, moments)
        return Trace(self.start, moments, tuple(starmap(Call, self._calls)), self.setting())

    def _moment(
        self,
        at: datetime,
        event: str,
        metadata: Mapping[str, Any],
        by: int | None,
        job_id: int | None,
    ) -> Moment:
        job: Job | None = metadata.get("job")
        node = metadata.get("node", CLIENT)
        return Moment(
            at,
            self._shown.get(node, node),
            word(event, job),
            0 if job_id is None else self._ordinals[job_id],
            _detail(event, metadata, job, self.start),
            job,
            event,
            0 if by is None or "node" in metadata else self.ordinal(by),
            metadata.get("new"),
            metadata.get("duration"),
        )


def _text(given: object, option: str) -> str:
    if not isinstance(given, str):
        raise ConfigurationError(f"{option} takes a text, not {shown(given)}")
    return given


def line(moment: Moment, start: datetime) -> str:
    """One moment as a line of text."""
    job = f"#{moment.ordinal}" if moment.ordinal else ""
    columns = f"{elapsed(moment.at - start):>10}  {moment.node:<4} {moment.event:<10} {job:<5}"
    return f"{columns} {moment.detail}".rstrip()


@lru_cache(maxsize=1_024)  # a trace asks for one instant again and again
def elapsed(span: timedelta) -> str:
    """A duration as scenarios write it: ``0s``, ``1m30s``, ``2d``, ``1.5s``."""
    if span.days < 0:
        return "-" + elapsed(-span)
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{span.days}d" if span.days else ""
    if hours:
        text += f"{hours}h"
    if minutes:
        text += f"{minutes}m"
    if span.microseconds:
        return text + f"{seconds}.{span.microseconds:06d}".rstrip("0") + "s"
    return text + f"{seconds}s" if seconds or not text else text


def _detail(event: str, metadata: Mapping[str, Any], job: Job | None, start: datetime) -> str:
    if (tells := _OF_NO_JOB.get(event)) is not None:
        return tells(metadata)
    if event.startswith(SIMULATED):
        return str(metadata["detail"])
    if job is None:
        return ""
    of_job = _OF_JOBS.get(event)
    return job.worker if of_job is None else of_job(job, metadata, start)


def _inserted(job: Job, _: Mapping[str, Any], start: datetime) -> str:
    return _joined((job.worker, f"into {job.queue}", f"priority {job.priority}", _when(job, start)))


def _started(job: Job, *_: object) -> str:
    return f"attempt {job.attempt} of {job.worker}"


def _ended(job: Job, metadata: Mapping[str, Any], start: datetime) -> str:
    return _joined((f"attempt {job.attempt}", _summary(metadata.get("error")), _when(job, start)))


def _released(job: Job, *_: object) -> str:
    return f"attempt {job.attempt + 1} of {job.worker}, not counted"


def _rescued(job: Job, *_: object) -> str:
    return f"attempt {job.attempt} of {job.worker}, now {job.state}"


def _queue(metadata: Mapping[str, Any]) -> str:
    return str(metadata["queue"])


def _task(metadata: Mapping[str, Any]) -> str:
    return str(metadata["task"])


def _queues(metadata: Mapping[str, Any]) -> str:
    return ", ".join(metadata["queues"])


_OF_JOBS: dict[str, Callable[[Job, Mapping[str, Any], datetime], str]] = {
    **dict.fromkeys(INSERTS, _inserted),
    "pgjobs.job.start": _started,
    **dict.fromkeys((*NAMED_BY_STATE, "pgjobs.job.late"), _ended),
    "pgjobs.job.release": _released,
    "pgjobs.job.rescue": _rescued,
}
_OF_NO_JOB: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "pgjobs.job.stage": lambda told: f"in {told['queue']}",
    "pgjobs.queue.scale": lambda told: f"{told['queue']} to {told['concurrency']}",
    **dict.fromkeys((f"pgjobs.queue.{each}" for each in ("pause", "resume", "reset")), _queue),
    "pgjobs.store.error": lambda told: f"{told['effect']}: {_summary(str(told['error']))}",
    "pgjobs.plugin.error": lambda told: f"{told['plugin']}: {_summary(str(told['error']))}",
    **dict.fromkeys(
        (f"pgjobs.task.{each}" for each in ("start", "stop", "exception", "skip")), _task
    ),
    "pgjobs.plugin.prune": lambda told: f"{told['count']} of the finished jobs",
    **dict.fromkeys(("pgjobs.node.start", "pgjobs.node.stop"), _queues),
}
"""What a moment says besides its job's number; an event that is in neither table says its job's worker."""


def _when(job: Job, start: datetime) -> str:
    """When a waiting job is due; said only where it waits."""
    if job.state in (JobState.SCHEDULED, JobState.RETRYABLE):
        return f"due {elapsed(job.scheduled_at - start)}"
    return ""


def _summary(error: str | None) -> str:
    """The first line of an error."""
    return "" if not error else repr(error.split("\n", 1)[0])


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part)
