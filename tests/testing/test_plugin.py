"""The plugin in projects of its own, each run by a real pytest in a process of its own."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

APP = """
from pgjobs import PgJobs, Retry, Snooze, worker

jobs = PgJobs("postgresql://db.example.invalid/production", queues={"default": 10, "mail": 1})
ran = []

@worker
def note(job):
    ran.append(job.args["n"])

@worker(queue="mail", max_attempts=3)
async def mail(job):
    if job.attempt == 1:
        raise ValueError("the server said no")
"""


class Project:
    """A small project under test, and its pytest."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makepyfile(app=APP)

    def run(self, test: str, *options: str) -> pytest.RunResult:
        """Run one test module with the plugin on."""
        self.pytester.makepyfile(test_it=textwrap.dedent(test))
        return self.pytester.runpytest_subprocess(
            "-p", "pgjobs_testing", "-p", "no:cacheprovider", *options, timeout=120
        )


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)
    return Project(pytester)


def test_installing_changes_nothing_until_the_plugin_is_named(project: Project) -> None:
    project.pytester.makepyfile(
        test_it="""
        import sys
        def test_nothing_is_loaded():
            assert not [name for name in sys.modules if name.startswith("pgjobs")]
        def test_there_is_no_fixture(jobs):
            pass
        """
    )
    result = project.pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'jobs' not found*"])
    result.stdout.no_fnmatch_line("*pgjobs: mode*")


def test_an_instance_made_at_import_time_is_captured_unmodified(project: Project) -> None:
    result = project.run(
        """
        import app

        def test_it(jobs):
            app.jobs.insert(app.note.new({"n": 1}))
            jobs.assert_enqueued(worker=app.note, args={"n": 1})
            assert app.ran == []
            assert jobs.drain_queue() == {"completed": 1}
            assert app.ran == [1]
            jobs.refute_enqueued(worker=app.note)

        def test_the_next_one_starts_empty(jobs):
            assert jobs.all_jobs() == []
        """
    )
    result.assert_outcomes(passed=2)


def test_threads_of_the_application_are_captured_too(project: Project) -> None:
    result = project.run(
        """
        import threading
        import app

        def test_it(jobs):
            thread = threading.Thread(target=lambda: app.jobs.insert(app.note.new({"n": 1})))
            thread.start()
            thread.join()
            assert jobs.count_jobs() == 1
        """
    )
    result.assert_outcomes(passed=1)


def test_a_test_without_the_fixture_is_captured_as_well(project: Project) -> None:
    result = project.run(
        """
        import app

        def test_it():
            app.jobs.insert(app.note.new({"n": 1}))
            assert app.jobs.count_jobs() == 1

        def test_the_next_one_starts_empty():
            assert app.jobs.count_jobs() == 0
        """
    )
    result.assert_outcomes(passed=2)


def test_a_child_process_for_which_no_database_is_named_is_told_that_none_would_be_opened(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is named there would be refused next."""
    monkeypatch.delenv("PGJOBS_DSN", raising=False)
    result = project.run(
        f"""
        import subprocess
        import pytest

        INSERT = "import app; from pgjobs import PgJobs; PgJobs().insert(app.note.new({{'n': 1}}))"

        @pytest.mark.parametrize("command", [["-c", INSERT], ["-m", "pgjobs.cli", "jobs", "list"]])
        def test_it(command):
            child = subprocess.run([{sys.executable!r}, *command], capture_output=True, text=True)
            assert child.returncode == 1, child.stderr
            assert "no database is named for it" in child.stderr
            assert "this process is a child of a test run" in child.stderr
            assert 'mode="live"' in child.stderr
            if command[0] == "-c":
                assert "CapturedStoreError" in child.stderr
        """
    )
    result.assert_outcomes(passed=2)


def test_a_child_process_refuses_to_open_the_database(project: Project) -> None:
    result = project.run(
        f"""
        import subprocess

        def test_it():
            code = "import app; app.jobs.insert(app.note.new({{'n': 1}}))"
            child = subprocess.run([{sys.executable!r}, "-c", code], capture_output=True, text=True)
            assert child.returncode == 1
            assert "CapturedStoreError" in child.stderr
            assert 'mode="live"' in child.stderr
        """
    )
    result.assert_outcomes(passed=1)


def test_a_store_opened_by_hand_is_refused_with_the_remedy(project: Project) -> None:
    result = project.run(
        """
        import pytest
        from pgjobs import CapturedStoreError, PostgresStore

        def test_it():
            with pytest.raises(CapturedStoreError, match='mode="live"'):
                PostgresStore("postgresql://127.0.0.1:1/production").migrate()
        """
    )
    result.assert_outcomes(passed=1)


def test_the_header_names_the_mode_and_the_seed_that_repeats_the_run(project: Project) -> None:
    result = project.run("def test_it(jobs): pass", "--pgjobs-seed", "42")
    result.stdout.fnmatch_lines(["pgjobs: mode manual, --pgjobs-seed 42"])


def test_the_header_says_which_server_and_why(project: Project) -> None:
    result = project.run(
        "def test_it(jobs): pass", "--pgjobs-mode", "postgres", "--pgjobs-postgres", "embedded"
    )
    result.stdout.fnmatch_lines(["pgjobs: embedded PostgreSQL * (as asked for)"])
    result.assert_outcomes(passed=1)


def test_a_failing_test_shows_its_timeline_and_seed(project: Project) -> None:
    result = project.run(
        """
        import app

        def test_it(jobs):
            app.jobs.insert(app.mail.new({}))
            jobs.advance(20)
            jobs.assert_enqueued(worker=app.note)
        """,
        "--pgjobs-seed",
        "7",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*no job that waits to run matches; nearest is #1, already completed at +16s*",
            "*pgjobs timeline*",
            "*0s  -    insert     #1    app.mail, into mail, priority 0",
            "*0s  test retryable  #1    attempt 1, 'ValueError: the server said no', due 16s",
            "*16s  test completed  #1    attempt 2",
            "again: pytest test_it.py::test_it --pgjobs-seed 7 --pgjobs-start *Z",
            "name: test_it",
        ]
    )
    result.stdout.no_fnmatch_line("*def _assert_found*")


def test_inline_runs_a_due_job_inside_insert_and_a_scheduled_one_when_time_gets_there(
    project: Project,
) -> None:
    result = project.run(
        """
        import app
        import pytest

        @pytest.mark.pgjobs(mode="inline")
        def test_it(jobs):
            app.jobs.insert(app.note.new({"n": 1}))
            assert app.ran == [1]
            app.jobs.insert(app.note.new({"n": 2}, schedule_in=60))
            app.jobs.insert(app.mail.new({}))
            assert app.ran == [1]
            assert jobs.get_job(3).state == "retryable"
            jobs.advance(60)
            assert app.ran == [1, 2]
            assert jobs.get_job(3).state == "completed"

        def test_a_block_can_be_inline_in_a_manual_test(jobs):
            app.ran.clear()
            app.jobs.insert(app.note.new({"n": 1}))
            with jobs.mode("inline"):
                app.jobs.insert(app.note.new({"n": 2}))
            assert app.ran == [1, 2]
            app.jobs.insert(app.note.new({"n": 3}))
            assert app.ran == [1, 2]
        """
    )
    result.assert_outcomes(passed=2)


def test_the_mode_comes_from_the_marker_then_the_option_then_the_ini(project: Project) -> None:
    project.pytester.makeini("[pytest]\npgjobs_mode = inline\n")
    body = """
        import app
        import pytest

        @pytest.mark.pgjobs(mode="manual")
        def test_by_the_marker(jobs):
            app.jobs.insert(app.note.new({"n": 1}))
            assert jobs.count_jobs(state="available") == 1

        def test_by_the_ini_or_the_option(jobs):
            app.jobs.insert(app.note.new({"n": 1}))
            print("left over:", jobs.count_jobs(state="available"))
        """
    by_ini = project.run(body, "-s")
    by_ini.assert_outcomes(passed=2)
    by_ini.stdout.fnmatch_lines(["*left over: 0*"])
    by_option = project.run(body, "-s", "--pgjobs-mode", "manual")
    by_option.stdout.fnmatch_lines(["*left over: 1*"])


@pytest.mark.parametrize(
    "marker, message",
    [
        ('mode="inlin"', "*unknown mode 'inlin': did you mean 'inline'?*"),
        ('mod="inline"', "*unknown option of pgjobs 'mod': did you mean 'mode'?*"),
        ('queues={"a": 0}', "*the concurrency of a queue is a whole number from 1*"),
    ],
)
def test_a_marker_that_cannot_be_is_an_error_with_the_nearest_name(
    project: Project, marker: str, message: str
) -> None:
    result = project.run(
        f"""
        import pytest

        @pytest.mark.pgjobs({marker})
        def test_it(jobs):
            pass

        def test_another_one_still_runs(jobs):
            pass
        """
    )
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines([message])


def test_live_captures_nothing_and_has_no_fixture(project: Project) -> None:
    result = project.run(
        """
        import os
        import app
        import pytest
        from pgjobs import StoreUnavailableError

        @pytest.mark.pgjobs(mode="live")
        def test_it():
            assert "PGJOBS_CAPTURED_BY" not in os.environ
            with pytest.raises(StoreUnavailableError):
                app.jobs.insert(app.note.new({"n": 1}))

        @pytest.mark.pgjobs(mode="live")
        def test_the_fixture(jobs):
            pass
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*in mode live nothing is captured*"])


def test_one_body_runs_alike_in_all_three_modes(project: Project) -> None:
    result = project.run(
        """
        import app
        import pytest

        @pytest.mark.parametrize("mode", [
            pytest.param(mode, marks=pytest.mark.pgjobs(mode=mode))
            for mode in ("manual", "inline", "postgres")
        ])
        def test_it(jobs, mode):
            app.ran.clear()
            app.jobs.insert_all([app.note.new({"n": n}, priority=n % 3) for n in range(7)])
            app.jobs.insert(app.mail.new({}))
            jobs.advance(60)
            assert sorted(app.ran) == [0, 1, 2, 3, 4, 5, 6]
            assert [job.state for job in jobs.all_jobs()] == ["completed"] * 8
            assert [job.id for job in jobs.all_jobs()] == list(range(1, 9))
            assert jobs.get_job(8).attempt == 2
        """,
        "--pgjobs-postgres",
        "embedded",
    )
    result.assert_outcomes(passed=3)


def test_starting_is_recorded_and_starts_nothing(project: Project) -> None:
    result = project.run(
        """
        import threading
        import app

        def test_it(jobs):
            assert not jobs.started
            before = threading.active_count()
            with app.jobs.running():
                app.jobs.insert(app.note.new({"n": 1}))
            assert jobs.started
            assert threading.active_count() == before
            assert jobs.count_jobs(state="available") == 1
        """
    )
    result.assert_outcomes(passed=1)


def test_workers_and_handlers_of_one_test_are_gone_in_the_next(project: Project) -> None:
    result = project.run(
        """
        from pgjobs import telemetry, worker
        from pgjobs.worker import REGISTRY

        def test_one(jobs):
            worker(name="only-here")(lambda job: None)
            telemetry.attach("only-here", "pgjobs.job.start", print)

        def test_two(jobs):
            assert "only-here" not in REGISTRY.by_name
            assert not telemetry.detach("only-here")
        """
    )
    result.assert_outcomes(passed=2)


def test_async_workers_sleep_in_virtual_time_in_a_test_of_either_colour(project: Project) -> None:
    result = project.run(
        """
        import asyncio
        import time
        import app
        import pytest
        from pgjobs import JobTimeoutError, worker

        @worker(timeout=3600)
        async def nap(job):
            await asyncio.sleep(job.args["s"])
            app.ran.append(asyncio.get_running_loop().time())

        def test_sync(jobs):
            jobs.insert(nap.new({"s": 1800}))
            jobs.insert(nap.new({"s": 7200}, max_attempts=1))
            jobs.advance(1799)
            assert jobs.count_jobs(state="executing") == 2
            jobs.advance(1)
            assert jobs.get_job(1).state == "completed"
            jobs.advance(1800)
            assert jobs.get_job(2).state == "discarded"
            assert "JobTimeoutError" in jobs.get_job(2).last_error

        def test_a_drain_and_perform_job(jobs):
            jobs.insert(nap.new({"s": 1800}))
            before = jobs.clock.now()
            assert jobs.drain_queue() == {"completed": 1}
            assert jobs.clock.now() == before
            with pytest.raises(JobTimeoutError):
                jobs.perform_job(nap, {"s": 7200})

        @pytest.mark.asyncio
        async def test_async(jobs):
            await jobs.insert_async(nap.new({"s": 1800}))
            await jobs.advance_async(1800)
            assert jobs.get_job(1).state == "completed"
            with pytest.raises(Exception, match="advance_async"):
                jobs.advance(1)
            await jobs.insert_async(nap.new({"s": 1800}))
            assert await jobs.drain_queue_async() == {"completed": 1}
            assert await jobs.perform_job_async(nap, {"s": 10}) is None
        """
    )
    result.assert_outcomes(passed=3)


def test_what_a_worker_sets_in_its_context_is_seen_by_the_test(project: Project) -> None:
    result = project.run(
        """
        from contextvars import ContextVar
        from pgjobs import worker

        seen = ContextVar("seen", default=0)

        @worker
        def sync(job):
            seen.set(1)

        @worker
        async def not_sync(job):
            seen.set(2)

        def test_it(jobs):
            jobs.insert(sync.new({}))
            jobs.drain_queue()
            assert seen.get() == 1
            jobs.insert(not_sync.new({}))
            jobs.advance(0)
            assert seen.get() == 2
        """
    )
    result.assert_outcomes(passed=1)


def test_a_second_instance_is_reached_by_its_name(project: Project) -> None:
    result = project.run(
        """
        import app
        import pytest
        from pgjobs import ConfigurationError, PgJobs

        other = PgJobs("postgresql://elsewhere.invalid/db", name="other", queues={"slow": 1})

        def test_it(jobs):
            other.insert(app.note.new({"n": 1}, queue="slow"))
            assert jobs.count_jobs() == 0
            assert jobs["other"].count_jobs() == 1
            jobs["other"].advance(1)
            assert app.ran == [1]
            with pytest.raises(ConfigurationError, match="did you mean 'other'"):
                jobs["othr"]
        """
    )
    result.assert_outcomes(passed=1)


def test_a_queue_that_the_application_does_not_serve_is_not_served(project: Project) -> None:
    result = project.run(
        """
        import app

        def test_it(jobs):
            app.jobs.insert(app.note.new({"n": 1}, queue="nobody"))
            jobs.advance(3600)
            assert jobs.count_jobs(state="available") == 1
        """
    )
    result.assert_outcomes(passed=1)


def test_without_an_instance_every_queue_is_served(
    pytester: pytest.Pytester, project: Project
) -> None:
    result = project.run(
        """
        from pgjobs import worker

        @worker(queue="any")
        def note(job):
            pass

        def test_it(jobs):
            jobs.insert(note.new({}, queue="some"))
            jobs.insert(note.new({}, schedule_in=5))
            jobs.advance(5)
            assert jobs.count_jobs(state="completed") == 2
        """
    )
    result.assert_outcomes(passed=1)


def test_the_clock_starts_at_a_whole_second_or_where_the_marker_says(project: Project) -> None:
    result = project.run(
        """
        from datetime import UTC, datetime
        import pgjobs
        import pytest

        def test_by_default(jobs):
            assert jobs.clock.now().microsecond == 0
            assert abs((jobs.clock.now() - datetime.now(UTC)).total_seconds()) < 5

        @pytest.mark.pgjobs(start=datetime(2025, 1, 1, 23, tzinfo=UTC))
        def test_by_the_marker(jobs):
            assert jobs.clock.now() == datetime(2025, 1, 1, 23, tzinfo=UTC)
            assert pgjobs.next_at("00:00") == datetime(2025, 1, 2, tzinfo=UTC)
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.usefixtures("hypothesis_plugin")
def test_harness_serves_under_given(project: Project) -> None:
    result = project.run(
        """
        import app
        from hypothesis import given, strategies as st
        from pgjobs_testing import harness

        @given(st.lists(st.integers(0, 9), max_size=5))
        def test_it(priorities):
            with harness(mode="manual") as jobs:
                app.ran.clear()
                for n, priority in enumerate(priorities):
                    app.jobs.insert(app.note.new({"n": n}, priority=priority))
                jobs.drain_queue()
                assert app.ran == sorted(range(len(priorities)), key=lambda n: (priorities[n], n))
        """
    )
    result.assert_outcomes(passed=1)


def test_a_job_that_snoozes_for_ever_raises_instead_of_hanging(project: Project) -> None:
    result = project.run(
        """
        import pytest
        from pgjobs import LivelockError, Snooze, worker

        @worker
        def never(job):
            return Snooze(0)

        def test_it(jobs):
            jobs.insert(never.new({}))
            with pytest.raises(LivelockError, match="test_it.never"):
                jobs.advance(1)

        def test_drain(jobs):
            jobs.insert(never.new({}))
            with pytest.raises(LivelockError, match="test_it.never"):
                jobs.drain_queue()
        """
    )
    result.assert_outcomes(passed=2)


def test_fixtures_read_as_documentation(project: Project) -> None:
    result = project.run("def test_it(jobs): pass", "--fixtures")
    result.stdout.fnmatch_lines(["jobs*", "*The application's jobs in the hand of the test*"])


def test_a_forked_child_refuses_as_well(project: Project) -> None:
    """Its store would be a copy, and what it inserts would be lost without a word."""
    result = project.run(
        """
        import multiprocessing
        import app

        def insert(answers):
            try:
                app.jobs.insert(app.note.new({"n": 1}))
                answers.put("inserted")
            except Exception as error:
                answers.put(f"{type(error).__name__}: {error}")

        def test_a_fork(jobs):
            fork = multiprocessing.get_context("fork")
            answers = fork.SimpleQueue()
            child = fork.Process(target=insert, args=(answers,))
            child.start()
            answer = answers.get()
            child.join()
            assert answer.startswith("CapturedStoreError: this process was forked from a test")
            assert "insert from the test's own process" in answer
            jobs.refute_enqueued()
        """
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "marker, message",
    [
        ('"inline"', "*its options are given by name, as in mode='inline'*"),
        ("seed='7'", "*seed takes a whole number from 0 to *, not '7'*"),
        ("jitter=1", "*jitter takes True or False, not 1*"),
        ("freeze=1", "*freeze takes True or False, not 1*"),
        ("strict=1", "*strict takes True or False, not 1*"),
    ],
)
def test_a_marker_that_would_not_be_obeyed_is_an_error(
    project: Project, marker: str, message: str
) -> None:
    result = project.run(
        f"""
        import pytest

        @pytest.mark.pgjobs({marker})
        def test_it(jobs):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


def test_a_server_that_cannot_be_is_a_usage_error(project: Project) -> None:
    result = project.run("def test_it(jobs): pass", "--pgjobs-postgres=elsewhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: unknown --pgjobs-postgres 'elsewhere'.*"])
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@pytest.mark.parametrize("colour", ["def", "async def"])
def test_what_pytest_raises_within_a_worker_ends_the_test(project: Project, colour: str) -> None:
    result = project.run(
        f"""
        import pytest
        import app
        from pgjobs import worker

        @worker
        {colour} fails(job):
            pytest.fail("from within")

        @worker
        {colour} skips(job):
            pytest.skip("from within")

        def test_a_failure(jobs):
            app.jobs.insert(fails.new())
            jobs.advance(1)

        def test_a_skip(jobs):
            app.jobs.insert(skips.new())
            jobs.advance(1)

        @pytest.mark.pgjobs(mode="inline")
        def test_a_failure_inline(jobs):
            app.jobs.insert(fails.new())
        """
    )
    result.assert_outcomes(failed=2, skipped=1)
