"""What a run of a worker comes to, in this thread or on the running loop: an ``Outcome``, whatever it did.

``CancelledError``, ``SystemExit`` and exceptions that cannot be printed are failures of the run, never of
who performs it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pgjobs.ports import Run
from pgjobs.rules import outcome
from pgjobs.rules.errors import JobTimeoutError
from pgjobs.rules.lifecycle import Outcome


async def perform_async(run: Run) -> Outcome:
    """Run an ``async def`` worker on the running loop."""
    assert run.worker is not None
    try:
        return outcome.returned(await run.worker.bound()(run.job))
    except BaseException as error:  # a job must not end the loop that all jobs share
        return outcome.raised(error)


def perform(run: Run) -> Outcome:
    """Run a worker in this thread; an ``async def`` worker gets a loop of its own."""
    assert run.worker is not None
    try:
        value = run.worker.bound()(run.job)
        if run.worker.is_async:
            value = asyncio.run(value)
        return outcome.returned(value)
    except BaseException as error:  # a job must not end the thread that others wait for
        return outcome.raised(error)


async def perform_within_limit(run: Run) -> Outcome:
    """``perform_within`` the time limit of the run's worker."""
    assert run.worker is not None
    try:
        limit = run.worker.timeout_of(run.job)
    except Exception as error:  # the worker's own timeout(job) raised
        return outcome.raised(error)
    return await (perform_async(run) if limit is None else perform_within(run, limit))


async def perform_within(run: Run, limit: timedelta | None) -> Outcome:
    """``perform_async``, cancelled at a time limit by the running loop's own time."""
    if limit is None:
        return await perform_async(run)
    scope = asyncio.timeout(limit.total_seconds())
    try:
        async with scope:
            ended: Outcome | None = await perform_async(run)
    except TimeoutError:  # perform_async raises nothing, so this is the scope's own
        ended = None
    if ended is None or scope.expired():
        return outcome.failed(
            JobTimeoutError(f"the run took longer than its time limit of {limit}")
        )
    return ended
