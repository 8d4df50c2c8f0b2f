"""Decides when the time that async jobs see may move, on a loop whose other users keep real time.

A job under a test's clock awaits ``asyncio.sleep(30)``, a query, a thread, another job. The clock
may jump to the next timer only when no job can go on by itself and nothing outside works for one:

- ``call_at`` and ``time`` of the loop (and so ``call_later``) are replaced for callers whose
  context carries a job. Their timers stand in a heap of our own; the test's own sleeps stay real.
- A job is *ready* while a callback whose context carries it stands in the loop's queue.
- Else each of its tasks waits, in one of three ways. VIRTUAL: for a virtual sleep, or for tasks of
  jobs (gather, task group, lock), which are judged themselves. REAL: for a thread or a real sleep.
  OPEN: for a future that anybody may resolve. asyncio cannot tell a socket's from an Event's:
  an OPEN wait counts as real I/O while the loop watches a file descriptor, an executor call is in
  flight, a thread that jobs started lives, or an older thread holds the very future (`threads`);
  otherwise as a wait for another job.
- Real I/O is awaited on the loop's own selector, by no timer and no clock: freezegun does no harm.

It errs on one side: time never jumps over a job's I/O, but may refuse to jump beside an idle
connection, and says so. Tasks that outlive their job keep virtual time; nothing waits for them.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
import threading
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pgjobs_testing.authors import Place, beginning
from pgjobs_testing.virtual.closing import closing_of, closing_on, refuse
from pgjobs_testing.virtual.hooks import check_loop, hooked, unhook
from pgjobs_testing.virtual.jobs import RUN, Run, Task
from pgjobs_testing.virtual.timers import Timers
from pgjobs_testing.virtual.waits import Future, Wait, described, waiter
from pgjobs_testing.virtual.work import Work

T = TypeVar("T")

_NAP_S = 0.005  # one blocking look at the selector: how late a real timer of the test may be
_PASSES_FOR_OTHERS = 50  # granted to ready callbacks of no live job, which may lead to one
_CLOSE_ROUNDS = 3  # each cancels what is left, and lets the time pass that a `finally` sleeps
SLEEPS_OF_A_CLEANUP = 100
"""So often a job may sleep that was cancelled, as it came to no end or was left over."""


class Rest(enum.Enum):
    """Why `settle` came to rest."""

    DONE = "every job has ended"
    TIMERS = "what is left waits for virtual time: it may move to next_timer()"
    STUCK = "what is left waits for what only new work or a cancel can bring"
    OVERDUE = "real I/O is pending, or a job never pauses, beyond the bound: time must not move"


@dataclass(frozen=True, slots=True)
class Settled:
    """What `settle` came to. `blocked`: a line for each task that no timer wakes (STUCK: for each
    task), and when OVERDUE one for each thing outside the loop that may be at work."""

    rest: Rest
    blocked: tuple[str, ...] = ()


class OnePass:
    """To be awaited for one pass of the loop."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class VirtualTime:
    """Virtual time for the jobs of one loop. Its user owns the clock, moves it, and takes turns:
    `settle`; on TIMERS set the clock to `next_timer`, `fire`, again. One thread, the loop's.
    Or it lets one job alone run `ahead` of the clock, while the timers of the others stand.

    `now` gives virtual seconds; timers stand at whole microseconds. `patience_s` bounds the real
    time one `settle` waits while no job moves on, `max_passes` its passes of the loop.
    """

    def __init__(
        self, now: Callable[[], float], *, patience_s: float = 5.0, max_passes: int = 500_000
    ) -> None:
        self._now, self._patience_s, self._max_passes = now, patience_s, max_passes
        self._era = object()  # of the jobs that are this time's own, until they are forgotten
        self._loop: Any = None  # Any: parts are read that its type does not show
        self._real: dict[str, Callable[..., Any]] = {}
        self._timers = Timers()
        self._work = Work()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Replace the loop's timers for jobs. Raises `UnsupportedLoopError` for a loop that is not
        asyncio's selector event loop, or whose timers are replaced already."""
        if self._loop is not None:
            raise RuntimeError("attached to a loop already: detach() first")
        check_loop(loop)
        self._loop = loop
        self._real = hooked(
            loop, self._call_at, self._time, self._create_task, self._run_in_executor
        )

    def detach(self) -> None:
        """Give the loop its timers back and forget the virtual ones; a second call does nothing."""
        if self._loop is None:
            return
        unhook(self._loop)
        closing = closing_of(self._loop)
        if closing is not None and closing.time is self:
            closing.time = None
            closing.end()
        self._loop, self._real = None, {}
        self.forget()

    def forget(self) -> None:
        """Forget every timer and every job: what one of them left somewhere has real time from now on."""
        self._era = object()
        self._timers.clear()
        self._work.clear()

    def follow(self, now: Callable[[], float]) -> None:
        """Go by another clock from now on, with no job of the one before left."""
        self._now = now

    async def close(self) -> tuple[str, ...]:
        """Cancel every task of every job, three times at most, let their time pass, and detach; the names
        of those that refused to end. Does nothing when detached."""
        if self._loop is None:
            return ()
        refused = await self._end(self._to_the_last())
        self.detach()
        return tuple(task.get_name() for task in refused)

    async def leave(self) -> None:
        """`close` where others stay on the loop: for jobs that have not ended. What has outlived its job,
        a pool, say, is not cancelled. Those that refused to end are named when the loop is closed."""
        await self._leave({})

    def begin_to_leave(self) -> None:
        """`leave` on a loop that runs, or that nobody can run now: as soon as it rests."""
        before = {task: task.cancelling() for task in self.left_jobs()}
        closing_on(self._loop).begin(lambda: self._leave(before))
        self._loop.call_soon_threadsafe(_nothing)

    async def _leave(self, before: Mapping[Task, int]) -> None:
        for task in self.left_jobs():
            if task.cancelling() <= before.get(
                task, task.cancelling()
            ):  # else its loop's end came first
                task.cancel()
        loop, refused = self._loop, await self._end(self.left_jobs, cancelled=True)
        self.detach()
        refuse(loop, refused)

    async def pass_by(self) -> None:
        """Let time pass by itself for every task of every job, which are cancelled only if they come to
        no end so; those that refused to end are named then."""
        refuse(self._loop, await self._end(self._to_the_last(), cancelled=True))

    def watch(self) -> None:
        """Let time pass by itself when the loop is closed over what is left."""
        if self._loop is not None and self._work.tasks:
            closing_on(self._loop).time = self

    def left(self) -> list[Task]:
        """The tasks of jobs that are not done."""
        self._work.forget_done()
        return list(self._work.tasks)

    def left_jobs(self) -> list[Task]:
        """The jobs' own tasks that are not done."""
        return [task for task in self.left() if self._work.tasks[task].task is task]

    @property
    def sleeping(self) -> Collection[Future]:
        """What virtual sleeps wait for."""
        return self._work.sleeping

    def _to_the_last(self) -> Callable[[], list[Task]]:
        for task in self.left():
            self._work.tasks[task].to_the_last = True
        return self.left

    async def _end(self, left: Callable[[], list[Task]], *, cancelled: bool = False) -> list[Task]:
        """Let the time pass of what is ``left``, cancelled before or else here; what does not end."""
        own, passed_s = self._now, self._now()
        self._now = lambda: passed_s
        try:
            for _ in range(_CLOSE_ROUNDS):
                if not cancelled:
                    for task in left():
                        task.cancel()
                cancelled = False
                for _ in range(1 + SLEEPS_OF_A_CLEANUP * len(left())):
                    rest = (await self.settle()).rest
                    due = self.next_timer()
                    if not left() or due is None or rest is Rest.OVERDUE:
                        break
                    passed_s = max(passed_s, due)
                    self.fire()
                if not left():
                    break
            return left()
        finally:
            self._now = own

    @property
    def idle(self) -> bool:
        """Whether there is nothing that `close` would end or wait for."""
        if self._work.tasks:
            self._work.forget_done()
        return not (self._work.tasks or self._work.calls or self._loop._ready)

    def left_by(self, task: Task | None) -> list[tuple[Task, Place | None]]:
        """The tasks of the job whose own task this is that are neither done nor cancelled, itself left
        out, and where they were begun."""
        return [
            (each, self._work.beginnings.get(each))
            for each, run in self._work.tasks.items()
            if run.task is task and each is not task and not (each.done() or each.cancelling())
        ]

    def spawn(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        """Start a job's coroutine in a context of its own (default: a copy of the caller's)."""
        assert self._loop is not None, "attach() comes before spawn()"
        context = contextvars.copy_context() if context is None else context
        run = Run(self._era)
        context.run(RUN.set, run)
        task: asyncio.Task[T] = self._real["create_task"](coro, name=name, context=context)
        self._work.begun(task, run)
        run.task = task
        return task

    def next_timer(self, task: Task | None = None) -> float | None:
        """The virtual second of the earliest timer, or of the earliest of the job whose own task is
        given, which may be past; None without any."""
        return self._timers.next(task)

    def fire(self) -> int:
        """Make ready every timer due at `now()`, in order of instant, then of registration; how
        many. They run in `settle`. For each job to see its own instant, stop at `next_timer`."""
        return self._timers.fire(self._now(), None, self._loop._ready.append)

    def ahead(self, task: Task) -> bool:
        """Move the time of one job, whose own task this is, to its next timer, and make ready what
        is due there; whether there was one. The time that others see stays, and their timers do."""
        due = self.next_timer(task)
        if due is None:
            return False
        run = self._work.tasks[task]
        run.ahead_s = max(run.ahead_s, due - self._now())
        self._timers.fire(self._now() + run.ahead_s, task, self._loop._ready.append)
        return True

    async def settle(self, task: Task | None = None) -> Settled:
        """Run the loop until no job, or not the one whose own task is given, can go on in real time,
        or a bound is hit: never raises for a job's failure. Called on the loop, outside any job."""
        if RUN.get() is not None:
            raise RuntimeError("a job cannot move the clock that it runs under: do so in the test")
        before = threading.enumerate()
        silence_s, for_others, seen = 0.0, 0, list[Future | None]()
        for _ in range(self._max_passes):
            ready, others = self._ready()
            if not ready and (not others or for_others >= _PASSES_FOR_OTHERS):
                self._work.note_threads(before)
                waits = self._work.waits(task)
                real = self._work.is_real(waits, task, self._loop)
                if not (real or self._work.is_held(waits)):
                    return self._at_rest(waits, task)
                if (found := [waiter(each) for each in waits]) != seen:  # futures equal themselves
                    silence_s, seen = 0.0, found
                if silence_s >= self._patience_s:
                    break
                events = self._loop._selector.select(0 if others and real else _NAP_S)
                silence_s += _NAP_S / 10 if events else _NAP_S
            elif not ready:
                for_others += 1
            await OnePass()
        waits = self._work.waits(task)
        return Settled(
            Rest.OVERDUE,
            (
                *described(waits, Wait.OPEN),
                *self._work.sources(self._loop),
                *self._work.holders(waits),
            ),
        )

    def in_one_pass(self, task: Task) -> bool:
        """One pass of the loop, which does not run yet; whether the job whose own task is given has
        ended in it, and left the loop nothing to do. Otherwise `settle` goes on."""
        before = threading.enumerate()
        self._loop.stop()
        self._loop.run_forever()
        self._work.note_threads(before)
        if not task.done():
            return False
        self._work.ended(task)
        return not self._loop._ready

    def _at_rest(self, waits: dict[Task, Wait], task: Task | None) -> Settled:
        if not waits:
            return Settled(Rest.DONE)
        if self.next_timer(task) is not None:
            return Settled(Rest.TIMERS, described(waits, Wait.OPEN))
        return Settled(Rest.STUCK, (*described(waits, Wait.VIRTUAL), *self._work.strangers(waits)))

    def _ready(self) -> tuple[bool, bool]:
        """Whether the loop's queue holds a callback of a live job, and one of anybody else."""
        others = False
        for handle in self._loop._ready:
            run = handle._context.get(RUN)
            if run is not None and run.live and not handle.cancelled():
                return True, others
            others = True
        return False, others

    # What the loop gets in place of its own.

    def _in_job(self, context: contextvars.Context | None = None) -> Run | None:
        run = RUN.get() if context is None else context.get(RUN)
        return run if run is not None and run.era is self._era else None

    def _time(self) -> float:
        run = self._in_job()
        return self._seen_by(run) if run is not None else float(self._real["time"]())

    def _seen_by(self, run: Run) -> float:
        """The virtual second that a job sees; what outlives it is back with the clock."""
        return self._now() + (run.ahead_s if run.live else 0.0)

    def _call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        run = self._in_job()
        if run is None:
            real: asyncio.TimerHandle = self._real["call_at"](
                when, callback, *args, context=context
            )
            return real
        timer = asyncio.TimerHandle(when, callback, args, self._loop, context)
        if callback is asyncio.futures._set_result_unless_cancelled:  # type: ignore[attr-defined]  # private; sleep's
            self._work.sleeping.add(args[0])
        self._timers.add(when, self._seen_by(run), timer, run)
        return timer

    def _create_task(self, coro: Any, **options: Any) -> Task:
        task: Task = self._real["create_task"](coro, **options)
        run = self._in_job(options.get("context"))
        if run is not None and not task.done():
            self._work.begun(task, run)
            if (place := beginning()) is not None:
                self._work.beginnings[task] = place
        return task

    def _run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Future:
        future: Future = self._real["run_in_executor"](executor, func, *args)
        self._work.called(future, self._in_job())
        return future


def _nothing() -> None:
    """Wake a loop."""
