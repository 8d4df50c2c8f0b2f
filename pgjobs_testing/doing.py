"""Which job's run is acting: so that the timeline can tell what a worker inserted from what a test did.

A run in a thread is on that thread's stack; an async one is known by its task. A run belongs to one
database, whose recorder it names: what it inserts into another is no doing of a job that is known there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

Doing = tuple[object, int]
"""The recorder to which a run belongs (None: the only one that there is), and the id of its job."""

_here = threading.local()
_tasks: WeakKeyDictionary[asyncio.Task[object], Doing] = WeakKeyDictionary()


def present(recorder: object) -> int | None:
    """The id of the job whose run acts now; None where none does that belongs to ``recorder``."""
    found = _present()
    return found[1] if found is not None and found[0] in (None, recorder) else None


def _present() -> Doing | None:
    stack: list[Doing] = getattr(_here, "stack", [])
    if stack:
        return stack[-1]
    if not _tasks:
        return None
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None
    return None if task is None else _tasks.get(task)


@contextmanager
def run_of(job_id: int, recorder: object = None) -> Iterator[None]:
    """What happens inside is done by a run of this job."""
    if not hasattr(_here, "stack"):
        _here.stack = []
    _here.stack.append((recorder, job_id))
    try:
        yield
    finally:
        _here.stack.pop()


def in_this_task(job_id: int, recorder: object = None) -> None:
    """What the running task does from now on is done by a run of this job."""
    task = asyncio.current_task()
    assert task is not None, "a run on a loop is a task"
    _tasks[task] = (recorder, job_id)
