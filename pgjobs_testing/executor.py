"""Where workers run under test: in the test's own thread and context, async ones in virtual time.

A sync worker takes no virtual time. An ``async def`` worker is a task on the test's loop (or, in a
test that has none, on a private one), and its sleeps and timeouts are timers of the virtual clock.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from pgjobs.adapters.executors import Here
from pgjobs.adapters.performing import (
    perform,
    perform_async,
    perform_within,
    perform_within_limit,
)
from pgjobs.engine.livelock import Watch
from pgjobs.ports import Finished, Run
from pgjobs.rules import outcome
from pgjobs.rules.errors import BlockingCallError, JobTimeoutError, LivelockError, PgJobsError
from pgjobs.rules.lifecycle import Event, Outcome
from pgjobs_testing import doing
from pgjobs_testing.clock import EPOCH, VirtualClock
from pgjobs_testing.virtual import private_loop
from pgjobs_testing.virtual.closing import closing_of
from pgjobs_testing.virtual.hooks import UnsupportedLoopError
from pgjobs_testing.virtual.jobs import adopt
from pgjobs_testing.virtual.loop import SLEEPS_OF_A_CLEANUP, OnePass, Rest, Settled, VirtualTime
from pgjobs_testing.virtual.private_loop import PrivateLoop
from pgjobs_testing.virtual.waits import Wait, described

T = TypeVar("T")

REMEDY = (
    "Let the worker come to an end or wait (schedule_in, Snooze), or run the jobs one by one with "
    "drain_queue(limit=)"
)
SLEEPS = 10_000
"""So often a job may sleep where its sleeps take no time; more of them come to no end."""
UNENDING = (
    "Let it come to an end, give the worker a time limit (timeout=), or let it sleep in virtual time: insert "
    "in mode manual, and advance"
)
ALONE = (
    "It runs to its end at once, as in a drain or an insert in mode inline, so only its own sleeps and "
    "I/O can bring that. Bring it before, give the worker a time limit (timeout=), or let it run beside "
    "what it waits for: insert in mode manual, and advance"
)
EXITS_OF_ONE_LOOP = 10
"""So often tasks may stop a call, or the closing of their loop, by ``SystemExit``; the next is raised."""
ENDING = (Event.COMPLETE, Event.DISCARD, Event.CANCEL)
"""Outcomes after which a job waits no more, whatever attempts it has left."""


class StuckWorkerError(PgJobsError, RuntimeError):
    """A worker waits for something that the test's virtual time cannot bring."""


class Loops:
    """The event loop of one harness: a private one where the test has none, and its virtual time."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._private: PrivateLoop | None = None
        self._attached: asyncio.AbstractEventLoop | None = None
        self._time: VirtualTime | None = None

    @property
    def time(self) -> VirtualTime:
        """The virtual time of async workers; made when the first one runs."""
        if self._time is None:
            self._time = VirtualTime(self.clock.monotonic)
        return self._time

    def run(self, coroutine: Coroutine[Any, Any, Any], call: str = "advance") -> Any:
        """Run a coroutine to its end on the private loop; refused inside a running one."""
        loop = self._outside(coroutine, call)
        context = contextvars.copy_context()
        task = loop.create_task(coroutine, context=context)
        try:
            result = _past_exits(loop, task)
        except (SystemExit, KeyboardInterrupt):
            _end_of(task, loop)
            raise
        adopt(context)
        return result

    def run_job(self, coroutine: Coroutine[Any, Any, T], name: str, call: str) -> T:
        """``to_end`` from outside, on the private loop: one pass of it for a job that waits for nothing."""
        self._lend(self._outside(coroutine, call))
        time = self.time
        context = contextvars.copy_context()
        task = time.spawn(coroutine, name=name, context=context)
        try:
            ended = time.in_one_pass(task)
        except SystemExit:  # of a task that the job began: the loop goes on below
            ended = False
        if not ended:
            return cast(T, self.run(self._settle(task, context), call))
        adopt(context)
        return task.result()

    def _outside(self, coroutine: Coroutine[Any, Any, Any], call: str) -> asyncio.AbstractEventLoop:
        """The private loop; refused inside a running one."""
        if running():
            coroutine.close()
            raise BlockingCallError(
                f"{call} would run async workers, and an event loop runs in this thread: "
                f"await {call}_async instead"
            )
        if self._private is None:
            self._private = private_loop.take(self.clock.monotonic)
        return self._private.loop

    async def attach(self) -> VirtualTime:
        """Virtual time on the running loop; ``UnsupportedLoopError`` where asyncio runs none."""
        if not running():
            raise UnsupportedLoopError(
                "async workers run on an asyncio loop, and this async test has none: it runs on "
                "another library, such as trio by anyio's backend. Let the fixture anyio_backend "
                'return "asyncio" for it'
            )
        loop = asyncio.get_running_loop()
        if loop is not self._attached and (closing := closing_of(loop)) is not None:
            while closing.awaited():  # what another test has left ends first
                await OnePass()
        self._lend(loop)
        return self.time

    def _lend(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give ``loop`` the virtual time, in the place of another that had it."""
        if self._attached is loop:
            return
        self._leave()
        private = self._private
        if private is not None and private.loop is loop:
            self._time = private.time
        else:
            self.time.attach(loop)
        self._attached = loop

    def _leave(self) -> None:
        """Let no loop have the virtual time, and end the jobs that are left in it."""
        attached, self._attached = self._attached, None
        if attached is None:
            return
        time, self._time = self.time, None
        if self._private is not None and attached is self._private.loop:
            time.forget()
        elif attached.is_closed() or not time.left_jobs():
            time.detach()
        elif attached.is_running() or running():
            time.begin_to_leave()
        else:
            _through_exits(attached, time.leave)

    def watch(self) -> None:
        """Jobs are left on the loop: their time passes by itself when it is closed."""
        if self._private is None or self._attached is not self._private.loop:
            self.time.watch()

    async def to_end(self, coroutine: Coroutine[Any, Any, T], name: str | None = None) -> T:
        """Run a job to its end while the engine's clock stands still; its own sleeps cost nothing.

        Time stands still for other jobs on the loop, too. ``StuckWorkerError`` when it waits for
        what its sleeps do not bring, ``LivelockError`` when they do not end.
        """
        time = await self.attach()
        context = contextvars.copy_context()
        try:
            return await self._settle(time.spawn(coroutine, name=name, context=context), context)
        finally:
            self.watch()

    async def _settle(self, task: asyncio.Task[T], context: contextvars.Context) -> T:
        time = self.time
        try:
            for _ in range(SLEEPS):
                settled = await time.settle(task)
                if task.done():
                    adopt(context)
                    return task.result()
                if settled.rest is not Rest.TIMERS or not time.ahead(task):
                    raise stuck(settled, *() if settled.rest is Rest.OVERDUE else (ALONE,))
            where = "\n".join(described({task: Wait.VIRTUAL}, Wait.VIRTUAL))
            raise LivelockError(
                f"{task.get_name()} slept {SLEEPS} times without an end:\n{where}\n{UNENDING}"
            )
        finally:
            if not task.done():
                task.cancel()
                for _ in range(SLEEPS_OF_A_CLEANUP):
                    await time.settle(task)
                    if task.done() or not time.ahead(task):
                        break

    def close(self) -> None:
        """Cancel what still runs on the private loop, and leave or close it, whatever loop runs here."""
        private = self._private
        lent = private is not None and self._attached is private.loop
        if lent:
            self._attached = self._time = None
        else:
            self._leave()
        self._private = None
        if private is None:
            return
        if running():  # a thread runs one loop at a time
            with ThreadPoolExecutor(1, "pgjobs-close") as elsewhere:
                elsewhere.submit(self._end, private, lent).result()
        else:
            self._end(private, lent)

    def _end(self, private: PrivateLoop, lent: bool) -> None:
        loop, time = private.loop, private.time
        if lent and time.idle:
            time.forget()
            lent = False
        if not lent and private_loop.give_back(private):
            return
        try:
            if lent:
                _through_exits(loop, time.close)
            time.detach()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            time.detach()
            loop.close()


def _past_exits(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> T:
    """The result of a task, past exits of others, at which asyncio stops the loop: as in a live node, who
    awaits one gets its exit, and the rest goes on."""
    for _ in range(EXITS_OF_ONE_LOOP):
        try:
            return loop.run_until_complete(task)
        except SystemExit:
            if task.done():
                raise
    return loop.run_until_complete(task)


def _end_of(task: asyncio.Task[Any], loop: asyncio.AbstractEventLoop) -> None:
    """Cancel a task, and let it end, beside which another has exited."""

    async def ended() -> None:
        task.cancel()
        await asyncio.wait((task,))

    if not task.done():
        _through_exits(loop, ended)


def _through_exits(
    loop: asyncio.AbstractEventLoop, wind_up: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    """Run ``wind_up`` anew as often as a task that it cancels answers with an exit, which stops the loop.

    What exits once more after so many is let go: the loop is closed over it.
    """
    for _ in range(EXITS_OF_ONE_LOOP):
        last = loop.create_task(wind_up())
        with suppress(SystemExit):
            loop.run_until_complete(last)
            return
        last.cancel()  # its turn comes when the loop runs again, or never
    with suppress(SystemExit):
        loop.run_until_complete(asyncio.sleep(0))  # noqa: TID251 - one pass of the loop


class VirtualHere(Here):
    """Drains under test: async workers run in virtual time, and ``holding`` what they insert.

    ``recorder`` is that of the runs' database, where there are several.
    """

    def __init__(
        self,
        loops: Loops,
        holding: Callable[[], AbstractContextManager[None]],
        recorder: object = None,
    ) -> None:
        self._loops, self._holding, self._recorder = loops, holding, recorder
        self.last: Run | None = None

    def perform(self, run: Run) -> Outcome:
        self.last = run
        with self._holding(), doing.run_of(run.job.id, self._recorder):
            return super().perform(run)

    async def perform_async(self, run: Run) -> Outcome:
        self.last = run
        with self._holding(), doing.run_of(run.job.id, self._recorder):
            return await super().perform_async(run)

    def call(self, run: Run) -> Outcome:
        assert run.worker is not None
        try:
            limit = run.worker.timeout_of(run.job)
        except Exception as error:  # the worker's own timeout(job) raised
            return outcome.raised(error)
        return called(run, limit, self._loops.clock)

    def run(self, run: Run) -> Outcome:
        try:
            return self._loops.run_job(perform_within_limit(run), _name(run), "drain_queue")
        except (StuckWorkerError, LivelockError) as error:
            return outcome.raised(error.with_traceback(None))

    async def run_async(self, run: Run) -> Outcome:
        try:
            return await self._loops.to_end(perform_within_limit(run), _name(run))
        except (StuckWorkerError, LivelockError) as error:
            return outcome.raised(error.with_traceback(None))

    @staticmethod
    def passing_on_interrupts(ended: Outcome) -> Outcome:
        if ended.exception is not None:
            passing_on(ended)
        return ended


class InlineExecutor:
    """Runs claimed jobs when the flow gives it a turn.

    An async run goes on with the clock, and its time limit is the engine's; within ``at_once`` it is
    run to its end at this instant, as in a drain. ``waiting`` counts the jobs that are available, and
    those of them that will start at this instant, given how many runs of each queue are asleep;
    ``recorder`` is that of the runs' database, where there are several.
    """

    def __init__(
        self,
        clock: VirtualClock,
        loops: Loops,
        waiting: Callable[[Mapping[str, int]], tuple[int, int]],
        recorder: object = None,
    ) -> None:
        self._clock, self._loops, self._available = clock, loops, waiting
        self._recorder = recorder
        self._waiting: deque[Run] = deque()
        self._finished: list[Finished] = []
        self._tasks: dict[Run, asyncio.Task[None]] = {}
        self._told = self._unsettled = False
        self._watch: tuple[datetime, Watch] | None = None
        self._endless: Exception | None = None
        self._at_once: tuple[Loops, Callable[[Run], None]] | None = None

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

    def count_anew(self) -> None:
        """What ran so far is no part of what is endless: the test itself called again."""
        self._watch = None

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
            with doing.run_of(run.job.id, self._recorder):
                ended = called(run, run.limit, self._clock)
            self._end(run, ended)
            passing_on(ended)
            ran = True
        return ran

    @property
    def wants_loop(self) -> bool:
        if self._told or self._unsettled:
            return True
        if self._waiting and self._is_async(self._waiting[0]):
            return True
        due = self.next_due()
        return due is not None and due <= self._clock.now()

    async def turn_async(self) -> None:
        """Let async runs go on as far as they can at this instant."""
        if self._at_once and self._waiting and self._is_async(self._waiting[0]):
            await self._run_to_end(*self._at_once)
            return
        time = await self._loops.attach()
        self._told = False
        context: contextvars.Context | None = None
        if self._waiting and self._is_async(self._waiting[0]):
            run = self._next()
            context = contextvars.copy_context()
            self._tasks[run] = time.spawn(self._perform(run), name=_name(run), context=context)
        before = len(self._finished)
        time.fire()
        self._unsettled = True  # stays, where a test's own time limit ends this call
        try:
            settled = await time.settle()
        finally:
            self._loops.watch()
        self._unsettled = False
        if context is not None:
            adopt(context)
        for each in self._finished[before:]:
            passing_on(each.outcome)
        if settled.rest is Rest.OVERDUE:
            raise stuck(settled)

    @contextmanager
    def at_once(self, loops: Loops, give_back: Callable[[Run], None]) -> Iterator[None]:
        """Async runs that begin in the block go to their end, on the loop of the caller's thread.

        ``give_back`` gets one whose caller is cancelled. At its end the block raises the first error
        of those that came to no end.
        """
        self._endless, self._at_once = None, (loops, give_back)
        try:
            yield
        finally:
            self._at_once = None
        if self._endless is not None:
            raise self._endless

    async def _run_to_end(self, loops: Loops, give_back: Callable[[Run], None]) -> None:
        await loops.attach()  # where that is refused, the run stays
        run = self._next()

        async def perform() -> Outcome:
            doing.in_this_task(run.job.id, self._recorder)
            return await perform_within(run, run.limit)

        try:
            ended = await loops.to_end(perform(), _name(run))
        except (StuckWorkerError, LivelockError) as error:
            self._endless = self._endless or error
            ended = outcome.raised(error.with_traceback(None))
        except BaseException:  # what the worker raises is an outcome: its caller is cancelled
            run.told = True
            give_back(run)
            self._end(run, outcome.failed(asyncio.CancelledError()))
            raise
        self._end(run, ended)
        passing_on(ended)

    async def _perform(self, run: Run) -> None:
        doing.in_this_task(run.job.id, self._recorder)
        ended = await perform_async(run)
        del self._tasks[run]
        self._end(run, ended)

    def _end(self, run: Run, ended: Outcome) -> None:
        self._finished.append(Finished(run, ended, self._clock.monotonic()))
        if self._watch is not None and ended.event in ENDING:
            self._watch[1].gone(run.job)

    def _next(self) -> Run:
        """The next run; it stays where jobs run at this instant to no end."""
        run, now = self._waiting[0], self._clock.now()
        if self._watch is None or self._watch[0] != now:
            self._watch = now, Watch(f"at {now.isoformat()}", REMEDY)
        watch = self._watch[1]
        if watch.asks:
            every, starting = self._available(Counter(run.queue for run in self._tasks))
            others = len(self._waiting) - 1
            watch.counted(every + others, starting + others)
        try:
            watch.running(run.job)
        except LivelockError:
            self._watch = None  # the next call of the test begins to count anew
            raise
        return self._waiting.popleft()

    @staticmethod
    def _is_async(run: Run) -> bool:
        return run.worker is not None and run.worker.is_async


def called(run: Run, limit: timedelta | None, clock: VirtualClock) -> Outcome:
    """The outcome of a ``def`` worker, which takes as long as it moves the clock that the test has frozen.

    Past its limit a node has settled it already, whatever it came to; what is meant for the test passes.
    """
    if limit is None:
        return perform(run)
    began = clock.now()
    ended = perform(run)
    took = clock.now() - began
    if took <= limit or for_the_test(ended.exception):
        return ended
    return outcome.failed(
        JobTimeoutError(f"the run took {took}, longer than its time limit of {limit}")
    )


def _name(run: Run) -> str:
    """The name of a run's task."""
    return f"job {run.job.id} of {run.job.worker}"


def running() -> bool:
    """Whether an event loop runs in this thread."""
    return asyncio._get_running_loop() is not None  # the other raises where none does, and is slow


def passing_on(ended: Outcome) -> None:
    """Raise what a worker raised to end the test."""
    if (error := ended.exception) is not None and for_the_test(error):
        raise error


def for_the_test(error: BaseException | None) -> bool:
    """Whether it ends the test: an interrupt, or one of pytest's own outcomes."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or ends_a_test(error))


def ends_a_test(error: BaseException) -> bool:
    """Whether it is one of pytest's own outcomes."""
    kinds = type(error).__mro__  # pytest.fail's own kind says that it is a builtin
    return any(kind.__module__.startswith("_pytest.") for kind in kinds)


def stuck(settled: Settled, *remedy: str) -> StuckWorkerError:
    """The error for async workers beside which virtual time cannot move."""
    lines = (f"async workers: {settled.rest.value}", *settled.blocked, *remedy)
    return StuckWorkerError("\n".join(lines))
