"""``freeze=True``: the application's time is the test's clock, in projects of their own."""

from __future__ import annotations

import datetime as dt
import textwrap
import threading
import time  # noqa: TID251 - what an application reads
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from pgjobs import ConfigurationError, Job, worker
from pgjobs_testing import freezing, harness

START = datetime(2031, 5, 6, 7, 8, 9, 123_457, tzinfo=UTC)

CONFTEST = """
import time
import pytest
import pgjobs_testing.freezing

if {library!r} == "freezegun":  # as where time-machine is not installed
    pgjobs_testing.freezing._installed = lambda name: name == "freezegun"

real = time.time

@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if report.when == "call":
        print("took", "long" if 0.05 <= report.duration < 20 else report.duration)

def pytest_sessionfinish():
    assert time.time is real and time.time() > 1_700_000_000
    assert time.time() < 1_900_000_000
"""


@pytest.fixture(params=["time-machine", "freezegun"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "freezegun":
        monkeypatch.setattr(freezing, "_installed", lambda name: name == "freezegun")
    return str(request.param)


@pytest.fixture
def run(library: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)
    pytester.makeconftest(CONFTEST.format(library=library))

    def run(test: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=textwrap.dedent(test))
        plugins = ("-p", "pgjobs_testing", "-p", "no:cacheprovider", "-p", "no:randomly")
        return pytester.runpytest_subprocess(*plugins, *options, timeout=60)

    return run


def test_fixtures_test_and_workers_see_the_clock_of_the_test(run):
    result = run(
        """
        import time
        from datetime import UTC, date, datetime, timedelta
        import pytest
        from pgjobs import worker

        START = datetime(2031, 5, 6, 7, 8, 9, 123_457, tzinfo=UTC)
        pytestmark = pytest.mark.pgjobs(start=START, freeze=True)
        seen = []

        @worker
        def look(job):
            seen.append((datetime.now(UTC), time.time(), date.today()))

        @pytest.fixture
        def around():
            assert datetime.now(UTC) == START
            yield
            assert datetime.now(UTC) == START + timedelta(days=1)

        def test_it(around, jobs):
            assert datetime.now(UTC) == START == jobs.clock.now()
            assert time.time() == START.timestamp()
            jobs.insert(look.new(schedule_in=3600))
            jobs.advance(timedelta(days=1))
            due = START + timedelta(hours=1)
            assert seen == [(due, due.timestamp(), date(2031, 5, 6))]
            assert date.today() == date(2031, 5, 7)
            time.sleep(0.06)

        class TestAgain:
            def test_each_begins_anew(self, jobs):
                assert datetime.now(UTC) == START == jobs.clock.now()
                time.sleep(0.06)

        def test_the_zone_is_left_alone(jobs):
            assert time.tzname == NAMES
            time.sleep(0.06)

        NAMES = time.tzname
        """,
        "-s",
    )
    result.assert_outcomes(passed=3)
    assert result.stdout.str().count("took long") == 3


def test_a_test_without_a_start_begins_at_real_time(run):
    result = run(
        """
        import time
        from datetime import UTC, datetime
        import pytest

        before = time.time()

        @pytest.mark.pgjobs(freeze=True)
        def test_it(jobs):
            assert jobs.clock.now() == datetime.now(UTC)
            assert 0 <= time.time() - before < 30
            time.sleep(0.01)
            assert jobs.clock.now() == datetime.now(UTC)

        def test_the_next_is_real():
            a = time.time(); time.sleep(0.01)
            assert time.time() > a
        """
    )
    result.assert_outcomes(passed=2)


def test_async_tests_sleep_in_real_time_and_workers_in_virtual_time(run):
    result = run(
        """
        import asyncio
        from datetime import UTC, datetime
        import pytest
        from pgjobs import worker

        pytestmark = pytest.mark.pgjobs(freeze=True)

        @worker
        async def nap(job):
            before = datetime.now(UTC)
            await asyncio.sleep(30)
            assert (datetime.now(UTC) - before).total_seconds() == 30

        async def test_it(jobs):
            await asyncio.sleep(0.01)
            async with asyncio.timeout(5):
                await jobs.insert_async(nap.new())
                await jobs.advance_async(60)
            assert await jobs.count_jobs_async(by="state") == {"completed": 1}

        def test_plain(jobs):
            jobs.insert(nap.new())
            jobs.advance(60)
            assert jobs.count_jobs(by="state") == {"completed": 1}
        """,
        "-o",
        "asyncio_mode=auto",
    )
    result.assert_outcomes(passed=2)


@pytest.mark.postgres
def test_a_server_is_started_and_used_in_frozen_time(run, server):
    result = run(
        """
        import asyncio
        from datetime import UTC, datetime, timedelta
        import psycopg
        import pytest
        from pgjobs import worker

        START = datetime(2031, 5, 6, tzinfo=UTC)
        pytestmark = pytest.mark.pgjobs(mode="postgres", start=START, freeze=True)
        seen = []

        @worker
        def look(job):
            seen.append(datetime.now(UTC))

        def test_it(jobs):
            jobs.insert(look.new(schedule_in=60))
            with psycopg.connect(jobs.store.postgres.dsn) as connection:
                jobs.insert(look.new({"at": datetime.now(UTC).isoformat()}), connection=connection)
            jobs.advance(3600)
            assert seen == [START, START + timedelta(seconds=60)]

        async def test_async(jobs):
            await jobs.insert_async(look.new())
            await jobs.advance_async(1)
            assert await jobs.count_jobs_async(by="state") == {"completed": 1}
        """,
        "--pgjobs-postgres",
        server.dsn,
        "-o",
        "asyncio_mode=auto",
    )
    result.assert_outcomes(passed=2)


def app_now() -> datetime:
    return dt.datetime.now(UTC)  # noqa: TID251 - what an application reads


@worker(name="freeze.look")
def look(job: Job) -> None:
    assert job.scheduled_at == app_now()


def test_a_harness_freezes_for_each_example(library):
    @given(st.integers(min_value=0, max_value=10**6))
    def holds(seconds: int) -> None:
        with harness(start=START, freeze=True) as jobs:
            jobs.insert(look.new(schedule_in=seconds))
            jobs.advance(seconds)
            assert app_now() == START + timedelta(seconds=seconds)
            assert jobs.count_jobs(by="state") == {"completed": 1}
        assert app_now() < START

    holds()


def test_every_thread_sees_it(library):
    found: list[datetime] = []
    with harness(start=START, freeze=True):
        thread = threading.Thread(target=lambda: found.append(app_now()))
        thread.start()
        thread.join()
    assert found == [START]


def test_monotonic_time_goes_on_under_time_machine():
    with harness(start=START, freeze=True):
        before = time.monotonic()
        threading.Event().wait(0.01)
        assert time.monotonic() > before


@pytest.mark.parametrize("how", [freeze_time, time_machine.travel])
def test_within_what_is_frozen_already_the_test_has_its_own_start(how):
    outside = datetime(2020, 1, 1, tzinfo=UTC)
    with how(outside, **({} if how is freeze_time else {"tick": False})):
        with harness(start=START, freeze=True) as jobs:
            jobs.advance(5)
            assert app_now() == jobs.clock.now() == START + timedelta(seconds=5)
        assert app_now() == outside
        with harness(freeze=True) as jobs:
            assert app_now() == jobs.clock.now() == outside


def test_a_travel_that_began_within_and_lasts_longer_goes_on():
    wider = time_machine.travel(datetime(2020, 1, 1, tzinfo=UTC), tick=False)
    with harness(start=START, freeze=True):
        wider.start()
    assert app_now().year == 2020
    wider.stop()
    assert app_now().year < 2031


def test_without_either_library_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setattr(freezing, "_installed", lambda name: False)
    with (
        pytest.raises(ConfigurationError, match=r"neither is installed: install \"pgjobs\[test"),
        harness(freeze=True),
    ):
        raise AssertionError("not reached")
