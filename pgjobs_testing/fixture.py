"""``jobs``: the application's queue in the hand of a test.

A ``Harness`` is a ``PgJobs`` (every method of the client works) on the engine of the test, with
what only a test can do: move time, run jobs at will, and look.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any

from pgjobs.adapters.memory import MemoryStore
from pgjobs.app import PgJobs
from pgjobs.rules import options, outcome
from pgjobs.rules.errors import (
    BlockingCallError,
    ConfigurationError,
    InvalidResultError,
    JobTimeoutError,
)
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.options import Queue
from pgjobs.rules.schedule import duration, instant, later
from pgjobs.runtime import Runtime
from pgjobs.worker import REGISTRY, Worker, worker_name
from pgjobs_testing import capture as captures
from pgjobs_testing import matching
from pgjobs_testing.capture import Capture, Engine, Settings, settings_with
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.executor import running
from pgjobs_testing.matching import Compared, Expectation
from pgjobs_testing.stores import MemorySource, StoreSource
from pgjobs_testing.timeline import Trace

_BUILT_ATTEMPT = 1


class Harness(PgJobs):
    """The fixture ``jobs``. ``jobs["other"]`` stands for the application's instance of that name."""

    def __init__(self, capture: Capture, instance: str | None = None) -> None:
        super().__init__(store=_UNUSED, node=captures.NODE)
        self._capture = capture
        self._instance = instance

    def __repr__(self) -> str:
        return f"<Harness mode={self._capture.mode} at {self.clock.now().isoformat()}>"

    def __getitem__(self, name: str) -> Harness:
        self._capture.engine(name)
        return Harness(self._capture, name)

    def runtime(self) -> Runtime:
        return self._engine.runtime()

    @property
    def queues(self) -> Mapping[str, Queue]:
        """The queues that the application serves, as they are configured now."""
        return self._engine.served() or {}

    @queues.setter
    def queues(self, _: Mapping[str, Queue]) -> None:
        """What an instance is given of its own does not count: it stands for the application's."""

    # Time

    @property
    def clock(self) -> VirtualClock:
        """The clock of the test; ``jobs.clock.now()`` is the present instant, in UTC."""
        return self._capture.clock

    def advance(self, span: float | timedelta, *, run: bool = True) -> Trace:
        """Let ``span`` (seconds or a timedelta) pass, running everything that falls due, in order.

        Staging, retries and scheduled jobs happen at their own instants. Never raises for a job's
        failure. Returns what happened. With ``run=False`` only the clock moves.
        """
        return self.travel_to(later(self.clock.now(), duration(span, "advance")), run=run)

    def travel_to(self, target: datetime, *, run: bool = True) -> Trace:
        """``advance`` to an instant, which may not lie in the past."""
        target = self._target(target)
        if running():
            raise BlockingCallError(
                "advance and travel_to would block the event loop that runs in this thread: "
                "await advance_async or travel_to_async instead"
            )
        if run:
            return self._engine.until(target)
        self.clock.set(target)
        return self._engine.recorder.trace(len(self._engine.recorder))

    async def advance_async(self, span: float | timedelta, *, run: bool = True) -> Trace:
        """``advance`` with async workers as tasks of the running loop."""
        target = later(self.clock.now(), duration(span, "advance"))
        return await self.travel_to_async(target, run=run)

    async def travel_to_async(self, target: datetime, *, run: bool = True) -> Trace:
        """``travel_to`` with async workers as tasks of the running loop."""
        target = self._target(target)
        if run:
            return await self._engine.until_async(target)
        self.clock.set(target)
        return self._engine.recorder.trace(len(self._engine.recorder))

    def mode(self, mode: str) -> AbstractContextManager[None]:
        """``with jobs.mode("inline"):`` another mode inside the block."""
        return self._capture.switched(mode)

    # Running

    def build_job(
        self,
        worker: Worker[..., Any] | str,
        args: Any = None,
        **given: Any,
    ) -> Job:
        """A job as a worker gets it (executing, attempt 1), checked as ``new`` does, not stored.

        Takes every option of ``new``, and ``attempt``, ``id``, ``errors``.
        """
        fixed = {name: given.pop(name) for name in ("attempt", "id", "errors") if name in given}
        chosen = self._worker(worker)
        new = chosen.new(args, **given)
        errors = fixed.get("errors", ())
        if not isinstance(errors, list | tuple) or not all(isinstance(e, dict) for e in errors):
            raise ConfigurationError(
                f'errors takes a list such as [{{"attempt": 1, "error": "why"}}], not {errors!r}'
            )
        now = self.clock.now()
        due = new.scheduled_at or later(now, new.schedule_in or timedelta(0))
        attempt = options.whole(
            fixed.get("attempt", _BUILT_ATTEMPT), "attempt", 1, new.max_attempts
        )
        built = Job(
            id=options.whole(fixed.get("id", 1), "id", 1, 2**63 - 1),
            state=JobState.EXECUTING,
            queue=new.queue,
            worker=new.worker,
            args=dict(new.args),
            meta=dict(new.meta),
            tags=new.tags,
            errors=tuple(errors),
            attempt=attempt,
            max_attempts=new.max_attempts,
            priority=new.priority,
            attempted_by=(captures.NODE, "built"),
            inserted_at=now,
            scheduled_at=min(due, now),
            attempted_at=now,
        )
        return chosen.with_data(built)

    def perform_job(
        self,
        worker: Worker[..., Any] | str,
        args: Any = None,
        **given: Any,
    ) -> Any:
        """Run a worker once, in this thread; return what it returned, or raise what it raised.

        The args pass through JSON, the result is checked (``InvalidResultError``), and so is the time
        limit of an ``async def`` worker (``JobTimeoutError``). ``ConfigurationError`` for a worker
        that does not take a job. Nothing is stored.
        """
        chosen = self._worker(worker)
        job = self.build_job(chosen, args, **given)
        _check_signature(chosen)
        if chosen.is_async:
            return _judged(self._capture.loops.run(self._awaited(chosen, job), "perform_job"))
        return _judged(chosen.bound()(job))

    async def perform_job_async(
        self,
        worker: Worker[..., Any] | str,
        args: Any = None,
        **given: Any,
    ) -> Any:
        """``perform_job`` on the running loop."""
        chosen = self._worker(worker)
        job = self.build_job(chosen, args, **given)
        _check_signature(chosen)
        if chosen.is_async:
            return _judged(await self._awaited(chosen, job))
        return _judged(chosen.bound()(job))

    # Looking

    def assert_enqueued(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        delta: float | timedelta = 1,
        **filters: Any,
    ) -> Job:
        """A job that matches waits to run (``available``, ``scheduled`` or ``retryable``); return it.

        Filters: ``worker`` (object or name), ``queue``, ``args`` and ``meta`` (contained, at any
        depth), ``tags`` (has these), ``priority``, ``state``, ``scheduled_at``, ``scheduled_in``
        (within ``delta``), ``max_attempts``, ``attempt``, ``id``. ``ANY`` and callables match inside.
        ``count`` asks for exactly so many, ``at_least`` for so many or more.
        """
        __tracebackhide__ = True
        expected, compared = self._compared(filters, delta, self.all_jobs())
        return _assert_found(expected, compared, count, at_least)

    async def assert_enqueued_async(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        delta: float | timedelta = 1,
        **filters: Any,
    ) -> Job:
        """``assert_enqueued`` without blocking the running loop."""
        __tracebackhide__ = True
        expected, compared = self._compared(filters, delta, await self.all_jobs_async())
        return _assert_found(expected, compared, count, at_least)

    def refute_enqueued(self, *, delta: float | timedelta = 1, **filters: Any) -> None:
        """No job that matches waits to run."""
        __tracebackhide__ = True
        _assert_none(*self._compared(filters, delta, self.all_jobs()))

    async def refute_enqueued_async(self, *, delta: float | timedelta = 1, **filters: Any) -> None:
        """``refute_enqueued`` without blocking the running loop."""
        __tracebackhide__ = True
        _assert_none(*self._compared(filters, delta, await self.all_jobs_async()))

    def all_enqueued(self, *, delta: float | timedelta = 1, **filters: Any) -> list[Job]:
        """The jobs that match and wait to run, by id."""
        _, compared = self._compared(filters, delta, self.all_jobs())
        return [each.job for each in compared if each.matched]

    async def all_enqueued_async(
        self, *, delta: float | timedelta = 1, **filters: Any
    ) -> list[Job]:
        """``all_enqueued`` without blocking the running loop."""
        _, compared = self._compared(filters, delta, await self.all_jobs_async())
        return [each.job for each in compared if each.matched]

    @property
    def timeline(self) -> Trace:
        """Everything that happened in this test; ``str(jobs.timeline)`` is the text of it."""
        return self._engine.recorder.trace()

    @property
    def started(self) -> bool:
        """Whether the application called ``start`` (which starts nothing under test)."""
        return self._engine.starts > 0

    @property
    def _engine(self) -> Engine:
        return self._capture.engine(self._instance)

    def _target(self, target: datetime) -> datetime:
        target = instant(target, "travel_to")
        if target < self.clock.now():
            raise ConfigurationError(
                f"the clock shows {self.clock.now().isoformat()} and cannot go back to "
                f"{target.isoformat()}"
            )
        return target

    def _compared(
        self, filters: Mapping[str, Any], delta: float | timedelta, jobs: list[Job]
    ) -> tuple[Expectation, list[Compared]]:
        expected = Expectation(filters, delta, self.clock.now())
        return expected, [expected.compare(job) for job in jobs]

    def _worker(self, worker: Worker[..., Any] | str) -> Worker[..., Any]:
        return worker if isinstance(worker, Worker) else REGISTRY.find(worker_name(worker))

    async def _awaited(self, worker: Worker[..., Any], job: Job) -> Any:
        return await self._capture.loops.to_end(_within_limit(worker, job))


async def _within_limit(worker: Worker[..., Any], job: Job) -> Any:
    """What an async worker returns, cancelled at its time limit by virtual time."""
    limit = worker.timeout_of(job)
    scope = asyncio.timeout(None if limit is None else limit.total_seconds())
    try:
        async with scope:
            return await worker.bound()(job)
    except TimeoutError as error:
        if scope.expired():
            raise JobTimeoutError(f"the run took longer than its limit of {limit}") from error
        raise


def _check_signature(worker: Worker[..., Any]) -> None:
    """``ConfigurationError`` for a function that cannot be called with one job."""
    wrapped: Any = worker.wrapped
    called, given = wrapped, ["job"]
    if worker.is_class:
        called = wrapped.perform
        if inspect.isfunction(inspect.getattr_static(wrapped, "perform")):
            given = ["self", "job"]
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):  # a callable written in C need not have one
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        takes = "perform(self, job)" if worker.is_class else "one argument, the job"
        raise ConfigurationError(f"worker {worker.name} must take {takes}: {error}") from None


def _judged(value: object) -> object:
    """What a worker returned, if it is an answer; ``InvalidResultError`` if it is a mistake."""
    ended = outcome.returned(value)
    if isinstance(ended.exception, InvalidResultError):
        raise ended.exception
    return value


def _assert_found(
    expected: Expectation, compared: list[Compared], count: int | None, at_least: int | None
) -> Job:
    __tracebackhide__ = True
    if count is not None and at_least is not None:
        raise ConfigurationError("give count or at_least, not both")
    if count is not None:
        options.whole(count, "count", 0, 2**63 - 1)
    if count == 0:
        raise ConfigurationError("count=0 is what refute_enqueued asserts: use that")
    if at_least is not None:
        options.whole(at_least, "at_least", 1, 2**63 - 1)
    found = [each.job for each in compared if each.matched]
    if count is not None and len(found) != count:
        headline = f"expected {count} enqueued job(s) that match, found {len(found)}"
    elif len(found) < (at_least or 1):
        wanted = "a job" if at_least is None else f"{at_least} jobs or more"
        verb = "matches" if at_least is None else "match"
        headline = f"expected {wanted} to be enqueued that {verb}, found {len(found)}"
    else:
        return found[0]
    raise AssertionError(matching.failure(expected, compared, headline))


def _assert_none(expected: Expectation, compared: list[Compared]) -> None:
    __tracebackhide__ = True
    found = [each for each in compared if each.matched]
    if found:
        headline = f"expected no enqueued job that matches, found {len(found)}"
        raise AssertionError(matching.failure(expected, found, headline))


@contextmanager
def harness(*, source: StoreSource | None = None, **given: Any) -> Iterator[Harness]:
    """The fixture ``jobs`` as a context manager, for use under ``@given`` or without the plugin.

    Takes the options of the marker: ``mode queues seed start jitter``.
    """
    from pgjobs_testing import session

    settings = settings_with(session.settings() or Settings(), given)
    if settings.mode == "live":
        raise ConfigurationError(
            "in mode live nothing is captured, so there is no harness: use the application's own "
            "PgJobs, or another mode"
        )
    made = Capture(settings, source or session.source(settings.mode) or MemorySource())
    captures.push(made)
    try:
        yield Harness(made)
    finally:
        captures.pop(made)


_UNUSED = MemoryStore()
"""A harness works on the store of its engine, never on one of its own."""
