"""Whether what a scenario expects is so: of one job, of a count, of the order in which jobs started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgjobs.client import Client, drive
from pgjobs.ports import Store
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.jsonb import contains
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.scenarios import failure
from pgjobs_testing.scenarios.expectations import EXPECTED_OF_A_JOB, ExpectationSpec, FilterSpec
from pgjobs_testing.scenarios.failure import Failure, Row
from pgjobs_testing.scenarios.mistakes import Place
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.times import END
from pgjobs_testing.trace import elapsed


@dataclass(frozen=True, slots=True)
class Witness:
    """What an expectation is held against: the store, what was recorded, and the jobs' names."""

    scenario: Scenario
    store: Store
    client: Client
    recorder: Recorder
    names: Mapping[str, int]
    answers: Mapping[str, Job]

    def look(self, expectation: ExpectationSpec, place: Place, at: datetime) -> Failure | None:
        """The failure of an expectation that looks now, at ``at``; None where it holds."""
        if expectation.job is not None:
            subject, rows = f"job {expectation.job}", self._of_job(expectation, expectation.job)
        elif expectation.count is not None:
            subject, rows = "the count of jobs", self._of_count(expectation, expectation.count)
        else:
            assert expectation.jobs is not None
            subject, rows = "the order of jobs", self._of_order(expectation, expectation.jobs)
        compared = tuple(rows)
        if all(row.holds for row in compared):
            return None
        when = elapsed(at - self.scenario.start)
        if expectation.at == END:
            when = f"the end ({when})"
        what = f"{subject} is not as expected at {when}"
        timeline = failure.around(self.recorder.trace(), at)
        return Failure(place, what, compared, timeline)

    def count(self, *states: JobState) -> int:
        """How many jobs are in one of these states."""
        counted: int = drive(self.store, self.client.count(None, {"state": list(states)}))
        return counted

    def _of_job(self, expectation: ExpectationSpec, name: str) -> Iterator[Row]:
        job_id = self.names.get(name)
        job = None if job_id is None else self._job(job_id)
        for field in expectation.given(*EXPECTED_OF_A_JOB):
            expected = getattr(expectation, field)
            if field.endswith("_at") and expected is not None:
                expected = self.scenario.instant(expected)
            if field == "worker":
                expected = self.scenario.stored(expected)
            if job is None:
                missing = "not inserted yet" if job_id is None else "deleted"
                yield Row(field, self._shown(expected), missing, holds=False)
                continue
            yield self._row(name, field, expected, job)

    def _row(self, name: str, field: str, expected: Any, job: Job) -> Row:
        actual: Any
        if field == "conflict":
            actual = self._first(name)
        elif field == "replaced":
            actual = self.answers[name].replaced
        elif field == "node":
            actual = self.recorder.shown(job.attempted_by[0]) if job.attempted_by else None
        elif field == "error":
            actual = job.last_error
        else:
            actual = getattr(job, field)
        if field == "error" and expected is not None:
            holds = actual is not None and expected in actual
        elif field in ("args", "meta") and expected is not None:
            holds = contains(actual, expected)
        elif field == "tags" and expected is not None:
            holds = list(actual) == expected
        else:
            holds = actual == expected
        return Row(field, self._shown(expected), self._shown(actual), holds)

    def _first(self, name: str) -> str | None:
        """The name of the job that the insert of ``name`` found in its place; None where it was stored."""
        answer = self.answers[name]
        if not answer.conflict:
            return None
        known = (other for other, job_id in self.names.items() if job_id == answer.id)
        return next(known, f"#{self.recorder.ordinal(answer.id)}")

    def _of_count(self, expectation: ExpectationSpec, chosen: FilterSpec) -> Iterator[Row]:
        actual = drive(self.store, self.client.count(None, self.scenario.filters(chosen)))
        holds = actual == expectation.is_
        yield Row("count", str(expectation.is_), str(actual), holds)

    def _of_order(self, expectation: ExpectationSpec, chosen: FilterSpec) -> Iterator[Row]:
        found = drive(self.store, self.client.find(None, "id", None, self.scenario.filters(chosen)))
        matching = {job.id for job in found}
        started: dict[int, None] = {}
        for moment in self.recorder.trace().of("start"):
            if moment.job is not None and moment.job.id in matching:
                started.setdefault(moment.job.id, None)
        named: dict[int, str] = {}
        for name, job_id in self.names.items():  # one that an insert met again keeps its first name
            named.setdefault(job_id, name)
        actual = [named.get(job_id, f"#{self.recorder.ordinal(job_id)}") for job_id in started]
        expected = expectation.order or []
        yield Row("order", self._list(expected), self._list(actual), actual == expected)

    def _job(self, job_id: int) -> Job | None:
        found = drive(self.store, self.client.find(1, "id", None, {"id": job_id}))
        return found[0] if found else None

    def _shown(self, value: Any) -> str:
        return failure.shown(value, self.scenario.start)

    @staticmethod
    def _list(names: list[str]) -> str:
        return f"[{', '.join(names)}]"
