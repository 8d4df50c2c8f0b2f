"""What ``strict`` holds against a test at its end: jobs that failed or were left over, unlooked at.

A job failed when an attempt of it did, whatever became of it, or when it was discarded. One is left
over while it waits to run, or still runs. A cancelled job is neither: somebody said so.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pgjobs.effects import Find
from pgjobs.rules.job import WAITING, Job, JobState
from pgjobs.rules.selection import Selection
from pgjobs_testing.trace import elapsed

if TYPE_CHECKING:
    from pgjobs_testing.capture import Capture
    from pgjobs_testing.engine import Engine

LISTED = 20
"""So many jobs are listed; more are counted."""
ARGS_CHARACTERS = 60

REMEDY = """\
To look at a job, get it (jobs.get_job, jobs.all_jobs), match it with an assertion, count it, or read the
result of the drain that ran it. Or let what waits run (jobs.drain_queue(), jobs.advance(60)), cancel what is
not meant to (jobs.cancel_job({id})), or leave this {what} be: {switch}"""

SWITCHES = {"test": "@pytest.mark.pgjobs(strict=False)", "block": "harness(strict=False)"}
"""What is strict, and how it is let be."""


def complaint(capture: Capture, what: Literal["test", "block"] = "test") -> str | None:
    """What is wrong at the end of a strict test, or block; None where nothing is, and in others."""
    if not capture.settings.strict or capture.mode == "live":
        return None
    found = [(engine, job) for engine in capture.engines() for job in _unlooked(engine)]
    if not found:
        return None
    many = "one job" if len(found) == 1 else f"{len(found)} jobs"
    verb = "was" if len(found) == 1 else "were"
    lines = [f"pgjobs, strict: the {what} never looked at {many} that failed or {verb} left over"]
    lines += [f"  {_line(engine, job)}" for engine, job in found[:LISTED]]
    if len(found) > LISTED:
        lines.append(f"  ... and {len(found) - LISTED} more")
    return "\n".join((*lines, REMEDY.format(id=found[0][1].id, what=what, switch=SWITCHES[what])))


def _unlooked(engine: Engine) -> list[Job]:
    stored: list[Job] = engine.store.run(Find(Selection()))
    return [
        job
        for job in stored
        if (_failed(job) or _left_over(job)) and not engine.looking.has_seen(job)
    ]


def _failed(job: Job) -> bool:
    return bool(job.errors) and job.state is not JobState.CANCELLED


def _left_over(job: Job) -> bool:
    return job.state in (*WAITING, JobState.EXECUTING)


def _line(engine: Engine, job: Job) -> str:
    args = json.dumps(job.args, ensure_ascii=False)
    if len(args) > ARGS_CHARACTERS:
        args = f"{args[:ARGS_CHARACTERS]}..."
    ordinal = engine.recorder.ordinal(job.id)
    name = f"#{ordinal}" if ordinal == job.id else f"#{ordinal} (id {job.id})"
    what = "; ".join(part for part in (_failure(job), _state(engine, job)) if part)
    return f"{name} {job.worker} {args} in {job.queue}: {what}"


def _failure(job: Job) -> str:
    if not _failed(job):
        return ""
    last = job.errors[-1]
    text = str(last.get("error", "")).split("\n", 1)[0]
    return f"failed at attempt {last.get('attempt', job.attempt)} ({text})"


def _state(engine: Engine, job: Job) -> str:
    def at(instant: datetime | None) -> str:
        return "?" if instant is None else elapsed(instant - engine.recorder.start)

    if job.state is JobState.AVAILABLE:
        return f"left over, available since {at(max(job.scheduled_at, job.inserted_at))}"
    if job.state is JobState.EXECUTING:
        return f"left over, executing since {at(job.attempted_at)}"
    if job.state in WAITING:
        return f"left over, {job.state}, due {at(job.scheduled_at)}"
    return str(job.state)
