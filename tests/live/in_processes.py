"""Workers that run in processes of their own. They talk to the test over a socket: ``args["line"]``."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from typing import Any
from uuid import UUID

from pgjobs import Cancel, Discard, Job, Retry, Snooze, worker

ANSWERS = {
    "retry": Retry("again"),
    "discard": Discard("never"),
    "snooze": Snooze(60),
    "cancel": Cancel(ValueError("not wanted")),
    "nonsense": ("ok", 1),
}


def on_line(job: Job) -> Connection[Any, Any]:
    """Tell the test which process runs the job; the line closes when the process is dead."""
    line = Client(job.args["line"])
    line.send(os.getpid())
    return line


@worker(name="process.meet", executor="process")
def meet(job: Job) -> None:
    with on_line(job) as line:
        line.recv()


@dataclass
class Parcel:
    id: UUID
    weight: float = 1.0


@worker(name="process.typed", executor="process", args=Parcel)
def typed(job: Job) -> Any:
    return Discard(repr(job.data))


@worker(name="process.quick", executor="process")
def quick(job: Job) -> None: ...


TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")


@worker(name="process.tenant", executor="process")
def tenant(job: Job) -> Any:
    found = TENANT.get()
    TENANT.set("acme")
    return Discard(found)


@worker(name="process.answer", executor="process")
def answer(job: Job) -> Any:
    return ANSWERS[job.args["answer"]]


@worker(name="process.fail", executor="process")
def fail(job: Job) -> None:
    class UnpicklableError(Exception):
        def __init__(self) -> None:
            super().__init__("lost", lambda: None)

        def __str__(self) -> str:
            if job.args["kind"] == "unprintable":
                raise SystemExit(1)
            return "it is lost"

    if job.args["kind"] == "exit":
        sys.exit(3)
    if job.args["kind"] == "interrupt":
        raise KeyboardInterrupt
    raise UnpicklableError


@worker(name="process.die", executor="process")
def die(job: Job) -> None:
    if "code" in job.args:
        os._exit(job.args["code"])
    os.kill(os.getpid(), job.args["signal"])
    signal.pause()


@worker(name="process.ignore", executor="process", timeout=60)
def ignore(job: Job) -> None:
    """Ignores SIGTERM, and starts a program that does too and outlives it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    line = on_line(job)
    subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], pass_fds=[line.fileno()]
    )
    while True:
        signal.pause()


@worker(name="process.tidy", executor="process")
def tidy(job: Job) -> None:
    """Says whether it could tidy up, and saw that it was told."""
    line = Client(job.args["line"])
    try:
        line.send(os.getpid())
        signal.pause()
    finally:
        line.send(("tidied", job.cancelled.wait(10)))


@worker(name="process.task", executor="process")
async def task(job: Job) -> None:
    line = on_line(job)
    try:
        if job.args.get("wait", True):
            await asyncio.Event().wait()
        line.send("done")
    except asyncio.CancelledError:
        line.send("cancelled")
        raise


@worker(name="process.persist", executor="process")
def persist(job: Job) -> None:
    """Is told to stop, and finishes all the same."""
    line = Client(job.args["line"])
    try:
        line.send(os.getpid())
        signal.pause()
    except SystemExit:
        line.send("persisting")
