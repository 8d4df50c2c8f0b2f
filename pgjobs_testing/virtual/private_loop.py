"""Decides which event loop a test's own calls run async workers on: a new one, or the one that was kept.

To make and close a loop takes fourteen system calls, half of what a small test costs. One loop that a
test left as it was made is kept for the next, with its virtual time; any other is closed by who took it.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Any

from pgjobs_testing.virtual.loop import VirtualTime


@dataclass(frozen=True, slots=True)
class PrivateLoop:
    """A loop, the virtual time of jobs on it, and all that it held when it was made."""

    loop: asyncio.SelectorEventLoop
    time: VirtualTime
    made: dict[str, Any]
    containers: tuple[Sized, ...]

    def as_made(self) -> bool:
        """Whether nothing is left on the loop: no callback, timer, task, generator, thread, handler or
        file descriptor, and nothing was set that others would find."""
        held: Any = self.loop
        return (
            vars(self.loop) == self.made
            and not any(self.containers)
            and len(held._selector.get_map()) == 1  # its own wake-up
            and (not any(_EVERY_TASK) or not asyncio.all_tasks(self.loop))
        )


def _every_task() -> tuple[Sized, ...]:
    """Where asyncio itself keeps every task of the process, as far as this version is known.

    Mostly they are empty, and to ask that takes a tenth of what it takes to look for one loop's tasks.
    """
    since_312 = ("_scheduled_tasks", "_eager_tasks")
    known = {(3, 11): ("_all_tasks",), (3, 12): since_312, (3, 13): since_312}
    names: tuple[str, ...] = known.get(sys.version_info[:2], ())
    held = [getattr(asyncio.tasks, name, None) for name in names]
    found = tuple(each for each in held if isinstance(each, Sized))
    return found if names and len(found) == len(names) else (_SOME,)


_SOME = (None,)
_EVERY_TASK = _every_task()

_kept: list[PrivateLoop] = []


def take(now: Callable[[], float]) -> PrivateLoop:
    """A loop for one harness, whose virtual seconds ``now`` gives; it gives the loop back or closes it."""
    if _kept:
        private = _kept.pop()
        private.time.follow(now)
        return private
    loop, time = asyncio.SelectorEventLoop(), VirtualTime(now)
    time.attach(loop)
    made = dict(vars(loop))
    sized = tuple(part for part in made.values() if isinstance(part, Sized))
    return PrivateLoop(loop, time, made, sized)


def give_back(private: PrivateLoop) -> bool:
    """Keep a loop that was taken, and whose time has forgotten its jobs, if it is as it was made and none is
    kept yet; whether it was."""
    if _kept or not private.as_made():
        return False
    private.time.follow(_nobody)
    _kept.append(private)
    return True


def _nobody() -> float:
    raise AssertionError("no job is left on a loop that nobody has taken")


def close_kept() -> None:
    """Close the loop that is kept: at the end of the process, and before a fork, which would share it."""
    while _kept:
        private = _kept.pop()
        private.time.detach()
        private.loop.close()


atexit.register(close_kept)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=close_kept)
