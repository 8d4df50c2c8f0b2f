"""The model: what may happen to jobs, what becomes of them then, and what may not be left undone.

It does not foresee which of several lawful things happens first. It takes the facts one by one, in the
order in which they happened, and says of each whether it was lawful: nothing starts early, out of
order, from a paused queue or over a limit; an outcome counts for its own claim alone, and means what
the worker answered; a duplicate is found, and nothing else. Whenever the clock moves it asks what was
left undone: a job that could have started, one that was due, an outcome that nobody saved. So the engine
is held to exactly one place for every job.

Nothing here asks ``pgjobs.rules`` for a decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pgjobs import Job, NewJob, Queue, Worker
from pgjobs_testing.properties import facts
from pgjobs_testing.properties.lanes import Lane, Run
from pgjobs_testing.properties.rows import UNFINISHED, Row, group_of, text_of, without_ours
from pgjobs_testing.properties.waits import after, meaning, wait_s

WAITS = ("available", "scheduled", "retryable")


class ModelError(AssertionError):
    """The engine did what the model forbids, or left undone what it demands."""


def ensure(holds: object, otherwise: str) -> None:
    if not holds:
        raise ModelError(otherwise)


def run_of(job: Job) -> Run:
    """The claim by which a job runs: jobs that were claimed together have one token."""
    return job.id, job.token


class Model:
    """Jobs and queues as they ought to be. ``others`` is how a queue is served that is not named."""

    def __init__(
        self,
        now: datetime,
        queues: Mapping[str, Queue],
        workers: Mapping[str, Worker[..., Any]],
        others: Queue | None = None,
    ) -> None:
        self.now = now
        self.jobs: dict[int, Row] = {}
        self.lanes = {name: Lane(queue) for name, queue in queues.items()}
        self.everywhere: bool | None = None
        self._workers = workers
        self._others = others
        self._drain: facts.Draining | None = None
        self._drained: list[tuple[int, str]] = []
        self._present: set[int] | None = None
        self._claims: dict[Run, Job] = {}
        self._entered: dict[Run, None] = {}
        self._answers: dict[Run, tuple[Any, bool]] = {}

    # What happened

    def take(self, fact: facts.Fact) -> None:
        """One more fact. ``ModelError`` where it should not have been, or something else before it."""
        if isinstance(fact, facts.Passed) and not fact.run:
            self.now = fact.at
        if fact.at > self.now:
            self._passes(fact.at)
        match fact:
            case facts.Inserted(asked=asked, answer=answer):
                self._inserted(asked, answer)
            case facts.Staged(ids=ids):
                self._staged(ids)
            case facts.Started(jobs=jobs):
                self._started(jobs)
            case facts.Began(job=job):
                self._entered[run_of(job)] = None
            case facts.Answered(job=job):
                self._free(run_of(job))
                if run_of(job) in self._claims:
                    self._answers[run_of(job)] = fact.value, fact.raised
            case facts.Settled(endings=endings):
                self._settled(endings)
            case facts.Changed(word=word, ids=ids):
                for job_id in ids:
                    self._changed(word, self._row(job_id))
            case facts.Controlled():
                self._controlled(fact)
            case facts.Draining():
                self._drain, self._present, self._drained = fact, None, []
            case facts.Drained():
                self._end_drain(fact)
            case facts.Passed(run=True):
                left = self.undone()
                ensure(left is None, f"at rest, at {self.now}: {left}")

    def compare(self, stored: Sequence[Job]) -> None:
        """Every stored job is as it ought to be, and none is missing."""
        ids = [job.id for job in stored]
        ensure(ids == sorted(self.jobs), f"stored are jobs {ids}, and should be {[*self.jobs]}")
        for job in stored:
            found = self.jobs[job.id].differences(job)
            ensure(not found, f"job {job.id} of {job.worker}: {'; '.join(found)}")

    def next_event(self) -> datetime | None:
        """The first instant after now at which something happens by itself that the model knows of."""
        moments = [row.scheduled_at for row in self.jobs.values() if row.state in WAITS[1:]]
        moments += [due for run in self._claims if (due := self._deadline(run)) is not None]
        for name, lane in self.lanes.items():
            opens = lane.opens_at(self.now)
            if opens is not None and self._free_slots(name) and self._startable(name):
                moments.append(opens)
        return min((at for at in moments if at > self.now), default=None)

    def free_at(self, asked: NewJob) -> datetime | None:
        """When the place of a duplicate will be free, if one stands in the way and its period ends."""
        row = self._duplicate_of(asked, group_of(asked))
        if row is None or asked.unique is None or asked.unique.period is None:
            return None
        return after(getattr(row, asked.unique.timestamp), asked.unique.period)

    def undone(self) -> str | None:
        """What should have happened by now, and has not; None where the engine rests rightly."""
        for row in self.jobs.values():
            if row.state in WAITS[1:] and row.scheduled_at <= self.now:
                return f"job {row.id} is {row.state}, and was due at {row.scheduled_at}"
        for name in dict.fromkeys(row.queue for row in self.jobs.values()):
            waiting = self._startable(name)
            if waiting and self._room(name):
                return f"job {waiting[0].id} could have started from queue {name!r}"
        for run, job in self._claims.items():
            if run not in self._entered:
                return f"job {job.id} was claimed, and did not run"
            if run in self._answers:
                return f"job {job.id} was answered for, and its outcome was not saved"
            limit = self._deadline(run)
            if limit is not None and limit <= self.now:
                return f"job {job.id} outlived its time limit at {limit}"
        return None

    # Time

    def _passes(self, to: datetime) -> None:
        left = self.undone()
        ensure(left is None, f"at {self.now}: {left}")
        due = self.next_event()
        ensure(due is None or due >= to, f"nothing happened at {due}, when something was due")
        self.now = to

    # Inserts

    def _inserted(self, asked: NewJob, answer: Job) -> None:
        group = group_of(asked)
        found = self._duplicate_of(asked, group)
        if found is None:
            ensure(not answer.conflict, f"job {answer.id} was answered for what has no duplicate")
            ensure(answer.id > max(self.jobs, default=0), f"the id {answer.id} is not a new one")
            found = self.jobs[answer.id] = self._new(asked, answer.id, group)
            replaced = False
        else:
            ensure(
                answer.conflict and answer.id == found.id,
                f"a duplicate of job {found.id} was answered with {answer.came_of} {answer.id}",
            )
            replaced = self._replace(found, asked)
        ensure(answer.replaced == replaced, f"job {found.id}: replaced is {answer.replaced}")
        differing = found.differences(answer)
        ensure(not differing, f"the answer of an insert, job {answer.id}: {'; '.join(differing)}")

    def _duplicate_of(self, asked: NewJob, group: object) -> Row | None:
        """The oldest job of the group that counts."""
        rule = asked.unique
        if rule is None:
            return None
        for row in sorted(self.jobs.values(), key=lambda row: row.id):
            if row.group == group and row.state in rule.states:
                since: datetime = getattr(row, rule.timestamp)
                if rule.period is None or self.now - since < rule.period:
                    return row
        return None

    def _new(self, asked: NewJob, job_id: int, group: tuple[Any, ...] | None) -> Row:
        due = self._due(asked)
        return Row(
            job_id,
            asked.worker,
            asked.queue,
            text_of(asked.args),
            text_of(without_ours(asked.meta)),
            asked.tags,
            "available" if due <= self.now else "scheduled",
            asked.max_attempts,
            asked.priority,
            self.now,
            due,
            group,
        )

    def _due(self, asked: NewJob) -> datetime:
        if asked.scheduled_at is not None:
            return asked.scheduled_at
        return after(self.now, asked.schedule_in or timedelta(0))

    def _replace(self, row: Row, asked: NewJob) -> bool:
        fields = dict(asked.replace).get(row.state, ())  # type: ignore[call-overload]  # a state is a text
        new = self._new(asked, row.id, row.group)
        for name in fields:
            setattr(row, name, getattr(new, name))
        if "max_attempts" in fields:
            spare = 1 if row.state in (*WAITS, "executing") else 0
            row.max_attempts = min(32_767, max(row.max_attempts, row.attempt + spare))
        if "scheduled_at" in fields and row.state in WAITS:
            later = "retryable" if row.state == "retryable" else "scheduled"
            row.state = "available" if row.scheduled_at <= self.now else later
        return bool(fields)

    # Runs

    def _staged(self, ids: tuple[int, ...]) -> None:
        until = self.now if self._drain is None else self._drain.until
        for job_id in ids:
            row = self._row(job_id)
            ensure(row.state in WAITS[1:], f"job {row.id} was staged, and is {row.state}")
            ensure(row.scheduled_at <= until, f"job {row.id} was staged early, at {self.now}")
            row.state = "available"

    def _started(self, jobs: tuple[Job, ...]) -> None:
        if self._drain is not None:
            waiting = self._drainable(self._drain)
        else:
            queue = jobs[0].queue
            waiting = self._startable(queue)
            lane = self._lane(queue)
            ensure(
                not lane.paused(self.everywhere), f"a job started from {queue!r}, which is paused"
            )
            room = self._room(queue)
            ensure(
                len(jobs) <= room,
                f"{len(jobs)} jobs started from {queue!r}, which has room for {room}",
            )
            lane.slots.update(dict.fromkeys(map(run_of, jobs)))
            lane.starts += [self.now] * len(jobs)
        expected = [row.id for row in waiting[: len(jobs)]]
        started = [job.id for job in jobs]
        ensure(started == expected, f"jobs {started} started, and these should have: {expected}")
        for job in jobs:
            row = self._row(job.id)
            row.state, row.token, row.attempted_at = "executing", job.token, self.now
            row.attempt += 1
            ensure(row.attempt <= row.max_attempts, f"job {row.id} has no attempt left")
            differing = row.differences(job)
            ensure(not differing, f"job {job.id}, as it started: {'; '.join(differing)}")
            self._claims[run_of(job)] = job

    def _settled(self, endings: tuple[facts.Ending, ...]) -> None:
        """Groups are ended first, so that none of their jobs outlives them."""
        ended = [each for each in endings if each.word == "cancel"]
        for ending in ended:
            self._settle(ending)
        for ending in ended:
            row = self.jobs.get(ending.id)
            if row is not None and ending.counted and row.group is not None:
                for other in self.jobs.values():
                    if other.group == row.group and other.state in UNFINISHED:
                        other.errors.append((other.attempt, row.errors[-1][1]))
                        other.end("cancelled", self.now)
        for ending in endings:
            if ending.word != "cancel":
                self._settle(ending)

    def _settle(self, ending: facts.Ending) -> None:
        row = self.jobs.get(ending.id)
        run = ending.id, ending.token
        job, answer = self._claims.pop(run, None), self._answers.pop(run, None)
        if run not in self._entered:  # no worker has its name, and it never ran
            self._free(run)
        holds = row is not None and row.state == "executing" and row.token == ending.token
        ensure(ending.counted == holds, f"the outcome of job {ending.id} counted: {ending.counted}")
        if row is None or job is None or not holds:
            return
        value, begins = None if answer is None else answer[0], ""
        if ending.word == "release":
            row.state, row.attempt = "available", row.attempt - 1
            return
        if not self._timed_out(job, answer, ending):
            ensure(answer or job.worker not in self._workers, f"job {row.id} was settled as it ran")
            word, begins = meaning(*answer) if answer else ("fail", "UnknownWorkerError")
            ensure(
                ending.word == word,
                f"job {row.id} answered {value!r}, and was settled as {ending.word}",
            )
        self._end(row, ending.word, begins, value, job)

    def _end(self, row: Row, word: str, begins: str, value: Any, job: Job) -> None:
        if word in ("fail", "discard", "cancel"):
            row.errors.append((row.attempt, begins))
        if word == "snooze":
            row.state, row.scheduled_at = "scheduled", after(self.now, value.seconds)
            row.attempt -= 1
            row.snoozed += 1
        elif word == "fail" and row.attempt < row.max_attempts:
            delay = wait_s(self._workers.get(row.worker), job)
            row.state, row.scheduled_at = "retryable", after(self.now, delay)
        else:
            states = {"complete": "completed", "cancel": "cancelled"}
            row.end(states.get(word, "discarded"), self.now)
        if self._drain is not None:
            self._drained.append((row.id, row.state))

    def _timed_out(self, job: Job, answer: tuple[Any, bool] | None, ending: facts.Ending) -> bool:
        """Whether it is the time limit that ended this run: in a drain, its own sleeps count."""
        limit = self._deadline_of(job)
        if ending.word != "fail" or limit is None:
            return False
        over = self._drain is not None or limit <= self.now
        return over and (answer is None or isinstance(answer[0], asyncio.CancelledError))

    # An operator's hand

    def _changed(self, word: str, row: Row) -> None:
        if word == "delete":
            del self.jobs[row.id]
        elif word == "cancel":
            ensure(row.state in UNFINISHED, f"job {row.id} was cancelled, and was {row.state}")
            row.end("cancelled", self.now)
        else:
            ensure(
                row.state not in ("available", "executing"),
                f"job {row.id} was retried: {row.state}",
            )
            row.state, row.scheduled_at, row.ended_at = "available", self.now, None
            row.attempt = min(row.attempt, 32_766)
            row.max_attempts = max(row.max_attempts, row.attempt + 1)

    def _controlled(self, fact: facts.Controlled) -> None:
        if fact.queue == "*":
            self.everywhere = fact.paused
            for lane in self.lanes.values():
                lane.paused_by_hand = None
            return
        lane = self._lane(fact.queue)
        if fact.paused is None and fact.concurrency is None:
            lane.paused_by_hand = lane.scaled_to = None
        if fact.paused is not None:
            lane.paused_by_hand = fact.paused
        if fact.concurrency is not None:
            lane.scaled_to = fact.concurrency

    def _end_drain(self, end: facts.Drained) -> None:
        drain, self._drain = self._drain, None
        assert drain is not None
        ran = [(job.id, str(job.state)) for job in end.jobs or ()]
        ensure(
            end.jobs is None or ran == self._drained, f"a drain ran {self._drained}, and says {ran}"
        )
        left = self._drainable(drain)
        if drain.fresh:
            waiting = (row for row in self.jobs.values() if row.state in WAITS[1:])
            waiting = (row for row in waiting if drain.queue in (None, row.queue))
            left += [row for row in waiting if row.scheduled_at <= drain.until]
        ensure(not (end.whole and left), f"a drain left job {left[0].id if left else 0} behind")

    # What it goes by

    def _startable(self, queue: str) -> list[Row]:
        """The jobs of a queue that may start, in their order."""
        found = [row for row in self.jobs.values() if row.state == "available"]
        found = [row for row in found if row.queue == queue and row.attempt < row.max_attempts]
        return sorted(found, key=lambda row: row.place)

    def _drainable(self, drain: facts.Draining) -> list[Row]:
        """The jobs that a drain may run, in their order; by its first one it knows what was there."""
        queues = dict.fromkeys(row.queue for row in self.jobs.values())
        found = [
            row for name in queues if drain.queue in (None, name) for row in self._startable(name)
        ]
        if self._present is None:
            self._present = {row.id for row in found}
        if not drain.fresh:
            found = [row for row in found if row.id in self._present]
        return sorted(found, key=lambda row: row.place)

    def _room(self, queue: str) -> float:
        return min(self._free_slots(queue), self._lane(queue).permits(self.now))

    def _free_slots(self, queue: str) -> int:
        lane = self._lane(queue)
        rows = self.jobs.values()
        executing = sum(row.state == "executing" and row.queue == queue for row in rows)
        return 0 if lane.paused(self.everywhere) else lane.free(executing)

    def _lane(self, queue: str) -> Lane:
        if queue not in self.lanes:
            others = self._others
            self.lanes[queue] = Lane(others or Queue(), served=others is not None)
        return self.lanes[queue]

    def _row(self, job_id: int) -> Row:
        row = self.jobs.get(job_id)
        ensure(row is not None, f"there is no job {job_id}")
        assert row is not None
        return row

    def _free(self, run: Run) -> None:
        for lane in self.lanes.values():
            lane.slots.pop(run, None)

    def _deadline(self, run: Run) -> datetime | None:
        return None if run in self._answers else self._deadline_of(self._claims[run])

    def _deadline_of(self, job: Job) -> datetime | None:
        worker = self._workers.get(job.worker)
        limit = None if worker is None else worker.timeout_of(job)
        assert job.attempted_at is not None
        return None if limit is None else after(job.attempted_at, limit)
