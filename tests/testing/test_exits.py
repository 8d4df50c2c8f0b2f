# ruff: noqa: TID251  # asyncio.sleep in a worker is the subject; none of these sleeps takes real time
"""A worker that exits, or is interrupted, is its own test's affair: the tests after it run."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgjobs import Job, worker
from pgjobs_testing import Harness, harness

Run = Callable[[str], pytest.RunResult]


@worker
def exits(job: Job) -> None:
    sys.exit(3)


@worker
async def exits_in_a_task(job: Job) -> None:
    await asyncio.sleep(1)
    sys.exit(3)


@worker
async def exits_in_its_own_task(job: Job) -> None:
    async def leave() -> None:
        sys.exit(3)

    await asyncio.create_task(leave())


@worker
async def interrupted(job: Job) -> None:
    raise KeyboardInterrupt


@worker
async def exits_when_cancelled(job: Job) -> None:
    """Leaves tasks that exit when they are cancelled."""

    async def until_cancelled() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            sys.exit(4)

    left = [asyncio.create_task(until_cancelled()) for _ in range(3)]
    await asyncio.wait(left)


@worker
def well(job: Job) -> str:
    return "well"


@worker
async def well_in_a_task(job: Job) -> str:
    await asyncio.sleep(1)
    return "well"


@pytest.mark.parametrize("leaves", [exits, exits_in_a_task, exits_in_its_own_task, interrupted])
def test_what_a_worker_exits_with_is_raised_by_perform_job_and_by_nothing_after_it(leaves: Any):
    with harness() as jobs:
        for _ in range(2):
            with pytest.raises((SystemExit, KeyboardInterrupt)) as raised:
                jobs.perform_job(leaves)
            assert raised.type is (KeyboardInterrupt if leaves is interrupted else SystemExit)
            assert jobs.perform_job(well) == jobs.perform_job(well_in_a_task) == "well"


@pytest.mark.parametrize("way", ["advance", "inline", "drain"])
def test_an_exit_of_a_task_that_a_job_began_is_its_failure_and_the_jobs_beside_it_go_on(way: str):
    with harness(mode="inline" if way == "inline" else "manual") as jobs:
        left, beside = jobs.insert_all([exits_in_its_own_task.new(), well_in_a_task.new()])
        if way == "drain":
            jobs.drain_queue(with_safety=True)
        elif way == "advance":
            jobs.advance(1)
        assert jobs.get_job(left).state == "retryable"
        assert str(jobs.get_job(left).last_error).startswith("SystemExit: 3")
        assert jobs.get_job(beside).state == "completed"


@pytest.mark.parametrize("leaves", [exits, exits_in_a_task, interrupted])
async def test_the_twin_raises_it_in_the_tests_own_task(leaves: Any, jobs: Harness):
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        await jobs.perform_job_async(leaves)
    assert await jobs.perform_job_async(well_in_a_task) == "well"


def test_tasks_that_exit_when_they_are_cancelled_do_not_outlive_the_test():
    with harness() as jobs:
        job = jobs.insert(exits_when_cancelled.new())
        jobs.advance(1)
        assert jobs.get_job(job).state == "executing"
    with harness() as jobs:
        assert jobs.perform_job(well_in_a_task) == "well"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a module of tests with the plugin on, by a real pytest in a process of its own."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)

    def run(test: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=textwrap.dedent(test))
        return pytester.runpytest_subprocess(
            "-p", "pgjobs_testing", "-p", "no:cacheprovider", timeout=120
        )

    return run


def test_no_worker_that_exits_ends_the_run_of_the_tests(run: Run):
    result = run(
        """
        import sys

        import pytest

        from pgjobs import worker


        @worker
        async def leaves(job):
            sys.exit(3)


        def test_first(jobs):
            with pytest.raises(SystemExit):
                jobs.perform_job(leaves)


        def test_second(jobs):
            jobs.perform_job(leaves)


        def test_third(jobs):
            assert jobs.all_jobs() == []
        """
    )
    result.assert_outcomes(passed=2, failed=1)
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


def test_an_interrupt_within_an_async_worker_ends_in_pytests_own_summary(run: Run):
    result = run(
        """
        from pgjobs import worker


        @worker
        async def leaves(job):
            raise KeyboardInterrupt


        def test_first(jobs):
            pass


        def test_second(jobs):
            jobs.perform_job(leaves)


        def test_third(jobs):
            pass
        """
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*! KeyboardInterrupt !*", "* 1 passed in *"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
