"""What becomes of the jobs of a process that is killed, or only stands still, in real time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.live.test_processes import Shell, shell

__all__ = ["shell"]

pytestmark = [pytest.mark.live, pytest.mark.pgjobs(mode="live")]

HANGING = """
import asyncio, counting
from pgjobs import PgJobs, Pruner, Stalled, worker
jobs = PgJobs(queues={"default": 20}, plugins=[Stalled(interval=0.2, rescue_after=1.2)])

@worker(name="hang")
async def hang(job):
    counting.executed(job.id)
    if job.attempt == 1:
        await asyncio.sleep(job.args.get("hang_s", 3600))
"""


def app(shell: Shell, folder: Path) -> None:
    (folder / "stalling.py").write_text(HANGING)
    shell.environment["PYTHONPATH"] += os.pathsep + str(folder)


def insert(shell: Shell, count: int, args: str = "{}", **options: int) -> None:
    given = "".join(f", {name}={value}" for name, value in options.items())
    code = f"stalling.jobs.insert_all([stalling.hang.new({args}{given}) for _ in range({count})])"
    inserted = shell.run("-c", f"import stalling; {code}")
    assert inserted.returncode == 0, inserted.stderr


def test_jobs_of_a_leader_that_stands_still_and_of_a_killed_process_are_rescued(
    shell: Shell, tmp_path: Path
) -> None:
    app(shell, tmp_path)
    still = shell.serve("stalling:jobs")
    insert(shell, 5, '{"hang_s": 1}')
    shell.wait_until("(SELECT count(*) FROM executions) = 5")
    # Before the others begin, which may take longer than they hang. They lead when its lease is over.
    still.send_signal(signal.SIGSTOP)
    killed = shell.serve("stalling:jobs")
    insert(shell, 10)
    insert(shell, 1, max_attempts=1)
    shell.wait_until("(SELECT count(*) FROM executions) = 16")
    shell.serve("stalling:jobs")
    killed.send_signal(signal.SIGKILL)
    shell.wait_until("(SELECT count(*) FROM oban_jobs WHERE state = 'completed') = 15")
    assert shell.query("SELECT DISTINCT attempt FROM oban_jobs WHERE state = 'completed'") == [(2,)]
    ((error,),) = shell.query("SELECT errors->0->>'error' FROM oban_jobs WHERE state = 'discarded'")
    assert "the last one" in str(error)

    still.send_signal(signal.SIGCONT)
    insert(shell, 20, '{"hang_s": 0}')
    shell.wait_until("(SELECT count(*) FROM oban_jobs WHERE state = 'completed') = 35")
    shell.stop(still)
    ended = shell.query(
        "SELECT count(*), max(attempt) FROM oban_jobs WHERE id <= 15 AND state = 'completed'"
        " AND errors = '[]'"
    )
    assert ended == [(15, 2)]


def test_a_job_that_runs_far_longer_than_rescue_after_is_left_alone(
    shell: Shell, tmp_path: Path
) -> None:
    app(shell, tmp_path)
    shell.serve("stalling:jobs")
    shell.serve("stalling:jobs")
    insert(shell, 5, '{"hang_s": 4}')
    shell.wait_until("(SELECT count(*) FROM oban_jobs WHERE state = 'completed') = 5")
    assert shell.query("SELECT DISTINCT attempt FROM oban_jobs") == [(1,)]
