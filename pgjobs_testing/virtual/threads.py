"""Decides whether a thread that is older than a job works for it: one does that holds what the job waits for.

Clients such as aiosqlite give a thread a future and a function, by a queue, and the thread ends the future by
``call_soon_threadsafe``. asyncio shows nothing of that. But until the thread has answered, the future is in
its queue, or in a variable of a function that it runs. What no thread holds is for jobs or the test.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import queue
import sys
import threading
import types
import weakref
from collections import deque
from collections.abc import Iterable
from concurrent.futures import thread as thread_pools
from typing import Any

Future = asyncio.Future[Any]

LOOKS = 10
"""So often a future is looked for that a client's own code awaits, 5 ms apart. A thread has it nowhere to be
seen between taking it from a queue and putting it into a variable."""
LOOKS_FOR_ASYNCIOS = 4
"""So often one is that asyncio's own code awaits: mostly an event or a queue between jobs."""
_DEPTH = 6  # a client, its attributes, its queue, the list within, an item, the future
_OBJECTS = 2_000  # looked at of one thread
_NONE_OF_THE_PROJECT = ("_pytest", "execnet", "pgjobs", "pgjobs_testing", "pytest_timeout", "xdist")
_CONTAINERS = (
    tuple,
    list,
    dict,
    set,
    deque,
    queue.SimpleQueue,
    functools.partial,
    types.MethodType,
)
_CLOSED = (
    asyncio.AbstractEventLoop,
    asyncio.Future,
    types.CoroutineType,
    types.FrameType,
    types.GeneratorType,
    types.ModuleType,
    type,
)
_SNAPSHOTS = sys.version_info < (3, 13)  # of a frame's variables, which it keeps


class Older:
    """The threads of the process that no job has started, and no pool."""

    def __init__(self) -> None:
        self._looks: weakref.WeakKeyDictionary[Future, int] = weakref.WeakKeyDictionary()

    def may_end(self, futures: Iterable[tuple[Future, bool]]) -> bool:
        """Whether a thread holds one of the futures, or may be about to: each is looked for a few times.

        The second of each pair says whether a client's own code awaits it.
        """
        if not (others := older_threads()):
            return False
        waited_for = dict(futures)
        if not waited_for:
            return False
        if holder(waited_for, others) is not None:
            return True
        doubtful = False
        for future, bare in waited_for.items():
            looks = self._looks.get(future, 0)
            if looks < (LOOKS if bare else LOOKS_FOR_ASYNCIOS):
                self._looks[future] = looks + 1
                doubtful = True
        return doubtful


def pooled(thread: threading.Thread) -> bool:
    """A pool's worker lives on when idle; its calls are seen by themselves."""
    pools = thread_pools._threads_queues
    return thread in pools or type(thread).__module__.startswith("anyio.")


def older_threads() -> list[threading.Thread]:
    """Those that may work for a job: not this one, the main one, a pool's, nor one of the test run's own."""
    every = threading.enumerate()
    if len(every) == 1:
        return []
    known = (threading.current_thread(), threading.main_thread())
    return [each for each in every if each not in known and not pooled(each) and _a_clients(each)]


def holder(futures: Iterable[Future], threads: Iterable[threading.Thread]) -> str | None:
    """The name of the first thread that holds one of the futures; None where none does."""
    wanted, frames = {id(future) for future in futures}, sys._current_frames()
    frames.pop(
        threading.get_ident(), None
    )  # this one, which would hold itself, and all that it has seen
    for thread in threads:
        frame = frames.get(thread.ident or 0)
        held: list[Any] = []
        while frame is not None:
            held += _variables(frame)
            frame = frame.f_back
        if _leads_to(held, wanted):
            return thread.name
    return None


def _a_clients(thread: threading.Thread) -> bool:
    made_by = (type(thread), getattr(thread, "_target", None), getattr(thread, "function", None))
    modules = [str(getattr(each, "__module__", "")).partition(".")[0] for each in made_by]
    return not any(module in _NONE_OF_THE_PROJECT for module in modules)


def _variables(frame: types.FrameType) -> list[Any]:
    shown = frame.f_locals
    values = list(shown.values())
    if _SNAPSHOTS and frame.f_code.co_flags & inspect.CO_OPTIMIZED and frame.f_trace is None:
        shown.clear()  # or a cursor that nobody has any more would live on in it
    return values


def _leads_to(held: list[Any], wanted: set[int]) -> bool:
    """Whether what is held is one of those, or contains it: in containers, in what a function closes over,
    and in the attributes of what is held itself."""
    seen: set[int] = set()
    for depth in range(_DEPTH):
        within: list[Any] = []
        for each in held:
            if id(each) in wanted:
                return True
            if id(each) in seen:
                continue
            seen.add(id(each))
            if len(seen) > _OBJECTS:
                return False
            if isinstance(each, _CONTAINERS):
                within += gc.get_referents(each)
            elif isinstance(each, types.FunctionType):
                within += [cell.cell_contents for cell in each.__closure__ or () if _filled(cell)]
            elif _opened(each, depth):
                within += gc.get_referents(each)
        held = within
    return False


def _opened(each: object, depth: int) -> bool:
    """What is held itself, and what asyncio keeps waiters in."""
    if isinstance(each, _CLOSED):
        return False
    return depth == 0 or type(each).__module__.startswith(("asyncio.", "queue"))


def _filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - asked for its error
    except ValueError:
        return False
    return True
