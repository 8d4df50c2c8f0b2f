"""When runs get nowhere: the bounds at which a drain, or one instant of a test, is taken for endless.

A job makes progress when it has fewer attempts left than ever before: a snooze gives the attempt back,
and a retry by hand brings new ones. Jobs that insert jobs are counted by generations: what was there at
first is one, what those inserted the next. A backlog of any size is one generation. Jobs that insert
several each are counted before they run, or memory would end before the generations do.
"""

from __future__ import annotations

from collections import deque

from pgjobs.rules.errors import LivelockError
from pgjobs.rules.job import Job

RUNS_WITHOUT_PROGRESS = 100
"""Runs of one job in which the attempts that it has left did not become fewer."""
ROUNDS = 2_000
"""Generations of jobs, each inserted by the one before, and runs of one job."""
DESCENDANTS = 100_000
"""Jobs that were not there at first, whether they have ended or wait."""
UNWATCHED = 100
"""Runs after which generations are counted: below that nothing is asked."""
CENSUS = 100
"""Runs after which those who wait are counted again within a generation."""
SHOWN = 4
"""Runs named in the error."""


class Watch:
    """The runs of one drain, or of one instant. ``where`` says which, ``remedy`` what to do about it.

    Before each run ``asks`` tells whether ``counted`` wants the number of jobs that wait now; after it
    ``gone`` is told of a job that has ended. ``branches``: whether jobs that are inserted meanwhile run.
    """

    def __init__(self, where: str, remedy: str, *, branches: bool = True) -> None:
        self._where, self._remedy, self._branches = where, remedy, branches
        self._jobs: dict[int, tuple[int, int, int]] = {}
        self._last: deque[Job] = deque(maxlen=SHOWN)
        self._runs = 0
        self._at_first: int | None = None
        self._left = 0
        self._fresh = False
        self._generations = 0
        self._gone: set[int] = set()
        self._waiting = 0
        self._census_at = 0

    @property
    def asks(self) -> bool:
        """Whether one generation has run, and the next is to be counted, or it is time for a census."""
        if self._runs < UNWATCHED:
            return False
        return self._left <= 0 or (self._branches and self._runs >= self._census_at)

    def counted(self, waiting: int, most: int | None = None) -> None:
        """So many jobs wait, besides the one that is about to run, and ``most`` of them will run."""
        self._waiting = waiting if most is None else min(waiting, most)
        self._census_at = self._runs + CENSUS
        if self._left > 0:
            return
        self._left = waiting + 1
        if self._at_first is None:
            self._at_first = len(self._jobs) + waiting + 1
        elif self._fresh:
            self._generations += 1
        self._fresh = False

    def gone(self, job: Job) -> None:
        """A run of ``job`` has ended it: it waits no more."""
        if self._branches and job.id in self._jobs:
            self._gone.add(job.id)

    def running(self, job: Job) -> None:
        """``job`` is about to run. ``LivelockError`` when it has run, or others have, to no end."""
        self._runs += 1
        self._left -= 1
        self._gone.discard(job.id)
        self._last.append(job)
        spare = job.max_attempts - job.attempt
        if job.id in self._jobs:
            least, fruitless, runs = self._jobs[job.id]
            fruitless = fruitless + 1 if spare >= least else 1
            self._jobs[job.id] = (min(least, spare), fruitless, runs + 1)
        else:
            fruitless, runs, self._fresh = 1, 0, True
            self._jobs[job.id] = (spare, 1, 1)
        if fruitless > RUNS_WITHOUT_PROGRESS:
            raise self._error(
                f"job {job.id} of worker {job.worker} ran {RUNS_WITHOUT_PROGRESS} times "
                f"{self._where} without progress (attempt {job.attempt} of {job.max_attempts} now): "
                "it snoozes without delay, or is retried by hand, for ever"
            )
        if runs >= ROUNDS:
            raise self._error(
                f"job {job.id} of worker {job.worker} ran {ROUNDS} times {self._where} (attempt "
                f"{job.attempt} of {job.max_attempts} now): it fails and is retried without delay"
            )
        if self._generations > ROUNDS:
            raise self._error(
                f"{ROUNDS} generations of jobs, each inserted by the one before, ran {self._where}, "
                f"and job {job.id} of worker {job.worker} is of the next"
            )
        first = self._at_first
        if first is not None and self._more_than(first) > DESCENDANTS:
            raise self._error(
                f"{DESCENDANTS} jobs that were not there at first ran {self._where}, or wait, and job "
                f"{job.id} of worker {job.worker} ran after them: jobs insert more jobs than end"
            )

    def _more_than(self, first: int) -> int:
        """How many jobs there were at least beside the first ones.

        What waits may have run already, and to be there again is not to be one more.
        """
        waited, self._waiting = self._waiting, 0
        return max(len(self._jobs), len(self._gone) + waited) - first

    def _error(self, what: str) -> LivelockError:
        named = ", ".join(f"job {job.id} of {job.worker}" for job in self._last)
        return LivelockError(f"{what}. The last runs: {named}. {self._remedy}.")
