"""``telemetry.log``: each event is one record, with a readable line and its fields as JSON values."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pgjobs import ConfigurationError, Discard, Job, MemoryStore, PgJobs, Snooze, telemetry, worker
from pgjobs.telemetry import EVENTS, PROCESS
from pgjobs.telemetry_log import LINE_LIMIT, fields_of, first_line, line_of

ID = "pgjobs.log"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = PROCESS.snapshot()
    yield
    PROCESS.restore(before)


class Keeping(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """What the logger ``pgjobs`` writes; ``caplog`` has another list for each phase of a test."""
    caplog.set_level(logging.DEBUG, "pgjobs")
    handler = Keeping()
    logging.getLogger("pgjobs").addHandler(handler)
    yield handler.records
    logging.getLogger("pgjobs").removeHandler(handler)


def served() -> PgJobs:
    return PgJobs(store=MemoryStore(), queues={"default": 1}, node="here")


def fields(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = record.pgjobs  # type: ignore[attr-defined]  # put there by extra=
    assert found == json.loads(json.dumps(found))
    return found


def test_a_completed_job_is_a_start_and_an_end(records: list[logging.LogRecord]):
    @worker(name="pack")
    def pack(job: Job) -> None: ...

    telemetry.log()
    jobs = served()
    jobs.insert(pack.new({"secret": 1}))
    jobs.drain_queue()
    start, end = records
    assert [logging.INFO] * 2 == [record.levelno for record in records]
    assert {
        "event": "pgjobs.job.start",
        "id": 1,
        "worker": "pack",
        "queue": "default",
        "attempt": 1,
        "max_attempts": 20,
        "state": "executing",
        "node": "here",
        "queue_time": fields(start)["queue_time"],
    } == fields(start)
    ended = fields(end)
    assert ("pgjobs.job.stop", "completed") == (ended["event"], ended["state"])
    assert ended["duration"] >= 0
    assert ended["queue_time"] == fields(start)["queue_time"]
    assert "job 1 pack (queue default, attempt 1 of 20) completed in 0." in end.getMessage()
    assert "pgjobs" == end.name


@pytest.mark.parametrize(
    "result, max_attempts, level, said",
    [
        (None, 3, logging.INFO, "completed in"),
        (Snooze(60), 3, logging.INFO, "snoozed in"),
        (ValueError("no box\nleft"), 3, logging.WARNING, "failed, now retryable, in"),
        (ValueError("no box\nleft"), 1, logging.ERROR, "failed, now discarded, in"),
        (Discard("no box"), 3, logging.ERROR, "discarded in"),
    ],
)
def test_failures_are_warnings_and_discards_are_errors(
    records: list[logging.LogRecord],
    result: Any,
    max_attempts: int,
    level: int,
    said: str,
):
    @worker(name="pack", max_attempts=max_attempts)
    def pack(job: Job) -> Any:
        if isinstance(result, ValueError):
            raise result
        return result

    telemetry.log(events=["pgjobs.job.stop", "pgjobs.job.exception"])
    jobs = served()
    jobs.insert(pack.new())
    jobs.drain_queue(with_safety=True)
    (record,) = records
    assert level == record.levelno
    assert said in record.getMessage()
    if isinstance(result, ValueError):
        assert record.getMessage().endswith(": ValueError: no box")
        assert "ValueError: no box" == fields(record)["error"]
        assert "Traceback (most recent call last)" in fields(record)["stacktrace"]


def test_what_is_given_back_is_logged_with_how_long_it_ran(records: list[logging.LogRecord]):
    @worker(name="pack")
    def pack(job: Job) -> None:
        raise KeyboardInterrupt

    telemetry.log()
    jobs = served()
    jobs.insert(pack.new())
    with pytest.raises(KeyboardInterrupt):
        jobs.drain_queue()
    _, record = records
    told = fields(record)
    assert logging.INFO == record.levelno
    assert ("available", 0) == (told["state"], told["attempt"])
    took = f"{told['duration']:.3f} s"
    assert f"job 1 pack (queue default, attempt 0 of 20) given back after {took}" == (
        record.getMessage()
    )


def test_what_operators_do_is_logged(records: list[logging.LogRecord]):
    @worker(name="pack")
    def pack(job: Job) -> None: ...

    telemetry.log()
    jobs = served()
    jobs.cancel_job(jobs.insert(pack.new()))
    jobs.pause_queue("default")
    jobs.scale_queue("default", 4)
    jobs.reset_queue("default")
    assert [
        "job 1 pack (queue default) cancelled by hand",
        "queue default paused by hand",
        "queue default scaled to 4 by hand",
        "queue default reset by hand",
    ] == [record.getMessage() for record in records]
    assert {
        "event": "pgjobs.queue.scale",
        "queue": "default",
        "concurrency": 4,
    } == fields(records[2])


def test_a_second_call_replaces_the_first(records: list[logging.LogRecord]):
    telemetry.log(level="DEBUG", events="pgjobs.queue.pause")
    assert ID == telemetry.log(level="DEBUG", events="pgjobs.queue.resume")
    jobs = served()
    jobs.pause_queue("default")
    jobs.resume_queue("default")
    assert [logging.DEBUG] == [record.levelno for record in records]
    assert telemetry.detach(ID)
    assert not telemetry.detach(ID)
    jobs.resume_queue("default")
    assert 1 == len(records)


def test_several_logs_stand_side_by_side_under_ids_of_their_own(records: list[logging.LogRecord]):
    telemetry.log(events="pgjobs.queue.pause")
    telemetry.log(events="pgjobs.queue.pause", id="other", logger=logging.getLogger("pgjobs.other"))
    served().pause_queue("default")
    assert ["pgjobs", "pgjobs.other"] == [record.name for record in records]


def test_a_logger_that_is_not_listening_costs_no_record(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.ERROR, "pgjobs")
    telemetry.log()
    served().pause_queue("default")
    assert [] == caplog.records


@pytest.mark.parametrize(
    "given, message",
    [
        ({"level": "INF"}, "unknown level 'INF': did you mean 'INFO'"),
        ({"level": True}, "level takes a number or a name"),
        ({"level": 1.5}, "level takes a number or a name"),
        ({"events": ["pgjobs.job.stopp"]}, "unknown event 'pgjobs.job.stopp': did you mean"),
        ({"logger": 5}, "logger takes a logger or its name, not 5"),
    ],
)
def test_bad_options_are_refused_and_leave_the_log_as_it_was(given: Any, message: str):
    telemetry.log()
    before = PROCESS.snapshot()
    with pytest.raises(ConfigurationError, match=message):
        telemetry.log(**given)
    assert before == PROCESS.snapshot()


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


@pytest.mark.parametrize(
    "error, line",
    [
        (ValueError("a\nb"), "a"),
        (ValueError(), "ValueError"),
        (Unprintable(), "Unprintable"),
        ("\n", ""),
        ("red \x1b[31m, lone \ud800", r"red \x1b[31m, lone \ud800"),
        ("x" * 600, "x" * (LINE_LIMIT - 3) + "..."),
    ],
)
def test_an_error_is_its_first_line_without_what_a_terminal_would_obey(error: Any, line: str):
    assert line == first_line(error)


@pytest.mark.parametrize("event", [*EVENTS, "pgjobs.job.new_one", "pgjobs.new.kind", "pgjobs.odd"])
@pytest.mark.parametrize(
    "metadata",
    [
        {"queue": "a\nb", "node": "n\r", "queues": ["q\n"], "worker": "w\x1b", "id": 7},
        {"queue": "q", "node": "n"},
    ],
)
def test_every_event_is_one_line(event: str, metadata: dict[str, Any]):
    line = line_of(fields_of(event, {}, metadata))
    assert line.isprintable()
    assert line
