"""Work that cannot end is named, in every form and way of running it; work that ends never is."""

from __future__ import annotations

import asyncio
import time  # noqa: TID251 - how long the error took
from collections.abc import Callable
from typing import Any

import pytest

from pgjobs import Job, LivelockError, Queue, RateLimit, Retry, Snooze, Unique, backoff, worker
from pgjobs_testing import Harness, harness


@pytest.fixture(params=["manual", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request):
    if request.param == "postgres":
        request.getfixturevalue("server")
    return request.param


def by_drain(jobs: Harness) -> None:
    jobs.drain_queue(with_safety=True)


def by_drain_async(jobs: Harness) -> None:
    asyncio.run(jobs.drain_queue_async(with_safety=True))


def by_advance(jobs: Harness) -> None:
    jobs.advance(1)


def by_advance_async(jobs: Harness) -> None:
    asyncio.run(jobs.advance_async(1))


WAYS = [by_drain, by_drain_async, by_advance, by_advance_async]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request):
    return request.param


@pytest.fixture(params=["def", "async def"])
def colour(request):
    return request.param


def made(colour, act, **options):
    """A worker that does ``act(job)``."""
    if colour == "def":

        @worker(name="shop.poll", **options)
        def poll(job: Job):
            return act(job)

        return poll

    @worker(name="shop.poll", **options)
    async def poll_async(job: Job):
        return act(job)

    return poll_async


def chained(jobs: Harness, goes_on: Callable[[], bool] = lambda: True):
    """A worker whose jobs insert the next, for ever."""
    chain: list[Any] = []

    def act(job: Job) -> None:
        if goes_on():
            jobs.insert(chain[0].new())

    chain.append(made("def", act))
    return chain[0]


def test_a_job_that_snoozes_without_delay_is_named(store, way, colour):
    with harness(mode=store) as jobs:
        job = jobs.insert(made(colour, lambda _: Snooze(0)).new())
        with pytest.raises(
            LivelockError, match=r"job 1 of worker shop\.poll ran 100 times.*snoozes"
        ):
            way(jobs)
        assert jobs.get_job(job).snoozed == 100


def test_jobs_that_retry_each_other_by_hand_are_named(store, way):
    with harness(mode=store, queues={"default": 1}) as jobs:

        def retry_the_other(job: Job) -> None:
            jobs.retry_job(3 - job.id)

        poll = made("def", retry_the_other, max_attempts=3)
        jobs.insert_all([poll.new(), poll.new()])
        with pytest.raises(LivelockError, match=r"ran 100 times.*\(attempt \d+ of \d+ now\)"):
            way(jobs)


def test_a_chain_without_an_end_is_named_with_its_last_runs(way, colour):
    with harness() as jobs:
        if colour == "async def" or way in (by_drain_async, by_advance_async):

            @worker(name="shop.ping")
            async def ping(job: Job):
                await jobs.insert_async(pong.new())
        else:

            @worker(name="shop.ping")
            def ping(job: Job):
                jobs.insert(pong.new())

        @worker(name="shop.pong")
        def pong(job: Job):
            jobs.insert(ping.new())

        jobs.insert(ping.new())
        with pytest.raises(
            LivelockError,
            match=r"2000 generations of jobs, each inserted by the one before, ran .*"
            r"The last runs: job \d+ of shop\.p[io]ng, job \d+ of shop\.p[io]ng.*limit=",
        ):
            way(jobs)


@pytest.mark.postgres
@pytest.mark.parametrize("way", [by_drain, by_advance])
def test_a_chain_on_a_server_is_named_as_well(server, way, monkeypatch):
    monkeypatch.setattr("pgjobs.engine.livelock.ROUNDS", 50)
    with harness(mode="postgres") as jobs:
        chain = chained(jobs)
        jobs.insert(chain.new())
        with pytest.raises(LivelockError, match="50 generations"):
            way(jobs)


def test_a_chain_beside_a_backlog_is_found(way):
    with harness(queues={"default": 3}) as jobs:
        chain = chained(jobs)
        jobs.insert_all([made_still().new({"n": n}) for n in range(1_500)])
        jobs.insert(chain.new())
        with pytest.raises(LivelockError, match="2000 generations"):
            way(jobs)


def test_jobs_that_insert_two_each_are_named(way, monkeypatch):
    monkeypatch.setattr("pgjobs.engine.livelock.DESCENDANTS", 3_000)
    with harness() as jobs:

        def two(job: Job):
            jobs.insert_all([split.new(), split.new()])

        split: Any = made("def", two)
        jobs.insert(split.new())
        with pytest.raises(
            LivelockError, match=r"3000 jobs that were not there at first ran .*, or wait"
        ):
            way(jobs)


@pytest.mark.parametrize("way", [by_drain, by_advance])
def test_jobs_that_insert_many_each_are_named_before_they_have_run(way):
    ran: list[int] = []
    with harness() as jobs:

        def fan_out(job: Job):
            ran.append(job.id)
            jobs.insert_all(fifty.new() for _ in range(50))

        fifty: Any = made("def", fan_out)
        jobs.insert(fifty.new())
        with pytest.raises(LivelockError, match="100000 jobs that were not there at first"):
            way(jobs)
        assert len(ran) < 3_000


def test_a_fan_out_that_ends_is_no_livelock(way, monkeypatch):
    monkeypatch.setattr("pgjobs.engine.livelock.DESCENDANTS", 3_000)
    monkeypatch.setattr("pgjobs.engine.livelock.CENSUS", 1)
    with harness() as jobs:

        def fan_out(job: Job):
            if job.args["depth"]:
                deeper = wide.new({"depth": job.args["depth"] - 1})
                jobs.insert_all([deeper] * 50)
            elif not job.snoozed:
                return Snooze(0)  # waits again, and is no other job
            return None

        wide: Any = made("def", fan_out)
        jobs.insert(wide.new({"depth": 2}))
        way(jobs)
        assert jobs.count_jobs(by="state") == {"completed": 1 + 50 + 50 * 50}


def test_what_waits_for_a_limit_or_for_the_test_is_none(way, monkeypatch):
    """Jobs that a drain leaves, or that do not start at this instant, are not about to run."""
    monkeypatch.setattr("pgjobs.engine.livelock.DESCENDANTS", 1_000)
    rated = Queue(10, rate_limit=RateLimit(allowed=1, period=60))
    queues = {"default": 1, "held": Queue(1, paused=True), "rated": rated, "busy": 1}
    with harness(queues=queues) as jobs:

        @worker(name="shop.nap", queue="busy")
        async def nap(job: Job):
            await asyncio.sleep(60)  # noqa: TID251 - virtual time

        def fan_out(job: Job):
            if way in (by_advance, by_advance_async):
                jobs.insert_all([nap.new({}, queue=queue) for queue in ("held", "rated")] * 5)
                jobs.insert_all([nap.new()] * 5)

        wide: Any = made("def", fan_out)
        jobs.insert(nap.new())
        jobs.advance(0)
        jobs.insert_all([wide.new()] * 300)
        way(jobs)
        assert jobs.count_jobs(worker=wide, state="completed") == 300


def test_a_drain_with_a_limit_may_leave_any_number(monkeypatch):
    monkeypatch.setattr("pgjobs.engine.livelock.DESCENDANTS", 1_000)
    with harness() as jobs:

        def fan_out(job: Job):
            jobs.insert_all([wide.new()] * 20)

        wide: Any = made("def", fan_out)
        jobs.insert(wide.new())
        assert jobs.drain_queue(limit=900) == {"completed": 900}
        jobs.insert_all([wide.new()] * 400)
        jobs.drain_queue(with_recursion=False, limit=300)


def test_a_job_that_fails_without_delay_ends_at_its_last_attempt_or_is_named(way, monkeypatch):
    monkeypatch.setattr("pgjobs.engine.livelock.ROUNDS", 300)
    with harness() as jobs:
        failing = made("def", lambda _: Retry("again"), backoff=backoff.constant(0))
        first = jobs.insert(failing.new({}, max_attempts=300))
        way(jobs)
        assert jobs.get_job(first).state == "discarded"
        jobs.insert(failing.new({}, max_attempts=302))
        with pytest.raises(LivelockError, match=r"ran 300 times .*it fails and is retried without"):
            way(jobs)


def test_a_unique_job_that_replaces_itself_ends(store, way):
    with harness(mode=store) as jobs:
        every = ["available", "scheduled", "executing", "retryable", "completed"]

        def insert_itself(job: Job) -> None:
            jobs.insert(again.new({"n": 1}))

        again: Any = made(
            "def",
            insert_itself,
            unique=Unique(states=tuple(every)),
            replace=dict.fromkeys(every, True),
        )
        jobs.insert(again.new({"n": 1}))
        way(jobs)
        assert jobs.count_jobs(by="state") == {"completed": 1}


def made_still():
    @worker(name="shop.still")
    def still(job: Job):
        """Does nothing."""

    return still


def test_inline_names_what_cannot_end_and_goes_on_after_it():
    with harness(mode="inline") as jobs:
        ends: list[bool] = []
        poll = made("def", lambda _: None if ends else Snooze(0))
        with pytest.raises(LivelockError, match="ran 100 times at"):
            jobs.insert(poll.new())
        ends.append(True)
        jobs.advance(0)
        chain = chained(jobs, lambda: bool(ends))
        with pytest.raises(LivelockError, match="2000 generations"):
            jobs.insert(chain.new())
        ends.clear()
        done = jobs.insert(made_still().new())
        assert jobs.get_job(done).state == "completed"
        assert jobs.count_jobs(state="executing") == 0


def test_after_the_error_an_advance_goes_on_and_no_job_is_lost(way):
    with harness() as jobs:
        stops: list[bool] = []
        job = jobs.insert(made("def", lambda _: None if stops else Snooze(0)).new())
        with pytest.raises(LivelockError):
            way(jobs)
        stops.append(True)
        jobs.advance(1)
        assert jobs.get_job(job).state == "completed"


def test_a_backlog_is_no_livelock(way):
    with harness() as jobs:
        jobs.insert_all([made_still().new()] * 5_000)
        way(jobs)
        assert jobs.count_jobs(by="state") == {"completed": 5_000}


def test_a_backlog_of_one_slot_whose_jobs_insert_one_each_is_no_livelock():
    with harness(queues={"default": 1}) as jobs:
        still = made_still()

        def insert_one(job: Job) -> None:
            jobs.insert(still.new())

        parent = made("def", insert_one)
        jobs.insert_all([parent.new()] * 2_500)
        jobs.advance(1)
        assert jobs.count_jobs(by="state") == {"completed": 5_000}


def test_a_chain_of_a_thousand_is_no_livelock(way):
    with harness() as jobs:

        def follow(job: Job):
            if job.args["n"] > 1:
                jobs.insert(chain.new({"n": job.args["n"] - 1}))

        chain: Any = made("def", follow)
        jobs.insert(chain.new({"n": 1_000}))
        way(jobs)
        assert jobs.count_jobs(by="state") == {"completed": 1_000}


def test_ninety_nine_snoozes_are_no_livelock(store, way, colour):
    with harness(mode=store) as jobs:
        poll = made(colour, lambda job: Snooze(0) if job.snoozed < 99 else None)
        jobs.insert(poll.new())
        way(jobs)
        assert jobs.count_jobs(by="state") == {"completed": 1}


def test_snoozes_that_time_passes_between_are_never_a_livelock():
    with harness() as jobs:
        jobs.insert(made("def", lambda job: Snooze(60)).new())
        jobs.advance(60 * 1_000)
        assert jobs.all_jobs()[0].snoozed == 1_001


def test_the_error_comes_soon():
    with harness() as jobs:
        chain = chained(jobs)
        jobs.insert(chain.new())
        before = time.perf_counter()
        with pytest.raises(LivelockError):
            jobs.drain_queue()
        assert time.perf_counter() - before < 30


@pytest.mark.parametrize("colour", ["def", "async def"])
def test_a_test_that_inserts_thousands_inline_one_by_one_is_no_chain(colour):
    with harness(mode="inline") as jobs:
        single = made(colour, lambda job: None)
        for _ in range(2_200):
            jobs.insert(single.new())
        assert jobs.count_jobs(by="state") == {"completed": 2_200}


def test_a_job_that_a_test_retries_inline_by_hand_again_and_again_is_no_livelock():
    with harness(mode="inline") as jobs:
        job = jobs.insert(made("def", lambda job: None).new())
        for _ in range(150):
            jobs.retry_job(job)
        assert jobs.get_job(job).state == "completed"
