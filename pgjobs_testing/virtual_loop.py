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
  flight, or a thread that jobs started lives; otherwise as a wait for another job.
- Real I/O is awaited on the loop's own selector, by no timer and no clock: freezegun does no harm.

It errs on one side: time never jumps over a job's I/O, but may refuse to jump beside an idle
connection, and says so. Tasks that outlive their job keep virtual time; nothing waits for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
import heapq
import itertools
import math
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import thread as thread_pools
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
_Future = asyncio.Future[Any]
_Task = asyncio.Task[Any]

_NAP_S = 0.005  # one blocking look at the selector: how late a real timer of the test may be
_PASSES_FOR_OTHERS = 50  # granted to ready callbacks of no live job, which may lead to one
_CLOSE_ROUNDS = 3  # each cancels what is left, so that a `finally` may sleep or ask a server
_HOOKS = ("call_at", "time", "create_task", "run_in_executor")
_PRIVATE = frozenset(("_ready", "_selector", "_ssock"))


class UnsupportedLoopError(RuntimeError):
    """The loop cannot be given virtual time; the message names it and the remedy."""


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


class _Wait(enum.IntEnum):
    VIRTUAL = 0
    OPEN = 1
    REAL = 2


@dataclass(eq=False, slots=True)
class _Run:
    era: object
    ahead_s: float = 0.0
    _task: weakref.ref[_Task] | None = None  # a task holds its context, and that its run

    @property
    def task(self) -> _Task | None:
        """The job's own task; None before it is made."""
        return None if self._task is None else self._task()

    @property
    def live(self) -> bool:
        if self._task is None:
            return True
        task = self._task()
        return task is not None and not task.done()


_RUN: contextvars.ContextVar[_Run | None] = contextvars.ContextVar("pgjobs_run", default=None)


# What a wait inside asyncio or anyio is for, by the function that waits.
_KNOWN = {
    "TaskGroup.__aexit__": _Wait.VIRTUAL,
    "TaskGroup._aexit": _Wait.VIRTUAL,
    "Lock.acquire": _Wait.VIRTUAL,
    "Semaphore.acquire": _Wait.VIRTUAL,
    "sleep": _Wait.REAL,
    "AsyncIOBackend.run_sync_in_worker_thread": _Wait.REAL,
}


class _OnePass:
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
        self._heap: list[tuple[int, int, asyncio.TimerHandle, _Run]] = []
        self._order = itertools.count()
        self._prune_at = self._forget_at = 64
        self._tasks: dict[
            _Task, _Run
        ] = {}  # and some that are done; in order of creation, as _calls
        self._calls: dict[_Future, _Run | None] = {}  # run_in_executor in flight
        self._threads: dict[threading.Thread, None] = {}  # born while jobs ran

    @cached_property
    def _sleeping(self) -> weakref.WeakSet[_Future]:
        """What virtual sleeps wait for."""
        return weakref.WeakSet()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Replace the loop's timers for jobs. Raises `UnsupportedLoopError` for a loop that is not
        asyncio's selector event loop, or whose timers are replaced already."""
        if self._loop is not None:
            raise RuntimeError("attached to a loop already: detach() first")
        held = vars(loop)
        if not isinstance(loop, asyncio.SelectorEventLoop) or not held.keys() >= _PRIVATE:
            raise UnsupportedLoopError(
                f"async jobs under a test's clock need asyncio's selector event loop, not {_kind(loop)}: "
                "run this test on asyncio.SelectorEventLoop (where uvloop comes from: an event "
                "loop policy, a loop factory, or anyio's use_uvloop)"
            )
        if not held.keys().isdisjoint(_HOOKS):
            taken = next(hook for hook in _HOOKS if hook in held)
            raise UnsupportedLoopError(
                f"{taken}() of this {_kind(loop)} is replaced already: a loop has one virtual clock, "
                "so detach the other first"
            )
        self._loop = loop
        self._real = {
            "call_at": loop.call_at,
            "time": loop.time,
            "create_task": loop.create_task,
            "run_in_executor": loop.run_in_executor,
        }
        held["call_at"], held["time"] = self._call_at, self._time
        held["create_task"], held["run_in_executor"] = self._create_task, self._run_in_executor

    def detach(self) -> None:
        """Give the loop its timers back and forget the virtual ones; a second call does nothing."""
        if self._loop is None:
            return
        held = vars(self._loop)
        for hook in _HOOKS:
            del held[hook]
        self._loop, self._real = None, {}
        self.forget()

    def forget(self) -> None:
        """Forget every timer and every job: what one of them left somewhere has real time from now on."""
        self._era = object()
        for held in (self._heap, self._tasks, self._calls, self._threads):
            if held:
                held.clear()
        self.__dict__.pop("_sleeping", None)

    def follow(self, now: Callable[[], float]) -> None:
        """Go by another clock from now on, with no job of the one before left."""
        self._now = now

    async def close(self) -> tuple[str, ...]:
        """Cancel every task of every job, three times at most, and detach; the names of those that
        refused to end. Does nothing when detached."""
        if self._loop is None:
            return ()
        for _ in range(_CLOSE_ROUNDS):
            for task in tuple(self._tasks):
                task.cancel()
            await self.settle()
            self._forget_done()
            if not self._tasks:
                break
        refused = tuple(task.get_name() for task in self._tasks)
        self.detach()
        return refused

    @property
    def idle(self) -> bool:
        """Whether there is nothing that `close` would end or wait for."""
        if self._tasks:
            self._forget_done()
        return not (self._tasks or self._calls or self._loop._ready)

    def left_by(self, task: _Task | None) -> list[_Task]:
        """The tasks of the job whose own task this is that are not done, itself left out."""
        return [
            each
            for each, run in self._tasks.items()
            if run.task is task and each is not task and not each.done()
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
        run = _Run(self._era)
        context.run(_RUN.set, run)
        task: asyncio.Task[T] = self._real["create_task"](coro, name=name, context=context)
        self._belongs(task, run)
        run._task = weakref.ref(task)
        return task

    def next_timer(self, task: _Task | None = None) -> float | None:
        """The virtual second of the earliest timer, or of the earliest of the job whose own task is
        given, which may be past; None without any."""
        while self._heap and self._heap[0][2].cancelled():
            heapq.heappop(self._heap)
        if not self._heap:
            return None
        if task is None or self._heap[0][3].task is task:
            return self._heap[0][0] / 1e6
        mine = (e[0] for e in self._heap if e[3].task is task and not e[2].cancelled())
        due = min(mine, default=None)
        return None if due is None else due / 1e6

    def fire(self) -> int:
        """Make ready every timer due at `now()`, in order of instant, then of registration; how
        many. They run in `settle`. For each job to see its own instant, stop at `next_timer`."""
        return self._fire(round(self._now() * 1e6), None)

    def ahead(self, task: _Task) -> bool:
        """Move the time of one job, whose own task this is, to its next timer, and make ready what
        is due there; whether there was one. The time that others see stays, and their timers do."""
        due = self.next_timer(task)
        if due is None:
            return False
        run = self._tasks[task]
        run.ahead_s = max(run.ahead_s, due - self._now())
        self._fire(round((self._now() + run.ahead_s) * 1e6), task)
        return True

    def _fire(self, due: int, task: _Task | None) -> int:
        fired, others = 0, []
        while self._heap and self._heap[0][0] <= due:
            entry = heapq.heappop(self._heap)
            if task is not None and entry[3].task is not task:
                others.append(entry)
            elif not entry[2].cancelled():
                self._loop._ready.append(entry[2])
                fired += 1
        for entry in others:
            heapq.heappush(self._heap, entry)
        return fired

    async def settle(self, task: _Task | None = None) -> Settled:
        """Run the loop until no job, or not the one whose own task is given, can go on in real time,
        or a bound is hit: never raises for a job's failure. Called on the loop, outside any job."""
        if _RUN.get() is not None:
            raise RuntimeError("a job cannot move the clock that it runs under: do so in the test")
        before = threading.enumerate()
        silence_s, for_others, seen = 0.0, 0, list[_Future | None]()
        for _ in range(self._max_passes):
            ready, others = self._ready()
            if not ready and (not others or for_others >= _PASSES_FOR_OTHERS):
                self._note_threads(before)
                waits = self._waits(task)
                if not self._is_real(waits, task):
                    return self._at_rest(waits, task)
                if (found := [_waiter(each) for each in waits]) != seen:  # futures equal themselves
                    silence_s, seen = 0.0, found
                if silence_s >= self._patience_s:
                    break
                events = self._loop._selector.select(0 if others else _NAP_S)
                silence_s += _NAP_S / 10 if events else _NAP_S
            elif not ready:
                for_others += 1
            await _OnePass()
        waits = self._waits(task)
        return Settled(Rest.OVERDUE, (*_describe(waits, _Wait.OPEN), *self._sources()))

    def in_one_pass(self, task: _Task) -> bool:
        """One pass of the loop, which does not run yet; whether the job whose own task is given has
        ended in it, and left the loop nothing to do. Otherwise `settle` goes on."""
        before = threading.enumerate()
        self._loop.stop()
        self._loop.run_forever()
        self._note_threads(before)
        return task.done() and not self._loop._ready

    def _note_threads(self, before: list[threading.Thread]) -> None:
        """Note the threads that were born since there were those, and by no pool."""
        now = threading.enumerate()
        if now != before:
            known = frozenset(before)
            born = [t for t in now if t not in known and not _pooled(t)]
            self._threads = dict.fromkeys(
                [*filter(threading.Thread.is_alive, self._threads), *born]
            )

    def _waits(self, task: _Task | None) -> dict[_Task, _Wait]:
        """What each task waits for of every job, or of the one whose own task is given."""
        self._forget_done()
        return {t: self._wait(t) for t, run in self._tasks.items() if _meant(run, task)}

    def _at_rest(self, waits: dict[_Task, _Wait], task: _Task | None) -> Settled:
        if not waits:
            return Settled(Rest.DONE)
        if self.next_timer(task) is not None:
            return Settled(Rest.TIMERS, _describe(waits, _Wait.OPEN))
        return Settled(Rest.STUCK, _describe(waits, _Wait.VIRTUAL))

    def _ready(self) -> tuple[bool, bool]:
        """Whether the loop's queue holds a callback of a live job, and one of anybody else."""
        others = False
        for handle in self._loop._ready:
            run = handle._context.get(_RUN)
            if run is not None and run.live and not handle.cancelled():
                return True, others
            others = True
        return False, others

    def _is_real(self, waits: dict[_Task, _Wait], task: _Task | None) -> bool:
        if any(run is not None and _meant(run, task) for run in self._calls.values()):
            return True
        worst = max(waits.values(), default=_Wait.VIRTUAL)
        return worst is _Wait.REAL or (worst is _Wait.OPEN and bool(self._sources()))

    def _sources(self) -> list[str]:
        """What outside the loop's queue could resolve a future, in words."""
        found = [f"{len(self._calls)} executor call(s) in flight"] if self._calls else []
        for key in self._loop._selector.get_map().values():
            handles = [handle for handle in key.data if handle is not None]
            if key.fd != self._loop._ssock.fileno() and not all(map(_accepts, handles)):
                found.append(f"file descriptor {key.fd} is watched: I/O, or an idle connection")
        alive = sorted(t.name for t in self._threads if t.is_alive())
        return found + [f"thread {name!r} was started while jobs ran" for name in alive]

    def _wait(self, task: _Task) -> _Wait:
        """What a task that is not ready waits for."""
        waiter, frames = _waiter(task), _frames(task)
        kind = _Wait.OPEN if waiter is None else self._future(waiter)
        if kind is not _Wait.OPEN or not frames:
            return kind
        library = frames[-1].f_globals.get("__name__", "").partition(".")[0]
        function, names = frames[-1].f_code.co_qualname, frames[-1].f_locals
        if library not in ("asyncio", "anyio"):
            return _Wait.OPEN
        if function == "_wait":  # of asyncio.wait
            return max(map(self._future, names["fs"]))
        if function == "wait_for" and asyncio.isfuture(names["fut"]):
            return self._future(names["fut"])
        return _KNOWN.get(function, _Wait.OPEN)

    def _future(self, future: _Future) -> _Wait:
        run = self._tasks.get(future) if isinstance(future, asyncio.Task) else None
        if future.done() or future in self._sleeping or (run is not None and run.live):
            return _Wait.VIRTUAL
        for callback, _ in getattr(future, "_callbacks", None) or ():
            if getattr(callback, "__qualname__", "").startswith("_chain_future"):
                return _Wait.REAL  # asyncio.wrap_future: an executor's, or another loop's
        children = getattr(future, "_children", None)  # of gather
        return _Wait.OPEN if children is None else max(map(self._future, children))

    # What the loop gets in place of its own.

    def _in_job(self, context: contextvars.Context | None = None) -> _Run | None:
        run = _RUN.get() if context is None else context.get(_RUN)
        return run if run is not None and run.era is self._era else None

    def _time(self) -> float:
        run = self._in_job()
        return self._seen_by(run) if run is not None else float(self._real["time"]())

    def _seen_by(self, run: _Run) -> float:
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
            self._sleeping.add(args[0])
        if len(self._heap) >= self._prune_at:  # each query leaves a cancelled timer
            self._heap = [entry for entry in self._heap if not entry[2].cancelled()]
            heapq.heapify(self._heap)
            self._prune_at = max(64, 2 * len(self._heap))
        if when < math.inf:
            now = self._seen_by(run)
            # A wait takes at least a microsecond, or a loop of them would not end.
            due = max(round(when * 1e6), round(now * 1e6) + (when > now))
            heapq.heappush(self._heap, (due, next(self._order), timer, run))
        return timer

    def _create_task(self, coro: Any, **options: Any) -> _Task:
        task: _Task = self._real["create_task"](coro, **options)
        run = self._in_job(options.get("context"))
        if run is not None and not task.done():
            self._belongs(task, run)
        return task

    def _belongs(self, task: _Task, run: _Run) -> None:
        if len(self._tasks) >= self._forget_at:
            self._forget_done()
            self._forget_at = max(64, 2 * len(self._tasks))
        self._tasks[task] = run

    def _forget_done(self) -> None:
        """Forget the tasks that are done: a callback for each would keep the loop busy for a pass more."""
        for task in [task for task in self._tasks if task.done()]:
            del self._tasks[task]

    def _run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> _Future:
        future: _Future = self._real["run_in_executor"](executor, func, *args)
        self._calls[future] = self._in_job()
        future.add_done_callback(lambda done: self._calls.pop(done, None))
        return future


@contextlib.contextmanager
def outside_jobs() -> Iterator[None]:
    """Tasks and timers made in the block belong to no job: they run in real time, and none waits
    for them (a background reader of a connection, say, beside which time should move)."""
    token = _RUN.set(None)
    try:
        yield
    finally:
        _RUN.reset(token)


def adopt(context: contextvars.Context) -> None:
    """Set here what a job set in its context, so that a test sees it; all but the job itself."""
    for var, value in context.items():
        if var is not _RUN and var.get(_RUN) is not value:
            var.set(value)


def _kind(loop: asyncio.AbstractEventLoop) -> str:
    return f"{type(loop).__module__}.{type(loop).__qualname__}"


def _meant(run: _Run, task: _Task | None) -> bool:
    """Whether a job lives, and is the one whose own task is given, if one is."""
    return run.live and (task is None or run.task is task)


def _waiter(task: _Task) -> _Future | None:
    return getattr(task, "_fut_waiter", None)


def _pooled(thread: threading.Thread) -> bool:
    """A pool's worker lives on when idle; its calls are seen by themselves."""
    pools = thread_pools._threads_queues
    return thread in pools or type(thread).__module__.startswith("anyio.")


def _accepts(handle: Any) -> bool:
    """Whether a handle is the listening socket of a server that no job started."""
    accept = getattr(handle._callback, "__name__", "") == "_accept_connection"
    return accept and handle._context.get(_RUN) is None


def _frames(task: _Task) -> list[FrameType]:
    """The frames of a suspended task, outermost first, as far as coroutines show them."""
    frames: list[FrameType] = []
    awaited: Any = task.get_coro()
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        frames.append(frame)
        awaited = getattr(awaited, "cr_await", None)
    return frames


def _ours(frame: FrameType) -> bool:
    """Whether it is the engine that waits there for the project's code."""
    return frame.f_globals.get("__name__", "").partition(".")[0] in ("pgjobs", "pgjobs_testing")


def _describe(waits: dict[_Task, _Wait], least: _Wait) -> tuple[str, ...]:
    lines = []
    for task in (task for task, wait in waits.items() if wait >= least):
        codes = [(each.f_code, each.f_lineno) for each in _frames(task) if not _ours(each)]
        where = [f"{code.co_qualname} at {code.co_filename}:{line}" for code, line in codes]
        lines.append(f"{task.get_name()} waits in {' > '.join(where) or 'unknown code'}")
    return tuple(lines)
