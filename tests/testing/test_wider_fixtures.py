"""Fixtures of wider scope than a test: what they insert is no test's, in whichever order tests run."""

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

TEST = """
import pytest
import app



@pytest.fixture(scope="{scope}", params=[1])
def seeded():
    app.jobs.insert(app.note.new())
    assert app.jobs.count_jobs() == 1
    yield

@pytest.fixture(scope="{scope}")
def quiet():
    return app.jobs.start()

class TestBoth:
    def test_one(self, jobs, seeded, quiet):
        assert jobs.count_jobs() == 0

    def test_two(self, seeded, jobs):
        assert jobs.count_jobs() == 0
        app.jobs.insert(app.note.new())
        assert jobs.count_jobs() == 1

def test_mode(request):
    pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("PGJOBS_CAPTURED_BY", raising=False)

    def ran(test: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(app=APP, test_it=textwrap.dedent(test))
        switches = ("-p", "pgjobs_testing", "-p", "no:cacheprovider", *options)
        return pytester.runpytest_subprocess(*switches, timeout=120)

    return ran


@pytest.mark.parametrize("scope", ["class", "module", "session"])
def test_no_test_sees_what_a_wider_fixture_inserts_and_a_warning_says_so(run, scope):
    result = run(TEST.replace("{scope}", scope))
    result.assert_outcomes(passed=3, warnings=1)
    said = f"the {scope}-scoped fixture 'seeded' did something to jobs, which no test sees"
    result.stdout.fnmatch_lines([f"*WiderFixtureWarning: {said}*"])


def test_a_function_scoped_fixture_inserts_into_its_tests_store(run):
    result = run(
        """
        import pytest
        import app

        @pytest.fixture
        def seeded():
            return app.jobs.insert(app.note.new())

        def test_it(seeded, jobs):
            assert jobs.get_job(seeded).worker == "app.note"
        """
    )
    result.assert_outcomes(passed=1)


def test_a_wider_fixture_of_a_live_test_is_live(run):
    result = run(
        """
        import pytest
        import app
        from pgjobs import runtime

        @pytest.fixture(scope="module")
        def wide():
            return runtime.captured(app.jobs)

        @pytest.mark.pgjobs(mode="live")
        def test_it(wide):
            assert wide is None
        """
    )
    result.assert_outcomes(passed=1)
