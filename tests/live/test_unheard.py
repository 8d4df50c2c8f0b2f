"""``pgjobs run`` where nobody reads what it says: it serves, keeps its grace, and its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.test_processes import Shell, shell

pytestmark = [pytest.mark.live, pytest.mark.pgjobs(mode="live")]

__all__ = ["shell"]

Serve = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def serve(shell: Shell, tmp_path: Path) -> Serve:
    """Starts ``pgjobs run`` with one job, and waits until that runs.

    The job runs for as long as the file ``gate`` takes to be written, a fifo.
    """
    os.mkfifo(tmp_path / "gate")

    def start(stdout: int, stderr: int, *options: str, first: str = "") -> subprocess.Popen[bytes]:
        (tmp_path / "unheard.py").write_text(
            "import counting, logging, pathlib, sys, threading\n"
            "from pgjobs import PgJobs, Stalled, worker\n"
            "jobs = PgJobs(plugins=[Stalled(interval=1, rescue_after=3)])\n"
            "@worker(name='pass')\n"
            "def pass_(job):\n"
            f"    {first or 'pass'}\n"
            "    logging.getLogger('shop').warning('begun')\n"
            "    counting.executed(job.id)\n"
            f"    pathlib.Path({str(tmp_path / 'gate')!r}).read_text()\n"
        )
        shell.environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
        shell.environment.pop("PYTHONUNBUFFERED", None)  # what is printed waits for the last flush
        inserted = shell.run("-c", "import unheard; unheard.jobs.insert(unheard.pass_.new())")
        assert inserted.returncode == 0, inserted.stderr
        process = subprocess.Popen(
            (sys.executable, "-m", "pgjobs.cli", "run", "unheard:jobs", *options),
            env=shell.environment,
            stdout=stdout,
            stderr=stderr,
        )
        shell.running.append(process)  # type: ignore[arg-type]  # it is only ended there
        shell.wait_until("(SELECT count(*) FROM executions) = 1")
        return process

    return start


def pipe_without_reader() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def beats_while_it_stops(shell: Shell) -> None:
    """Wait until the node has written a heartbeat of after this moment: it lives on."""
    ((at,),) = shell.query("SELECT coalesce(max(beat_at), 'epoch') FROM pgjobs_nodes")
    shell.wait_until(f"(SELECT max(beat_at) FROM pgjobs_nodes) > '{at}'")


def keeps_its_grace(process: subprocess.Popen[bytes], shell: Shell, gate: Path) -> None:
    """Told to stop, it lives on until its job may end, and saves how that ended."""
    process.send_signal(signal.SIGTERM)
    beats_while_it_stops(shell)
    gate.write_text("open")
    assert 0 == process.wait(60)
    told = shell.query("SELECT state::text, attempt, errors::text FROM oban_jobs")
    assert [("completed", 1, "[]")] == told


@pytest.mark.parametrize("broken", [pipe_without_reader, full_disk])
@pytest.mark.parametrize("stream", ["stdout", "both"])
def test_a_job_gets_its_grace_where_nobody_reads_what_is_said(
    shell: Shell, serve: Serve, tmp_path: Path, broken: Callable[[], int], stream: str
) -> None:
    out = broken()
    process = serve(out, out if stream == "both" else subprocess.DEVNULL, "--grace", "600")
    os.close(out)
    keeps_its_grace(process, shell, tmp_path / "gate")


def kept() -> int:
    return os.open(os.devnull, os.O_WRONLY)


@pytest.mark.parametrize(
    "first, given",
    [
        ("sys.stdout.close(); sys.stderr.close()", kept),
        ("sys.stdout = sys.stderr = None", kept),
        ("sys.stdout = sys.stderr = 'no stream'", kept),
        ("print('what no flush can write')", pipe_without_reader),
    ],
)
def test_a_job_may_do_to_the_streams_what_it_likes(
    shell: Shell, serve: Serve, tmp_path: Path, first: str, given: Callable[[], int]
) -> None:
    out = given()
    process = serve(out, out, "--grace", "600", first=first)
    os.close(out)
    keeps_its_grace(process, shell, tmp_path / "gate")


def test_a_hard_end_that_nobody_hears_of_has_its_exit_code(shell: Shell, serve: Serve) -> None:
    out = pipe_without_reader()
    process = serve(out, out, "--grace", "0.1")
    os.close(out)
    process.send_signal(signal.SIGTERM)
    assert 70 == process.wait(60)


@pytest.mark.parametrize("command", [("jobs", "list"), ("queues", "list", "--json"), ("doctor",)])
def test_what_a_full_disk_keeps_a_command_from_printing_is_its_error(
    shell: Shell, command: tuple[str, ...]
) -> None:
    out = full_disk()
    failed = subprocess.run(
        (sys.executable, "-m", "pgjobs.cli", *command),
        env=shell.environment,
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(out)
    told = "Error: the output cannot be written: No space left on device\n"
    assert (1, told) == (failed.returncode, failed.stderr)


def test_a_refusal_that_nobody_hears_of_has_its_exit_code(shell: Shell) -> None:
    out = pipe_without_reader()
    command = (sys.executable, "-m", "pgjobs.cli", "run", "nowhere:jobs")
    refused = subprocess.run(
        command, env=shell.environment, stdout=out, stderr=out, timeout=60, check=False
    )
    os.close(out)
    assert 2 == refused.returncode
