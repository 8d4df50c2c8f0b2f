"""How jobs wait in a queue until the instant at which they began: by pauses that are lifted for a moment.

A queue in which every job began when it was due needs none. In another one, each instant at which a job
began has these steps: so many slots, resume, let the engine act, pause.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pgjobs.rules.job import Job, JobState
from pgjobs.rules.options import Queue
from pgjobs_testing.scenarios.told import Happened, Ran, Step

MOMENT = timedelta(milliseconds=1)
"""How long a run is said to have taken of which nothing is known."""


def gated(happened: Happened, jobs: Mapping[int, Job]) -> None:
    """Add pauses to the queues in which jobs waited."""
    for queue in list(happened.queues):
        runs = [
            run for n, told in happened.jobs.items() if jobs[n].queue == queue for run in told.runs
        ]
        if not any(_waited(happened, jobs, n) for n in jobs if jobs[n].queue == queue):
            continue
        _in_turn(happened, [n for n in jobs if jobs[n].queue == queue], jobs)
        happened.queues = {**happened.queues, queue: Queue(concurrency=1, paused=True)}
        happened.remarks.append(
            f"Inferred: jobs of {queue} waited; why is not kept. Here the queue is paused until they begin."
        )
        for at in sorted({run.started for run in runs}):
            happened.steps += _gate(at, queue, _running(runs, at))
    happened.steps.sort(key=lambda step: step.at)


def _in_turn(happened: Happened, ordinals: list[int], jobs: Mapping[int, Job]) -> None:
    """Let runs whose start is not known begin after those that were due before them, as queues have it."""
    waiting: list[tuple[int, datetime, int, int, Ran]] = []
    for ordinal in ordinals:
        runs = happened.jobs[ordinal].runs
        due = _first_due(happened, jobs[ordinal], ordinal)
        for n, run in enumerate(runs):
            waiting.append((jobs[ordinal].priority, run.due or due, ordinal, n, run))
            due = _next_due(run) or run.started
    latest: dict[int, datetime] = {}
    for priority, _, _, _, run in sorted(waiting, key=lambda each: each[:4]):
        before = latest.get(priority, happened.start)
        if run.due is not None and run.ended is not None:
            until = _next_due(run) if snoozed(run) is not None else run.ended
            run.started = max(run.started, min(max(run.due, before), until or run.ended))
            if snoozed(run) is not None and until is not None:
                run.ended = min(run.started + MOMENT, until)  # no slot is free again at once
                run.outcome = ("snooze", until - run.ended)
        latest[priority] = max(before, run.started)


def snoozed(run: Ran) -> timedelta | None:
    """For how long a run snoozed its job; None where it did not."""
    match run.outcome:
        case ("snooze", timedelta() as wait):
            return wait
    return None


def _next_due(run: Ran) -> datetime | None:
    """When a job is due again after this run."""
    wait = run.delay if (span := snoozed(run)) is None else span
    return None if run.ended is None or wait is None else run.ended + wait


def _first_due(happened: Happened, job: Job, ordinal: int) -> datetime:
    asked = next(s.asked for s in happened.steps if s.asked and s.asked.ordinal == ordinal)
    return max(asked.new.scheduled_at or job.inserted_at, job.inserted_at)


def _gate(at: datetime, queue: str, slots: int) -> list[Step]:
    return [
        Step(at, "scale", {"queue": queue, "concurrency": max(1, slots)}),
        Step(at, "resume", queue),
        Step(at, "hold", True),
        Step(at, "hold", False),
        Step(at, "pause", queue),
    ]


def _running(runs: list[Ran], at: datetime) -> int:
    """How many run once those have begun that begin at ``at``."""
    return sum(
        run.started <= at and (run.ended is None or run.ended > at or run.started == at)
        for run in runs
    )


def _waited(happened: Happened, jobs: Mapping[int, Job], ordinal: int) -> bool:
    """Whether a run of the job began later than it was due."""
    job = jobs[ordinal]
    runs, due = happened.jobs[ordinal].runs, _first_due(happened, job, ordinal)
    for run in runs:
        if run.started > due:
            return True
        due = _next_due(run) or due
    return not runs and job.state == JobState.AVAILABLE
