"""``strict``: a job that failed or was left over, and that the test never looked at, fails the test."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path

import pytest

from pgjobs import Cancel, ConfigurationError, Discard, PgJobs, Snooze, worker
from pgjobs_testing import harness


@worker(max_attempts=2)
def fails(job):
    raise ValueError("the server said no")


@worker
def note(job): ...


@worker
def discards(job):
    return Discard("no use")


@worker
def cancels(job):
    return Cancel("not wanted")


@worker
def snoozes(job):
    return Snooze(60)


@worker
async def sleeps(job):
    await asyncio.sleep(60)  # noqa: TID251 - virtual


@pytest.fixture
def app():
    return PgJobs("postgresql://db.example.invalid/strict")  # of no other test's application


def complaint(body, made=lambda: harness(strict=True)):
    """What ends a strict block that does ``body(jobs)``."""
    with pytest.raises(AssertionError) as caught, made() as jobs:
        body(jobs)
    return str(caught.value)


# Each leaves behind something that nobody looked at, and what is said of it.
LEFT = {
    "available": (
        lambda jobs, app: app.insert(note.new({"n": 1})),
        "note {'n': 1} in default: left over, available since 0s",
    ),
    "scheduled": (
        lambda jobs, app: app.insert(note.new(schedule_in=90)),
        "left over, scheduled, due 1m30s",
    ),
    "executing": (
        lambda jobs, app: (app.insert(sleeps.new()), jobs.advance(1)),
        "left over, executing since 0s",
    ),
    "snoozed": (
        lambda jobs, app: (app.insert(snoozes.new()), jobs.advance(1)),
        "left over, scheduled, due 1m",
    ),
    "retryable": (
        lambda jobs, app: (app.insert(fails.new()), jobs.advance(1)),
        "failed at attempt 1 (ValueError: the server said no); left over, retryable, due 16s",
    ),
    "failed for good": (
        lambda jobs, app: (app.insert(fails.new()), jobs.advance(100)),
        "failed at attempt 2 (ValueError: the server said no); discarded",
    ),
    "discarded": (
        lambda jobs, app: (app.insert(discards.new()), jobs.advance(1)),
        "failed at attempt 1 (no use); discarded",
    ),
    "a drain's, unread": (
        lambda jobs, app: (app.insert(fails.new()), jobs.drain_queue(with_safety=True)),
        "failed at attempt 1",
    ),
    "a failure that came right": (
        lambda jobs, app: (app.insert(fails.new()), jobs.advance(1), recover(jobs)),
        "failed at attempt 1 (ValueError: the server said no); completed",
    ),
    "matched by nothing": (
        lambda jobs, app: (
            app.insert_all([note.new(), fails.new()]),
            jobs.assert_enqueued(worker=note),
        ),
        "fails {} in default: left over, available",
    ),
    "counted by nothing": (
        lambda jobs, app: (app.insert(note.new()), jobs.count_jobs(state="completed")),
        "left over",
    ),
    "another instance's": (
        lambda jobs, app: PgJobs("postgresql://b.invalid/b", name="b").insert(note.new()),
        "left over",
    ),
}


def recover(jobs):
    worker(name=fails.name)(lambda job: None)
    jobs.advance(60)


@pytest.fixture(params=["manual", pytest.param("postgres", marks=pytest.mark.postgres)])
def strict(request):
    """Makes a strict harness, in memory and on a server."""
    if request.param == "postgres":
        request.getfixturevalue("server")
    return lambda: harness(mode=request.param, strict=True)


@pytest.mark.parametrize("leave, said", LEFT.values(), ids=LEFT)
def test_what_nobody_looked_at_is_named_with_what_happened_and_the_remedy(strict, app, leave, said):
    text = complaint(lambda jobs: leave(jobs, app), strict)
    assert text.startswith(
        "pgjobs, strict: the block never looked at one job that failed or was left"
    )
    assert said.replace("'", '"') in text.replace("'", '"')
    assert "jobs.cancel_job(" in text
    assert text.endswith("or leave this block be: harness(strict=False)")


# Each looks at the one job, which failed and waits, in another way.
LOOKS = {
    "get_job": lambda jobs, app: jobs.get_job(1),
    "the application's get_job": lambda jobs, app: app.get_job(1),
    "get_job_async": lambda jobs, app: asyncio.run(jobs.get_job_async(1)),
    "all_jobs": lambda jobs, app: jobs.all_jobs(),
    "count_jobs": lambda jobs, app: jobs.count_jobs(state="retryable"),
    "count_jobs by state": lambda jobs, app: jobs.count_jobs(by="state"),
    "explain": lambda jobs, app: jobs.explain(1),
    "assert_enqueued": lambda jobs, app: jobs.assert_enqueued(worker=fails),
    "assert_enqueued_async": lambda jobs, app: asyncio.run(jobs.assert_enqueued_async()),
    "all_enqueued": lambda jobs, app: jobs.all_enqueued(),
    "cancel_job": lambda jobs, app: jobs.cancel_job(1),
    "cancel_all_jobs": lambda jobs, app: jobs.cancel_all_jobs(),
    "delete_job": lambda jobs, app: jobs.delete_job(1),
    "retry_job": lambda jobs, app: jobs.retry_job(1),
    "the timeline": lambda jobs, app: jobs.timeline.of("retryable"),
    "every moment": lambda jobs, app: [moment.event for moment in jobs.timeline],
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_a_job_that_was_looked_at_is_no_matter(strict, app, look):
    with strict() as jobs:
        app.insert(fails.new())
        jobs.advance(1)
        look(jobs, app)


# Each reads the result of the drain that ran the failing job.
READS = {
    "compared": lambda result: result == {"retryable": 1},
    "a state": lambda result: result["retryable"],
    "the jobs": lambda result: result.jobs,
    "dict": dict,
}


@pytest.mark.parametrize("of", ["the fixture", "the application"])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_drain_whose_result_was_read_was_looked_at(app, read, of):
    with harness(strict=True) as jobs:
        app.insert(fails.new())
        assert read((jobs if of == "the fixture" else app).drain_queue(with_safety=True))


def test_only_the_state_that_was_read_was_looked_at(app):
    def body(jobs):
        app.insert_all([note.new(), fails.new()])
        assert jobs.drain_queue(with_safety=True)["completed"] == 1

    assert "never looked at one job" in complaint(body)


def test_what_a_drain_raised_came_to_the_test(app):
    with harness(strict=True) as jobs:
        app.insert(fails.new())
        with pytest.raises(ValueError, match="said no"):
            jobs.drain_queue()


def test_jobs_that_went_well_or_were_cancelled_are_no_matter(strict, app):
    with strict() as jobs:
        app.insert_all([note.new(), cancels.new()])
        jobs.advance(1)
        app.insert(note.new())
        assert jobs.drain_queue() == {"completed": 1}


@worker(queue="dfeault")
def strays(job): ...


# Each meets a job in a queue that no node serves, and looks at it.
UNSERVED = {
    "drained": (lambda jobs: jobs.drain_queue() == {"completed": 1}, "completed"),
    "deleted then": (lambda jobs: jobs.drain_queue().jobs and jobs.delete_job(1), "completed"),
    "left": (lambda jobs: (jobs.advance(60), jobs.get_job(1)), "left over, available since 0s"),
}


@pytest.mark.parametrize("run, ended", UNSERVED.values(), ids=UNSERVED)
def test_a_job_that_no_node_would_run_is_named_though_a_drain_ran_it(strict, app, run, ended):
    def body(jobs):
        app.insert(strays.new())
        assert run(jobs)

    lines = complaint(body, strict).splitlines()
    assert [
        "pgjobs, strict: the block had a job that no node would run",
        f"  #1 {strays.name} {{}} in dfeault: {ended}",
        "no node serves the queue 'dfeault' (served: default): did you mean 'default'?",
    ] == lines[:3]
    assert lines[-1] == "this block be: harness(strict=False)"


def test_inline_leaves_what_no_node_would_run_and_it_is_named(app):
    def body(jobs):
        assert "available" == jobs.get_job(app.insert(strays.new())).state

    made = lambda: harness(mode="inline", strict=True)  # noqa: E731 - as the default of complaint
    assert "had a job that no node would run" in complaint(body, made)


def test_a_queue_is_served_by_any_instance_of_the_process_and_where_the_test_says_so(strict, app):
    def drained(jobs):
        app.insert(strays.new())
        assert jobs.drain_queue() == {"completed": 1}

    with harness(strict=True, queues={"dfeault": 1}) as jobs:
        drained(jobs)
        app.insert(note.new())  # of a queue that the application serves
        assert jobs.drain_queue() == {"completed": 1}
    other = PgJobs("postgresql://pooled.invalid/shop", name="nodes", queues={"dfeault": 2})
    with strict() as jobs:
        drained(jobs)
    assert other.queues


def test_a_queue_whose_name_is_like_none_may_be_served_elsewhere(strict, app):
    with strict() as jobs:
        app.insert(note.new(queue="reports"))
        assert jobs.drain_queue() == {"completed": 1}


def test_a_client_alone_serves_nothing_and_so_misses_nothing(strict):
    client = PgJobs("postgresql://clients.invalid/shop", queues=False)
    with strict() as jobs:
        client.insert(strays.new())
        assert jobs.drain_queue() == {"completed": 1}


def test_what_a_worker_or_the_assertions_own_reading_sees_is_no_look(app):
    @worker
    def looks(job):
        app.all_jobs()

    def body(jobs):
        app.insert(fails.new(schedule_in=60))
        app.insert(looks.new())
        jobs.advance(1)
        jobs.refute_enqueued(worker=note)

    assert "never looked at one job" in complaint(body)


def test_an_error_on_its_way_is_not_masked(app):
    def body(jobs):
        app.insert(note.new())
        raise AssertionError("the test's own")

    assert complaint(body) == "the test's own"


def test_many_jobs_are_listed_up_to_a_bound(app):
    many = [note.new({"n": n, "text": "x" * 100}) for n in range(30)]
    lines = complaint(lambda jobs: app.insert_all(many)).splitlines()
    assert "30 jobs that failed or were left over" in lines[0]
    assert sum(line.startswith("  #") for line in lines) == 20
    assert "  ... and 10 more" in lines
    assert max(map(len, lines)) < 200


def test_without_strict_nothing_is_asked_for(app):
    with harness(strict=False):
        app.insert(note.new())


# In a run of pytest

APP = """
from pgjobs import PgJobs, worker

jobs = PgJobs("postgresql://db.example.invalid/production")

@worker
def note(job):
    pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Runs one test module with the plugin on, and a given ini."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)

    def ran(test: str, *options: str, ini: str = "") -> pytest.RunResult:
        pytester.makeini(f"[pytest]\n{ini}\n")
        pytester.makepyfile(app=APP, test_it=textwrap.dedent(test))
        switches = ("-p", "pgjobs_testing", "-p", "no:cacheprovider", "-ra")
        return pytester.runpytest_subprocess(*switches, *options, timeout=120)

    return ran


def test_it_is_the_tests_call_that_fails_and_its_timeline_is_shown(run):
    result = run(
        """
        import pytest
        import app

        pytestmark = pytest.mark.pgjobs(strict=True)

        def test_plain():
            app.jobs.insert(app.note.new({"n": 1}))

        def test_fixture(jobs):
            app.jobs.insert(app.note.new())

        @pytest.mark.asyncio
        async def test_async(jobs):
            await app.jobs.insert_async(app.note.new())

        @pytest.mark.pgjobs(mode=["manual", "inline"])
        def test_modes(jobs):
            app.jobs.insert(app.note.new())

        @pytest.mark.pgjobs(strict=False)
        def test_opted_out():
            app.jobs.insert(app.note.new())
        """
    )
    result.assert_outcomes(failed=4, passed=2)
    result.stdout.fnmatch_lines(
        [
            "*_ test_plain _*",
            "pgjobs, strict: the test never looked at one job that failed or was left over",
            '  #1 app.note {"n": 1} in default: left over, available since 0s',
            "*@pytest.mark.pgjobs(strict=False)",
            "*pgjobs timeline*",
        ]
    )
    result.stdout.no_fnmatch_line("*ERROR*")


def test_an_ini_makes_all_tests_strict_and_a_marker_lets_one_be(run):
    result = run(
        """
        import pytest
        import app
        from pgjobs_testing import harness

        def test_strict():
            app.jobs.insert(app.note.new())

        def test_a_harness_is_as_strict_as_the_run():
            with pytest.raises(AssertionError, match="never looked"), harness():
                app.jobs.insert(app.note.new())

        @pytest.mark.pgjobs(strict=False)
        def test_opted_out():
            app.jobs.insert(app.note.new())
        """,
        ini="pgjobs_strict = true",
    )
    result.assert_outcomes(failed=1, passed=2)


def test_a_test_that_fails_skips_or_may_fail_is_left_alone(run):
    result = run(
        """
        import unittest
        import pytest
        import app

        def test_fails():
            app.jobs.insert(app.note.new())
            assert "the test's own" == 1

        def test_skips():
            app.jobs.insert(app.note.new())
            pytest.skip("the test's own")

        @pytest.mark.xfail(strict=True)
        def test_passes_though_it_should_fail():
            app.jobs.insert(app.note.new())

        @pytest.mark.xfail
        def test_xfails():
            app.jobs.insert(app.note.new())
            assert False

        class TestOfUnittest(unittest.TestCase):
            def test_fails(self):
                app.jobs.insert(app.note.new())
                self.fail("the test case's own")

            def test_skips(self):
                app.jobs.insert(app.note.new())
                self.skipTest("the test case's own")

            def test_is_strict(self):
                app.jobs.insert(app.note.new())

        @pytest.fixture
        def leaves():
            yield
            app.jobs.insert(app.note.new())

        def test_what_a_fixture_leaves_behind_afterwards_is_none_of_the_tests(leaves):
            pass
        """,
        ini="pgjobs_strict = true",
    )
    result.assert_outcomes(failed=4, skipped=2, xfailed=1, passed=1)
    result.stdout.fnmatch_lines_random(
        ["FAILED *::TestOfUnittest::test_is_strict - *strict*", "*XPASS(strict)*"]
    )
    text = result.stdout.str()
    assert text.count("\npgjobs, strict: the test never looked") == 1  # CI's summary has it again


@pytest.mark.parametrize("given", [1, "yes", None])
def test_strict_is_true_or_false(given):
    refused = pytest.raises(ConfigurationError, match="strict takes True or False, not")
    with refused, harness(strict=given):
        pass
