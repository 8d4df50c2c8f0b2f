"""``jobs.explain`` in a test: why a job has not run, in the mode that the test runs in."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgjobs import (
    ConfigurationError,
    Job,
    JobNotFoundError,
    PgJobs,
    Queue,
    RateLimit,
    Snooze,
    Unique,
    worker,
)
from pgjobs_testing import harness

QUEUES = {
    "default": 1,
    "slow": Queue(5, rate_limit=RateLimit(1, 60)),
    "shut": Queue(1, paused=True),
}


@worker
def plain(job: Job) -> None: ...


@worker(unique=Unique(period=60))
def once(job: Job) -> None: ...


@worker(queue="slow")
async def slow(job: Job) -> None: ...


@worker
def failing(job: Job) -> None:
    raise ValueError("out of paper")


def test_in_manual_mode_nothing_has_run_a_due_job_yet(jobs):
    found = jobs.explain(jobs.insert(plain.new()))
    assert found.kinds == ("not_run_yet",)
    assert str(found).endswith(
        "  - nothing has run it yet: drain_queue() or advance(0) does\n  can start now"
    )


def test_start_is_told_to_have_been_recorded(jobs):
    PgJobs("postgresql://nowhere/x").start()
    assert "start() was called" in str(jobs.explain(jobs.insert(plain.new())))


def test_a_failed_job_says_after_which_error_it_waits(jobs):
    job = jobs.insert(failing.new())
    jobs.drain_queue(with_safety=True)
    found = jobs.explain(job)
    assert found.kinds == ("retryable", "not_run_yet")
    assert found.earliest == jobs.get_job(job).scheduled_at
    assert "attempt 1 of 20 failed (ValueError: out of paper)" in str(found)
    assert "advance(16)" in str(found)


def test_a_conflict_is_explained_by_the_job_that_was_there(jobs):
    first = jobs.insert(once.new({"n": 1}))
    again = jobs.insert(once.new({"n": 1}))
    assert jobs.explain(first).kinds == ("not_run_yet",)
    assert jobs.explain(again).kinds == ("conflict", "not_run_yet")
    jobs.advance(60)
    found: Any = jobs.explain(again)
    assert found.kinds == ("conflict", "completed")
    assert not found.reasons[0].counts
    assert not jobs.insert(once.new({"n": 1})).conflict


@pytest.mark.pgjobs(queues=QUEUES)
def test_a_rate_window_opens_when_it_is_said_to(jobs):
    first, second = jobs.insert_all([slow.new(), slow.new()])
    jobs.advance(0)
    assert jobs.explain(first).kinds == ("completed",)
    found = jobs.explain(second)
    assert found.kinds == ("rate_limit", "not_run_yet")
    jobs.travel_to(found.earliest)
    assert jobs.get_job(second).attempted_at == found.earliest


@pytest.mark.pgjobs(queues=QUEUES)
def test_a_queue_that_nobody_serves_is_named_with_the_nearest(jobs):
    found = jobs.explain(jobs.insert(plain.new(queue="defaul")))
    assert found.kinds == ("queue_not_served", "not_run_yet")
    assert (
        "no node serves the queue 'defaul' (served: default, slow, shut): did you mean 'default'?"
        in str(found)
    )
    assert "no advance(...) runs it, as no node would; drain_queue() does, in every queue" in str(
        found
    )
    assert (found.reasons[-1].held, found.reasons[-1].served) == (True, False)
    later = jobs.explain(jobs.insert(plain.new(queue="defaul", schedule_in=5)))
    assert "drain_queue(with_scheduled=True) does, in every queue" in str(later)


@pytest.mark.postgres
@pytest.mark.pgjobs(mode="postgres", queues=QUEUES)
def test_on_a_server_the_same_is_told(jobs):
    first, second, third = jobs.insert_all([slow.new(), slow.new(schedule_in=20), slow.new()])
    jobs.advance(0)
    assert jobs.explain(first).kinds == ("completed",)
    found = jobs.explain(second)
    assert found.kinds == ("scheduled", "rate_limit", "not_run_yet")
    assert found.earliest == jobs.get_job(first).attempted_at + timedelta(seconds=60)
    jobs.pause_queue("slow")
    assert jobs.explain(third).kinds == ("paused", "rate_limit", "not_run_yet")
    jobs.resume_queue("slow")
    jobs.travel_to(found.earliest)
    assert jobs.explain(third).kinds == ("completed",)
    assert jobs.explain(second).kinds == ("rate_limit", "not_run_yet")


@pytest.mark.pgjobs(queues=QUEUES)
def test_what_is_told_to_run_a_job_that_is_held_back_does_run_it(jobs):
    job = jobs.insert(plain.new(queue="shut"))
    told = str(jobs.explain(job))
    assert "advance(...) does once it may start, and drain_queue() now, whatever is paused" in told
    jobs.advance(0)
    assert jobs.get_job(job).state == "available"
    jobs.drain_queue()
    assert jobs.get_job(job).state == "completed"


@pytest.mark.pgjobs(mode="inline", queues=QUEUES)
def test_in_inline_mode_what_is_held_back_is_told_as_such(jobs):
    job = jobs.insert(plain.new(queue="shut"))
    found = jobs.explain(job)
    assert found.kinds == ("paused", "not_run_yet")
    assert "configured with paused=True" in str(found)
    jobs.resume_queue("shut")
    assert jobs.explain(job).kinds == ("completed",)


def test_a_worker_sees_itself_executing(jobs):
    seen = []

    @worker
    def looking(job: Job) -> None:
        seen.append(jobs.explain(job))

    jobs.insert(looking.new())
    jobs.advance(0)
    assert [each.kinds for each in seen] == [("executing",)]
    assert "attempt 1 runs on node test since" in str(seen[0])


def test_what_is_not_there_cannot_be_explained(jobs):
    job = jobs.insert(plain.new())
    jobs.delete_job(job)
    with pytest.raises(JobNotFoundError, match="it was deleted, or never stored"):
        jobs.explain(job)
    with pytest.raises(ConfigurationError, match="by its id, not as 'plain'"):
        jobs.explain("plain")


def test_the_twin_tells_the_same(jobs):
    job = jobs.insert(plain.new())
    assert asyncio.run(jobs.explain_async(job)) == jobs.explain(job.id)


def test_explaining_changes_nothing(jobs):
    jobs.insert(plain.new(schedule_in=5))
    before, rows = str(jobs.timeline), jobs.all_jobs()
    jobs.explain(rows[0])
    assert (str(jobs.timeline), jobs.all_jobs()) == (before, rows)


CASCADING = {"jobs_ahead", "no_free_slot", "global_limit"}
"""What ends within the instant, since jobs under test take no time."""


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["default", "slow", "shut", "elsewhere"]),
            st.sampled_from([0, 5, 90]),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=8,
    ),
    st.lists(st.sampled_from(["default", "slow", "shut"]), max_size=3),
    st.sampled_from([0, 5, 30, 60, 90]),
)
def test_in_a_test_too_what_is_said_comes_true(inserts, pauses, seconds):
    @worker(name="sleepy")
    async def sleepy(job: Job) -> Snooze | None:
        return Snooze(5) if job.args["n"] % 4 == 3 and not job.snoozed else None

    with harness(queues=QUEUES) as jobs:
        for n, (queue, wait, priority) in enumerate(inserts):
            new = sleepy.new({"n": n}, queue=queue, schedule_in=wait, priority=priority)
            jobs.insert(new)
        for queue in pauses:
            jobs.pause_queue(queue)
        jobs.advance(seconds)
        for queue in pauses[1:]:
            jobs.resume_queue(queue)
        told = {
            job.id: (job, jobs.explain(job))
            for job in jobs.all_jobs(state=["available", "scheduled", "retryable"])
        }
        jobs.advance(0)
        for job, explanation in told.values():
            started = jobs.get_job(job).attempted_at != job.attempted_at
            holding = {r.kind for r in explanation.reasons if r.blocks} - {"not_run_yet"}
            if not holding:
                assert started, explanation
            elif not holding <= CASCADING:
                assert not started, explanation
