"""``mode=[...]`` on the marker: one test body that runs once in each mode."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

APP = """
from pgjobs import PgJobs, worker

jobs = PgJobs("postgresql://db.example.invalid/production")

@worker
def note(job):
    pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Runs one test module with the plugin on, verbosely."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)

    def ran(test: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(app=APP, test_it=textwrap.dedent(test))
        switches = ("-p", "pgjobs_testing", "-p", "no:cacheprovider", "-v")
        return pytester.runpytest_subprocess(*switches, *options, timeout=120)

    return ran


def test_a_list_of_modes_runs_the_test_once_in_each_under_a_readable_id(run):
    result = run(
        """
        import pytest
        import app

        @pytest.mark.pgjobs(mode=["manual", "inline", "postgres"])
        def test_it(jobs, request):
            kind = type(jobs.store).__name__
            assert kind == ("LocalPostgres" if "[postgres]" in request.node.name else "MemoryStore")
            job = app.jobs.insert(app.note.new())
            ran = jobs.get_job(job).state == "completed"
            assert ran == ("[inline]" in request.node.name)
        """,
        "--pgjobs-postgres",
        "embedded",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "test_it.py::test_it[[]manual] PASSED*",
            "test_it.py::test_it[[]inline] PASSED*",
            "test_it.py::test_it[[]postgres] PASSED*",
        ]
    )


@pytest.mark.usefixtures("hypothesis_plugin")
def test_a_list_goes_with_everything_else_that_makes_many_tests_of_one(run):
    """Parametrize, parametrized fixtures, classes, hypothesis, async; with the fixture or without."""
    result = run(
        """
        import pytest
        import app
        from hypothesis import given, strategies as st
        from pgjobs_testing import harness

        BOTH = pytest.mark.pgjobs(mode=["manual", "inline"])

        @pytest.fixture(params=["x", "y"])
        def letter(request):
            return request.param

        @BOTH
        @pytest.mark.parametrize("n", [1, 2])
        def test_parameters(jobs, n, letter):
            app.jobs.insert_all([app.note.new()] * n)
            assert jobs.count_jobs() == n

        @BOTH
        def test_no_fixture(request):
            job = app.jobs.insert(app.note.new())
            ran = app.jobs.get_job(job).state == "completed"
            assert ran == ("inline" in request.node.name)

        @BOTH
        @given(n=st.integers(0, 3))
        def test_hypothesis(n):
            before = app.jobs.count_jobs()
            app.jobs.insert_all([app.note.new()] * n)
            assert app.jobs.count_jobs() == before + n

        @BOTH
        @pytest.mark.asyncio
        async def test_async(jobs, request):
            job = await app.jobs.insert_async(app.note.new())
            ran = (await jobs.get_job_async(job)).state == "completed"
            assert ran == ("inline" in request.node.name)

        @BOTH
        @pytest.mark.anyio
        async def test_anyio(jobs, anyio_backend):
            await app.jobs.insert_async(app.note.new())
            assert await jobs.count_jobs_async() == 1

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @BOTH
        class TestClass:
            def test_method(self, jobs):
                assert jobs.mode
        """,
    )
    result.assert_outcomes(passed=2 * (4 + 1 + 1 + 1 + 1 + 1))
    result.stdout.fnmatch_lines_random(
        [
            "*::test_parameters[[]*manual*] PASSED*",
            "*::TestClass::test_method[[]inline] PASSED*",
            "*::test_async[[]inline] PASSED*",
            "*::test_anyio[[]*inline*] PASSED*",
        ]
    )


def test_a_modules_list_is_for_all_its_tests_and_the_nearest_marker_wins(run):
    result = run(
        """
        import pytest

        pytestmark = pytest.mark.pgjobs(mode=["manual", "inline"], seed=5)

        def test_of_the_module(jobs):
            pass

        @pytest.mark.pgjobs(mode="inline")
        def test_one(jobs):
            assert "inline" in repr(jobs)

        @pytest.mark.pgjobs(mode=["manual"])
        class TestNearer:
            def test_of_the_class(self, jobs):
                assert "manual" in repr(jobs)

            @pytest.mark.pgjobs(queues={"default": 1})
            def test_without_a_mode(self, jobs):
                assert "manual" in repr(jobs)
                assert jobs.queues["default"].concurrency == 1
        """
    )
    result.assert_outcomes(passed=5)


def test_a_parameters_marker_is_nearer_than_its_functions(run):
    result = run(
        """
        import pytest

        @pytest.mark.pgjobs(mode="manual")
        @pytest.mark.parametrize("mode", [
            "manual", pytest.param("inline", marks=pytest.mark.pgjobs(mode="inline"))
        ])
        def test_it(jobs, mode):
            assert mode in repr(jobs)
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "marker, message",
    [
        ('mode=["manual", "inlin"]', "*test_it.py::test_it: unknown mode 'inlin': did you mean*"),
        ("mode=[]", "*test_it.py::test_it: mode=[[]] would run the test in no mode: name one of*"),
        ('mode=["inline", "inline"]', "*test_it.py::test_it: *names 'inline' more than once"),
        ('mode={"inline"}', "*test_it.py::test_it: mode takes a mode or a list of modes, not*"),
        ("mode=[3]", "*a mode is one of manual, inline, postgres, live, not 3"),
    ],
)
def test_a_wrong_list_is_an_error_of_its_test_which_it_names(run, marker, message):
    result = run(
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


def test_a_list_where_nothing_can_be_repeated_is_an_error_with_the_remedy(run):
    result = run(
        """
        import unittest
        import pytest

        BOTH = pytest.mark.pgjobs(mode=["manual", "inline"])

        @BOTH
        class TestOfUnittest(unittest.TestCase):
            def test_method(self):
                pass

        @pytest.mark.parametrize("n", [pytest.param(1, marks=BOTH)])
        def test_of_a_parameter(n):
            pass

        @BOTH
        @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.pgjobs(mode="manual"))])
        def test_of_both(n):
            pass
        """
    )
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "*::test_method: mode=[[]'manual', 'inline']: pytest runs a method of a unittest.TestCase once*",
            "*::test_of_a_parameter[[]1]: mode=[[]'manual', 'inline']: a list of modes is for*",
            "*: the test runs once in each mode of a list, and one of its parameters names a mode*",
        ]
    )
