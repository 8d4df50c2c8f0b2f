"""Decides when the virtual time of jobs that are left over passes by itself: once nobody else can move it.

A test may end while jobs of it still run on its loop. Who closes the loop cancels them and waits for their
end. What their cleanups sleep is virtual, and no test is there to advance. So a loop that is about to wait,
with nothing ready, is looked at. Time passes by itself where

- ``run_until_complete`` runs it, for tasks of jobs alone or for a task that is on the loop, and
- every other task on it waits for tasks alone, and no timer of its own stands that could wake one of them.

Any other task that is alive may be the test, or call it, and may advance: then the loop waits as it always
does, and is looked at again when it has come to rest once more. One that runs for ever is nobody's to close.

Where the harness ends first, on a loop that goes on, nobody can move its time any more, whoever is there.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Coroutine
from types import FrameType
from typing import Any, Protocol

from pgjobs.rules.errors import PgJobsError
from pgjobs_testing.virtual.jobs import Run, Task
from pgjobs_testing.virtual.waits import Future, Wait, described, wait_of

_FRAMES = 8  # from a selector to who runs its loop
_RUNS = asyncio.BaseEventLoop.run_until_complete.__code__
ENDS = (
    "These jobs were left over at the end of a test. They did not end when they were cancelled, nor in the "
    "virtual time that passed since, and their loop is closed over them. Raise CancelledError again where a "
    "worker catches it, and let what it does after it come to an end; or end the job within the test "
    "(advance, cancel_job, a time limit: timeout=)"
)


class UnendingWorkerError(PgJobsError):
    """A job that was left over on a loop does not end when the loop is closed.

    No RuntimeError: pytest-asyncio turns one at the end of its loop into a warning.
    """


class Leaving(Protocol):
    """The virtual time of jobs on a loop."""

    @property
    def sleeping(self) -> Collection[Future]:
        """What virtual sleeps wait for."""
        ...

    def left(self) -> list[Task]:
        """The tasks of jobs that are not done."""
        ...

    async def pass_by(self) -> None:
        """Let time pass by itself until all of them are done, and ``refuse`` those that come to no end."""
        ...


class Closing:
    """What is left of jobs on one loop, whose ``select`` is watched for as long as there is anything."""

    def __init__(self, loop: Any) -> None:
        self._loop, self._selector = loop, loop._selector
        self.time: Leaving | None = None
        self.refused: list[Task] = []
        self._later: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._passing: Coroutine[Any, Any, None] | None = None
        self._steps = False
        self._select = self._selector.select
        self._selector.select = self._watched

    def awaited(self) -> bool:
        """Whether time passes by itself, and somebody waits for its end: from now on it does not wait until
        the loop rests."""
        self._take_up()
        return self._passing is not None

    def begin(self, passing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let time pass by itself as soon as the loop rests, whoever else is on it; ``passing`` does so."""
        self._later = passing

    def _take_up(self) -> bool:
        """Begin what was to begin; whether there was anything."""
        later, self._later = self._later, None
        if later is None:
            return False
        self._passing = later()
        return True

    def end(self) -> None:
        """Give the loop its own ``select`` back, unless something is left."""
        if not (self.time or self.refused or self._passing or self._later):
            vars(self._selector).pop("select", None)

    def _watched(self, timeout: float | None = None) -> Any:
        if self._steps or asyncio.current_task(self._loop) is not None:
            return self._select(timeout)  # a look within a pass of the loop
        if self._passing is None and timeout != 0:
            self._rested(timeout)
        if self._passing is None:
            return self._select(timeout)
        self._steps = True
        try:
            self._passing.send(None)
        except StopIteration:
            self._passing = None
            self.end()
        finally:
            self._steps = False
        return self._select(0)

    def _rested(self, timeout: float | None) -> None:
        """The loop has nothing to do: let time pass if nobody else can move it."""
        if self._take_up():
            return
        time = self.time
        self.refused = [task for task in self.refused if not task.done()]
        moving = [] if time is None else [t for t in time.left() if t not in self.refused]
        if not (moving or self.refused):
            self.time = None
            self.end()
        elif self._nobody_else({*moving, *self.refused}, timeout):
            if time is not None and moving:
                self._passing = time.pass_by()
            else:
                raise self._unending()

    def _nobody_else(self, jobs: Collection[Task], timeout: float | None) -> bool:
        """Whether nothing that waits on the loop, but these tasks of jobs, could move their time."""
        if (awaited := self._awaited()) is None:
            return False
        others = [task for task in asyncio.all_tasks(self._loop) if task not in jobs]
        if awaited not in others and not _ends_by(awaited, jobs):
            return False
        if not others:
            return True
        every = dict.fromkeys((*jobs, *others), Run(None))
        sleeping = () if self.time is None else self.time.sleeping
        return timeout is None and all(
            wait_of(task, every, sleeping) is Wait.VIRTUAL for task in others
        )

    def _awaited(self) -> Future | None:
        """What the loop runs for; None where it runs for ever."""
        frame: FrameType | None = sys._getframe()
        for _ in range(_FRAMES):
            if frame is None or (
                frame.f_code is _RUNS and frame.f_locals.get("self") is self._loop
            ):
                break
            frame = frame.f_back
        else:
            return None
        return None if frame is None else frame.f_locals.get("future")

    def _unending(self) -> UnendingWorkerError:
        refused, self.refused = self.refused, []
        for task in refused:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # private; told here
        self.time = None
        self.end()
        lines = described(dict.fromkeys(refused, Wait.OPEN), Wait.OPEN)
        return UnendingWorkerError("\n".join((*lines, ENDS)))


def closing_of(loop: asyncio.AbstractEventLoop) -> Closing | None:
    """What is left of jobs on a loop; None where nothing is."""
    selector = getattr(loop, "_selector", None)
    select = None if selector is None else vars(selector).get("select")
    found = getattr(select, "__self__", None)
    return found if isinstance(found, Closing) else None


def closing_on(loop: asyncio.AbstractEventLoop) -> Closing:
    """What is left of jobs on a loop, where there is something."""
    return closing_of(loop) or Closing(loop)


def refuse(loop: asyncio.AbstractEventLoop, tasks: list[Task]) -> None:
    """These do not come to an end: `UnendingWorkerError` when the loop would wait for them alone."""
    if tasks:
        closing_on(loop).refused += tasks


def _ends_by(future: Future, jobs: Collection[Task]) -> bool:
    """Whether a future ends once these tasks have."""
    if future.done() or future in jobs:
        return True
    children = getattr(future, "_children", None)  # of gather
    return children is not None and all(_ends_by(each, jobs) for each in children)
