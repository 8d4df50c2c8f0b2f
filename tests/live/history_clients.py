"""What the clients of a recorded history call, drawn from a seed, and what they record of each call.

An error says that nothing happened where the server said so and rolled back, or where nothing was committed
yet; any other leaves it open.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeVar

import psycopg

from pgjobs import Job, NewJob, PgJobs
from pgjobs.rules.errors import JobNotFoundError, StoreError, StoreUnavailableError
from pgjobs_testing.clock import SeededRng
from pgjobs_testing.simulation.histories.recording import Recorder, Result

T = TypeVar("T")

PLAIN = ("steady", "steady", "threaded", "limited")
UNIQUE = ("only", "brief", "waiting", "moving", "moving")
OUTCOMES = ("ok", "ok", "ok", "ok", "fail", "snooze", "discard", "cancel")
LEVELS = ("READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
GROUPS = 8
LATER_S = 0.05
LEAST = 3
"""The concurrency below which no queue is scaled: so many runs must be able to hang."""
KNOWN = 64
"""Jobs that a client remembers, to give orders about."""
ROLLED_BACK = "40"
UNSURE = "40003"


class Client:
    """One thread's calls, one after another."""

    def __init__(
        self,
        jobs: PgJobs,
        dsn: str,
        workers: dict[str, Any],
        recorder: Recorder,
        name: str,
        seed: int,
    ) -> None:
        self._jobs, self._dsn, self._workers, self._recorder = jobs, dsn, workers, recorder
        self._name, self._rng = name, SeededRng(seed)
        self._known: deque[int] = deque(maxlen=KNOWN)
        self._paused: list[str] = []
        self._made = 0

    def call(self, calls: int, quitting: threading.Event) -> None:
        """Make so many calls, or, where that is 0, calls until it is time to quit."""
        what = (
            (25, lambda: self.insert_one(self._one_of("plain", PLAIN))),
            (8, lambda: self._insert_all(PLAIN, 12)),
            (22, lambda: self.insert_one(self._one_of("unique", UNIQUE))),
            (8, lambda: self._insert_all(UNIQUE, 5)),
            (10, self._transaction),
            (8, lambda: self._order("cancel")),
            (6, lambda: self._order("retry")),
            (5, lambda: self._order("delete")),
            (4, self._look),
            (4, self._control),
        )
        among = [act for weight, act in what for _ in range(weight)]
        made = 0
        while not quitting.is_set() and (not calls or made < calls):
            self._one_of("call", among)()
            made += 1
        for queue in self._paused:
            self._tried(None, lambda queue=queue: self._jobs.resume_queue(queue))

    def insert_one(self, kind: str) -> None:
        """One job by itself."""
        new = self._new(kind)
        with self._recorder.inserting([new]) as result:
            job = self._tried(result, lambda: self._jobs.insert(new))
            self._stored(result, None if job is None else [job])

    def _insert_all(self, kinds: Sequence[str], most: int) -> None:
        new = [self._new(self._one_of("of", kinds)) for _ in range(2 + self._below("many", most))]
        with self._recorder.inserting(new) as result:
            self._stored(result, self._tried(result, lambda: self._jobs.insert_all(new)))

    def _transaction(self) -> None:
        """Some inserts in a transaction of the caller's, which a third of the time is rolled back."""
        new = [
            self._new(self._one_of("in", PLAIN + UNIQUE)) for _ in range(1 + self._below("n", 3))
        ]
        level, undo = self._one_of("level", LEVELS), self._rng.random("undo") < 1 / 3
        with self._recorder.inserting(new) as result:
            stored: list[Job] = []
            committing = False
            try:
                with psycopg.connect(self._dsn, autocommit=True) as connection:
                    connection.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
                    stored = [self._jobs.insert(each, connection=connection) for each in new]
                    committing = not undo
                    connection.execute(b"ROLLBACK" if undo else b"COMMIT")
            except (psycopg.Error, StoreError) as error:
                if not committing or rolled_back(error):
                    result.failed()
                return
            if undo:
                result.failed()
            else:
                self._stored(result, stored)

    def _order(self, what: str) -> None:
        if not self._known:
            return
        job = self._one_of(what, self._known)
        order = {
            "cancel": self._jobs.cancel_job,
            "retry": self._jobs.retry_job,
            "delete": self._jobs.delete_job,
        }[what]
        with self._recorder.ordering(what, job) as result:
            found = self._tried(result, lambda: order(job))
            if found is not None:
                result.stored([found])

    def _look(self) -> None:
        """Learn of jobs that others inserted."""
        jobs = self._tried(None, lambda: self._jobs.all_jobs(limit=16, order_by="-id"))
        self._known.extend(job.id for job in jobs or ())

    def _control(self) -> None:
        """Pause a queue, or resume the one that is paused; or scale one."""
        queue = self._one_of("queue", ("default", "threads", "limited"))
        if self._paused:
            self._tried(None, lambda: self._jobs.resume_queue(self._paused.pop()))
        elif self._rng.random("pause") < 1 / 2:
            self._paused.append(queue)
            self._tried(None, lambda: self._jobs.pause_queue(queue))
        else:
            to = LEAST + self._below("to", 8)
            self._tried(None, lambda: self._jobs.scale_queue(queue, concurrency=to))

    def _new(self, kind: str) -> NewJob:
        self._made += 1
        args = {"key": f"{self._name}.{self._made}", "outcome": self._one_of("outcome", OUTCOMES)}
        if kind in UNIQUE:
            args["group"] = f"{kind}.{self._below('group', GROUPS)}"
        often = 1 / 2 if kind == "moving" else 1 / 8
        later = LATER_S if self._rng.random("later") < often else None
        made: NewJob = self._workers[kind].new(args, schedule_in=later)
        return made

    def _tried(self, result: Result | None, call: Any) -> Any:
        """What a call returns; None where it raised, and the result says what is known then."""
        try:
            return call()
        except JobNotFoundError:
            if result is not None:
                result.failed()
        except StoreError as error:
            surely = not isinstance(error, StoreUnavailableError) or rolled_back(error)
            if result is not None and surely:
                result.failed()
        return None

    def _stored(self, result: Result, jobs: list[Job] | None) -> None:
        if jobs is not None:
            result.stored(jobs)
            self._known.extend(job.id for job in jobs)

    def _one_of(self, label: str, values: Sequence[T]) -> T:
        return values[self._below(label, len(values))]

    def _below(self, label: str, bound: int) -> int:
        return int(self._rng.random(label) * bound)


def rolled_back(error: BaseException) -> bool:
    """Whether the server said that it had undone the transaction."""
    state = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None) or ""
    return state.startswith(ROLLED_BACK) and state != UNSURE
