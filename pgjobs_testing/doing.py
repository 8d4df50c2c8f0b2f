"""Which job's run is acting: so that the timeline can tell what a worker inserted from what a test did.

A run in a thread is on that thread's stack; an async one is known by its task. A run belongs to one
database, whose recorder it names: what it inserts into another is no doing of a job that is known there.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractContextManager
from weakref import WeakKeyDictionary

Doing = tuple[object, int]
"""The recorder to which a run belongs (None: the only one that there is), and the id of its job."""


class _Here(threading.local):
    """The runs that are under way in this thread, the innermost last."""

    def __init__(self) -> None:
        self.stack: list[Doing] = []


_here = _Here()
_tasks: WeakKeyDictionary[asyncio.Task[object], Doing] = WeakKeyDictionary()


def present(recorder: object) -> int | None:
    """The id of the job whose run acts now; None where none does that belongs to ``recorder``."""
    stack = _here.stack
    if stack:
        found: Doing | None = stack[-1]
    elif asyncio._get_running_loop() is None:
        return None
    else:
        found = _of_the_task()
    return found[1] if found is not None and found[0] in (None, recorder) else None


def _of_the_task() -> Doing | None:
    task = asyncio.current_task()
    return None if task is None else _tasks.get(task)


def run_of(job_id: int, recorder: object = None) -> AbstractContextManager[None]:
    """What happens inside is done by a run of this job."""
    return _Acting((recorder, job_id))


class _Acting:
    """A block in which a run acts: a class, since it is entered at every run."""

    __slots__ = ("_doing",)

    def __init__(self, doing: Doing) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        _here.stack.append(self._doing)

    def __exit__(self, *_: object) -> None:
        _here.stack.pop()


def in_this_task(job_id: int, recorder: object = None) -> None:
    """What the running task does from now on is done by a run of this job."""
    task = asyncio.current_task()
    assert task is not None, "a run on a loop is a task"
    _tasks[task] = (recorder, job_id)
