"""Whose a task is: the project's own where its code runs in it, or has begun it; a library's otherwise.

A library keeps tasks of its own, such as those of a pool, which may live on. But a project that begins one
answers for it, whatever runs in it: ``asyncio.create_task(asyncio.sleep(60))`` is the project's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARIES = (
    *(
        path
        for name, path in sysconfig.get_paths().items()
        if name in ("stdlib", "purelib", "platlib")
    ),
    *(os.path.join(_OURS, package, "") for package in ("pgjobs", "pgjobs_testing")),
)
_BEGINNING = ("asyncio.tasks", "asyncio.taskgroups", "pgjobs_testing.virtual.loop")
"""Where ``create_task``, ``gather`` and their kin are, which begin tasks in their caller's name."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line of code that began a task."""

    code: CodeType
    line: int


def beginning() -> Place | None:
    """Who begins a task right now; None where a loop does, by itself."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") not in (*_BEGINNING, __name__):
            of_the_loop = frame.f_globals.get("__name__") == "asyncio.events"  # a callback of it
            return None if of_the_loop else Place(frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return None


def of_the_project(task: asyncio.Task[Any], begun: Place | None) -> str | None:
    """A task of the project in words, with its code and where that began it; None for a library's."""
    coroutine: Any = task.get_coro()
    code: CodeType | None = getattr(coroutine, "cr_code", None)
    began = begun is not None and _own(begun.code)
    if not began and (code is None or not _own(code)):
        return None
    name = getattr(coroutine, "__qualname__", "a task")
    runs = name if code is None else f"{name} ({_file(code)}:{code.co_firstlineno})"
    if begun is None or not began:
        return runs
    return f"{runs}, begun in {begun.code.co_qualname} at {_file(begun.code)}:{begun.line}"


def _own(code: CodeType) -> bool:
    return not code.co_filename.startswith(_LIBRARIES)


def _file(code: CodeType) -> str:
    return os.path.basename(code.co_filename)
