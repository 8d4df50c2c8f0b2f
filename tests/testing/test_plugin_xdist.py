"""The plugin under xdist: one server for all workers, a database for each, and nothing left behind."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pgjobs_testing.servers.embedded import EmbeddedServer

pytestmark = pytest.mark.slow

GONE_WITHIN_S = 10  # the promise is 1 s
XDIST = ("-p", "xdist.plugin", "-p", "pgjobs_testing", "-p", "no:cacheprovider", "-q")

APP = """
import os
from pathlib import Path

from pgjobs import PgJobs, worker

jobs = PgJobs("postgresql://db.example.invalid/production")
LOG = Path(__file__).with_name("log")

@worker
def note(job):
    pass

def say(harness):
    \"\"\"Tell which worker, database and server this test ran on.\"\"\"
    postgres = harness.store.postgres
    ((database, started),) = postgres.query(
        "SELECT current_database()::text, pg_postmaster_start_time()::text"
    )
    with LOG.open("a") as log:
        log.write(f"{os.environ['PYTEST_XDIST_WORKER']}|{database}|{started}\\n")
"""


class Project:
    """A project whose tests run on several workers, and say where."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "app.py").write_text(APP)

    def write(self, test: str) -> None:
        (self.path / "test_it.py").write_text(textwrap.dedent(test))

    def begin(self, *options: str) -> subprocess.Popen[str]:
        """Start pytest with xdist and the plugin, and no other plugin."""
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "PGJOBS_"))
        }
        environ |= {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *XDIST, *options],
            cwd=self.path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: str) -> tuple[int, str]:
        """The exit code and the output of one session."""
        with self.begin(*options) as running:
            output = running.communicate(timeout=240)[0]
        return running.returncode, output

    def said(self) -> list[tuple[str, str, str]]:
        """What each test wrote: worker, database, start of the server."""
        lines = (self.path / "log").read_text().splitlines()
        return [(worker, base, at) for worker, base, at in (line.split("|") for line in lines)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture(scope="module")
def somebodys_server() -> Iterator[str]:
    """The DSN of a server that goes on after every session."""
    with EmbeddedServer() as server:
        yield server.dsn


@pytest.fixture
def databases(somebodys_server: str) -> Callable[[], list[str]]:
    """The names of test databases on that server."""

    def listed() -> list[str]:
        with psycopg.connect(somebodys_server) as connection:
            found = connection.execute("SELECT datname FROM pg_database ORDER BY 1").fetchall()
        return [name for (name,) in found if name.startswith("pgjobs_test_")]

    return listed


def test_a_thousand_tests_on_four_workers_share_one_server(project: Project) -> None:
    project.write(
        """
        import pytest
        import app

        def body(jobs, n):
            assert jobs.all_jobs() == []
            app.jobs.insert(app.note.new({"n": n}))
            assert jobs.assert_enqueued(worker=app.note, args={"n": n}).id == 1
            assert jobs.drain_queue() == {"completed": 1}

        @pytest.mark.parametrize("n", range(500))
        def test_in_memory(jobs, n):
            body(jobs, n)

        @pytest.mark.parametrize("n", range(250))
        @pytest.mark.pgjobs(mode="inline")
        def test_inline(jobs, n):
            app.jobs.insert(app.note.new({"n": n}))
            assert jobs.count_jobs(state="completed") == 1

        @pytest.mark.parametrize("n", range(250))
        @pytest.mark.pgjobs(mode="postgres")
        def test_on_postgres(jobs, n):
            body(jobs, n)
            app.say(jobs)
        """
    )
    code, output = project.run("-n", "4", "--pgjobs-postgres", "embedded")
    assert code == 0, output
    assert "1000 passed" in output
    said = project.said()
    assert len({at for _, _, at in said}) == 1
    workers = {worker for worker, _, _ in said}
    assert {(worker, base.partition("_gw")[2]) for worker, base, _ in said} == {
        (worker, f"{worker.removeprefix('gw')}_db0") for worker in workers
    }
    assert len(workers) > 1


@pytest.mark.parametrize("dist", ["load", "loadfile", "worksteal"])
def test_a_worker_that_is_killed_is_replaced_and_leaves_the_server_to_the_others(
    project: Project, dist: str
) -> None:
    project.write(
        """
        import os, signal
        import pytest
        import app

        @pytest.mark.parametrize("n", range(8))
        @pytest.mark.pgjobs(mode="postgres")
        def test_it(jobs, n):
            app.jobs.insert(app.note.new({"n": n}))
            app.say(jobs)
            if n == 2 and not os.path.exists("killed"):  # --dist loadfile runs it once more
                open("killed", "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            assert jobs.drain_queue() == {"completed": 1}
        """
    )
    code, output = project.run("-n", "2", "--dist", dist, "--pgjobs-postgres", "embedded")
    assert code == 1, output
    assert "1 failed, 7 passed" in output or "1 failed, 8 passed" in output
    said = project.said()
    assert len({at for _, _, at in said}) == 1
    assert len({base for _, base, _ in said}) == len({worker for worker, _, _ in said}) >= 2


def test_databases_on_a_users_server_are_dropped_however_the_session_ends(
    project: Project, somebodys_server: str, databases: Callable[[], list[str]]
) -> None:
    project.write(
        """
        import os, signal
        import pytest
        import app

        @pytest.mark.parametrize("n", range(12))
        @pytest.mark.pgjobs(mode="postgres")
        def test_it(jobs, n):
            app.jobs.insert(app.note.new({"n": n}))
            app.say(jobs)
            if n == 5 and "KILL" in os.environ:
                os.kill(os.getpid(), signal.SIGKILL)
            if n == 5 and "INTERRUPT" in os.environ:
                os.kill(os.getppid(), signal.SIGINT)
            assert n != 5
        """
    )
    options = ("-n", "2", "--pgjobs-postgres", somebodys_server)
    beside = project.begin(*options, "-x")  # two sessions meet on one server
    code, output = project.run(*options, "--maxfail", "3")
    with beside:
        beside_output = beside.communicate(timeout=120)[0]
    assert (code, beside.returncode) == (1, 2), output + beside_output
    assert "1 failed, 11 passed" in output
    assert len({base[:20] for _, base, _ in project.said()}) == 2
    assert databases() == []

    os.environ["INTERRUPT"] = "1"
    try:
        code, output = project.run(*options)
    finally:
        del os.environ["INTERRUPT"]
    assert code == pytest.ExitCode.INTERRUPTED, output
    assert databases() == []

    os.environ["KILL"] = "1"
    try:
        code, output = project.run(*options)
    finally:
        del os.environ["KILL"]
    assert "1 failed, 11 passed" in output
    assert databases() == []


WAITS = """
import pytest
import app

@pytest.mark.pgjobs(mode="postgres")
def test_it(jobs):  # alone: a second one could tell a later session of its own server
    app.jobs.insert(app.note.new({"n": 1}))
    ((pid,),) = jobs.store.postgres.query(
        "SELECT pg_backend_pid()::text"
    )
    with open("told", "w") as told:
        told.write(pid)
    with open("never") as never:
        never.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="waits for processes by Linux's pidfd")
def test_a_killed_controller_leaves_no_server_and_a_later_session_sweeps_a_users_server(
    project: Project, somebodys_server: str, databases: Callable[[], list[str]]
) -> None:
    project.write(WAITS)
    for name in ("told", "never"):
        os.mkfifo(project.path / name)

    def killed_amid_a_test(*options: str) -> None:
        with project.begin("-n", "1", *options) as running:
            backend = int((project.path / "told").read_text())
            pidfd = os.pidfd_open(backend)
            running.send_signal(signal.SIGKILL)
            (project.path / "never").open("w").close()  # the worker is not held up by its test
        with selectors.DefaultSelector() as selector:
            selector.register(pidfd, selectors.EVENT_READ)
            assert selector.select(GONE_WITHIN_S), "the server is still there"
        os.close(pidfd)

    killed_amid_a_test("--pgjobs-postgres", "embedded")
    killed_amid_a_test("--pgjobs-postgres", somebodys_server)
    assert len(databases()) == 1
    project.write(
        """
        import pytest

        @pytest.mark.pgjobs(mode="postgres")
        def test_it(jobs):
            assert jobs.count_jobs() == 0
        """
    )
    code, output = project.run("-n", "0", "--pgjobs-postgres", somebodys_server)
    assert code == 0, output
    assert databases() == []


def test_a_server_that_cannot_be_had_is_told_to_each_test_that_asks(project: Project) -> None:
    project.write(
        """
        import pytest

        @pytest.mark.parametrize("n", range(4))
        @pytest.mark.pgjobs(mode="postgres")
        def test_on_postgres(jobs, n):
            jobs.count_jobs()

        def test_in_memory(jobs):
            assert jobs.count_jobs() == 0
        """
    )
    nowhere = "postgresql://127.0.0.1:1/nowhere"
    code, output = project.run("-n", "2", "--pgjobs-postgres", nowhere)
    assert code == 1
    assert "4 failed, 1 passed" in output
    assert "cannot connect to PostgreSQL at 127.0.0.1:1/nowhere" in output


def test_a_test_in_a_fork_has_a_database_of_its_own(project: Project) -> None:
    """As pytest-forked runs each test."""
    (project.path / "conftest.py").write_text(
        textwrap.dedent(
            """
            import os
            import pytest
            from _pytest.runner import runtestprotocol

            @pytest.hookimpl(tryfirst=True)
            def pytest_runtest_protocol(item, nextitem):
                if not item.get_closest_marker("forked"):
                    return None
                child = os.fork()
                if child == 0:
                    reports = runtestprotocol(item, nextitem=nextitem, log=False)
                    os._exit(sum(not each.passed for each in reports))
                _, status = os.waitpid(child, 0)
                assert os.waitstatus_to_exitcode(status) == 0
                return True

            def pytest_configure(config):
                config.addinivalue_line("markers", "forked: runs in a fork")
            """
        )
    )
    project.write(
        """
        import os
        import pytest
        import app

        @pytest.mark.pgjobs(mode="postgres")
        class TestIt:
            @pytest.mark.forked
            @pytest.mark.parametrize("n", range(2))
            def test_in_a_fork(self, jobs, n):
                assert jobs.all_jobs() == []
                app.jobs.insert(app.note.new({"n": n}))
                app.say(jobs)

            def test_here(self, jobs):
                assert jobs.all_jobs() == []
                app.jobs.insert(app.note.new({"n": 9}))
                app.say(jobs)

            @pytest.mark.forked
            def test_in_a_fork_after_that(self, jobs):
                assert jobs.all_jobs() == []
                app.say(jobs)

            def test_here_again(self, jobs):
                assert jobs.all_jobs() == []
                app.say(jobs)
        """
    )
    code, output = project.run("-n", "1", "--pgjobs-postgres", "embedded")
    assert code == 0, output
    bases = [base.partition("_gw0_")[2] for _, base, _ in project.said()]
    assert bases[2] == bases[4] == "db0"
    assert len(set(bases)) == 4
    assert len({at for _, _, at in project.said()}) == 1
