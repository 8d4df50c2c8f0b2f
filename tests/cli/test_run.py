"""``pgjobs run``: what it refuses, and what it logs of jobs. What it does is in ``tests/live``."""

from __future__ import annotations

import logging

import pytest

from pgjobs import Discard, MemoryStore, NewJob, PgJobs, telemetry, worker
from pgjobs.cli.run import write_of_jobs

pytestmark = pytest.mark.pgjobs(mode="live")


@pytest.mark.parametrize("given", ["nan", "inf"])
def test_a_grace_that_is_no_number_is_refused(shell, given):
    refused = shell.refusal("run", "shop.queue:jobs", "--grace", given, code=2)
    assert f"Invalid value for '--grace': a number of seconds is taken, not {given}" == refused


@pytest.fixture
def of_each_kind(caplog):
    """Runs a job that completes, fails, fails for the last time and is discarded on purpose.

    Returns the level and the last words of each line that is logged for it.
    """
    caplog.set_level(logging.DEBUG, "pgjobs")

    @worker(name="pack")
    def pack(job): ...

    @worker(name="drop")
    def drop(job):
        return Discard("no box")

    def run():
        jobs = PgJobs(store=MemoryStore(), queues={"default": 1})
        bad = NewJob("unknown", {}, max_attempts=1)
        jobs.insert_all([pack.new(), NewJob("unknown", {}), bad, drop.new()])
        telemetry.PROCESS.emit("pgjobs.store.error", {}, {"effect": "Poll", "error": OSError()})
        jobs.drain_queue(with_safety=True)
        words = ("started", "completed", "now retryable", "now discarded", "discarded")
        return [
            (
                record.levelname,
                record.args[0].split()[1],
                *[w for w in words if w in record.args[0]][:1],
            )
            for record in caplog.records
            if record.name == "pgjobs"
        ]

    return run


FAILURES = [
    ("WARNING", "2", "now retryable"),
    ("ERROR", "3", "now discarded"),
    ("ERROR", "4", "discarded"),
]


def test_failures_and_discarded_jobs_are_logged_by_default(of_each_kind):
    write_of_jobs(None)
    assert FAILURES == of_each_kind()


def test_every_event_of_jobs_and_of_nothing_else_is_logged_when_asked(of_each_kind):
    write_of_jobs(True)
    starts = [("INFO", str(number), "started") for number in (1, 2, 3, 4)]
    ends = [("INFO", "1", "completed"), *FAILURES]
    assert [each for both in zip(starts, ends, strict=True) for each in both] == of_each_kind()


def test_nothing_of_jobs_is_logged_when_that_is_asked(of_each_kind):
    write_of_jobs(False)
    assert [] == of_each_kind()


def test_the_default_leaves_the_log_to_an_application_that_writes_its_own(of_each_kind):
    telemetry.log(events=["pgjobs.job.stop"], logger="pgjobs")
    write_of_jobs(None)
    assert [("INFO", "1", "completed"), ("ERROR", "4", "discarded")] == of_each_kind()


@pytest.mark.parametrize("event", ["late", "rescue"])
def test_lost_claims_and_rescues_are_logged_by_default(caplog, event):
    write_of_jobs(None)
    about = {"job": None, "worker": "pack", "queue": "mail", "state": "available"}
    telemetry.PROCESS.emit(f"pgjobs.job.{event}", {}, about)
    assert [logging.WARNING] == [record.levelno for record in caplog.records]
