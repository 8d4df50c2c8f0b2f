"""The calls of a client: each method of ``PgJobs`` that asks or changes the store, and its twin.

What a call does is a program of ``client.py``; here it gets its name, its signature and its two
colours. An ``_async`` twin never blocks the running event loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pgjobs import client
from pgjobs.client import Client, QueueStatus
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.options import Queue
from pgjobs.runtime import Runtime

if TYPE_CHECKING:
    from pgjobs.gathering import Surroundings
    from pgjobs.rules.explaining import Explanation

T = TypeVar("T")

INSERTS = ("insert", "insert_all")
"""Calls whose answer only says that jobs were stored."""


class Calls(ABC):
    """The client's side of an instance; ``PgJobs`` adds what runs jobs."""

    queues: Mapping[str, Queue]

    @abstractmethod
    def runtime(self) -> Runtime:
        """The outside that the calls use now."""

    @abstractmethod
    def surroundings(self) -> Surroundings:
        """What this instance knows by itself when it explains a job."""

    def insert(self, job: NewJob, connection: object = None) -> Job:
        """Store a job that ``worker.new`` made; return it with its id and state.

        With ``connection``, a connection of your own (psycopg 3, SQLAlchemy 2 or Django), the job is
        part of the transaction there: it can be claimed once you commit, and is gone when you roll
        back. ``ConfigurationError`` for a connection that cannot be used, ``StoreError`` from the
        driver's exception when the server refuses.
        """
        return self._call(lambda c: c.insert(job), writes="insert", connection=connection)

    async def insert_async(self, job: NewJob, connection: object = None) -> Job:
        """``insert`` without blocking the running event loop; ``connection`` is asynchronous."""
        return await self._call_async(
            lambda c: c.insert(job), writes="insert", connection=connection
        )

    def insert_all(self, jobs: Iterable[NewJob], connection: object = None) -> list[Job]:
        """Store many jobs, all or none; return one job for each, in the order given.

        ``connection`` as for ``insert``.
        """
        return self._call(lambda c: c.insert_all(jobs), writes="insert_all", connection=connection)

    async def insert_all_async(
        self, jobs: Iterable[NewJob], connection: object = None
    ) -> list[Job]:
        """``insert_all`` without blocking the running event loop; ``connection`` is asynchronous."""
        return await self._call_async(
            lambda c: c.insert_all(jobs), writes="insert_all", connection=connection
        )

    def get_job(self, job: Job | int) -> Job:
        """The job as it stands now; ``JobNotFoundError`` when there is none."""
        return self._call(lambda c: c.get(job))

    async def get_job_async(self, job: Job | int) -> Job:
        """``get_job`` without blocking the running event loop."""
        return await self._call_async(lambda c: c.get(job))

    def all_jobs(
        self,
        *,
        limit: int | None = None,
        order_by: str = "id",
        after: Job | int | None = None,
        **filters: Any,
    ) -> list[Job]:
        """Jobs that match every filter, by ``order_by`` ("-column" for descending), then id.

        ``after`` (a job or an id) continues behind that job. Filters are the fields of a job: lists
        mean "one of", ``tags`` "has these", ``args`` and ``meta`` containment.
        """
        return self._call(lambda c: c.find(limit, order_by, after, filters))

    async def all_jobs_async(
        self,
        *,
        limit: int | None = None,
        order_by: str = "id",
        after: Job | int | None = None,
        **filters: Any,
    ) -> list[Job]:
        """``all_jobs`` without blocking the running event loop."""
        return await self._call_async(lambda c: c.find(limit, order_by, after, filters))

    def count_jobs(self, by: str | None = None, **filters: Any) -> Any:
        """How many jobs match: an int, or a dict by "state", "queue" or "worker"."""
        counts = self._call(lambda c: c.count(by, filters))
        if (captor := self.runtime().captor) is not None:
            captor.counted(filters)
        return counts

    async def count_jobs_async(self, by: str | None = None, **filters: Any) -> Any:
        """``count_jobs`` without blocking the running event loop."""
        counts = await self._call_async(lambda c: c.count(by, filters))
        if (captor := self.runtime().captor) is not None:
            captor.counted(filters)
        return counts

    def cancel_job(self, job: Job | int) -> Job:
        """Cancel an unfinished job, a running one too; a finished one comes back unchanged."""
        return self._call(lambda c: c.cancel(job), writes="cancel_job")

    async def cancel_job_async(self, job: Job | int) -> Job:
        """``cancel_job`` without blocking the running event loop."""
        return await self._call_async(lambda c: c.cancel(job), writes="cancel_job")

    def retry_job(self, job: Job | int) -> Job:
        """Make a job available again, with one more attempt at least.

        An available or executing job comes back unchanged.
        """
        return self._call(lambda c: c.retry(job), writes="retry_job")

    async def retry_job_async(self, job: Job | int) -> Job:
        """``retry_job`` without blocking the running event loop."""
        return await self._call_async(lambda c: c.retry(job), writes="retry_job")

    def delete_job(self, job: Job | int) -> Job:
        """Delete a job in any state; return what it was. A running one is told to stop."""
        return self._call(lambda c: c.delete(job), writes="delete_job")

    async def delete_job_async(self, job: Job | int) -> Job:
        """``delete_job`` without blocking the running event loop."""
        return await self._call_async(lambda c: c.delete(job), writes="delete_job")

    def cancel_all_jobs(self, **filters: Any) -> int:
        """Cancel every unfinished job that matches; return how many."""
        return self._call(lambda c: c.cancel_all(filters), writes="cancel_all_jobs")

    async def cancel_all_jobs_async(self, **filters: Any) -> int:
        """``cancel_all_jobs`` without blocking the running event loop."""
        return await self._call_async(lambda c: c.cancel_all(filters), writes="cancel_all_jobs")

    def retry_all_jobs(self, **filters: Any) -> int:
        """Make every job that matches available again; return how many."""
        return self._call(lambda c: c.retry_all(filters), writes="retry_all_jobs")

    async def retry_all_jobs_async(self, **filters: Any) -> int:
        """``retry_all_jobs`` without blocking the running event loop."""
        return await self._call_async(lambda c: c.retry_all(filters), writes="retry_all_jobs")

    def delete_all_jobs(self, **filters: Any) -> int:
        """Delete every job that matches; return how many."""
        return self._call(lambda c: c.delete_all(filters), writes="delete_all_jobs")

    async def delete_all_jobs_async(self, **filters: Any) -> int:
        """``delete_all_jobs`` without blocking the running event loop."""
        return await self._call_async(lambda c: c.delete_all(filters), writes="delete_all_jobs")

    def explain(self, job: Job | int) -> Explanation:
        """Why a job has not run yet, or what became of it; ``JobNotFoundError`` when there is none.

        ``str()`` of the answer is a short text, its ``reasons`` are typed values: all that hold, in the
        order in which they must end. ``earliest`` is when it can start, where that can be computed.
        A ``Job`` that an insert gave with ``conflict=True`` is explained as well. Nothing is changed.
        """
        around = self.surroundings()
        return self._call(lambda c: c.explain(job, around))

    async def explain_async(self, job: Job | int) -> Explanation:
        """``explain`` without blocking the running event loop."""
        around = self.surroundings()
        return await self._call_async(lambda c: c.explain(job, around))

    # Queues

    def pause_queue(self, queue: str) -> None:
        """Start nothing more from ``queue`` on any node; running jobs go on. Outlives restarts."""
        self._call(lambda c: c.pause(queue), writes="pause_queue")

    async def pause_queue_async(self, queue: str) -> None:
        """``pause_queue`` without blocking the running event loop."""
        await self._call_async(lambda c: c.pause(queue), writes="pause_queue")

    def resume_queue(self, queue: str) -> None:
        """Start jobs from ``queue`` again, on every node."""
        self._call(lambda c: c.resume(queue), writes="resume_queue")

    async def resume_queue_async(self, queue: str) -> None:
        """``resume_queue`` without blocking the running event loop."""
        await self._call_async(lambda c: c.resume(queue), writes="resume_queue")

    def scale_queue(self, queue: str, concurrency: int) -> None:
        """Run up to ``concurrency`` jobs of ``queue`` at a time on each node."""
        self._call(lambda c: c.scale(queue, concurrency), writes="scale_queue")

    async def scale_queue_async(self, queue: str, concurrency: int) -> None:
        """``scale_queue`` without blocking the running event loop."""
        await self._call_async(lambda c: c.scale(queue, concurrency), writes="scale_queue")

    def pause_all_queues(self) -> None:
        """Pause every queue on every node."""
        self._call(lambda c: c.pause_all(), writes="pause_all_queues")

    async def pause_all_queues_async(self) -> None:
        """``pause_all_queues`` without blocking the running event loop."""
        await self._call_async(lambda c: c.pause_all(), writes="pause_all_queues")

    def resume_all_queues(self) -> None:
        """Resume every queue on every node, also those configured as paused."""
        self._call(lambda c: c.resume_all(), writes="resume_all_queues")

    async def resume_all_queues_async(self) -> None:
        """``resume_all_queues`` without blocking the running event loop."""
        await self._call_async(lambda c: c.resume_all(), writes="resume_all_queues")

    def reset_queue(self, queue: str) -> None:
        """Forget what was set by hand for ``queue``: the configuration counts again."""
        self._call(lambda c: c.reset(queue), writes="reset_queue")

    async def reset_queue_async(self, queue: str) -> None:
        """``reset_queue`` without blocking the running event loop."""
        await self._call_async(lambda c: c.reset(queue), writes="reset_queue")

    def check_queue(self, queue: str) -> QueueStatus:
        """How ``queue`` is served, and how many of its jobs run and wait."""
        return self._call(lambda c: c.check(queue))

    async def check_queue_async(self, queue: str) -> QueueStatus:
        """``check_queue`` without blocking the running event loop."""
        return await self._call_async(lambda c: c.check(queue))

    def _call(
        self,
        program: Callable[[Client], client.Program[T]],
        *,
        writes: str = "",
        connection: object = None,
    ) -> T:
        runtime = self.runtime()
        if writes and runtime.captor is not None:
            runtime.captor.calling(writes)
        result = client.drive(runtime.store, program(self._client(runtime)), connection)
        if runtime.captor is not None:
            if writes not in INSERTS:
                runtime.captor.answered(_jobs_of(result))
            if writes:
                runtime.captor.called()
        return result

    async def _call_async(
        self,
        program: Callable[[Client], client.Program[T]],
        *,
        writes: str = "",
        connection: object = None,
    ) -> T:
        runtime = self.runtime()
        made = program(self._client(runtime))
        result = await client.drive_async(runtime.store, made, connection)
        if runtime.captor is not None:
            if writes not in INSERTS:
                runtime.captor.answered(_jobs_of(result))
            if writes:
                await runtime.captor.called_async()
        return result

    def _client(self, runtime: Runtime) -> Client:
        captor = runtime.captor
        queues = self.queues if captor is None else captor.configured(self.queues)
        return Client(runtime.clock, runtime.telemetry, queues)


def _jobs_of(answer: object) -> list[Job]:
    from pgjobs.rules.explaining import Explanation

    if isinstance(answer, Explanation):
        return [answer.job]
    found = answer if isinstance(answer, list) else [answer]
    return [each for each in found if isinstance(each, Job)]
