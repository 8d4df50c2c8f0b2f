"""``check_queue`` of a queue that is limited over all nodes says exactly how its window stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from pgjobs import Job, PgJobs, Queue, QueueStatus, RateLimit, WindowStatus, worker
from pgjobs_testing import Harness, harness

Check = Callable[[PgJobs, str], QueueStatus]

SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
RATE = RateLimit(allowed=3, period=10)
MODES = ["manual", pytest.param("postgres", marks=pytest.mark.postgres)]


@worker(queue="sync")
def pull(job: Job) -> None:
    """A worker that has nothing to do."""


@pytest.fixture(params=MODES)
def jobs(request: pytest.FixtureRequest) -> Iterator[Harness]:
    if request.param == "postgres":
        request.getfixturevalue("server")
    with harness(mode=request.param) as made:
        yield made


@pytest.fixture
def app(jobs: Harness) -> PgJobs:
    queues = {"sync": Queue(2, global_concurrency=5, rate_limit=RATE), "free": Queue(4)}
    return PgJobs("postgresql://db.example.invalid/production", queues=queues)


@pytest.fixture(params=["sync", "async"])
def check(request: pytest.FixtureRequest) -> Check:
    """Calls ``check_queue``, or its twin on a loop of its own."""
    if request.param == "sync":
        return PgJobs.check_queue
    return lambda jobs, queue: asyncio.run(jobs.check_queue_async(queue))


def test_a_window_in_use_is_counted_and_opens_a_period_after_its_oldest_start(
    jobs: Harness, app: PgJobs, check: Check
) -> None:
    start = jobs.clock.now()

    def window(used: int, opens_at: float | None = None) -> WindowStatus:
        opens = None if opens_at is None else start + opens_at * SECOND
        return WindowStatus(3, 10 * SECOND, used, opens)

    assert window(0) == check(app, "sync").window
    app.insert(pull.new())
    jobs.advance(4)
    assert window(1) == check(app, "sync").window
    app.insert_all(pull.new() for _ in range(4))
    jobs.advance(0)
    assert QueueStatus("sync", 2, False, 0, 2, 5, RATE, window(3, opens_at=10)) == check(
        app, "sync"
    )
    jobs.advance(6 * SECOND - TICK)
    assert window(3, opens_at=10) == check(app, "sync").window
    jobs.advance(TICK)
    assert (1, window(3, opens_at=14)) == (check(app, "sync").available, check(app, "sync").window)
    jobs.advance(4)
    assert (0, window(2)) == (check(app, "sync").available, check(app, "sync").window)
    jobs.advance(10)
    assert window(0) == check(app, "sync").window


def test_a_queue_without_a_rate_limit_has_no_window(app: PgJobs, check: Check) -> None:
    app.insert(pull.new(queue="free"))
    status = check(app, "free")
    assert (None, None, None) == (status.global_concurrency, status.rate_limit, status.window)


def test_a_reset_and_a_drain_leave_the_window_as_it_is(
    jobs: Harness, app: PgJobs, check: Check
) -> None:
    app.insert_all(pull.new() for _ in range(5))
    jobs.advance(0)
    full = check(app, "sync").window
    app.pause_queue("sync")
    app.reset_queue("sync")
    assert {"completed": 2} == jobs.drain_queue("sync")
    assert full is not None
    assert 3 == full.used
    assert full == check(app, "sync").window
