"""To which job the code belongs that runs on a loop: its context says so."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Task = asyncio.Task[Any]


@dataclass(eq=False, slots=True)
class Run:
    """One job on a loop, in the ``era`` of its virtual time, of which it is ``ahead_s`` ahead.

    With ``to_the_last`` it lives as long as any task of it.
    """

    era: object
    ahead_s: float = 0.0
    to_the_last: bool = False
    _task: weakref.ref[Task] | None = None  # a task holds its context, and that its run

    @property
    def task(self) -> Task | None:
        """The job's own task; None before it is made."""
        return None if self._task is None else self._task()

    @task.setter
    def task(self, task: Task) -> None:
        self._task = weakref.ref(task)

    @property
    def live(self) -> bool:
        """Whether the job has not ended."""
        if self._task is None or self.to_the_last:
            return True
        task = self._task()
        return task is not None and not task.done()


RUN: contextvars.ContextVar[Run | None] = contextvars.ContextVar("pgjobs_run", default=None)
"""The job whose code runs."""


@contextlib.contextmanager
def outside_jobs() -> Iterator[None]:
    """Tasks and timers made in the block belong to no job: they run in real time, and none waits
    for them (a background reader of a connection, say, beside which time should move)."""
    token = RUN.set(None)
    try:
        yield
    finally:
        RUN.reset(token)


def adopt(context: contextvars.Context) -> None:
    """Set here what a job set in its context, so that a test sees it; all but the job itself."""
    for var, value in context.items():
        if var is not RUN and var.get(RUN) is not value:
            var.set(value)


def meant(run: Run, task: Task | None) -> bool:
    """Whether a job lives, and is the one whose own task is given, if one is."""
    return run.live and (task is None or run.task is task)
