"""One run of a worker, without a queue: the job that it would get, and whether it keeps its contract.

The args pass through JSON as they do on their way to a store, the function must take a job, its result
must be an answer, and the run must end within its limit.
"""

from __future__ import annotations

import asyncio
import inspect
from datetime import datetime, timedelta
from typing import Any

from pgjobs.rules import options, outcome
from pgjobs.rules.errors import ConfigurationError, InvalidResultError, JobTimeoutError
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.schedule import later
from pgjobs.worker import REGISTRY, Worker, worker_name
from pgjobs_testing.capture import NODE
from pgjobs_testing.executor import Loops

_BUILT_ATTEMPT = 1


def chosen(worker: Worker[..., Any] | str) -> Worker[..., Any]:
    """The worker that an object or a name means."""
    return worker if isinstance(worker, Worker) else REGISTRY.find(worker_name(worker))


def built(worker: Worker[..., Any], args: Any, given: dict[str, Any], now: datetime) -> Job:
    """A job as ``worker`` gets it, from the options of ``new``, and ``attempt``, ``id``, ``errors``."""
    fixed = {name: given.pop(name) for name in ("attempt", "id", "errors") if name in given}
    new = worker.new(args, **given)
    errors = fixed.get("errors", ())
    if not isinstance(errors, list | tuple) or not all(isinstance(e, dict) for e in errors):
        raise ConfigurationError(
            f'errors takes a list such as [{{"attempt": 1, "error": "why"}}], not {errors!r}'
        )
    due = new.scheduled_at or later(now, new.schedule_in or timedelta(0))
    attempt = options.whole(fixed.get("attempt", _BUILT_ATTEMPT), "attempt", 1, new.max_attempts)
    built = Job(
        id=options.whole(fixed.get("id", 1), "id", 1, 2**63 - 1),
        state=JobState.EXECUTING,
        queue=new.queue,
        worker=new.worker,
        args=dict(new.args),
        meta=dict(new.meta),
        tags=new.tags,
        errors=tuple(errors),
        attempt=attempt,
        max_attempts=new.max_attempts,
        priority=new.priority,
        attempted_by=(NODE, "built"),
        inserted_at=now,
        scheduled_at=min(due, now),
        attempted_at=now,
    )
    return worker.with_data(built)


def perform(worker: Worker[..., Any], job: Job, loops: Loops) -> Any:
    """Run ``worker`` once in this thread, async ones on the private loop; what it returned."""
    _check_signature(worker)
    if worker.is_async:
        return _judged(loops.run(loops.to_end(_within_limit(worker, job)), "perform_job"))
    return _judged(worker.bound()(job))


async def perform_async(worker: Worker[..., Any], job: Job, loops: Loops) -> Any:
    """``perform`` on the running loop."""
    _check_signature(worker)
    if worker.is_async:
        return _judged(await loops.to_end(_within_limit(worker, job)))
    return _judged(worker.bound()(job))


async def _within_limit(worker: Worker[..., Any], job: Job) -> Any:
    """What an async worker returns, cancelled at its time limit by virtual time."""
    limit = worker.timeout_of(job)
    scope = asyncio.timeout(None if limit is None else limit.total_seconds())
    try:
        async with scope:
            return await worker.bound()(job)
    except TimeoutError as error:
        if scope.expired():
            raise JobTimeoutError(f"the run took longer than its limit of {limit}") from error
        raise


def _check_signature(worker: Worker[..., Any]) -> None:
    """``ConfigurationError`` for a function that cannot be called with one job."""
    wrapped: Any = worker.wrapped
    called, given = wrapped, ["job"]
    if worker.is_class:
        called = wrapped.perform
        if inspect.isfunction(inspect.getattr_static(wrapped, "perform")):
            given = ["self", "job"]
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):  # a callable written in C need not have one
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        takes = "perform(self, job)" if worker.is_class else "one argument, the job"
        raise ConfigurationError(f"worker {worker.name} must take {takes}: {error}") from None


def _judged(value: object) -> object:
    """What a worker returned, if it is an answer; ``InvalidResultError`` if it is a mistake."""
    ended = outcome.returned(value)
    if isinstance(ended.exception, InvalidResultError):
        raise ended.exception
    return value
