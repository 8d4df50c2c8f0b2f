"""One process of a recorded history: a node that serves every queue, and threads that call as clients.

It says ``ready``, begins at ``go``, and says ``called`` when its clients have made their calls (``calls`` for
each, or, where that is 0, as many as they can until ``quit``). At ``hang`` the runs that begin wait, until
``go on``; ``hanging`` says that some do. At ``stop`` it stops its node, says ``stopped`` and ends; at
``leave`` too, with little grace and without letting go on what hangs (``hang tasks``: no thread does).
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pgjobs import (
    Cancel,
    Discard,
    Job,
    PgJobs,
    Queue,
    RateLimit,
    Snooze,
    Stalled,
    Unique,
    backoff,
    worker,
)
from pgjobs_testing.simulation.histories.recording import Recorder
from tests.live.history_clients import LEAST, Client

RESCUE_AFTER_S = 1.5
LIMITED = Queue(concurrency=4, rate_limit=RateLimit(allowed=40, period=0.25), global_concurrency=6)
QUEUES: dict[str, int | Queue] = {"default": 8, "threads": 4, "limited": LIMITED}
CLIENTS = 2
HANGING = LEAST
"""Runs that must wait at a time before a process is said to hang."""
FEEDS = 2_000
GRACE_S = 0.1
REPLACE = {
    "available": ("scheduled_at", "priority"),
    "scheduled": ("scheduled_at",),
    "retryable": ("scheduled_at", "tags"),
    "executing": ("priority",),
}
OFTEN = backoff.constant(0.05)


class Hang:
    """Where runs wait while the process is to hang."""

    def __init__(self) -> None:
        self._over: Future[None] | None = None
        self._threads = True
        self.held = threading.Semaphore(0)

    def begin(self, threads: bool = True) -> None:
        """Let every run wait that begins from now on; without ``threads``, those on the loop alone."""
        self.held = threading.Semaphore(0)
        self._threads, self._over = threads, Future()

    def end(self) -> None:
        """Let all go on."""
        if self._over is not None:
            self._over.set_result(None)
        self._over = None

    def wait(self) -> None:
        """A run in a thread."""
        if (over := self._over) is not None and self._threads:
            self.held.release()
            over.result()

    async def wait_async(self) -> None:
        """A run on the loop; it can be cancelled, which the others do not notice."""
        if (over := self._over) is not None:
            self.held.release()
            await asyncio.shield(asyncio.wrap_future(over))


def outcome(job: Job) -> Any:
    """What the insert asked for: a failure or a snooze the first time, an end for good, or nothing."""
    first = job.attempt == 1 and not job.snoozed
    asked = job.args["outcome"]
    if asked == "fail" and first:
        raise ValueError("asked for")
    answers: dict[str, Any] = {"discard": Discard("asked for"), "cancel": Cancel("asked for")}
    return Snooze(0.05) if asked == "snooze" and first else answers.get(asked)


def staff(recorder: Recorder, hang: Hang) -> dict[str, Any]:
    """The workers, by what they are for."""

    @worker(name="steady", backoff=OFTEN)
    async def steady(job: Job) -> Any:
        with recorder.running(job):
            await hang.wait_async()
            return outcome(job)

    @worker(name="threaded", queue="threads", backoff=OFTEN)
    def threaded(job: Job) -> Any:
        with recorder.running(job):
            hang.wait()
            return outcome(job)

    @worker(name="limited", queue="limited", backoff=OFTEN)
    async def limited(job: Job) -> Any:
        with recorder.running(job):
            await hang.wait_async()
            return outcome(job)

    async def alike(job: Job) -> Any:
        with recorder.running(job):
            await hang.wait_async()
            return outcome(job)

    waiting = ("scheduled", "available", "executing", "retryable")
    uniques = {
        "only": Unique(period=None, keys=["group"]),
        "brief": Unique(period=0.3, keys=["group"]),
        "waiting": Unique(period=None, keys=["group"], states=waiting),
    }
    made = {
        name: worker(name=name, backoff=OFTEN, unique=unique)(alike)
        for name, unique in uniques.items()
    }
    made["moving"] = worker(
        name="moving", backoff=OFTEN, unique=uniques["waiting"], replace=REPLACE
    )(alike)
    return {"steady": steady, "threaded": threaded, "limited": limited, **made}


class Serving:
    """The node, its clients, and what they are told."""

    def __init__(self, dsn: str, folder: Path, name: str, seed: int, calls: int) -> None:
        self.jobs = PgJobs(
            dsn,
            node=name,
            queues=QUEUES,
            plugins=[Stalled(interval=0.2, rescue_after=RESCUE_AFTER_S)],
            poll_interval=0.2,
        )
        self.recorder = Recorder(folder, name, self.jobs.runtime().clock)
        self.hang = Hang()
        self.quitting = threading.Event()
        workers = staff(self.recorder, self.hang)
        self.clients = [
            Client(self.jobs, dsn, workers, self.recorder, f"{name}.{k}", CLIENTS * seed + k)
            for k in range(CLIENTS)
        ]
        self.feeder = Client(self.jobs, dsn, workers, self.recorder, f"{name}.feed", seed)
        self.feeding: list[threading.Thread] = []
        self.threads = [
            threading.Thread(target=client.call, args=(calls, self.quitting))
            for client in self.clients
        ]

    def told(self, line: str) -> None:
        """Do what one line says."""
        if line == "go":
            for thread in self.threads:
                thread.start()
            threading.Thread(target=self._called, daemon=True).start()
        elif line in ("hang", "hang tasks"):
            self.hang.begin(threads=line == "hang")
            self.feeding.append(threading.Thread(target=self._feed))
            self.feeding[-1].start()
        elif line == "go on":
            self.hang.end()
        elif line == "quit":
            self.quitting.set()
        else:
            assert line in ("stop", "leave"), line
            if line == "stop":
                self.hang.end()
            self.quitting.set()
            self.jobs.stop(grace=GRACE_S if line == "leave" else 15)
            for thread in (*self.threads, *self.feeding):
                thread.join()
            self.recorder.close()
            say("stopped")

    def _called(self) -> None:
        for thread in self.threads:
            thread.join()
        say("called")

    def _feed(self) -> None:
        held = 0
        for _ in range(FEEDS):
            self.feeder.insert_one("steady")
            held += self.hang.held.acquire(timeout=0.05)
            if held == HANGING:
                say("hanging")
                return
        raise AssertionError(f"of {FEEDS} jobs none began here")


def say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main() -> None:
    dsn, folder, name, seed, calls = sys.argv[1:]
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format=f"{name} %(message)s")
    serving = Serving(dsn, Path(folder), name, int(seed), int(calls))
    serving.recorder.listen()
    serving.jobs.start()
    say("ready")
    for line in sys.stdin:
        serving.told(line.strip())
        if line.strip() in ("stop", "leave"):
            return


if __name__ == "__main__":
    main()
