"""What ``strict`` holds against a test at its end: jobs that failed or were left over, unlooked at, and
jobs of a misspelt queue, which no node would run.

A job failed when an attempt of it did, whatever became of it, or when it was discarded. One is left
over while it waits to run, or still runs. A cancelled job is neither: somebody said so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pgjobs.effects import Find
from pgjobs.rules.errors import closest
from pgjobs.rules.job import WAITING, Job, JobState
from pgjobs.rules.selection import Selection
from pgjobs_testing.conditions import applications
from pgjobs_testing.trace import elapsed
from pgjobs_testing.unserved import by_queue, not_served

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

RUNS = ("pgjobs.job.start", "pgjobs.job.stop", "pgjobs.job.exception")

QUEUES = """\
A drain runs every queue, a node its own alone. Name the queue in PgJobs(queues=...), or correct that of the
worker. Where the instance that serves it is not imported here, name it in the test's own queues=, or leave
this {what} be: {switch}"""

SWITCHES = {"test": "@pytest.mark.pgjobs(strict=False)", "block": "harness(strict=False)"}
"""What is strict, and how it is let be."""


def complaint(capture: Capture, what: Literal["test", "block"] = "test") -> str | None:
    """What is wrong at the end of a strict test, or block; None where nothing is, and in others."""
    if not capture.settings.strict or capture.mode == "live":
        return None
    told = (_overlooked(capture, what), _not_served(capture, what))
    return "\n".join(each for each in told if each) or None


def _overlooked(capture: Capture, what: Literal["test", "block"]) -> str:
    found = [(engine, job) for engine in capture.engines() for job in _unlooked(engine)]
    if not found:
        return ""
    many = "one job" if len(found) == 1 else f"{len(found)} jobs"
    verb = "was" if len(found) == 1 else "were"
    lines = [f"pgjobs, strict: the {what} never looked at {many} that failed or {verb} left over"]
    lines += [f"  {_line(engine, job)}" for engine, job in found[:LISTED]]
    if len(found) > LISTED:
        lines.append(f"  ... and {len(found) - LISTED} more")
    return "\n".join((*lines, REMEDY.format(id=found[0][1].id, what=what, switch=SWITCHES[what])))


def _not_served(capture: Capture, what: Literal["test", "block"]) -> str:
    """Of jobs in queues that no instance of the process serves, on whichever database, and whose names are
    like those of some that are: "" where there is none.

    Any other may be served by an instance that is not imported here, which is nothing to fail for.
    """
    everywhere = {name: None for app in applications() for name in app.queues}
    found: list[tuple[Engine, Job]] = []
    reasons: dict[str, None] = {}
    for engine in capture.engines():
        served = engine.served()
        if served is None:
            continue
        for queue, jobs in by_queue(_met(engine), {**everywhere, **served}).items():
            if closest(queue, served) is None:
                continue
            found += [(engine, job) for job in jobs]
            reasons[str(not_served(queue, served))] = None
    if not found:
        return ""
    many = "a job" if len(found) == 1 else f"{len(found)} jobs"
    lines = [f"pgjobs, strict: the {what} had {many} that no node would run"]
    lines += [f"  {_name(engine, job)}: {_ended(engine, job)}" for engine, job in found[:LISTED]]
    if len(found) > LISTED:
        lines.append(f"  ... and {len(found) - LISTED} more")
    switch = SWITCHES[what]
    return "\n".join((*lines, *reasons, QUEUES.format(what=what, switch=switch)))


def _met(engine: Engine) -> Iterator[Job]:
    """Every job that ran, and every one that is stored."""
    for each in engine.recorder.events():
        if each.name in RUNS and each.job is not None:
            yield each.job
    yield from engine.store.run(Find(Selection()))


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
    what = "; ".join(part for part in (_failure(job), _state(engine, job)) if part)
    return f"{_name(engine, job)}: {what}"


def _name(engine: Engine, job: Job) -> str:
    args = json.dumps(job.args, ensure_ascii=False)
    if len(args) > ARGS_CHARACTERS:
        args = f"{args[:ARGS_CHARACTERS]}..."
    ordinal = engine.recorder.ordinal(job.id)
    name = f"#{ordinal}" if ordinal == job.id else f"#{ordinal} (id {job.id})"
    return f"{name} {job.worker} {args} in {job.queue}"


def _ended(engine: Engine, job: Job) -> str:
    return _state(engine, job) if _left_over(job) else str(job.state)


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
