"""What a task waits for that is not ready.

asyncio cannot tell a socket's future from an ``Event``'s. So a wait is told by the function that waits, and
by what its future leads to; where both say nothing, it is OPEN, and anybody may end it.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Collection, Mapping
from types import FrameType
from typing import Any

from pgjobs_testing.virtual.jobs import Run, Task

Future = asyncio.Future[Any]


class Wait(enum.IntEnum):
    """For virtual time or other jobs; for what anybody may resolve; for a thread or real time."""

    VIRTUAL = 0
    OPEN = 1
    REAL = 2


# What a wait inside asyncio or anyio is for, by the function that waits.
_KNOWN = {
    "TaskGroup.__aexit__": Wait.VIRTUAL,
    "TaskGroup._aexit": Wait.VIRTUAL,
    "Lock.acquire": Wait.VIRTUAL,
    "Semaphore.acquire": Wait.VIRTUAL,
    "sleep": Wait.REAL,
    "AsyncIOBackend.run_sync_in_worker_thread": Wait.REAL,
}


def wait_of(task: Task, tasks: Mapping[Task, Run], sleeping: Collection[Future]) -> Wait:
    """What a task waits for, with the ``tasks`` of jobs, and what virtual sleeps await (``sleeping``)."""
    future, frames = waiter(task), _frames(task)
    kind = Wait.OPEN if future is None else _of_future(future, tasks, sleeping)
    if kind is not Wait.OPEN or not frames:
        return kind
    library = _library(frames[-1])
    function, names = frames[-1].f_code.co_qualname, frames[-1].f_locals
    if library not in ("asyncio", "anyio"):
        return Wait.OPEN
    if function == "_wait":  # of asyncio.wait
        return max(_of_future(each, tasks, sleeping) for each in names["fs"])
    if function == "wait_for" and asyncio.isfuture(names["fut"]):
        return _of_future(names["fut"], tasks, sleeping)
    return _KNOWN.get(function, Wait.OPEN)


def open_futures(
    task: Task, tasks: Mapping[Task, Run], sleeping: Collection[Future]
) -> list[tuple[Future, bool]]:
    """The futures that a task waits for and that anybody may end, each with whether a client's own code
    awaits it: neither asyncio's nor anyio's."""
    future, frames = waiter(task), _frames(task)
    if future is None or not frames:
        return []
    library, waits_for = _library(frames[-1]), [future]
    if library == "asyncio":
        function, names = frames[-1].f_code.co_qualname, frames[-1].f_locals
        if function == "_wait":
            waits_for = [*names["fs"]]
        elif function == "wait_for" and asyncio.isfuture(names.get("fut")):
            waits_for = [names["fut"]]
    leaves: list[Future] = []
    while waits_for:
        each = waits_for.pop()
        children = getattr(each, "_children", None)
        if children is not None:
            waits_for += children
        elif _of_future(each, tasks, sleeping) is Wait.OPEN:
            leaves.append(each)
    bare = library not in ("asyncio", "anyio")
    return [(leaf, bare) for leaf in leaves]


def waiter(task: Task) -> Future | None:
    """The future that a task awaits."""
    return getattr(task, "_fut_waiter", None)


def described(waits: Mapping[Task, Wait], least: Wait) -> tuple[str, ...]:
    """A line for each task that waits for that, or for worse: in which calls."""
    lines = []
    for task in (task for task, wait in waits.items() if wait >= least):
        codes = [(each.f_code, each.f_lineno) for each in _frames(task) if not _ours(each)]
        where = [f"{code.co_qualname} at {code.co_filename}:{line}" for code, line in codes]
        lines.append(f"{task.get_name()} waits in {' > '.join(where) or 'unknown code'}")
    return tuple(lines)


def _of_future(future: Future, tasks: Mapping[Task, Run], sleeping: Collection[Future]) -> Wait:
    run = tasks.get(future) if isinstance(future, asyncio.Task) else None
    if future.done() or future in sleeping or (run is not None and run.live):
        return Wait.VIRTUAL
    for callback, _ in getattr(future, "_callbacks", None) or ():
        if getattr(callback, "__qualname__", "").startswith("_chain_future"):
            return Wait.REAL  # asyncio.wrap_future: an executor's, or another loop's
    children = getattr(future, "_children", None)  # of gather
    if children is None:
        return Wait.OPEN
    return max(_of_future(each, tasks, sleeping) for each in children)


def _frames(task: Task) -> list[FrameType]:
    """The frames of a suspended task, outermost first, as far as coroutines show them."""
    frames: list[FrameType] = []
    awaited: Any = task.get_coro()
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        frames.append(frame)
        awaited = getattr(awaited, "cr_await", None)
    return frames


def _ours(frame: FrameType) -> bool:
    """Whether it is the engine that waits there for the project's code."""
    return _library(frame) in ("pgjobs", "pgjobs_testing")


def _library(frame: FrameType) -> str:
    """The package whose code a frame runs."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
