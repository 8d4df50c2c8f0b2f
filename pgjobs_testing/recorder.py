"""How a trace is recorded: telemetry that keeps every event, and says of each what there is to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import starmap
from typing import Any

from pgjobs.rules.job import Job, JobState
from pgjobs.rules.outcome import summary
from pgjobs.telemetry import PROCESS, Telemetry
from pgjobs_testing import births, doing
from pgjobs_testing.naming import BEFALLS, NAMED_BY_STATE, word
from pgjobs_testing.trace import (
    CLIENT,
    INSERTS,
    SIMULATED,
    Call,
    Event,
    Moment,
    Setting,
    Trace,
    elapsed,
)


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
        self.strays: dict[int, str] = {}
        """Of jobs that a thread inserted which is none of this test's: which, in words."""

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
                if births.OUTLIVING and (whose := births.of_this_thread()) is not None:
                    self.strays[job_id] = whose
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
    error: BaseException | None = metadata.get("error")
    told = "" if error is None else f": {summary(error).split(chr(10), 1)[0]}"
    return f"{metadata['task']}{told}"


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
