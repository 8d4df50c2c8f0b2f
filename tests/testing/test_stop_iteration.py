"""``StopIteration`` is an error of a worker like any other, though no generator or coroutine can raise it."""

from __future__ import annotations

from typing import Any

import pytest

from pgjobs import Job, worker
from pgjobs_testing import Harness


@worker
def ends(job: Job) -> None:
    next(iter([]))


@worker
async def ends_in_a_task(job: Job) -> None:
    next(iter([]))


@worker
def note(job: Job) -> None: ...


def test_a_drain_and_perform_job_raise_it_as_it_is(jobs: Harness):
    job = jobs.insert(ends.new())
    with pytest.raises(StopIteration) as raised:
        jobs.drain_queue()
    assert raised.value.__context__ is None
    assert jobs.get_job(job).state == "retryable"
    with pytest.raises(StopIteration):
        jobs.perform_job(ends)


async def test_out_of_a_coroutine_it_comes_as_pythons_own_error(jobs: Harness):
    job = jobs.insert(ends.new())
    for twin in (jobs.drain_queue_async(), jobs.perform_job_async(ends)):
        with pytest.raises(RuntimeError, match="coroutine raised StopIteration") as raised:
            await twin
        assert isinstance(raised.value.__cause__, StopIteration)
    assert str(jobs.get_job(job).last_error).startswith("StopIteration")


@pytest.mark.parametrize("raises", [ends, ends_in_a_task])
@pytest.mark.parametrize("call", ["advance", "inline", "safe drain", "drain"])
def test_its_attempt_fails_and_the_jobs_after_it_run(jobs: Harness, raises: Any, call: str):
    if call == "inline":
        with jobs.mode("inline"):
            first, second = jobs.insert_all([raises.new(), note.new()])
    else:
        first, second = jobs.insert_all([raises.new(), note.new()])
    if call == "advance":
        jobs.advance(1)
    elif call == "safe drain":
        jobs.drain_queue(with_safety=True)
    elif call == "drain":
        with pytest.raises((StopIteration, RuntimeError)):
            jobs.drain_queue()
        jobs.drain_queue()
    assert jobs.get_job(first).state == "retryable"
    assert "StopIteration" in str(jobs.get_job(first).last_error)
    assert jobs.get_job(second).state == "completed"
