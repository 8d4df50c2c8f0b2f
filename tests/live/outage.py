"""The server really stops in the middle of a batch, stays away for a while, and starts again.

``python -m tests.live.outage --seconds 60`` (``make outage``) prints what became of the jobs; the suite
calls ``outage`` with events in place of the wait.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from pgjobs import Job, PgJobs, telemetry, worker
from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs_testing.servers import Server, choose

JOBS = 300
CONCURRENCY = 20
BEFORE = 60
"""Runs that have ended when the server stops; from then on every run waits until it is away."""
PATIENCE_S = 60


class Warnings(logging.Handler):
    """What the engine logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def outage(server: Server, dsn: str, stay_away: Callable[[], object]) -> dict[str, Any]:
    """Run ``JOBS`` jobs through one outage of ``server``; what was seen, as figures."""
    migrate(dsn)
    jobs = PgJobs(dsn, queues={"default": CONCURRENCY}, poll_interval=0.2)
    gate, lock = threading.Event(), threading.Lock()
    ran: Counter[int] = Counter()
    ended, held, saved, failing = (threading.Semaphore(0) for _ in range(4))

    def run(job_id: int) -> bool:
        """Count a run; whether it is one of those that are to last through the stop."""
        with lock:
            ran[job_id] += 1
            return ran.total() > BEFORE

    @worker(name="task")
    async def task(job: Job) -> None:
        if run(job.id):
            held.release()
            await asyncio.to_thread(gate.wait, PATIENCE_S)
        ended.release()

    @worker(name="thread")
    def thread(job: Job) -> None:
        if run(job.id):
            held.release()
            gate.wait(PATIENCE_S)
        ended.release()

    warnings = Warnings()
    logging.getLogger("pgjobs").addHandler(warnings)
    telemetry.attach("outage:saved", "pgjobs.job.stop", lambda *_: saved.release())
    telemetry.attach("outage:failing", "pgjobs.store.error", lambda *_: failing.release())
    try:
        with jobs.running():
            jobs.insert_all(each.new() for _ in range(JOBS // 2) for each in (task, thread))
            _take(ended, BEFORE)
            _take(held, CONCURRENCY)
            server.interrupt()
            _take(failing, 1)
            gate.set()
            _take(ended, CONCURRENCY)
            refused = _refused(jobs, task)
            stay_away()
            while_away = ran.total()
            server.restart()
            again = [_inserted(jobs, task) for _ in range(5)]
            _take(saved, JOBS + len(again))
        states = jobs.count_jobs("state")
        attempts = {job.attempt for job in jobs.all_jobs(limit=JOBS + len(again))}
        listed = sorted(ran)
        return {
            "states": states,
            "attempts": sorted(attempts),
            "ids": len(listed),
            "runs": ran.total(),
            "most_runs_of_one": max(ran.values()),
            "finished_while_away": while_away - BEFORE,
            "inserts_refused": refused,
            "warnings": warnings.lines,
        }
    finally:
        gate.set()
        telemetry.detach("outage:saved")
        telemetry.detach("outage:failing")
        logging.getLogger("pgjobs").removeHandler(warnings)


def _take(semaphore: threading.Semaphore, count: int) -> None:
    for n in range(count):
        assert semaphore.acquire(timeout=PATIENCE_S), f"{n} of {count} came"


def _refused(jobs: PgJobs, task: Any) -> int:
    """Inserts while the server is away; each is refused."""
    count = 0
    for _ in range(3):
        try:
            jobs.insert(task.new())
        except StoreUnavailableError:
            count += 1
    return count


def _inserted(jobs: PgJobs, task: Any) -> Job:
    """An insert once the server is back; what it could not store was not stored."""
    while True:
        try:
            return jobs.insert(task.new())
        except StoreUnavailableError:
            continue


def main() -> None:
    """Print the figures of an outage that lasts as long as is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    with choose("embedded", None, {}).server() as server:
        found = outage(
            server, server.create_database("outage"), lambda: threading.Event().wait(seconds)
        )
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
