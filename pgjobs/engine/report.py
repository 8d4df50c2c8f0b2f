"""What a node tells about its jobs: the telemetry events of starts and ends, in one place.

A job that fails since its worker is not known here is logged as well: nobody may listen, and it is the
deployment that is to be mended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pgjobs.ports import Run
from pgjobs.rules import backoff, outcome
from pgjobs.rules.errors import UnknownWorkerError
from pgjobs.rules.job import Job
from pgjobs.rules.lifecycle import Event, Outcome
from pgjobs.rules.schedule import later
from pgjobs.telemetry import Telemetry

log = logging.getLogger("pgjobs")

LOG_UNKNOWN_EVERY = timedelta(minutes=1)
LOG_NOT_BEGUN_EVERY = timedelta(minutes=1)
UNKNOWN_NAMES = 100
"""Unknown workers that are logged within a minute; of more than these nothing is said."""


class Reporter:
    """Events of one node. Nothing is built where nobody listens."""

    def __init__(self, telemetry: Telemetry, node: str) -> None:
        self._telemetry = telemetry
        self._node = node
        self._unknown: dict[str, datetime] = {}
        self._not_begun: datetime | None = None

    def staged(self, jobs: tuple[tuple[int, str], ...]) -> None:
        """These jobs (id, queue) fell due."""
        if self._telemetry.wanted("pgjobs.job.stage"):
            for job_id, queue in jobs:
                metadata = {"id": job_id, "queue": queue, "node": self._node}
                self._telemetry.emit("pgjobs.job.stage", {}, metadata)

    def started(self, job: Job) -> None:
        """A claimed job goes to its worker."""
        if self._telemetry.wanted("pgjobs.job.start"):
            measurements = {"queue_time": _queue_time(job)}
            self._telemetry.emit("pgjobs.job.start", measurements, self._metadata(job))

    def unknown(self, job: Job, error: UnknownWorkerError, now: datetime) -> None:
        """A claimed job has no worker here, and fails. Logged once a minute for each name."""
        for name, logged in tuple(self._unknown.items()):
            if now >= later(logged, LOG_UNKNOWN_EVERY):
                del self._unknown[name]
        if job.worker in self._unknown or len(self._unknown) >= UNKNOWN_NAMES:
            return
        self._unknown[job.worker] = now
        log.warning(
            "node %s fails attempt %d of %d of job %d: %s. In a rolling deploy, replace all nodes before "
            "clients insert jobs of a new worker, or give it a queue that old nodes do not serve",
            self._node,
            job.attempt,
            job.max_attempts,
            job.id,
            error,
        )

    def not_begun(self, queue: str, count: int, why: str, now: datetime) -> None:
        """So many claimed jobs could not be started, and are given back. Logged once a minute."""
        if self._not_begun is not None and now < later(self._not_begun, LOG_NOT_BEGUN_EVERY):
            return
        self._not_begun = now
        log.error(
            "node %s could not start %d job(s) of queue %s, which it gives back; it tries again: %s",
            self._node,
            count,
            queue,
            why,
        )

    def ended(self, run: Run, after: Callable[[], Job], ended: Outcome, at: float) -> None:
        """An outcome is saved; ``after`` makes the job as it stands now."""
        event = "pgjobs.job.exception" if ended.event is Event.FAIL else "pgjobs.job.stop"
        if self._telemetry.wanted(event) and (
            ended.event is not Event.COMPLETE or self._telemetry.completions
        ):
            self._end(event, run, after(), ended, at)

    def late(self, run: Run, ended: Outcome, at: float) -> None:
        """An outcome came after its claim was lost, and changed nothing."""
        if self._telemetry.wanted("pgjobs.job.late"):
            self._end("pgjobs.job.late", run, run.job, ended, at)

    def released(self, run: Run, after: Callable[[], Job], at: float) -> None:
        """A claim is given back, its attempt not counted; ``after`` makes the job as it stands now.

        ``duration`` is 0 where no run of it began.
        """
        if self._telemetry.wanted("pgjobs.job.release"):
            measurements = _measured(run, at)
            self._telemetry.emit("pgjobs.job.release", measurements, self._metadata(after()))

    def failed_store(self, effect: str, error: Exception) -> None:
        """The store failed at an effect, which will be tried again."""
        metadata = {"node": self._node, "effect": effect, "error": error}
        self._telemetry.emit("pgjobs.store.error", {}, metadata)

    def inserted(self, job: Job) -> None:
        """A cron entry inserted this job, or met the one that was there."""
        event = f"pgjobs.job.{job.came_of}"
        if self._telemetry.wanted(event):
            metadata = {"job": job, "worker": job.worker, "queue": job.queue, "node": self._node}
            self._telemetry.emit(event, {}, metadata)

    def rescued(self, job: Job) -> None:
        """This job was taken from a node that is gone."""
        if self._telemetry.wanted("pgjobs.job.rescue"):
            self._telemetry.emit("pgjobs.job.rescue", {}, self._metadata(job))

    def pruned(self, count: int) -> None:
        """So many finished jobs were deleted."""
        self._telemetry.emit("pgjobs.plugin.prune", {"count": count}, {"node": self._node})

    def failed_plugin(self, plugin: str, error: Exception) -> None:
        """A plugin failed, and will be tried again."""
        metadata = {"node": self._node, "plugin": plugin, "error": error}
        self._telemetry.emit("pgjobs.plugin.error", {}, metadata)

    def leads(self, leads: bool) -> None:
        """The node leads from now on, or no more."""
        event = "pgjobs.leader.elected" if leads else "pgjobs.leader.lost"
        self._telemetry.emit(event, {}, {"node": self._node})

    def task(
        self,
        event: str,
        task: str,
        at: datetime,
        duration_s: float | None = None,
        error: BaseException | None = None,
    ) -> None:
        """A function of ``LeaderTasks`` began (``start``), ended, raised, or was skipped."""
        measurements = {} if duration_s is None else {"duration": duration_s}
        metadata = {"node": self._node, "task": task, "at": at}
        if error is not None:
            metadata["error"] = error
        self._telemetry.emit(f"pgjobs.task.{event}", measurements, metadata)

    def node(self, event: str, queues: list[str]) -> None:
        """The node came (``start``) or went (``stop``)."""
        self._telemetry.emit(f"pgjobs.node.{event}", {}, {"node": self._node, "queues": queues})

    def _end(self, event: str, run: Run, job: Job, ended: Outcome, at: float) -> None:
        metadata = self._metadata(job)
        metadata["error"] = ended.error
        if ended.exception is not None:
            metadata["exception"] = ended.exception
            told = ended.stacktrace
            metadata["stacktrace"] = outcome.stacktrace(ended.exception) if told is None else told
        self._telemetry.emit(event, _measured(run, at), metadata)

    def _metadata(self, job: Job) -> dict[str, Any]:
        return {
            "job": job,
            "worker": job.worker,
            "queue": job.queue,
            "attempt": job.attempt,
            "state": job.state,
            "node": self._node,
        }


def delay_s(run: Run, random: Callable[[], float] | None) -> float:
    """The backoff of a failed run: its worker's, or the default where the worker is not known."""
    if run.worker is None:
        return backoff.DEFAULT(run.job.attempt, random)
    return run.worker.backoff_s(run.job, random)


def _measured(run: Run, at: float) -> dict[str, float]:
    return {"duration": max(0.0, at - run.started), "queue_time": _queue_time(run.job)}


def _queue_time(job: Job) -> float:
    """Seconds from the instant at which a job was due to its start."""
    began = job.attempted_at
    if began is None or began <= job.scheduled_at or began <= job.inserted_at:
        return 0.0
    return (began - max(job.scheduled_at, job.inserted_at)).total_seconds()
