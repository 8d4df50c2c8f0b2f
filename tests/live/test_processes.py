"""The shell's commands, on a real server, in real processes and real time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

pytestmark = [pytest.mark.live, pytest.mark.pgjobs(mode="live")]

HERE = Path(__file__).resolve().parent
JOBS = 2_000


class Shell:
    """Runs commands of ours against one database."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        root = str(HERE.parents[1])
        self.environment = os.environ | {
            "PGJOBS_DSN": dsn,
            "PYTHONPATH": os.pathsep.join((root, str(HERE))),
        }
        self.running: list[subprocess.Popen[str]] = []

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            (sys.executable, *command),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def serve(self, target: str = "counting:jobs", *options: str) -> subprocess.Popen[str]:
        """Start ``pgjobs run``, and wait until it says that it serves."""
        process = subprocess.Popen(
            (sys.executable, "-m", "pgjobs.cli", "run", target, *options),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running.append(process)
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("serving"), said + process.stdout.read()
        return process

    def stop(self, process: subprocess.Popen[str], number: int = signal.SIGTERM) -> str:
        """Signal a process, wait for its end, and give what it printed."""
        process.send_signal(number)
        printed, _ = process.communicate(timeout=60)
        return printed

    def query(self, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()

    def wait_until(self, condition: str) -> None:
        """Wait, in the server and for a minute at most, until an SQL condition holds."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SET statement_timeout = '60s'")
            connection.execute(
                f"DO $$ BEGIN WHILE NOT ({condition}) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$".encode()
            )


@pytest.fixture
def shell(database: str) -> Iterator[Shell]:
    made = Shell(database)
    migrated = made.run("-m", "pgjobs.cli", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE executions (job_id bigint, process bigint)")
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_two_processes_complete_each_of_2000_jobs_exactly_once(shell: Shell) -> None:
    first, second = shell.serve(), shell.serve()
    inserted = shell.run(
        "-c",
        "import counting\n"
        f"new = [counting.count_async.new({{'n': n}}) for n in range({JOBS // 2})]\n"
        f"new += [counting.count.new({{'n': n}}) for n in range({JOBS // 2})]\n"
        "counting.jobs.insert_all(new)",
    )
    assert inserted.returncode == 0, inserted.stderr
    shell.wait_until(f"(SELECT count(*) FROM oban_jobs WHERE state = 'completed') = {JOBS}")
    printed = shell.stop(first) + shell.stop(second)
    assert (first.returncode, second.returncode) == (0, 0), printed
    assert printed.count("stopped") == 2
    assert shell.query("SELECT count(*), count(DISTINCT job_id) FROM executions") == [(JOBS, JOBS)]
    assert shell.query("SELECT max(attempt), min(attempt) FROM oban_jobs") == [(1, 1)]
    assert len(shell.query("SELECT DISTINCT process FROM executions")) == 2


def test_a_job_that_outlives_its_grace_is_given_back_and_run_by_the_next_node(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "hanging.py").write_text(
        "import asyncio, counting\n"
        "from pgjobs import PgJobs, worker\n"
        "jobs = PgJobs()\n"
        "@worker(name='hang')\n"
        "async def hang(job):\n"
        "    counting.executed(job.id)\n"
        "    if not job.meta.get('released'):\n"
        "        await asyncio.Event().wait()\n"
    )
    shell.environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    inserted = shell.run("-c", "import hanging; hanging.jobs.insert(hanging.hang.new({}))")
    assert inserted.returncode == 0, inserted.stderr
    process = shell.serve("hanging:jobs", "--grace", "0.2", "--log-jobs")
    shell.wait_until("(SELECT count(*) FROM executions) = 1")
    printed = shell.stop(process)
    assert process.returncode == 0, printed
    told = "job 1 hang (queue default, attempt 0 of 20) given back after "
    assert 1 == printed.count(told), printed
    assert shell.query("SELECT state::text, attempt, meta->'released' FROM oban_jobs") == [
        ("available", 0, 1)
    ]
    shell.serve("hanging:jobs")
    shell.wait_until("(SELECT state FROM oban_jobs) = 'completed'")


def test_a_grace_that_outlasts_time_is_one(shell: Shell) -> None:
    process = shell.serve("counting:jobs", "--grace", "1e300")
    printed = shell.stop(process)
    assert (0, True) == (process.returncode, printed.endswith("stopped\n")), printed


def test_a_second_signal_abandons_what_runs_at_once(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(
        "import counting, threading\n"
        "from pgjobs import PgJobs, worker\n"
        "jobs = PgJobs()\n"
        "@worker(name='wait')\n"
        "def wait(job):\n"
        "    counting.executed(job.id)\n"
        "    threading.Event().wait()\n"
    )
    shell.environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    inserted = shell.run("-c", "import waiting; waiting.jobs.insert(waiting.wait.new({}))")
    assert inserted.returncode == 0, inserted.stderr
    process = shell.serve("waiting:jobs", "--grace", "600")
    shell.wait_until("(SELECT count(*) FROM executions) = 1")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert "stopping\n" in iter(process.stdout.readline, "")
    while process.poll() is None:  # until one has come a second after the first
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    printed = process.stdout.read()
    assert process.returncode == 70, printed
    assert "stopped by a second signal; 1 job still runs; " in printed
    assert shell.query("SELECT state::text, attempt FROM oban_jobs") == [("executing", 1)]


def test_two_signals_at_once_are_one_and_the_job_ends_well(shell: Shell, tmp_path: Path) -> None:
    gated(shell, tmp_path)
    process = shell.serve("gated:jobs", "--grace", "600")
    shell.wait_until("(SELECT count(*) FROM executions) = 1")
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    assert process.stdout is not None
    assert "stopping\n" in iter(process.stdout.readline, "")
    (tmp_path / "gate").write_text("open")
    printed, _ = process.communicate(timeout=60)
    assert (process.returncode, printed) == (0, "stopped\n")
    assert shell.query("SELECT state::text, attempt FROM oban_jobs") == [("completed", 1)]


def test_outcomes_that_an_outage_keeps_from_being_saved_are_told_at_a_hard_end(
    shell: Shell, tmp_path: Path
) -> None:
    gated(shell, tmp_path)
    process = shell.serve("gated:jobs", "--grace", "0")
    shell.wait_until("(SELECT count(*) FROM executions) = 1")
    with psycopg.connect(shell.dsn, dbname="postgres", autocommit=True) as connection:
        name = conninfo_to_dict(shell.dsn)["dbname"]
        shut = "ALTER DATABASE {} ALLOW_CONNECTIONS false"
        connection.execute(SQL(shut).format(Identifier(str(name))))
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        connection.execute(ended, (name,))
    (tmp_path / "gate").write_text("open")
    assert process.stdout is not None
    assert "the store failed at Settle\n" in iter(process.stdout.readline, "")
    printed = shell.stop(process)
    assert process.returncode == 70, printed
    (line,) = [line for line in printed.splitlines() if line.startswith("not stopped in time; ")]
    assert line.startswith("not stopped in time; 1 outcome of ended jobs could not be saved (")
    assert "is not currently accepting connections" in line
    assert "still run" not in line


def gated(shell: Shell, tmp_path: Path) -> None:
    """An application ``gated`` with one job, which ends when somebody writes to the file ``gate``.

    It says so when an outcome cannot be saved.
    """
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "gated.py").write_text(
        "import counting, pathlib\n"
        "from pgjobs import PgJobs, telemetry, worker\n"
        "jobs = PgJobs()\n"
        "@worker(name='pass')\n"
        "def pass_(job):\n"
        "    counting.executed(job.id)\n"
        f"    pathlib.Path({str(tmp_path / 'gate')!r}).read_text()\n"
        "def failed(event, measurements, metadata):\n"
        "    print('the store failed at', metadata['effect'], flush=True)\n"
        "telemetry.attach('gated', 'pgjobs.store.error', failed)\n"
    )
    shell.environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    inserted = shell.run("-c", "import gated; gated.jobs.insert(gated.pass_.new())")
    assert inserted.returncode == 0, inserted.stderr


def test_a_cancel_from_another_process_ends_a_running_job_within_a_second(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "endless.py").write_text(
        "import asyncio, counting\n"
        "from pgjobs import PgJobs, worker\n"
        "jobs = PgJobs()\n"
        "@worker(name='endless')\n"
        "async def endless(job):\n"
        "    counting.executed(job.id)\n"
        "    try:\n"
        "        await asyncio.Event().wait()\n"
        "    finally:\n"
        "        counting.executed(-job.id)\n"
    )
    shell.environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    shell.serve("endless:jobs")
    assert (
        shell.run("-c", "import endless; endless.jobs.insert(endless.endless.new({}))").returncode
        == 0
    )
    shell.wait_until("(SELECT count(*) FROM executions) = 1")
    assert shell.run("-c", "import endless; endless.jobs.cancel_job(1)").returncode == 0
    shell.wait_until("EXISTS (SELECT FROM executions WHERE job_id = -1)")
    assert shell.query("SELECT state::text FROM oban_jobs") == [("cancelled",)]


def test_migrating_again_is_harmless_and_the_sql_can_be_printed(shell: Shell) -> None:
    again = shell.run("-m", "pgjobs.cli", "migrate")
    assert (again.returncode, again.stdout) == (0, "schema public is up to date\n")
    printed = shell.run("-m", "pgjobs.cli", "migrate", "--sql", "--schema", "other")
    with psycopg.connect(shell.dsn) as connection:
        connection.execute(printed.stdout.encode())
    by_hand = shell.run("-m", "pgjobs.cli", "migrate", "--schema", "other")
    assert (by_hand.returncode, by_hand.stdout) == (0, "schema other is up to date\n")


@pytest.mark.parametrize(
    "target, message",
    [
        ("counting", "name a module and its PgJobs"),
        ("counting:job", "'job' of counting is no PgJobs; it has jobs"),
        ("nowhere:jobs", "the module 'nowhere' cannot be imported"),
    ],
)
def test_a_target_that_is_none_is_refused_with_the_remedy(
    shell: Shell, target: str, message: str
) -> None:
    refused = shell.run("-m", "pgjobs.cli", "run", target)
    assert refused.returncode == 2
    assert message in refused.stderr


def test_a_database_without_the_tables_is_refused_with_the_remedy(
    shell: Shell, new_database: object
) -> None:
    shell.environment["PGJOBS_DSN"] = new_database()  # type: ignore[operator]  # the fixture's function
    refused = shell.run("-m", "pgjobs.cli", "run", "counting:jobs")
    assert refused.returncode == 1
    assert "pgjobs migrate" in refused.stderr


@pytest.mark.parametrize("options", [(), ("--log-jobs", "--log-level", "WARNING")])
def test_failed_jobs_are_logged_whatever_else_is(shell: Shell, options: tuple[str, ...]) -> None:
    process = shell.serve("counting:jobs", *options)
    inserted = shell.run(
        "-c",
        "import counting, pgjobs\n"
        "counting.jobs.insert_all([counting.count_async.new(),"
        " pgjobs.NewJob('unknown', {}, max_attempts=1)])",
    )
    assert inserted.returncode == 0, inserted.stderr
    shell.wait_until("(SELECT count(*) FROM oban_jobs WHERE state = 'discarded') = 1")
    shell.wait_until("(SELECT count(*) FROM oban_jobs WHERE state = 'completed') = 1")
    printed = shell.stop(process)
    assert "ERROR pgjobs job 2 unknown (queue default, attempt 1 of 1) failed" in printed
    assert "job 1 count_async" not in printed
