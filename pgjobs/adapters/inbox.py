"""The way of runs to where they run: which could be taken back from it, and whether one runs here."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque

from pgjobs.ports import NotBegunError, Run
from pgjobs.rules.outcome import summary

of_thread = threading.local()


def in_job() -> bool:
    """Whether a job runs here: this is one of the threads that run them, or the task of one.

    A task that a job began may outlive it, and is none.
    """
    if getattr(of_thread, "working", False):
        return True
    tasks: dict[Run, asyncio.Task[None]] | None = getattr(of_thread, "tasks", None)
    return tasks is not None and asyncio.current_task() in tasks.values()


def not_begun(runs: list[Run], error: Exception) -> NotBegunError:
    return NotBegunError(runs, summary(error))


def withdrawn(inbox: deque[Run], runs: list[Run]) -> list[Run]:
    """Those of ``runs`` that could be taken back."""
    left: list[Run] = []
    for run in runs:
        with contextlib.suppress(ValueError):  # somebody has it already
            inbox.remove(run)
            left.append(run)
    return left
