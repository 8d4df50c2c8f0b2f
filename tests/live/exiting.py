"""A program that ends without a stop, while its node has more to do than it can. Run as a script.

It writes what every job did, and how it stood when the process left, for the last thing that an exit calls.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
import threading

from pgjobs import Job, MemoryStore, PgJobs, worker

CONCURRENCY = 3
JOBS = 200

PATIENCE_S = 20

begun, leaving = threading.Semaphore(0), threading.Event()
ran: list[int] = []
jobs = PgJobs(store=MemoryStore(), queues={"default": CONCURRENCY, "loop": CONCURRENCY})


@worker
def in_thread(job: Job) -> None:
    begun.release()
    leaving.wait(PATIENCE_S)
    ran.append(job.id)


@worker(queue="loop")
async def on_loop(job: Job) -> None:
    begun.release()
    await asyncio.Event().wait()


def tell() -> None:
    states = {queue: jobs.count_jobs("state", queue=queue) for queue in jobs.queues}
    attempts = sum(job.attempt for job in jobs.all_jobs(state="available"))
    json.dump({"ran": len(ran), "states": states, "attempts": attempts}, sys.stdout)
    sys.stdout.flush()


class Watching(logging.StreamHandler):  # type: ignore[type-arg]  # of standard error
    """Lets the jobs in threads end once the node has noticed that the program does."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if "the program ends" in record.getMessage():
            leaving.set()


def main() -> None:
    atexit.register(tell)  # before a node is started: it is called when the exit's own hooks were
    logging.getLogger("pgjobs").addHandler(Watching())
    jobs.insert_all([each.new() for each in (in_thread, on_loop) for _ in range(JOBS)])
    jobs.start()
    for _ in range(2 * CONCURRENCY):
        begun.acquire()
    if sys.argv[1:] == ["raises"]:
        raise ValueError("the program fails")


if __name__ == "__main__":
    main()
