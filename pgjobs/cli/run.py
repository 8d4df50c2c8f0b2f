"""``pgjobs run``: serve the queues of an application in this process, until a signal."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import NoReturn

import click

from pgjobs import guard, telemetry, telemetry_log
from pgjobs.adapters.system import SystemClock
from pgjobs.app import PgJobs, remains
from pgjobs.cli.bell import Bell
from pgjobs.cli.common import Seconds, in_one_line
from pgjobs.cli.importing import import_workers, instance
from pgjobs.cli.saying import Log, say, unheard
from pgjobs.cli.stopping import Signals, left_behind
from pgjobs.rules.errors import CapturedStoreError, nearest

NOT_STOPPED = 70
"""Exit code when jobs are left: one did not end within two graces, or its outcome could not be saved."""

LOG = "pgjobs.log"
"""The id of what is logged, as that of ``telemetry.log``: the later of both counts."""
OF_JOBS = tuple(event for event in telemetry.LOGGED if event.startswith("pgjobs.job."))
OF_FAILURES = ("pgjobs.job.stop", "pgjobs.job.exception", "pgjobs.job.late", "pgjobs.job.rescue")
"""The events of jobs that tell of failures, if their level says so: a discarded job comes to a stop."""


@click.command()
@click.argument("target", metavar="MODULE:JOBS")
@click.option(
    "--grace",
    type=Seconds(min=0),
    default=15.0,
    show_default=True,
    help="Seconds that running jobs get after SIGTERM or Ctrl-C.",
)
@click.option("--log-level", default="INFO", show_default=True, help="The level of the log.")
@click.option(
    "--log-jobs/--no-log-jobs",
    default=None,
    help="Log each start and end of a job; or nothing of jobs.  [default: failures alone]",
)
def run(target: str, grace: float, log_level: str, log_jobs: bool | None) -> None:
    """Serve the queues of MODULE:JOBS, a PgJobs, until SIGTERM or Ctrl-C.

    A job that has not ended after the grace is stopped and given back. A thread cannot be stopped,
    nor an async job that does not listen, and without the database no outcome be saved: after a
    second grace the process exits with code 70, and such jobs stay executing until they are
    cancelled, or rescued and run again. A second signal, a second after the first or later, does
    that at once.
    """
    level = logging.getLevelNamesMapping().get(log_level.upper())
    if level is None:
        known = logging.getLevelNamesMapping()
        raise click.UsageError(f"unknown level {log_level!r}{nearest(log_level.upper(), known)}")
    jobs = instance(target)
    with in_one_line():
        _refuse_captured(jobs)
    import_workers(jobs)
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", handlers=[Log()]
    )
    write_of_jobs(log_jobs)
    with unheard():
        _serve(jobs, grace)


def _serve(jobs: PgJobs, grace: float) -> None:
    clock, stopped = SystemClock(), threading.Event()
    signals = Signals(clock.monotonic)

    def stop(*_: object) -> None:
        if signals.abandons():
            _abandon(jobs, "stopped by a second signal")

    with Bell() as bell:
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        with in_one_line():
            jobs.start()
        say(f"serving {', '.join(jobs.queues)} (Ctrl-C stops, with a grace of {grace:g} s)")
        while not signals.stopping:
            bell.wait()
        say("stopping")

        def end() -> None:
            try:
                jobs.stop(grace)
            finally:
                stopped.set()
                bell.ring()

        threading.Thread(target=end, daemon=True).start()
        until = clock.monotonic() + 2 * grace + 1
        while not stopped.is_set() and (left := until - clock.monotonic()) > 0:
            bell.wait(left)
    if not stopped.is_set():
        _abandon(jobs, "not stopped in time")
    say("stopped")


def _abandon(jobs: PgJobs, why: str) -> NoReturn:
    say(f"{why}; {left_behind(remains(jobs))}", err=True)
    os._exit(NOT_STOPPED)


def write_of_jobs(every: bool | None) -> None:
    """Log ``every`` event of jobs, or none; for None the failures alone.

    That yields to an application which calls ``telemetry.log`` itself, under its usual id.
    """
    if every is None and LOG in telemetry.PROCESS.snapshot():
        return
    if every is not False:
        least = logging.NOTSET if every else logging.WARNING
        handler = telemetry_log.writing_to(logging.getLogger("pgjobs"), logging.INFO, least)
        events = OF_JOBS if every else OF_FAILURES
        telemetry.PROCESS.replace(LOG, events, handler, completions=bool(every))


def _refuse_captured(jobs: PgJobs) -> None:
    """Under test an instance serves nothing, and this command would wait for a signal for ever."""
    if jobs.runtime().captor is not None:
        raise CapturedStoreError(
            "a test run stands in for production here, so no queue is served: let its jobs run with "
            f"jobs.drain_queue() or jobs.advance(60), or {guard.LIVE}"
        )
