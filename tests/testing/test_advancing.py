"""``advance`` over the whole engine: every duty at its own instant, in order, and every odd span refused."""

from __future__ import annotations

import asyncio
import math
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgjobs import (
    BlockingCallError,
    ConfigurationError,
    Cron,
    Job,
    LeaderTasks,
    Pruner,
    Queue,
    RateLimit,
    Stalled,
    worker,
)
from pgjobs.effects import Claim
from pgjobs.leading import Beat
from pgjobs.rules import lifecycle, selection
from pgjobs_testing import Harness, harness

START = datetime(2025, 3, 3, tzinfo=UTC)


@worker(name="advancing.hourly", max_attempts=2)
def hourly(job: Job) -> None:
    if job.attempt == 1 and job.scheduled_at.hour == 5:
        raise ValueError("five in the morning")


@worker(name="advancing.long")
def long(job: Job) -> None: ...


@pytest.fixture(params=["manual", pytest.param("postgres", marks=pytest.mark.postgres)])
def mode(request: pytest.FixtureRequest) -> str:
    if request.param == "postgres":
        request.getfixturevalue("server")
    return str(request.param)


def test_days_of_cron_retries_rescues_and_pruning_happen_in_order(mode):
    cleaned: list[datetime] = []
    plugins = [
        Cron([("0 * * * *", hourly)]),
        Stalled(interval=600),
        Pruner(max_age=86_400),
        LeaderTasks([("30 0 * * *", lambda: cleaned.append(jobs.clock.now()))]),
    ]
    with harness(mode=mode, start=START, plugins=plugins) as jobs:
        lost = jobs.insert(long.new())
        now = jobs.clock.now()
        jobs.store.run(Beat("gone", now, now, timedelta(seconds=10)))
        claimed = jobs.store.run(
            Claim(selection.claimable(None), 1, lifecycle.claim("gone", "token", now))
        )
        assert [lost.id] == [job.id for job in claimed]
        trace = jobs.advance(timedelta(days=3))
        instants = [moment.at for moment in trace.moments]
        assert sorted(instants) == instants
        inserted = [moment.at for moment in trace.of("insert")]
        assert [START + timedelta(hours=n) for n in range(1, 73)] == inserted
        (rescue,) = trace.of("rescue")
        assert timedelta(0) < rescue.at - START <= timedelta(minutes=20)
        retried = trace.of("retryable")
        assert [START + timedelta(days=n, hours=5) for n in range(3)] == [m.at for m in retried]
        assert len(trace.of("completed")) == 73
        assert trace.of("prune")
        assert jobs.count_jobs(by="state") == {"completed": 24}
        assert [START + timedelta(days=n, minutes=30) for n in range(3)] == cleaned


def test_both_stores_give_one_trace(server):
    digests = []
    for mode in ("manual", "postgres"):
        limited = Queue(concurrency=2, rate_limit=RateLimit(allowed=3, period=3600))
        with harness(
            mode=mode,
            start=START,
            seed=7,
            queues={"default": limited},
            plugins=[Cron([("*/15 * * * *", hourly)]), Stalled(interval=3600), Pruner()],
        ) as jobs:
            digests.append(jobs.advance(timedelta(hours=12)).text())
    assert digests[0] == digests[1]


def test_nothing_passes_in_a_span_of_nothing(jobs: Harness):
    before = jobs.clock.now()
    job = jobs.insert(long.new())
    jobs.advance(0)
    assert before == jobs.clock.now()
    assert jobs.get_job(job).state == "completed"


@pytest.mark.parametrize(
    "span", [-1, math.nan, math.inf, -math.inf, timedelta(days=-1), "1h", None]
)
def test_a_span_that_is_none_is_refused(jobs: Harness, span: Any):
    before = jobs.clock.now()
    with pytest.raises(ConfigurationError, match="advance"):
        jobs.advance(span)
    assert before == jobs.clock.now()


@pytest.mark.parametrize("target", [datetime(2031, 1, 1), "2031-01-01", None])  # noqa: DTZ001 - refused
def test_an_instant_without_a_zone_is_refused(jobs: Harness, target: Any):
    with pytest.raises(ConfigurationError, match="travel_to"):
        jobs.travel_to(target)


def test_an_instant_in_the_past_is_refused(jobs: Harness):
    with pytest.raises(ConfigurationError, match="cannot go back to"):
        jobs.travel_to(jobs.clock.now() - timedelta(microseconds=1))


def test_a_hundred_years_without_anything_recurring_pass_at_once():
    with harness(plugins=False) as jobs:
        job = jobs.insert(long.new(schedule_in=timedelta(days=30_000)))
        jobs.advance(timedelta(days=36_500))
        assert jobs.get_job(job).state == "completed"


def test_more_instants_than_a_test_waits_for_are_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr("pgjobs_testing.flow.INSTANTS_OF_ONE_ADVANCE", 500)
    with harness(start=START, plugins=[Cron([("* * * * *", hourly)])]) as jobs:
        with pytest.raises(ConfigurationError, match=r"500 instants.*2025-03-03T04:10.*run=False"):
            jobs.advance(timedelta(days=36_500))
        jobs.advance(60)


def test_a_worker_cannot_advance(jobs: Harness):
    @worker(name="advancing.self")
    def itself(job: Job) -> None:
        jobs.advance(1)

    job = jobs.insert(itself.new({}, max_attempts=1))
    jobs.advance(1)
    assert "time is being advanced already" in str(jobs.get_job(job).last_error)


def test_a_running_loop_is_told_of_the_twin(jobs: Harness):
    async def act() -> None:
        jobs.advance(1)

    with pytest.raises(BlockingCallError, match="await advance_async"):
        asyncio.run(act())


def test_another_thread_may_advance_while_nobody_else_does(jobs: Harness):
    job = jobs.insert(long.new(schedule_in=5))
    thread = threading.Thread(target=lambda: jobs.advance(10))
    thread.start()
    thread.join()
    assert jobs.get_job(job).state == "completed"


def test_a_job_that_another_node_loses_between_two_advances_is_rescued():
    with harness(start=START, plugins=[Stalled(interval=600)]) as jobs:
        jobs.advance(3_700)
        jobs.insert(long.new())
        now = jobs.clock.now()
        jobs.store.run(Beat("gone", now, now, timedelta(seconds=10)))
        jobs.store.run(Claim(selection.claimable(None), 1, lifecycle.claim("gone", "token", now)))
        (rescue,) = jobs.advance(3_600).of("rescue")
        assert START + timedelta(seconds=4_200) == rescue.at  # at a mark of the interval, as ever
        assert jobs.advance(3_600).of("rescue") == []
