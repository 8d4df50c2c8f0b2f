"""One run of a worker, without a queue: the job that it would get, and whether it keeps its contract.

The args pass through JSON as they do on their way to a store, the function must take a job, its result
must be an answer, the run must end within its limit, leave the job as it was, and leave no task of the
project's own behind. Threads are not judged: a pool that outlives a run is no mistake.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pgjobs.ports import Clock
from pgjobs.rules import options, outcome
from pgjobs.rules.errors import (
    ConfigurationError,
    InvalidResultError,
    JobTimeoutError,
    PgJobsError,
    reject_unknown,
)
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.jsonb import normal_list
from pgjobs.rules.schedule import instant, later
from pgjobs.worker import REGISTRY, Worker, worker_name
from pgjobs_testing import authors
from pgjobs_testing.differing import differences
from pgjobs_testing.engine import NODE
from pgjobs_testing.executor import Loops

OWN = ("attempt", "id", "errors", "inserted_at")
"""What a job is built from beside the options of ``new``."""
_BUILT_ATTEMPT = 1
_MUTABLE = ("args", "meta", "errors")


class WorkerContractError(PgJobsError, AssertionError):
    """A worker did under ``perform_job`` what is a mistake in production."""


def chosen(worker: Worker[..., Any] | str) -> Worker[..., Any]:
    """The worker that an object or a name means."""
    return worker if isinstance(worker, Worker) else REGISTRY.find(worker_name(worker))


def built(worker: Worker[..., Any], args: Any, given: dict[str, Any], now: datetime) -> Job:
    """A job as ``worker`` gets it: from the options of ``new``, and those of ``OWN``."""
    reject_unknown(given, (*options.JOB_OPTIONS, *OWN), "option of a job that is built")
    fixed = {name: given.pop(name) for name in OWN if name in given}
    new = worker.new(args, **given)
    errors = fixed.get("errors", ())
    if not isinstance(errors, list | tuple) or not all(isinstance(e, dict) for e in errors):
        raise ConfigurationError(
            f'errors takes a list such as [{{"attempt": 1, "error": "why"}}], not {errors!r}'
        )
    due = new.scheduled_at or later(now, new.schedule_in or timedelta(0))
    attempt = options.whole(fixed.get("attempt", _BUILT_ATTEMPT), "attempt", 1, new.max_attempts)
    inserted_at = instant(fixed.get("inserted_at", now), "inserted_at")
    if inserted_at > now:
        raise ConfigurationError(
            f"a job that runs was inserted before: inserted_at is {inserted_at.isoformat()}, and the "
            f"clock shows {now.isoformat()}"
        )
    built = Job(
        id=options.whole(fixed.get("id", 1), "id", 1, 2**63 - 1),
        state=JobState.EXECUTING,
        queue=new.queue,
        worker=new.worker,
        args=dict(new.args),
        meta=dict(new.meta),
        tags=new.tags,
        errors=tuple(normal_list(list(errors), "errors")),
        attempt=attempt,
        max_attempts=new.max_attempts,
        priority=new.priority,
        attempted_by=(NODE, "built"),
        inserted_at=inserted_at,
        scheduled_at=min(due, now),
        attempted_at=now,
    )
    return worker.with_data(built)


def perform(worker: Worker[..., Any], job: Job, loops: Loops, clock: Clock) -> Any:
    """Run ``worker`` once in this thread, async ones on the private loop; what it returned."""
    with _kept(worker, job):
        if worker.is_async:
            ran = loops.run(_async_run(worker, job, loops), "perform_job")
            return _judged(_passed_on(ran))
        return _judged(_sync_run(worker, job, clock))


async def perform_async(worker: Worker[..., Any], job: Job, loops: Loops, clock: Clock) -> Any:
    """``perform`` on the running loop."""
    with _kept(worker, job):
        if worker.is_async:
            return _judged(_passed_on(await _async_run(worker, job, loops)))
        return _judged(_sync_run(worker, job, clock))


@contextmanager
def _kept(worker: Worker[..., Any], job: Job) -> Iterator[None]:
    """``WorkerContractError`` where a run that ended well has changed the job that it was given."""
    before = {name: copy.deepcopy(getattr(job, name)) for name in _MUTABLE}
    yield
    found = [
        each.line("before", "after")
        for name, value in before.items()
        for each in differences(value, getattr(job, name), f"job.{name}")
    ]
    if found:
        raise WorkerContractError(
            f"worker {worker.name} changed the job that it was given, which is never stored, so the "
            f"next attempt would not see it: {'; '.join(found)}. Work on a copy, as in "
            "dict(job.args), or insert a new job"
        )


def _sync_run(worker: Worker[..., Any], job: Job, clock: Clock) -> Any:
    """What a worker of a thread returns, by the clock that it sees: it stands still unless moved."""
    limit, began = worker.timeout_of(job), clock.now()
    value = worker.bound()(job)
    took = clock.now() - began
    if limit is not None and took > limit:
        raise JobTimeoutError(f"the run took {took}, longer than its time limit of {limit}")
    return value


async def _async_run(worker: Worker[..., Any], job: Job, loops: Loops) -> Any:
    """What an async worker returns, which leaves no task of its own behind."""
    left: list[str] = []
    value = await loops.to_end(_within_limit(worker, job, loops, left), f"worker {worker.name}")
    if left:
        raise WorkerContractError(
            f"worker {worker.name} returned and left a task behind: {'; '.join(left)}. Nobody waits "
            "for it: its error is lost, no retry follows, and a stop of the node cuts it off. Await it, "
            "or use asyncio.TaskGroup"
        )
    return value


async def _within_limit(worker: Worker[..., Any], job: Job, loops: Loops, left: list[str]) -> Any:
    """What an async worker returns, cancelled at its time limit by virtual time.

    ``left`` is filled with the project's own tasks that are neither done nor cancelled then.
    """
    limit = worker.timeout_of(job)
    scope = asyncio.timeout(None if limit is None else limit.total_seconds())
    try:
        async with scope:
            try:
                value = await worker.bound()(job)
            except (SystemExit, KeyboardInterrupt) as error:
                return _Exit(error)
    except TimeoutError as error:
        if scope.expired():
            raise JobTimeoutError(f"the run took longer than its time limit of {limit}") from error
        raise
    for task, begun in loops.time.left_by(asyncio.current_task()):
        if (told := authors.of_the_project(task, begun)) is not None:
            left.append(told)
            task.cancel()
    return value


@dataclass(frozen=True, slots=True)
class _Exit:
    """What an async worker raised that would end the loop as well, were it raised in a task."""

    error: SystemExit | KeyboardInterrupt


def _passed_on(value: Any) -> Any:
    """What an async worker returned; an exit of it is raised, now that no task is between."""
    if isinstance(value, _Exit):
        raise value.error
    return value


def _judged(value: object) -> object:
    """What a worker returned, if it is an answer; ``InvalidResultError`` if it is a mistake."""
    ended = outcome.returned(value)
    if isinstance(ended.exception, InvalidResultError):
        raise ended.exception
    return value
