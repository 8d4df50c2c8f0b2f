"""freezegun and time-machine are one clock with the engine's: what either shows, the other shows."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import sys
import time  # noqa: TID251 - what an application reads
import types
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from freezegun import freeze_time

from pgjobs import ConfigurationError, Job, Queue, RateLimit, Snooze, worker
from pgjobs_testing import Harness, harness
from pgjobs_testing.frozen import holder

THEN = datetime(2031, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC)

TRUE = datetime(2025, 1, 1, tzinfo=UTC)

seen: list[datetime] = []


def app_now() -> datetime:
    """What an application would call: by the names of today, whoever replaced them."""
    return dt.datetime.now(UTC)  # noqa: TID251 - what an application reads


@worker(max_attempts=3)
def look(job: Job) -> None:
    """Notes the instant."""
    seen.append(app_now())
    if job.args.get("fails"):
        raise ValueError("on purpose")


@worker
async def nap(job: Job) -> None:
    """Notes the instant before and after it slept."""
    seen.append(app_now())
    await asyncio.sleep(job.args["s"])  # noqa: TID251 - virtual time
    seen.append(app_now())


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


Hold = Callable[..., AbstractContextManager[Callable[[float], object]]]


@contextmanager
def frozen(at: datetime = THEN, **options: Any) -> Iterator[Callable[[float], object]]:
    with freeze_time(at, **options) as factory:
        yield lambda s: factory.tick(timedelta(seconds=s))


@contextmanager
def travelled(at: datetime = THEN, tick: bool = False) -> Iterator[Callable[[float], object]]:
    with time_machine.travel(at, tick=tick) as traveller:
        yield lambda s: traveller.shift(timedelta(seconds=s))


HOLDS: dict[str, Hold] = {"freezegun": frozen, "time-machine": travelled}
TICKING: dict[str, Hold] = {
    "freezegun tick": lambda: frozen(tick=True),
    "freezegun auto_tick_seconds": lambda: frozen(auto_tick_seconds=0.001),
    "time-machine tick": lambda: travelled(tick=True),
}


@pytest.fixture(params=["manual", pytest.param("postgres", marks=pytest.mark.postgres)])
def mode(request: pytest.FixtureRequest) -> str:
    """Memory, and a server."""
    if request.param == "postgres":
        request.getfixturevalue("server")
    return str(request.param)


@pytest.fixture(params=[*HOLDS.values()], ids=[*HOLDS])
def hold(request):
    return request.param


@pytest.fixture(params=[*TICKING.values()], ids=[*TICKING])
def ticking(request):
    return request.param


def test_each_job_sees_its_own_due_instant(hold, mode):
    with harness(mode=mode) as jobs, hold():
        assert THEN == jobs.clock.now() == app_now()
        for s in (90, 30, 60):
            job = jobs.insert(look.new(schedule_in=s))
            assert THEN + timedelta(seconds=s) == job.scheduled_at
        jobs.insert(look.new({"fails": True}))
        jobs.advance(120)
        assert [THEN + timedelta(seconds=s) for s in (0, 16, 30, 47, 60, 90)] == seen
        assert THEN + timedelta(seconds=120) == jobs.clock.now() == app_now()
        assert {"completed": 3, "discarded": 1} == jobs.count_jobs(by="state")


def test_what_the_test_moves_is_overdue_and_runs_at_the_next_drain_in_order(hold, mode):
    with harness(mode=mode) as jobs, hold() as move:
        for n in (3, 1, 2):
            jobs.insert(look.new({"n": n}, schedule_in=n * 600))
        move(3600)
        assert THEN + timedelta(hours=1) == jobs.clock.now()
        assert seen == []
        drained = jobs.drain_queue()
        assert [1, 2, 3] == [job.args["n"] for job in drained.jobs]
        assert [THEN + timedelta(hours=1)] * 3 == seen


def test_overdue_work_runs_at_the_next_advance_at_the_present_instant(hold, mode):
    with harness(mode=mode) as jobs, hold() as move:
        jobs.insert(look.new(schedule_in=60))
        move(3600)
        jobs.advance(0)
        assert [THEN + timedelta(hours=1)] == seen


def test_a_clock_that_ticks_is_held_at_each_due_instant_while_the_engine_works(ticking):
    with harness() as jobs, ticking():
        start = jobs.clock.now()
        assert abs(start - THEN) < timedelta(seconds=5)
        made = jobs.insert(look.new(schedule_in=60))
        trace = jobs.advance(120)
        assert made.scheduled_at == trace.of("start")[0].at
        assert timedelta(0) <= seen[0] - made.scheduled_at < timedelta(seconds=5)
        past = jobs.clock.now() - start - timedelta(minutes=2)
        assert timedelta(0) <= past < timedelta(seconds=5)


def test_looking_at_the_engine_s_clock_makes_no_step_of_auto_tick():
    # hypothesis looks at the time at every garbage collection, which would be a step each
    with harness() as jobs, freeze_time(THEN, auto_tick_seconds=15, ignore=["hypothesis"]):
        gc.collect()
        assert jobs.clock.now() == jobs.clock.now() == THEN
        jobs.advance(0)
        assert jobs.clock.now() == THEN
        assert app_now() == THEN
        assert jobs.clock.now() == THEN + timedelta(seconds=15)


def test_an_async_worker_s_sleep_moves_the_application_s_clock(hold):
    with harness() as jobs, hold():
        jobs.insert(nap.new({"s": 30}))
        jobs.insert(nap.new({"s": 10}))
        jobs.advance(60)
        assert [0, 0, 10, 30] == [(at - THEN).total_seconds() for at in seen]


async def test_an_async_test_shares_the_clock_too(jobs: Harness):
    with travelled():
        await jobs.insert_async(nap.new({"s": 30}, schedule_in=10))
        await jobs.advance_async(60)
        assert [10, 40] == [(at - THEN).total_seconds() for at in seen]


def test_a_worker_that_moves_the_frozen_clock_has_taken_that_long(hold):
    with harness() as jobs, hold() as move:

        @worker(name="slow")
        def slow(job: Job) -> None:
            move(40)

        made = jobs.insert(slow.new())
        jobs.insert(look.new(schedule_in=20))
        jobs.advance(30)
        assert THEN + timedelta(seconds=40) == jobs.get_job(made).completed_at
        assert [THEN + timedelta(seconds=40)] == seen
        assert THEN + timedelta(seconds=40) == jobs.clock.now()


def by_advance(jobs: Harness) -> None:
    jobs.advance(1)


def by_drain(jobs: Harness) -> None:
    jobs.drain_queue()


def by_drain_async(jobs: Harness) -> None:
    asyncio.run(jobs.drain_queue_async())


def by_insert(jobs: Harness) -> None:
    with jobs.mode("inline"):
        jobs.insert(look.new())


@pytest.mark.parametrize("way", [by_advance, by_drain, by_drain_async, by_insert])
def test_a_worker_that_moves_it_past_its_time_limit_has_failed_whatever_it_came_to(hold, way):
    with harness() as jobs, hold() as move:

        @worker(timeout=10, max_attempts=1)
        def slow(job: Job) -> Any:
            move(job.args["s"])
            if job.args["raises"]:
                raise ValueError("too late")
            return Snooze(60)

        rows = [{"s": 40, "raises": False}, {"s": 11, "raises": True}, {"s": 10, "raises": False}]
        late, later, in_time = jobs.insert_all([slow.new(args) for args in rows])
        way(jobs)
        for each, took in ((late, "0:00:40"), (later, "0:00:11")):
            found = jobs.get_job(each)
            told = f"JobTimeoutError: the run took {took}, longer than its time limit of 0:00:10"
            assert ("discarded", told) == (found.state, found.last_error)
        assert jobs.get_job(in_time).state == "scheduled"


@pytest.mark.parametrize("way", [by_advance, by_drain, by_drain_async])
def test_a_limit_of_a_class_that_cannot_be_had_is_a_failure(way):
    class Untold:
        def perform(self, job: Job) -> None: ...

        def timeout(self, job: Job) -> Any:
            raise ZeroDivisionError

    with harness() as jobs:
        job = jobs.insert(worker(max_attempts=1)(Untold).new())
        with suppress(ZeroDivisionError):
            way(jobs)
        assert str(jobs.get_job(job).last_error).startswith("ZeroDivisionError")


def test_an_earlier_day_inside_a_block_is_the_present_until_the_block_ends(hold, mode):
    earlier = THEN - timedelta(days=5_000)
    with harness(mode=mode, start=THEN) as jobs:
        jobs.insert(look.new({"n": 1}, schedule_in=60))
        jobs.insert(look.new({"n": 2}))
        jobs.advance(1)
        with hold(earlier):
            assert earlier == jobs.clock.now()
            jobs.insert(look.new({"n": 3}, schedule_in=30))
            jobs.insert(look.new({"n": 4}))
            jobs.advance(60)
            assert [4, 3] == numbers(jobs)[1:]
            with hold(earlier - timedelta(days=1)):
                jobs.insert(look.new({"n": 5}))
                assert {"completed": 1} == jobs.drain_queue()
        assert THEN + timedelta(seconds=1) == jobs.clock.now()
        jobs.advance(60)
        assert [2, 4, 3, 5, 1] == numbers(jobs)


def numbers(jobs: Harness) -> list[int]:
    """Which jobs have completed, in order."""
    return [moment.job.args["n"] for moment in jobs.timeline.of("completed") if moment.job]


def test_a_rate_limit_holds_over_a_step_back(hold):
    limited = Queue(concurrency=5, rate_limit=RateLimit(allowed=2, period=60))
    with harness(queues={"default": limited}, start=THEN) as jobs:
        jobs.insert_all([look.new()] * 2)
        jobs.advance(0)
        with hold(THEN - timedelta(seconds=30)):
            jobs.insert(look.new())
            jobs.advance(60)
            assert len(seen) == 2  # the window that they filled is still open
            jobs.advance(30)
            assert len(seen) == 3


def test_freezegun_inside_a_travel_counts_and_then_the_travel_again(jobs: Harness):
    with travelled():
        with freeze_time("2012-01-14"):
            assert jobs.clock.now() == datetime(2012, 1, 14, tzinfo=UTC)
        assert jobs.clock.now() == THEN


@freeze_time(THEN, tz_offset=-4)
def test_an_offset_of_the_zone_does_not_shift_the_instant(jobs: Harness):
    assert jobs.clock.now() == THEN
    jobs.insert(look.new(schedule_in=5))
    jobs.advance(5)
    assert seen == [THEN + timedelta(seconds=5) - timedelta(hours=4)]  # freezegun's own reading


@freeze_time(THEN)
class TestADecoratedClass:
    def test_its_tests_share_the_clock(self, jobs: Harness):
        assert jobs.clock.now() == THEN


def test_move_to_moves_both(jobs: Harness):
    with freeze_time(THEN) as frozen_time:
        frozen_time.move_to("2032-01-01")
        assert jobs.clock.now() == datetime(2032, 1, 1, tzinfo=UTC)


@pytest.mark.time_machine(THEN, tick=False)
def test_the_marker_and_fixture_of_time_machine_share_the_clock(jobs: Harness, time_machine):
    assert jobs.clock.now() == THEN
    time_machine.move_to(datetime(2032, 1, 1, tzinfo=UTC), tick=False)
    assert jobs.clock.now() == datetime(2032, 1, 1, tzinfo=UTC)
    zone = time.tzname
    jobs.insert(look.new(schedule_in=5))
    jobs.advance(5)
    assert seen == [datetime(2032, 1, 1, 0, 0, 5, tzinfo=UTC)]
    assert time.tzname == zone


def test_instants_of_rows_are_true_datetimes(jobs: Harness):
    with frozen():
        job = jobs.insert(look.new())
        assert {type(job.inserted_at), type(job.scheduled_at)} == {type(TRUE)}


def test_where_nothing_holds_time_nothing_is_found():
    assert holder() is None


@pytest.mark.parametrize(
    "name, module, says",
    [
        ("freezegun.api", types.SimpleNamespace(), "freezegun cannot be read.*freeze_factories"),
        (
            "time_machine",
            types.SimpleNamespace(escape_hatch=time_machine.escape_hatch),
            "time-machine cannot be read.*traveller_stack",
        ),
    ],
)
def test_a_version_with_other_parts_is_refused_only_while_it_holds_time(
    hold, name, module, says, monkeypatch
):
    monkeypatch.setitem(sys.modules, name, module)
    assert holder() is None
    if (hold is frozen) == name.startswith("freezegun"):
        with hold(), pytest.raises(ConfigurationError, match=says):
            holder()
