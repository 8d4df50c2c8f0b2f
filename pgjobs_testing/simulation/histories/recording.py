"""How a process records what it does: one line of JSON for each beginning and each end, in a file of its own.

A line is written by one call to the system and is there when that returns, so that a process that is killed
leaves all that it had said; a call of which only the beginning is there has an unknown end.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from pgjobs import Job, NewJob, telemetry
from pgjobs.ports import Clock
from pgjobs.rules.schedule import EPOCH
from pgjobs_testing.simulation.histories.model import (
    Answer,
    Call,
    Ended,
    Execution,
    History,
    Insert,
    New,
    Order,
    Rule,
    Told,
)

EVENTS = {
    "pgjobs.job.stop": "settled",
    "pgjobs.job.exception": "settled",
    "pgjobs.job.late": "late",
    "pgjobs.job.release": "released",
    "pgjobs.job.rescue": "rescued",
}


class Recorder:
    """What one process records under the name ``process``, which no other has; from any thread.

    ``clock`` is that of the process' ``PgJobs``. A job is told by ``args["key"]``, which no other has, and
    a unique one is a duplicate of those with its ``args["group"]``.
    """

    def __init__(self, folder: Path, process: str, clock: Clock) -> None:
        self._process, self._clock = process, clock
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._file = os.open(folder / f"{process}.jsonl", flags, 0o644)
        self._numbers = count()
        self._lock = threading.Lock()

    @contextmanager
    def inserting(self, new: list[NewJob]) -> Iterator[Result]:
        """A call, or a transaction, that inserts ``new``. Begin it before the transaction begins."""
        with self._calling("insert", new=[_new(each) for each in new]) as result:
            yield result

    @contextmanager
    def ordering(self, what: str, job: int) -> Iterator[Result]:
        """A cancel, a retry or a delete of ``job``."""
        with self._calling(what, job=job) as result:
            yield result

    @contextmanager
    def running(self, job: Job) -> Iterator[None]:
        """A run of a worker's code."""
        known = {"job": job.id, "token": job.token}
        self._write("began", attempt=job.attempt, **known)
        try:
            yield
        finally:
            self._write("ended", **known)

    def listen(self) -> None:
        """Record from now on what nodes of this process tell of claims."""
        telemetry.attach("histories", EVENTS, self._heard)

    def close(self) -> None:
        """Record nothing more."""
        telemetry.detach("histories")
        os.close(self._file)

    @contextmanager
    def _calling(self, what: str, **asked: Any) -> Iterator[Result]:
        with self._lock:
            number = next(self._numbers)
        result = Result()
        self._write("call", number=number, what=what, now=self._now(), **asked)
        try:
            yield result
        finally:
            self._write("return", number=number, then=self._now(), **result.told())

    def _heard(self, event: str, _: Any, metadata: Any) -> None:
        job: Job = metadata["job"]
        told = {"job": job.id, "token": job.token, "state": str(job.state)}
        self._write("told", what=EVENTS[event], **told)

    def _write(self, kind: str, **fields: Any) -> None:
        line = {"kind": kind, "process": self._process, "at": self._clock.monotonic(), **fields}
        os.write(self._file, json.dumps(line, default=str).encode() + b"\n")

    def _now(self) -> int:
        return _microseconds(self._clock)


class Result:
    """How a call ended: unknown, until it is said."""

    def __init__(self) -> None:
        self.ended = Ended.UNKNOWN
        self._jobs: list[Job] = []

    def stored(self, jobs: list[Job]) -> None:
        """It returned these jobs."""
        self.ended, self._jobs = Ended.OK, jobs

    def failed(self) -> None:
        """It did not happen, and never will."""
        self.ended = Ended.FAILED

    def told(self) -> dict[str, Any]:
        answers = [[job.id, job.conflict, job.replaced] for job in self._jobs]
        state = str(self._jobs[0].state) if len(self._jobs) == 1 else None
        return {"ended": self.ended.value, "answers": answers, "state": state}


def _new(job: NewJob) -> dict[str, Any]:
    if job.unique is None:
        return asdict(New(job.args["key"]))
    period = job.unique.period
    period_us = None if period is None else round(period.total_seconds() * 1_000_000)
    rule = Rule(period_us, tuple(str(state) for state in job.unique.states))
    return asdict(New(job.args["key"], job.args["group"], rule))


def _microseconds(clock: Clock) -> int:
    since = clock.now() - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def recorded(folder: Path) -> History:
    """What all processes recorded; the journal, the rows and the limits are for others to add."""
    inserts: list[Insert] = []
    orders: list[Order] = []
    executions: list[Execution] = []
    told: list[Told] = []
    for file in sorted(folder.glob("*.jsonl")):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        returns = {line["number"]: line for line in lines if line["kind"] == "return"}
        ends = {(line["job"], line["token"]): line for line in lines if line["kind"] == "ended"}
        for line in lines:
            if line["kind"] == "call":
                back = returns.get(line["number"])
                if line["what"] == "insert":
                    inserts.append(_insert(line, back))
                else:
                    state = None if back is None else back["state"]
                    orders.append(Order(_call(line, back), line["what"], line["job"], state))
            elif line["kind"] == "began":
                executions.append(_execution(line, ends.get((line["job"], line["token"]))))
            elif line["kind"] == "told":
                known = (line["what"], line["job"], line["token"], line["state"], line["at"])
                told.append(Told(line["process"], *known))
    return History(tuple(inserts), tuple(orders), tuple(executions), tuple(told))


def _call(line: dict[str, Any], back: dict[str, Any] | None) -> Call:
    process, invoked, now = line["process"], line["at"], line["now"]
    if back is None:
        return Call(process, invoked, None, Ended.UNKNOWN, now, None)
    return Call(process, invoked, back["at"], Ended(back["ended"]), now, back["then"])


def _insert(line: dict[str, Any], back: dict[str, Any] | None) -> Insert:
    new = tuple(
        New(each["key"], each["group"], None if (rule := each["rule"]) is None else _rule(rule))
        for each in line["new"]
    )
    answers = () if back is None else tuple(Answer(*each) for each in back["answers"])
    return Insert(_call(line, back), new, answers)


def _rule(rule: dict[str, Any]) -> Rule:
    return Rule(rule["period_us"], tuple(rule["states"]))


def _execution(line: dict[str, Any], end: dict[str, Any] | None) -> Execution:
    ended = None if end is None else end["at"]
    known = (line["process"], line["job"], line["token"], line["attempt"], line["at"])
    return Execution(*known, ended)
