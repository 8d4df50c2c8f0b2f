"""``jobs``: the application's queue in the hand of a test.

A ``Harness`` is a ``PgJobs`` (every method of the client works) on the engine of the test, with
what only a test can do: move time, run jobs at will, and look.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ContextDecorator
from datetime import datetime, timedelta
from typing import Any

from pgjobs.adapters.memory import MemoryStore
from pgjobs.app import PgJobs
from pgjobs.engine.drain import Program
from pgjobs.rules.errors import (
    BlockingCallError,
    ConfigurationError,
)
from pgjobs.rules.job import Job
from pgjobs.rules.options import Queue
from pgjobs.rules.schedule import LAST_INSTANT, duration, instant, later
from pgjobs.runtime import Runtime
from pgjobs.worker import DEFAULT_QUEUE, Worker
from pgjobs_testing import capture as captures
from pgjobs_testing import forgotten, idempotence, performing, session, strictness
from pgjobs_testing.asserting import Assertions
from pgjobs_testing.asserting.scene import Scene
from pgjobs_testing.capture import Capture
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.engine import NODE, Engine
from pgjobs_testing.executor import running
from pgjobs_testing.scenes import scene_of
from pgjobs_testing.settings import Settings, settings_with
from pgjobs_testing.stores import MemorySource, StoreSource
from pgjobs_testing.timeline import Timeline
from pgjobs_testing.trace import Trace


class Harness(Assertions):
    """The fixture ``jobs``. ``jobs["other"]`` stands for the application's instance of that name."""

    def __init__(self, capture: Capture, instance: str | None = None) -> None:
        self.__dict__.update(_OPTIONS)
        self._capture = capture
        self._instance = instance

    def __repr__(self) -> str:
        return f"<Harness mode={self._capture.mode} at {self.clock.now().isoformat()}>"

    def __getitem__(self, name: str) -> Harness:
        self._capture.engine(name)
        return Harness(self._capture, name)

    def runtime(self) -> Runtime:
        return self._capture.runtime(self._engine)

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

    def advance(self, span: float | timedelta, *, run: bool = True) -> Timeline:
        """Let ``span`` (seconds or a timedelta) pass, running everything that falls due, in order.

        Staging, retries and scheduled jobs happen at their own instants. Never raises for a job's
        failure. Returns what happened. With ``run=False`` only the clock moves.
        """
        return self.travel_to(later(self.clock.now(), duration(span, "advance")), run=run)

    def travel_to(self, target: datetime, *, run: bool = True) -> Timeline:
        """``advance`` to an instant, which may not lie in the past."""
        target = self._target(target)
        if running():
            raise BlockingCallError(
                "advance and travel_to would block the event loop that runs in this thread: "
                "await advance_async or travel_to_async instead"
            )
        if run:
            return self._timeline(self._engine.until(target))
        self.clock.set(target)
        return self._timeline(self._engine.recorder.trace(len(self._engine.recorder)))

    async def advance_async(self, span: float | timedelta, *, run: bool = True) -> Timeline:
        """``advance`` with async workers as tasks of the running loop."""
        target = later(self.clock.now(), duration(span, "advance"))
        return await self.travel_to_async(target, run=run)

    async def travel_to_async(self, target: datetime, *, run: bool = True) -> Timeline:
        """``travel_to`` with async workers as tasks of the running loop."""
        target = self._target(target)
        if run:
            return self._timeline(await self._engine.until_async(target))
        self.clock.set(target)
        return self._timeline(self._engine.recorder.trace(len(self._engine.recorder)))

    def mode(self, mode: str) -> AbstractContextManager[None]:
        """``with jobs.mode("inline"):`` another mode inside the block."""
        return self._capture.conditions.switched(mode)

    # Running

    def build_job(
        self,
        worker: Worker[..., Any] | str,
        args: Any = None,
        **given: Any,
    ) -> Job:
        """A job as a worker gets it (executing, attempt 1), checked as ``new`` does, not stored.

        Takes every option of ``new``, and ``attempt``, ``id``, ``errors``, ``inserted_at``.
        """
        return performing.built(performing.chosen(worker), args, given, self.clock.now())

    def perform_job(
        self,
        worker: Worker[..., Any] | str,
        args: Any = None,
        **given: Any,
    ) -> Any:
        """Run a worker once, in this thread; return what it returned, or raise what it raised.

        Checked are the args, by JSON and the worker's model, that the worker takes a job
        (``ConfigurationError``), its result (``InvalidResultError``), its time limit
        (``JobTimeoutError``: in virtual time for an ``async def`` worker, by the test's clock for
        another), that the job is left as it was, and that no task is left behind that the project's own
        code began or runs in (``WorkerContractError``). Nothing is stored.
        """
        chosen = performing.chosen(worker)
        return self._perform(chosen, performing.built(chosen, args, given, self.clock.now()))

    async def perform_job_async(
        self,
        worker: Worker[..., Any] | str,
        args: Any = None,
        **given: Any,
    ) -> Any:
        """``perform_job`` on the running loop."""
        chosen = performing.chosen(worker)
        job = performing.built(chosen, args, given, self.clock.now())
        return await self._perform_async(chosen, job)

    def assert_idempotent(
        self,
        worker: Worker[..., Any] | str,
        args: Any = None,
        *,
        observe: Callable[[], Any] | None = None,
        **given: Any,
    ) -> None:
        """A second run of the same job leaves what the first has left, and succeeds as well.

        Runs the worker twice, as ``perform_job`` does, the second time at the next attempt. Compared
        are the jobs in the store, and what ``observe()`` returns: plain values of all that the worker
        may change. Results are not compared, but a second run may not fail.
        """
        __tracebackhide__ = True
        chosen = performing.chosen(worker)
        job = performing.built(chosen, args, given, self.clock.now())
        second = idempotence.again(job)
        idempotence.check_observer(observe)
        idempotence.check_first(chosen, job, self._perform(chosen, job))
        first = idempotence.seen(observe and observe(), self.all_jobs())
        try:
            value = self._perform(chosen, second)
        except Exception as error:
            raise idempotence.raised_second(chosen, second, error) from error
        idempotence.check_second(chosen, second, value)
        then = idempotence.seen(observe and observe(), self.all_jobs())
        idempotence.compare(chosen, second, first, then)

    async def assert_idempotent_async(
        self,
        worker: Worker[..., Any] | str,
        args: Any = None,
        *,
        observe: Callable[[], Any] | None = None,
        **given: Any,
    ) -> None:
        """``assert_idempotent`` on the running loop; ``observe`` may be ``async def``."""
        __tracebackhide__ = True
        chosen = performing.chosen(worker)
        job = performing.built(chosen, args, given, self.clock.now())
        second = idempotence.again(job)
        idempotence.check_observer(observe)
        idempotence.check_first(chosen, job, await self._perform_async(chosen, job))
        first = await self._seen_async(observe)
        try:
            value = await self._perform_async(chosen, second)
        except Exception as error:
            raise idempotence.raised_second(chosen, second, error) from error
        idempotence.check_second(chosen, second, value)
        idempotence.compare(chosen, second, first, await self._seen_async(observe))

    async def _seen_async(self, observe: Callable[[], Any] | None) -> idempotence.Seen:
        value = observe and observe()
        if inspect.isawaitable(value):
            value = await value
        return idempotence.seen(value, await self.all_jobs_async())

    def _drain(self, runtime: Runtime, queue: str | None, *given: Any) -> Program:
        """For both drains; the application's own are as in production."""
        if isinstance(queue, str) and queue != DEFAULT_QUEUE:
            self._scene().refuse_misspelt(queue)
        return super()._drain(runtime, queue, *given)

    def _perform(self, worker: Worker[..., Any], job: Job) -> Any:
        engine = self._engine
        try:
            with engine.holding():
                return performing.perform(
                    worker, job, self._capture.conditions.loops_here(), self.clock
                )
        finally:
            engine.called()

    async def _perform_async(self, worker: Worker[..., Any], job: Job) -> Any:
        engine, loops = self._engine, self._capture.conditions.loops_here()
        try:
            with engine.holding():
                return await performing.perform_async(worker, job, loops, self.clock)
        finally:
            await engine.called_async()

    # Seeing

    @property
    def timeline(self) -> Timeline:
        """Everything that happened in this test; ``str(jobs.timeline)`` is the text of it."""
        return self._timeline(self._engine.recorder.trace())

    @property
    def started(self) -> bool:
        """Whether the application called ``start`` (which starts nothing under test)."""
        return self._engine.starts > 0

    def _timeline(self, trace: Trace) -> Timeline:
        return Timeline.showing(trace, self._engine.saw)

    def _scene(self) -> Scene:
        return scene_of(self._capture, self._engine)

    @property
    def _engine(self) -> Engine:
        return self._capture.engine(self._instance)

    def _target(self, target: datetime) -> datetime:
        target = instant(target, "travel_to")
        if target >= LAST_INSTANT:
            raise ConfigurationError(
                "advance takes a span that ends before the end of time, after which nothing could be "
                f"scheduled any more ({LAST_INSTANT.isoformat()})"
            )
        if target < self.clock.now():
            raise ConfigurationError(
                f"the clock shows {self.clock.now().isoformat()} and cannot go back to "
                f"{target.isoformat()}"
            )
        return target


def harness(*, source: StoreSource | None = None, **given: Any) -> _Block:
    """The fixture ``jobs`` as a context manager, for use under ``@given`` or without the plugin.

    Takes the options of the marker: ``mode queues plugins seed start jitter strict``. With ``strict``
    an ``AssertionError`` at the end of the block names the jobs that failed or were left over, and
    that nobody looked at. Another names the calls in the block that were not awaited.
    """
    return _Block(source, given)


class _Block(ContextDecorator):
    """A block with a harness: a class, since a test enters it as often as it runs."""

    def __init__(self, source: StoreSource | None, given: dict[str, Any]) -> None:
        self._source, self._given = source, given

    def __enter__(self) -> Harness:
        settings = session.settings() or _PLAIN
        if self._given:
            settings = settings_with(settings, self._given)
        if settings.mode == "live":
            raise ConfigurationError(
                "in mode live nothing is captured, so there is no harness: use the application's own "
                "PgJobs, or another mode"
            )
        source = self._source or session.source(settings.mode) or MemorySource()
        self._made = Capture(settings, source)
        captures.push(self._made)
        return Harness(self._made)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        made = self._made
        try:
            if kind is None:
                if made.forgotten:
                    raise AssertionError(forgotten.complaint(forgotten.taken(made)))
                if (complaint := strictness.complaint(made, "block")) is not None:
                    raise AssertionError(complaint)
        finally:
            captures.pop(made)
            session.block_ended(made)
            if made.forgotten:
                forgotten.ended(made)
            made.forgotten = None

    def _recreate_cm(self) -> _Block:
        """For each call of what it decorates, as ``contextlib`` asks for it."""
        return _Block(self._source, self._given)


_PLAIN = Settings()
"""Those of a harness where the plugin is not on."""
_LIKE = PgJobs(store=MemoryStore(), node=NODE)
_OPTIONS = vars(_LIKE)
"""The options that every harness has, checked once. It works on its engine's store, never on this one."""

forgotten.watch(Harness)
