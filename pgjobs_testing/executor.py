"""Where workers run under test: in the test's own thread and context, async ones in virtual time.

A sync worker takes no virtual time. An ``async def`` worker is a task on the test's loop (or, in a
test that has none, on a private one), and its sleeps and timeouts are timers of the virtual clock.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from pgjobs.adapters.executors import Here, perform, perform_async, perform_within_limit
from pgjobs.engine.livelock import Watch
from pgjobs.ports import Finished, Run
from pgjobs.rules.errors import BlockingCallError, LivelockError, PgJobsError
from pgjobs.rules.lifecycle import Outcome
from pgjobs_testing import doing
from pgjobs_testing.clock import EPOCH, VirtualClock
from pgjobs_testing.virtual_loop import Rest, Settled, UnsupportedLoopError, VirtualTime, adopt

T = TypeVar("T")

REMEDY = (
    "Let the worker come to an end or wait (schedule_in, Snooze), or run the jobs one by one with "
    "drain_queue(limit=)"
)
TIMERS_OF_ONE_DRAIN = 100_000


class StuckWorkerError(PgJobsError, RuntimeError):
    """A worker waits for something that the test's virtual time cannot bring."""


class Loops:
    """The event loop of one harness: a private one where the test has none, and its virtual time."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._ahead_s = 0.0
        self._private: asyncio.AbstractEventLoop | None = None
        self._attached: asyncio.AbstractEventLoop | None = None

    @cached_property
    def time(self) -> VirtualTime:
        """The virtual time of async workers; made when the first one runs."""
        return VirtualTime(lambda: self._clock.seconds + self._ahead_s)

    def run(self, coroutine: Coroutine[Any, Any, Any], call: str = "advance") -> Any:
        """Run a coroutine to its end on the private loop; refused inside a running one."""
        if running():
            coroutine.close()
            raise BlockingCallError(
                f"{call} would run async workers, and an event loop runs in this thread: "
                f"await {call}_async instead"
            )
        if self._private is None:
            self._private = asyncio.SelectorEventLoop()
        context = contextvars.copy_context()
        result = self._private.run_until_complete(
            self._private.create_task(coroutine, context=context)
        )
        adopt(context)
        return result

    async def attach(self) -> VirtualTime:
        """Virtual time on the running loop; ``UnsupportedLoopError`` where asyncio runs none."""
        if not running():
            raise UnsupportedLoopError(
                "async workers run on an asyncio loop, and this async test has none: it runs on "
                "another library, such as trio by anyio's backend. Let the fixture anyio_backend "
                'return "asyncio" for it'
            )
        loop = asyncio.get_running_loop()
        if self._attached is not loop:
            if self._attached is not None:
                self.time.detach()
            self.time.attach(loop)
            self._attached = loop
        return self.time

    async def to_end(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a job to its end while the engine's clock stands still; its own sleeps cost nothing."""
        time = await self.attach()
        context = contextvars.copy_context()
        task = time.spawn(coroutine, context=context)
        try:
            for _ in range(TIMERS_OF_ONE_DRAIN):
                settled = await time.settle()
                if task.done():
                    adopt(context)
                    return task.result()
                due = time.next_timer()
                if settled.rest is not Rest.TIMERS or due is None:
                    raise stuck(settled)
                self._ahead_s = due - self._clock.seconds
                time.fire()
            raise LivelockError(f"a job slept {TIMERS_OF_ONE_DRAIN} times without an end")
        finally:
            self._ahead_s = 0.0
            if not task.done():
                task.cancel()
                await time.settle()

    def close(self) -> None:
        """Cancel what still runs on the private loop, and close it."""
        if self._private is not None:
            if self._attached is self._private:
                self._private.run_until_complete(self.time.close())
            self._private.run_until_complete(self._private.shutdown_asyncgens())
            self._private.close()
            self._private = self._attached = None
        elif self._attached is not None:
            self.time.detach()
            self._attached = None


class VirtualHere(Here):
    """Drains under test: async workers run in virtual time, and ``holding`` what they insert."""

    def __init__(self, loops: Loops, holding: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._loops, self._holding = loops, holding
        self.last: Run | None = None

    def perform(self, run: Run) -> Outcome:
        self.last = run
        with self._holding(), doing.run_of(run.job.id):
            return super().perform(run)

    async def perform_async(self, run: Run) -> Outcome:
        self.last = run
        with self._holding(), doing.run_of(run.job.id):
            return await super().perform_async(run)

    def run(self, coroutine: Coroutine[Any, Any, Outcome]) -> Outcome:
        ended: Outcome = self._loops.run(coroutine, "drain_queue")
        return ended

    async def limited(self, run: Run) -> Outcome:
        return await self._loops.to_end(perform_within_limit(run))

    @staticmethod
    def passing_on_interrupts(ended: Outcome) -> Outcome:
        passing_on(ended)
        return ended


class InlineExecutor:
    """Runs claimed jobs when the flow gives it a turn. Time limits are the engine's.

    ``waiting`` counts the jobs that could be claimed now.
    """

    def __init__(self, clock: VirtualClock, loops: Loops, waiting: Callable[[], int]) -> None:
        self._clock, self._loops, self._available = clock, loops, waiting
        self._waiting: deque[Run] = deque()
        self._finished: list[Finished] = []
        self._tasks: dict[Run, asyncio.Task[None]] = {}
        self._told = False
        self._watch: tuple[datetime, Watch] | None = None

    def start(self, runs: list[Run]) -> None:
        self._waiting.extend(runs)

    def tell(self, run: Run) -> None:
        if (task := self._tasks.get(run)) is not None:
            task.cancel()
            self._told = True

    def collect(self) -> list[Finished]:
        found, self._finished = self._finished, []
        return found

    def close(self) -> None:
        """Nothing runs on by itself."""

    @property
    def pending(self) -> bool:
        return bool(self._finished)

    def next_due(self) -> datetime | None:
        if not self._tasks:
            return None
        due = self._loops.time.next_timer()
        return None if due is None else EPOCH + timedelta(microseconds=round(due * 1e6))

    def turn(self, now: datetime) -> bool:
        ran = False
        while self._waiting and not self._is_async(self._waiting[0]):
            run = self._next()
            with doing.run_of(run.job.id):
                ended = perform(run)
            self._end(run, ended)
            passing_on(ended)
            ran = True
        return ran

    @property
    def wants_loop(self) -> bool:
        if self._told or (self._waiting and self._is_async(self._waiting[0])):
            return True
        due = self.next_due()
        return due is not None and due <= self._clock.now()

    async def turn_async(self) -> None:
        """Let async runs go on as far as they can at this instant."""
        time = await self._loops.attach()
        self._told = False
        context: contextvars.Context | None = None
        if self._waiting and self._is_async(self._waiting[0]):
            run = self._next()
            context = contextvars.copy_context()
            self._tasks[run] = time.spawn(self._perform(run), context=context)
        before = len(self._finished)
        time.fire()
        settled = await time.settle()
        if context is not None:
            adopt(context)
        for each in self._finished[before:]:
            passing_on(each.outcome)
        if settled.rest is Rest.OVERDUE:
            raise stuck(settled)

    async def _perform(self, run: Run) -> None:
        doing.in_this_task(run.job.id)
        ended = await perform_async(run)
        del self._tasks[run]
        self._end(run, ended)

    def _end(self, run: Run, ended: Outcome) -> None:
        self._finished.append(Finished(run, ended, self._clock.monotonic()))

    def _next(self) -> Run:
        """The next run; it stays where jobs run at this instant to no end."""
        run, now = self._waiting[0], self._clock.now()
        if self._watch is None or self._watch[0] != now:
            self._watch = now, Watch(f"at {now.isoformat()}", REMEDY)
        watch = self._watch[1]
        if watch.asks:
            watch.counted(self._available() + len(self._waiting) - 1)
        try:
            watch.running(run.job)
        except LivelockError:
            self._watch = None  # the next call of the test begins to count anew
            raise
        return self._waiting.popleft()

    @staticmethod
    def _is_async(run: Run) -> bool:
        return run.worker is not None and run.worker.is_async


def running() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def passing_on(ended: Outcome) -> None:
    """Raise what a worker raised to end the test: an interrupt, or pytest's own outcomes."""
    error = ended.exception
    if isinstance(error, KeyboardInterrupt) or (error is not None and ends_a_test(error)):
        raise error


def ends_a_test(error: BaseException) -> bool:
    """Whether it is one of pytest's own outcomes."""
    kinds = type(error).__mro__  # pytest.fail's own kind says that it is a builtin
    return any(kind.__module__.startswith("_pytest.") for kind in kinds)


def stuck(settled: Settled) -> StuckWorkerError:
    """The error for async workers beside which virtual time cannot move."""
    return StuckWorkerError("\n".join((f"async workers: {settled.rest.value}", *settled.blocked)))
