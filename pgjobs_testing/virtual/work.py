"""What is under way for the jobs of one loop: their tasks, calls of executors, and threads born meanwhile."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pgjobs_testing.authors import Place
from pgjobs_testing.virtual.jobs import RUN, Run, Task, meant
from pgjobs_testing.virtual.threads import Older, holder, older_threads, pooled
from pgjobs_testing.virtual.waits import Future, Wait, open_futures, wait_of

_FORGET_AT = 64
STRANGERS = (
    "alive, and older than the jobs: {names}. None of these threads is seen to hold what is waited for. If "
    "one works for a job all the same, let the job await that by asyncio.to_thread or asyncio.wrap_future"
)


class Work:
    """``tasks`` (some of which may be done) and ``calls`` are in the order in which they were begun."""

    def __init__(self) -> None:
        self.tasks: dict[Task, Run] = {}
        self.calls: dict[Future, Run | None] = {}
        self._threads: dict[threading.Thread, None] = {}
        self._forget_at = _FORGET_AT

    @cached_property
    def sleeping(self) -> weakref.WeakSet[Future]:
        """What virtual sleeps wait for."""
        return weakref.WeakSet()

    @cached_property
    def older(self) -> Older:
        """Threads that are older than the jobs."""
        return Older()

    @cached_property
    def beginnings(self) -> weakref.WeakKeyDictionary[Task, Place]:
        """Where tasks that jobs began were begun."""
        return weakref.WeakKeyDictionary()

    def clear(self) -> None:
        """Forget it all."""
        self.tasks.clear()
        self.calls.clear()
        self._threads.clear()
        held = vars(self)
        for made in ("sleeping", "older", "beginnings"):
            held.pop(made, None)

    def begun(self, task: Task, run: Run) -> None:
        """A task of a job."""
        if len(self.tasks) >= self._forget_at:
            self.forget_done()
            self._forget_at = max(_FORGET_AT, 2 * len(self.tasks))
        self.tasks[task] = run

    def ended(self, task: Task) -> None:
        """A task of a job is done."""
        self.tasks.pop(task, None)

    def called(self, future: Future, run: Run | None) -> None:
        """A call of an executor, of a job or of none."""
        self.calls[future] = run
        future.add_done_callback(lambda done: self.calls.pop(done, None))

    def forget_done(self) -> None:
        """Forget the tasks that are done: a callback for each would keep the loop busy for a pass more."""
        for task in [task for task in self.tasks if task.done()]:
            del self.tasks[task]

    def note_threads(self, before: list[threading.Thread]) -> None:
        """Note the threads that were born since there were those, and by no pool."""
        now = threading.enumerate()
        if now != before:
            known = frozenset(before)
            born = [t for t in now if t not in known and not pooled(t)]
            alive = filter(threading.Thread.is_alive, self._threads)
            self._threads = dict.fromkeys([*alive, *born])

    def waits(self, task: Task | None) -> dict[Task, Wait]:
        """What each task waits for of every job, or of the one whose own task is given."""
        self.forget_done()
        tasks, sleeping = self.tasks, self.sleeping
        return {
            each: wait_of(each, tasks, sleeping) for each, run in tasks.items() if meant(run, task)
        }

    def is_real(self, waits: Mapping[Task, Wait], task: Task | None, loop: Any) -> bool:
        """Whether any of these waits is for something real, or a job has a call in flight."""
        if any(run is not None and meant(run, task) for run in self.calls.values()):
            return True
        worst = max(waits.values(), default=Wait.VIRTUAL)
        return worst is Wait.REAL or (worst is Wait.OPEN and bool(self.sources(loop)))

    def is_held(self, waits: Mapping[Task, Wait]) -> bool:
        """Whether a thread that is older than the jobs may end one of these waits."""
        if not any(wait is Wait.OPEN for wait in waits.values()) or threading.active_count() == 1:
            return False
        return self.older.may_end(self._open(waits))

    def holders(self, waits: Mapping[Task, Wait]) -> list[str]:
        """The thread that is older than the jobs and holds what they wait for, in words."""
        name = holder(dict(self._open(waits)), older_threads())
        return [] if name is None else [f"thread {name!r} holds a future that is waited for"]

    def strangers(self, waits: Mapping[Task, Wait]) -> list[str]:
        """The threads that are older than the jobs and hold nothing that these wait for, in words."""
        if not any(wait is Wait.OPEN for wait in waits.values()):
            return []
        names = sorted(each.name for each in older_threads())
        return [STRANGERS.format(names=", ".join(map(repr, names)))] if names else []

    def _open(self, waits: Mapping[Task, Wait]) -> list[tuple[Future, bool]]:
        tasks, sleeping = self.tasks, self.sleeping
        opened = [task for task, wait in waits.items() if wait is Wait.OPEN]
        return [each for task in opened for each in open_futures(task, tasks, sleeping)]

    def sources(self, loop: Any) -> list[str]:
        """What outside the loop's queue could resolve a future, in words."""
        found = [f"{len(self.calls)} executor call(s) in flight"] if self.calls else []
        for key in loop._selector.get_map().values():
            handles = [handle for handle in key.data if handle is not None]
            if key.fd != loop._ssock.fileno() and not all(map(_accepts, handles)):
                found.append(f"file descriptor {key.fd} is watched: I/O, or an idle connection")
        alive = sorted(t.name for t in self._threads if t.is_alive())
        return found + [f"thread {name!r} was started while jobs ran" for name in alive]


def _accepts(handle: Any) -> bool:
    """Whether a handle is the listening socket of a server that no job started."""
    accept = getattr(handle._callback, "__name__", "") == "_accept_connection"
    return accept and handle._context.get(RUN) is None
