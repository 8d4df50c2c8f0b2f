"""The plugin waits for pgjobs: a run that never imports it pays nothing, one that does misses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pgjobs import guard
from pgjobs_testing.arrival import Arrival
from pgjobs_testing.session import MARK

ROOT = Path(__file__).resolve().parents[2]

APP = """
from pgjobs import PgJobs, worker

jobs = PgJobs("postgresql://db.example.invalid/production")

@worker
def note(job):
    pass
"""


class Project:
    """A project in a directory of its own, whose tests import the application as late as they like."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "app.py").write_text(APP)

    def run(self, tests: str, *options: str) -> tuple[int, str]:
        """Run one module of tests; the exit code, and what was said."""
        (self.place / "test_it.py").write_text(textwrap.dedent(tests))
        given = ("-q", "-p", "no:cacheprovider", "-p", "pgjobs_testing", *options)
        environment = {k: v for k, v in os.environ.items() if k != MARK}
        environment |= {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", *given],
            cwd=self.place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout + ran.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_mark_is_the_one_that_the_guard_looks_for() -> None:
    assert MARK == guard.ENVIRONMENT_MARK


def test_nothing_of_pgjobs_is_imported_where_no_test_does(project: Project) -> None:
    code, told = project.run(
        """
        import os, sys
        import pytest

        @pytest.fixture(scope="session", autouse=True)
        def wide(): ...

        def test_nothing_is_there():
            loaded = [name for name in sys.modules if name.split(".")[0] == "pgjobs"]
            assert loaded == []
            assert os.environ["PGJOBS_CAPTURED_BY"] == str(os.getpid())

        def test_that_fails():
            raise ValueError("no")
        """
    )
    assert code == 1
    assert "1 failed, 1 passed" in told, told
    assert "ValueError: no" in told
    assert "pgjobs timeline" not in told


def test_a_test_that_imports_it_first_is_captured_from_there_on(project: Project) -> None:
    code, told = project.run(
        """
        import sys

        def test_late():
            assert "pgjobs" not in sys.modules
            import app
            app.jobs.insert(app.note.new())
            assert app.jobs.count_jobs() == 1

        def test_the_next_one_starts_empty():
            import app
            assert app.jobs.all_jobs() == []
            app.jobs.insert(app.note.new())
            assert app.jobs.count_jobs() == 1
        """
    )
    assert code == 0, told


def test_the_harness_is_there_before_the_first_test_where_one_takes_it(project: Project) -> None:
    code, told = project.run(
        """
        import sys

        def test_without():
            assert "pgjobs_testing.fixture" in sys.modules

        def test_with(jobs):
            assert jobs.all_jobs() == []
        """
    )
    assert code == 0, told


def test_a_worker_that_such_a_test_defines_is_gone_after_it(project: Project) -> None:
    code, told = project.run(
        """
        def test_late():
            from pgjobs import worker
            worker(name="passing")(lambda job: None)

        def test_after():
            from pgjobs.worker import REGISTRY
            assert "passing" not in REGISTRY.by_name
        """
    )
    assert code == 0, told


def test_a_marker_is_heeded_in_a_test_that_imports_nothing_before(project: Project) -> None:
    code, told = project.run(
        """
        import pytest

        @pytest.mark.pgjobs(mode="inline")
        def test_inline():
            import app
            app.jobs.insert(app.note.new())
            assert app.jobs.count_jobs(state="completed") == 1

        @pytest.mark.pgjobs(mode="inlined")
        def test_mistaken(): ...
        """
    )
    assert code == 1
    assert "1 passed, 1 error" in told, told
    assert "did you mean 'inline'" in told


def test_what_a_wider_fixture_does_is_no_tests_where_it_imports_it_first(project: Project) -> None:
    code, told = project.run(
        """
        import pytest

        @pytest.fixture(scope="module")
        def wide():
            import app
            app.jobs.insert(app.note.new())
            assert app.jobs.count_jobs() == 1

        def test_it(wide):
            import app
            assert app.jobs.count_jobs() == 0
        """
    )
    assert code == 0, told
    assert "WiderFixtureWarning: the module-scoped fixture 'wide' did something" in told


def test_a_strict_test_that_imports_it_late_is_held_to_its_jobs(project: Project) -> None:
    (project.place / "pytest.ini").write_text("[pytest]\npgjobs_strict = true\n")
    code, told = project.run(
        """
        def test_it():
            import app
            app.jobs.insert(app.note.new())
        """
    )
    assert code == 1
    assert "the test never looked at one job that failed or was left over" in told


def test_a_database_stays_closed_where_the_first_import_is_of_a_part(project: Project) -> None:
    code, told = project.run(
        """
        import pytest

        def test_it():
            from pgjobs.adapters.postgres.store import PostgresStore
            from pgjobs.rules.errors import CapturedStoreError
            with pytest.raises(CapturedStoreError, match="a test run keeps real databases closed"):
                PostgresStore("postgresql://db.example.invalid/production").migrate()
        """
    )
    assert code == 0, told


def test_a_first_import_under_frozen_time_spoils_nothing(project: Project) -> None:
    code, told = project.run(
        """
        import datetime
        import sys
        from freezegun import freeze_time

        NOON = datetime.datetime(2025, 3, 1, 12, tzinfo=datetime.UTC)

        @freeze_time("2025-03-01 12:00:00")
        def test_frozen():
            assert "pgjobs" not in sys.modules
            import app
            job = app.jobs.insert(app.note.new(schedule_in=60))
            assert job.scheduled_at == NOON + datetime.timedelta(seconds=60)
            assert app.jobs.drain_queue(with_scheduled=True) == {"completed": 1}

        def test_real_again():
            import app
            from pgjobs_testing import harness
            with harness(start=NOON) as jobs:
                job = app.jobs.insert(app.note.new(schedule_in=60))
                assert repr(job.scheduled_at) == repr(NOON + datetime.timedelta(seconds=60))
                jobs.assert_enqueued(args={}, scheduled_in=60)
                jobs.advance(60)
                assert jobs.count_jobs(state="retryable") == 1  # its worker went with the first test
        """
    )
    assert code == 0, told


def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A package in the place of the one that is waited for."""
    (tmp_path / "waited_for").mkdir()
    (tmp_path / "waited_for" / "__init__.py").write_text(text)
    (tmp_path / "waited_for" / "data.txt").write_text("its own")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("pgjobs_testing.arrival.PACKAGE", "waited_for")
    monkeypatch.delitem(sys.modules, "waited_for", raising=False)


def test_it_is_told_once_after_the_package_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, monkeypatch, "whole = True\n")
    seen: list[object] = []
    arrival = Arrival(lambda: seen.append(sys.modules["waited_for"].whole))
    assert seen == []
    import importlib
    from importlib import resources

    module = importlib.import_module("waited_for")
    assert seen == [True]
    assert resources.files("waited_for").joinpath("data.txt").read_text() == "its own"
    assert type(module.__loader__).__module__.startswith(("_frozen", "importlib"))
    assert arrival not in sys.meta_path
    Arrival(lambda: seen.append("at once"))
    assert seen == [True, "at once"]
    monkeypatch.delitem(sys.modules, "waited_for")


def test_an_import_that_failed_is_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, monkeypatch, "import os\nif os.environ['BROKEN'] == '1': raise OSError\n")
    import importlib

    seen: list[str] = []
    arrival = Arrival(lambda: seen.append("there"))
    monkeypatch.setenv("BROKEN", "1")
    with pytest.raises(OSError):
        importlib.import_module("waited_for")
    assert seen == []
    assert sys.meta_path.count(arrival) == 1
    monkeypatch.setenv("BROKEN", "0")
    importlib.import_module("waited_for")
    assert seen == ["there"]
    assert arrival not in sys.meta_path
    monkeypatch.delitem(sys.modules, "waited_for")


def test_who_waits_no_more_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch, "")
    import importlib

    seen: list[str] = []
    arrival = Arrival(lambda: seen.append("there"))
    arrival.close()
    importlib.import_module("waited_for")
    assert seen == []
    monkeypatch.delitem(sys.modules, "waited_for")
