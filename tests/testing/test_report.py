"""A failing test's report shows what happened to its jobs, and hands over what replays it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from pgjobs.adapters.memory import MemoryStore
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import replay

APP = """
    from pgjobs import PgJobs, worker

    jobs = PgJobs("postgresql://nowhere/shop", queues={"mail": 2})
    other = PgJobs("postgresql://nowhere/other", name="billing")

    @worker(queue="mail")
    def mail(job):
        if job.attempt == 1:
            raise ValueError("the server said: no")
"""


@pytest.fixture
def run(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)
    pytester.makepyfile(app=textwrap.dedent(APP))

    def running(test, *options):
        pytester.makepyfile(test_it="import app\nimport pytest\n" + textwrap.dedent(test))
        return pytester.runpytest_subprocess("-p", "pgjobs_testing", *options, timeout=120)

    return running


def scenarios(output):
    """The scenarios that a report shows, ready to paste."""
    return [
        found[1]
        for found in re.finditer(r"replays it:\n\n(.*?\n)\n?(?=[-=_]{5}|again:)", output, re.DOTALL)
    ]


def holds(text):
    scenario, source = read_text(text)
    result = replay(scenario, source, MemoryStore())
    assert [] == [failure.text(source) for failure in result.failures]
    return result.trace.text()


SUMMARY = " short test summary info "
"""What comes after it repeats whole messages where pytest runs in CI."""


def test_the_report_and_a_failed_assertion_say_that_no_node_serves_a_queue(run):
    result = run(
        """
        @pytest.mark.parametrize("drained", [True, False])
        def test_it(jobs, drained):
            app.jobs.insert(app.mail.new(queue="mial"))
            if drained:
                jobs.drain_queue(with_safety=True)
            else:
                jobs.advance(60)
            jobs.assert_performed(worker=app.mail, state="completed")
        """
    )
    result.assert_outcomes(failed=2)
    served = "no node serves the queue 'mial' (served: mail): did you mean 'mail'?"
    text = result.stdout.str().partition(SUMMARY)[0]
    assert 2 == text.count(f"note: only a drain runs #1: {served}")
    assert 1 == text.count(
        f"#1 app.mail has not run: available; {served} "
        "jobs.advance(...) does not run it, jobs.drain_queue() does"
    ), text


def test_the_report_shows_the_jobs_how_to_run_it_again_and_a_scenario_that_replays_it(run):
    result = run(
        """
        def test_it(jobs):
            app.jobs.insert(app.mail.new({"to": "no", "n": 12}))
            jobs.advance(20)
            assert False, "of its own"
        """,
        "--pgjobs-seed",
        "5",
        "--pgjobs-mode",
        "manual",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*of its own*",
            "*- pgjobs timeline -*",
            "mode manual; 0s is 20*, and the clock stands at 20s",
            "*0s  -    insert     #1    app.mail, into mail, priority 0",
            "jobs as they stood then:",
            '  #1    app.mail  completed  attempt 2 of 20  {"n": 12, "to": "no"}  *the server said: no*',
            "again: pytest test_it.py::test_it --pgjobs-seed 5 --pgjobs-start *Z",
            "scenario, to paste into a file*",
            "name: test_it",
        ]
    )
    (text,) = scenarios(result.stdout.str())
    assert "16s  test completed  #1    attempt 2" in holds(text)


def test_failures_in_fixtures_before_and_after_the_test_are_shown_too(run):
    result = run(
        """
        @pytest.fixture
        def early(jobs):
            app.jobs.insert(app.mail.new({}))
            raise RuntimeError("before")

        @pytest.fixture
        def late(jobs):
            yield
            app.jobs.insert(app.mail.new({}))
            raise RuntimeError("after")

        def test_early(early): pass
        def test_late(late): pass
        """
    )
    result.assert_outcomes(errors=2, passed=1)
    output = result.stdout.str()
    assert 2 == output.count("- pgjobs timeline -")
    assert 2 == output.count("insert     #1    app.mail")


def test_each_database_has_a_section_with_the_name_of_its_instance(run):
    result = run(
        """
        def test_it(jobs):
            app.jobs.insert(app.mail.new({}))
            app.other.insert(app.mail.new({}))
            app.other.drain_queue(with_safety=True)
            assert False
        """
    )
    result.stdout.fnmatch_lines(
        [
            "*- pgjobs timeline of default -*",
            "*- pgjobs timeline of billing -*",
            "*drain retryable*",
        ]
    )
    assert 2 == len([holds(text) for text in scenarios(result.stdout.str())])


@pytest.mark.parametrize("options", [("-n", "1"), ("-p", "no:cacheprovider"), ("--tb=line", "-rA")])
def test_a_long_scenario_is_in_a_file_and_its_path_is_shown(run, options):
    result = run(
        """
        def test_it(jobs):
            for n in range(120):
                app.jobs.insert(app.mail.new({"n": n}))
            assert False
        """,
        *options,
    )
    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    if "--tb=line" in options:
        return  # pytest shows no sections then
    assert "the same line of the jobs that follow, up to #120, 119 more times, until 0s" in output
    assert "... 90 earlier ones are left out ..." in output
    path = re.search(r"scenario, which replays it: (\S+\.scenario\.yaml)", output)
    assert path is not None, output
    assert 120 == holds(Path(path[1]).read_text(encoding="utf-8")).count(" insert ")


def test_a_scenario_that_cannot_be_written_hides_nothing(run):
    result = run(
        """
        def test_it(jobs, monkeypatch):
            from pgjobs_testing.timeline import Timeline

            def fails(self, name):
                raise RecursionError("too deep")

            Timeline.to_scenario = fails
            app.jobs.insert(app.mail.new({}))
            assert 1 == 2, "of its own"
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*of its own*",
            "*insert     #1 *",
            "again: pytest*",
            "not shown: RecursionError: too deep",
        ]
    )


def test_a_passing_test_and_one_without_jobs_show_nothing(run):
    result = run(
        """
        def test_passes(jobs):
            app.jobs.insert(app.mail.new({}))

        def test_fails(jobs):
            assert False
        """,
        "-rA",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*pgjobs timeline*")


def test_a_failing_scenario_shows_its_timeline(run, pytester):
    (pytester.path / "odd.scenario.yaml").write_text(
        "name: odd\nworkers: {W: {runs: [{error: no}, ok]}}\n"
        "steps: [{at: 0s, insert: {as: one, worker: W}}]\n"
        "expect: [{at: end, job: one, state: discarded}]\n",
        encoding="utf-8",
    )
    result = run("")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- pgjobs timeline -*",
            "*16s  a    completed  #1 *",
            "again: pgjobs-testing replay odd.scenario.yaml",
        ]
    )


@pytest.mark.usefixtures("hypothesis_plugin")
def test_a_harness_in_a_failing_test_is_shown_as_its_fixture_would_be(run):
    """Under ``@given`` it is that of the failing example; of a machine, that of its last steps."""
    ran = run(
        """
        from hypothesis import Phase, given, settings, strategies as st
        from pgjobs_testing import JobsMachine, harness

        def test_block():
            with harness() as jobs:
                jobs.insert(app.mail.new({"of": "the block"}))
                assert jobs.drain_queue(with_safety=True) == {"completed": 1}

        @settings(database=None)
        @given(n=st.integers(0, 9))
        def test_example(n):
            with harness() as jobs:
                jobs.insert(app.mail.new({"n": n}))
                assert n < 4

        def test_after_the_block():
            with harness() as jobs:
                jobs.insert(app.mail.new({"of": "the first"}))
            with harness() as jobs:
                jobs.insert(app.mail.new({"of": "the last"}))
            with harness() as jobs:
                pass
            assert False

        def test_beside(jobs):
            jobs.insert(app.mail.new({"of": "the test"}))
            with harness(seed=3) as inner:
                inner.insert(app.mail.new({"of": "the block beside"}))
                assert False

        def test_none():
            assert False

        class Machine(JobsMachine):
            workers = {app.mail: st.fixed_dictionaries({"of": st.just("the machine")})}

            def check(self):
                assert self.jobs.count_jobs() == 0

        TestMachine = Machine.TestCase
        TestMachine.settings = settings(max_examples=1, database=None, phases=[Phase.generate])
        """,
    )
    ran.assert_outcomes(failed=6)
    failures = re.findall(
        r"\n_+ (\S+) _+\n(.*?)(?=\n_+ \S+ _+\n|\n=+ short)", ran.stdout.str(), re.DOTALL
    )
    told = {test: re.split(r"\n-+ (pgjobs timeline.*?) -+\n", text)[1:] for test, text in failures}
    shown = ["pgjobs timeline"]
    assert {test: sections[::2] for test, sections in told.items()} == {
        "test_block": shown,
        "test_example": shown,
        "test_after_the_block": shown,
        "test_beside": [*shown, "pgjobs timeline of harness()"],
        "test_none": [],
        "TestMachine.runTest": shown,
    }
    assert "attempt 1, 'ValueError: the server said: no'" in told["test_block"][1]
    assert '{"n": 4}' in told["test_example"][1]
    assert "attempt 0 of 20  {" in told["test_after_the_block"][1]
    assert '"of": "the last"' in told["test_after_the_block"][1]
    assert '"of": "the first"' not in told["test_after_the_block"][1]
    assert '"of": "the test"' in told["test_beside"][1]
    assert '"of": "the block beside"' in told["test_beside"][3]
    assert '"of": "the machine"' in told["TestMachine.runTest"][1]
    assert "not shown" not in str(told)


def test_a_job_of_a_thread_that_an_earlier_test_began_is_told_as_such(run):
    """In the failure and in the report; of threads of the test's own nothing is said."""
    result = run(
        """
        import threading

        go = threading.Event()

        def late():
            go.wait()
            app.jobs.insert(app.mail.new({"late": True}))

        stray = threading.Thread(target=late, name="sends later", daemon=True)

        def test_begins():
            stray.start()

        def test_in_between():
            pass

        @pytest.mark.parametrize("how", ["refute", "block", "plain"])
        def test_fails(jobs, how):
            own = threading.Thread(target=lambda: app.jobs.insert(app.mail.new({"own": True})))
            own.start()
            own.join()
            if how == "refute":
                go.set()
                stray.join()
                jobs.refute_enqueued(worker=app.mail, args={"late": True})
            assert jobs.count_jobs() == 0
        """,
        "-p",
        "no:xdist",
        "-p",
        "no:randomly",
        "-p",
        "no:random_order",
    )
    result.assert_outcomes(passed=2, failed=3)
    whose = "inserted by thread 'sends later', begun during test_it.py::test_begins"
    output = result.stdout.str().partition(SUMMARY)[0]
    assert output.count(whose) == 2
    result.stdout.fnmatch_lines(
        [f"E*#2*{whose}*", "jobs as they stood then:", '*{"late": true}*', f"*{whose}"]
    )


def test_threads_of_the_run_are_nobody_s(run):
    """A thread that was there before every test, and one whose number a later thread has again."""
    run(
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        from pgjobs_testing import births

        pool = ThreadPoolExecutor(1)
        pool.submit(int).result()

        def test_first(jobs):
            pool.submit(app.jobs.insert, app.mail.new()).result()

        def test_second(jobs):
            pool.submit(app.jobs.insert, app.mail.new()).result()
            assert jobs._engine.recorder.strays == {}
            pool.shutdown()

        def test_nobody_is_left(jobs):
            assert threading.active_count() > 1 or births.OUTLIVING == {}
        """
    ).assert_outcomes(passed=3)
