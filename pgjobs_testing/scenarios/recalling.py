"""From rows in production to what a scenario is written from: what they know, and what they leave open.

A row knows when its job was inserted, when its last attempt was due and began, when each attempt failed, and
when it reached its final state. It does not know when earlier attempts began, when it was first due once
it was retried, nor when it was snoozed. What is not known is chosen so that everything that is known
comes out, and the file says in its first lines what was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from pgjobs.rules import backoff as backoffs
from pgjobs.rules.backoff import Backoff
from pgjobs.rules.job import FINAL, Job, JobState, NewJob, counter
from pgjobs.rules.options import Queue
from pgjobs.rules.unique import META_KEY
from pgjobs_testing.scenarios.fitted import error_of, fitted
from pgjobs_testing.scenarios.gates import gated
from pgjobs_testing.scenarios.moments import failure, first_line
from pgjobs_testing.scenarios.rows import life
from pgjobs_testing.scenarios.told import Asked, Happened, Ran, Step, Told
from pgjobs_testing.trace import elapsed

MICROSECOND = timedelta(microseconds=1)
FAR = timedelta(days=1)
"""How long a job is told to have been snoozed whose row has no instant after its insert."""
ENGINES_OWN = (META_KEY, "snoozed", "released")
"""Keys of ``meta`` that the engine writes."""


def recalled(jobs: Sequence[Job], name: str, *, cut: bool = False) -> Happened:
    """What these rows tell; the first is the one that was asked for."""
    rows = {job.id: job for job in jobs}
    jobs = [fitted(job) for job in jobs]
    first = jobs[0]
    ordered = sorted(jobs, key=lambda job: (job.inserted_at, job.id))
    start = ordered[0].inserted_at
    end = max(map(_seen_until, jobs))
    node = first.attempted_by[0] if first.attempted_by else "a"
    happened = Happened(name, start, end, (node,), {})
    remarks = happened.remarks
    number = ordered.index(first) + 1
    remarks.append(f"job{number} is job {first.id}, recorded from its row and those of neighbours.")
    if cut:
        remarks.append("There were more neighbours; the newest are left out.")
    others = sorted({job.attempted_by[0] for job in jobs if job.attempted_by} - {node})
    if others:
        remarks.append(f"Told as one node: jobs also ran on {', '.join(others)}.")
    for ordinal, job in enumerate(ordered, 1):
        _Recall(happened, ordinal, job).tell()
        happened.jobs[ordinal].row = rows[job.id]
    happened.until = max(
        [end, *(step.at for step in happened.steps)]
        + [run.ended or run.started for told in happened.jobs.values() for run in told.runs]
    )
    happened.steps.sort(key=lambda step: step.at)
    happened.queues = {queue: Queue(concurrency=100) for queue in sorted({j.queue for j in jobs})}
    gated(happened, dict(enumerate(ordered, 1)))
    remarks.sort(key=lambda remark: not remark.startswith("job"))
    return happened


def _seen_until(job: Job) -> datetime:
    """The last instant that a row knows to have come."""
    if job.state in (JobState.SCHEDULED, JobState.RETRYABLE):
        return max(job.inserted_at, job.attempted_at or job.inserted_at)
    return life(job)[1]


class _Recall:
    def __init__(self, happened: Happened, ordinal: int, job: Job) -> None:
        self._happened, self._ordinal, self._job = happened, ordinal, job
        self._told = Told(ordinal, job.worker, last=job)
        self._snoozes = counter(job.meta, "snoozed")
        self._errors = [each for each in map(error_of, job.errors) if each is not None]

    def tell(self) -> None:
        """Add the job: its insert, its runs, and what was done to it by hand."""
        job, happened = self._job, self._happened
        happened.jobs[self._ordinal] = self._told
        happened.steps.append(
            Step(
                job.inserted_at,
                "insert",
                asked=Asked(self._new(), self._ordinal, "insert", job.inserted_at),
            )
        )
        self._runs()
        if job.state == JobState.CANCELLED and not self._ended_itself(job.cancelled_at):
            assert job.cancelled_at is not None
            happened.steps.append(Step(job.cancelled_at, "cancel", job=self._ordinal))
        if released := counter(job.meta, "released"):
            self._remark(f"was given back {released} times by nodes that stopped: left out")

    def _new(self) -> NewJob:
        job = self._job
        meta = {key: value for key, value in job.meta.items() if key not in ENGINES_OWN}
        retried = job.attempt > 1 or job.state == JobState.RETRYABLE
        once = not retried and not self._snoozes
        due = job.scheduled_at if once and job.scheduled_at != job.inserted_at else None
        if not once:
            self._remark(
                "was tried again, so when it was first due is not known: at its insert here"
            )
        return NewJob(
            job.worker,
            job.args,
            job.queue,
            job.max_attempts,
            job.priority,
            job.tags,
            meta,
            scheduled_at=due,
        )

    def _runs(self) -> None:
        job = self._job
        failed = [each for each in self._errors if not self._by_itself(each)]
        current = job.attempt > (failed[-1][1] if failed else 0) and job.attempted_at is not None
        lost = [n for n in range(1, job.attempt) if n not in [attempt for _, attempt, _ in failed]]
        if lost:
            self._happened.notes.append(
                f"job{self._ordinal} lost attempt {', '.join(map(str, lost))} without an error, as with "
                "a node that is gone; when, its row does not say"
            )
        self._snooze(failed[0][0] if failed else None)
        self._fail(failed)
        if current:
            self._last()
        elif failed and job.attempted_at is not None and failed[-1][1] == job.attempt:
            last = self._told.runs[-1]
            if last.started <= job.attempted_at <= failed[-1][0]:
                last.started, last.due = job.attempted_at, None

    def _snooze(self, before: datetime | None) -> None:
        """The snoozes, evenly between the insert and what is known next."""
        job, count = self._job, self._snoozes
        if not count:
            return
        self._remark(f"was snoozed {count} times; when, is not kept: evenly here")
        until = job.scheduled_at if before is None else before
        if before is not None:
            self._remark("was snoozed before it failed, as far as is told here")
        at = job.inserted_at
        for n in range(count):
            left = max(timedelta(0), until - at)
            wait = left if n == count - 1 and before is None else left // (count + 1 - n)
            if n == count - 1 and before is None and not wait:
                wait = FAR  # the last run of a script repeats: it would end nowhere
            self._told.runs.append(Ran(at, 1, "", ended=at, outcome=("snooze", wait), due=at))
            at += wait

    def _fail(self, failed: list[tuple[datetime, int, str]]) -> None:
        """Attempts that failed, each begun when the backoff that fits best lets it."""
        job = self._job
        if not failed:
            return
        ends = [at for at, _, _ in failed]
        due = self._due_first()
        retried = failed if job.state == JobState.RETRYABLE else failed[:-1]
        if job.attempt > failed[-1][1] or job.state == JobState.RETRYABLE:
            retried = failed
        wait = max(timedelta(0), job.scheduled_at - retried[-1][0]) if retried else None
        delays: list[timedelta] = []
        if wait is not None:
            self._told.backoff, schedule = _backoff(retried, wait)
            delays = [_span(schedule(attempt)) for _, attempt, _ in retried]
        if len(failed) > 1:
            self._remark("failed more than once; when its earlier attempts began is not kept")
        for n, (ended, attempt, error) in enumerate(failed):
            began = min(due, ended)
            outcome = failure(error)
            if (
                job.state == JobState.DISCARDED
                and n == len(failed) - 1
                and attempt < job.max_attempts
            ):
                outcome = ("discard", first_line(error))
            run = Ran(began, attempt, "", ended=ended, outcome=outcome, due=began)
            self._told.runs.append(run)
            if n < len(delays):
                run.delay = delays[n]
                due = ends[n] + delays[n]

    def _due_first(self) -> datetime:
        runs = self._told.runs
        if not runs:
            return self._job.inserted_at
        last = runs[-1]
        assert last.ended is not None
        wait = last.outcome[1] if last.outcome else timedelta(0)
        return last.ended + wait

    def _last(self) -> None:
        """The attempt that is under way, or went well, or ended the job."""
        job = self._job
        assert job.attempted_at is not None
        # A claim bears the instant at which it was sent, which is before the insert of a job that it met.
        began = max(job.attempted_at, job.inserted_at, job.scheduled_at)
        run = Ran(began, job.attempt, "")
        self._told.runs.append(run)
        if job.state == JobState.COMPLETED:
            run.ended = job.completed_at
        elif job.state in FINAL and (own := self._own_end()) is not None:
            run.ended, _, text = own
            key = "cancel" if job.state == JobState.CANCELLED else "discard"
            run.outcome = (key, first_line(text))

    def _by_itself(self, error: tuple[datetime, int, str]) -> bool:
        """Whether this is how a run cancelled its job."""
        return self._job.state == JobState.CANCELLED and error[0] == self._job.cancelled_at

    def _own_end(self) -> tuple[datetime, int, str] | None:
        return next((each for each in self._errors if self._by_itself(each)), None)

    def _ended_itself(self, at: datetime | None) -> bool:
        return any(ended == at for ended, _, _ in self._errors)

    def _remark(self, what: str) -> None:
        self._happened.remarks.append(f"Inferred: job{self._ordinal} {what}.")


def row_differences(happened: Happened, replayed: dict[int, Job]) -> list[str]:
    """Where a replay leaves a job otherwise than its row is, a line for each."""
    found = []
    for ordinal, told in happened.jobs.items():
        mine, theirs = told.row, replayed.get(ordinal)
        if mine is None or theirs is None:
            found.append(f"job{ordinal} is not there in the replay")
            continue
        for name in _COMPARED:
            one, other = getattr(mine, name), getattr(theirs, name)
            if one != other:
                shown = [_shown(value, happened.start) for value in (one, other)]
                found.append(f"job{ordinal} has {name} {shown[0]}; in the replay: {shown[1]}")
                break
        else:
            pairs = [
                [(e[0], e[1]) for e in map(error_of, job.errors) if e] for job in (mine, theirs)
            ]
            if pairs[0] != pairs[1]:
                found.append(f"job{ordinal} failed at other instants in the replay")
    return found


_COMPARED = (
    "state",
    "attempt",
    "inserted_at",
    "scheduled_at",
    "attempted_at",
    "completed_at",
    "discarded_at",
    "cancelled_at",
)


def _shown(value: Any, start: datetime) -> str:
    return elapsed(value - start) if isinstance(value, datetime) else str(value)


def _backoff(retried: Sequence[tuple[datetime, int, str]], wait: timedelta) -> tuple[Any, Backoff]:
    """A backoff that waits ``wait`` after the last failure, and not too long after the others."""
    last = retried[-1][1]
    specs: list[Any] = [
        "guide",
        {"constant": wait},
        {"linear": _up(wait, last), "max": wait},
    ]
    for spec in specs:
        made = _made(spec)
        if _span(made(last)) == wait and all(
            at + _span(made(attempt)) <= following
            for (at, attempt, _), (following, _, _) in pairwise(retried)
        ):
            return spec, made
    spec = {"exponential": _up(wait, 2 ** min(last - 1, 60)), "max": wait}
    return spec, _made(spec)


def _made(spec: Any) -> Backoff:
    if spec == "guide":
        return backoffs.DEFAULT
    if "constant" in spec:
        return backoffs.constant(spec["constant"])
    if "linear" in spec:
        return backoffs.linear(spec["linear"], max=spec["max"])
    return backoffs.exponential(spec["exponential"], max=spec["max"])


def _up(wait: timedelta, parts: int) -> timedelta:
    return timedelta(microseconds=-(-(wait // MICROSECOND) // parts))


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=min(seconds, 1e9))
