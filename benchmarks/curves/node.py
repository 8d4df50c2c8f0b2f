"""One node in a process of its own, which tells on its standard output what it has done so far.

    python -m benchmarks.curves.node '{"dsn": ..., "queues": {"default": 10}}'

It is told to stop by the end of its standard input. Its lines are JSON: ``{"started": ...}`` when it
serves, ``{"ended": n, ...}`` after each ``every`` jobs, and at its end the seconds that each timed job had
waited. What a job does stands in its args, so that one worker serves every measurement:

    {"sleep_s": 0.01}   it sleeps so long
    {"fail": true}      it fails
    {"insert": true}    it inserts another job, which does nothing, into the queue "after"
    {"at": 123.4}       it was inserted at that moment of CLOCK_MONOTONIC: how long it waited is told
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pgjobs import Job, PgJobs, PostgresStore, Queue, worker


@dataclass(frozen=True, slots=True)
class Spec:
    """What a node serves: the concurrency of each queue, or its options as ``Queue`` takes them.

    ``nodes`` of them share one process, each with connections of its own.
    """

    dsn: str
    queues: Mapping[str, int | Mapping[str, Any]] = field(default_factory=lambda: {"default": 10})
    pool_size: int = 10
    every: int = 500
    nodes: int = 1

    def as_json(self) -> str:
        return json.dumps(asdict(self))


class Told:
    """What has been done by this process; jobs end in the thread of the event loop alone."""

    def __init__(self, every: int) -> None:
        self._every = every
        self.ended = 0
        self.waits: dict[str, list[float]] = {}

    def end(self) -> None:
        self.ended += 1
        if self.ended % self._every == 0:
            say(ended=self.ended)


def say(**what: object) -> None:
    """One line, with the time and this process's CPU seconds."""
    line = {**what, "at": time.monotonic(), "cpu_s": time.process_time()}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def serve(spec: Spec) -> None:
    told = Told(spec.every)
    stores = [PostgresStore(spec.dsn, pool_size=spec.pool_size) for _ in range(spec.nodes)]
    queues = {
        name: given if isinstance(given, int) else Queue(**given)
        for name, given in spec.queues.items()
    }
    apps = [PgJobs(store=store, queues=queues) for store in stores]

    @worker(name="measured")
    async def measured(job: Job) -> None:
        args = job.args
        if (at := args.get("at")) is not None:
            told.waits.setdefault(args.get("kind", ""), []).append(time.monotonic() - at)
        if (sleep_s := args.get("sleep_s")) is not None:
            await asyncio.sleep(sleep_s)
        if args.get("insert"):
            await apps[0].insert_async(measured.new({}, queue="after"))
        told.end()
        if args.get("fail"):
            raise ValueError("it was to fail")

    for app in apps:
        app.start()
    say(started=True)
    for order in sys.stdin:
        if order.strip() == "cpu":
            say(asked=True)
    say(waits=told.waits)
    stops = [threading.Thread(target=app.stop, args=(1,)) for app in apps]
    for stop in stops:
        stop.start()
    for stop in stops:
        stop.join()
    for store in stores:
        store.close()


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # args of more than 1 KiB, and failures that were asked for
    serve(Spec(**json.loads(sys.argv[1])))
