"""What a worker's process does: one job after another, until its pipe closes or it is told to stop.

It imports what the parent imported, finds the worker in its own registry, and judges what the
worker did by the same rules, so that only plain values pass between the two.

SIGTERM means stop. A worker in the main thread is interrupted by an exception (an ``async def``
worker's task is cancelled), so that its ``finally`` blocks run; then the process ends by that signal.
SIGINT belongs to the parent. A process whose parent is gone kills itself, and what it started.
"""

from __future__ import annotations

import _thread
import asyncio
import importlib
import multiprocessing
import os
import signal
import sys
import threading
from contextvars import copy_context
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from pgjobs.adapters.performing import perform, perform_async
from pgjobs.ports import Run
from pgjobs.rules import outcome, wire
from pgjobs.rules.errors import UnknownWorkerError
from pgjobs.rules.job import CancelFlag
from pgjobs.rules.lifecycle import Outcome
from pgjobs.worker import REGISTRY, Worker

READY = b"ready"
GRACE_S = 1.0
"""Seconds from the SIGTERM that tells a process to stop until SIGKILL."""
PARENTS_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What the parent blocks while a process starts, so that none arrives before ``serve`` is ready."""

Message = tuple[str, str, tuple[Any, ...]]
"""A worker's name, the module that defines it, and the values of its job."""


def serve(pipe: Connection[bytes, Message], modules: tuple[str, ...]) -> None:
    """The whole life of the process. ``modules`` are those of ``PgJobs(workers=[...])``."""
    os.setpgid(0, 0)  # what a worker starts is killed with it
    stop = Stop()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS_SIGNALS)
    threading.Thread(target=_follow_the_parent, name="pgjobs-parent", daemon=True).start()
    try:
        pipe.send_bytes(READY)
        while True:
            ended = _perform(pipe.recv(), modules, stop)
            _flush()
            pipe.send_bytes(wire.outcome_text(ended))
            stop.rest()
    except (EOFError, ConnectionError):
        return  # the parent closed the pipe, or is gone


class Told(SystemExit):
    """Raised in a worker whose process is told to stop."""


class Stop:
    """What SIGTERM does, which depends on what the process is at."""

    def __init__(self) -> None:
        self.told = False
        self._idle = True
        self._interrupt = False
        self._flag: CancelFlag | None = None
        self.task: asyncio.Task[Outcome] | None = None

    def __call__(self, *_: object) -> None:
        self.told = True
        if self._idle:
            die()
        if self._flag is not None:  # not here: this thread may be inside of the flag's own lock
            _thread.start_new_thread(self._flag.set, ())
        if self.task is not None:
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)
        elif self._interrupt:
            self._interrupt = False
            raise Told("the process of this worker is told to stop")

    def attend(self, flag: CancelFlag) -> None:
        """A run begins: from here on it may be interrupted."""
        self._flag, self._interrupt, self._idle = flag, True, False

    def finish(self) -> None:
        """The run has ended: nothing interrupts its answer."""
        self._interrupt = False

    def rest(self) -> None:
        """The answer is out; a process that was told meanwhile ends here."""
        self._idle = True
        if self.told:
            die()


def die() -> NoReturn:
    """End by SIGTERM, as if nobody had caught it."""
    _flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)
    raise AssertionError("the default of SIGTERM ends a process")


def _perform(message: Message, modules: tuple[str, ...], stop: Stop) -> Outcome:
    name, module, values = message
    job = wire.job_of(values)
    try:
        stop.attend(job.cancelled)
        try:
            run = Run(job, _worker(name, module, modules), job.queue, 0.0)
        except UnknownWorkerError as error:
            ended = outcome.failed(error)
        else:
            assert run.worker is not None
            if run.worker.is_async:
                ended = asyncio.run(_as_task(run, stop))
            else:  # what it sets of the context ends with it
                ended = copy_context().run(perform, run)
        stop.finish()
    except Told:
        die()
    if isinstance(ended.exception, Told):
        die()
    if stop.told and isinstance(ended.exception, asyncio.CancelledError):
        die()
    return ended


async def _as_task(run: Run, stop: Stop) -> Outcome:
    stop.task = asyncio.current_task()
    try:
        return await perform_async(run)
    finally:
        stop.task = None


def _worker(name: str, module: str, modules: tuple[str, ...]) -> Worker[..., Any]:
    """The worker as this process has it, once the modules that the parent imported are imported."""
    for each in (*modules, module):
        try:
            importlib.import_module(each)
        except Told:
            raise
        except BaseException as error:  # a module may do anything when it is imported
            raise UnknownWorkerError(
                f"worker {name!r} cannot run in a process of its own: its module {each!r} cannot "
                f"be imported there ({outcome.summary(error)}); it must be importable in a new "
                'interpreter, or the worker run with another executor than "process"'
            ) from error
    found = REGISTRY.by_name.get(name)
    if found is None:
        raise UnknownWorkerError(
            f"worker {name!r} is not defined by importing {module!r}, which its own process does; "
            "define it at the top level of a module that can be imported (an interactive session "
            "has none), and list the module in PgJobs(workers=[...]) if it is another one"
        )
    return found


def _follow_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_S)
    os.killpg(0, signal.SIGKILL)


def _flush() -> None:
    """Let what a job printed be seen before its process is killed, or waits for the next job."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S110 - closed, or None: nobody reads it
            pass
