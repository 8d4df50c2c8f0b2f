"""Which jobs a test has looked at, for ``strict``: those that its calls gave back, matched or counted.

A job counts as looked at when it came back from ``get_job``, ``all_jobs``, ``cancel_job``,
``retry_job`` or ``delete_job``, was explained or counted, matched an assertion, when the result of the
drain that ran it was read, or the moments of a trace that tell of it. What a worker reads while it
runs is no look of the test's, nor is what ``insert`` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pgjobs.engine.drain import DrainResult
from pgjobs.rules.job import Job

Saw = Callable[[Iterable[Job]], None]


class Looking:
    """The ids of the jobs of one database that were looked at."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def saw(self, jobs: Iterable[Job]) -> None:
        """The test looked at these."""
        self._seen.update([job.id for job in jobs])

    def has_seen(self, job: Job) -> bool:
        return job.id in self._seen

    def result(self, result: DrainResult) -> DrainResult:
        """The same result, whose jobs are looked at when it is read."""
        return WatchedResult(result.jobs, self.saw)


class WatchedResult(DrainResult):
    """A drain's result that tells which of its jobs were read."""

    def __init__(self, jobs: list[Job], saw: Saw) -> None:
        self._saw = saw
        super().__init__(jobs)

    @property
    def jobs(self) -> list[Job]:
        """Each run's job as it stood after."""
        self._saw(self._all)
        return self._all

    @jobs.setter
    def jobs(self, jobs: list[Job]) -> None:
        self._all = jobs

    def __getitem__(self, state: str) -> int:
        self._saw(job for job in self._all if job.state == state)
        return super().__getitem__(state)

    def __iter__(self) -> Iterator[str]:
        self._saw(self._all)
        return super().__iter__()

    def __eq__(self, other: object) -> bool:
        self._saw(self._all)
        return super().__eq__(other)

    __hash__ = None  # as of any result
