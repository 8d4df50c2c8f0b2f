"""Which jobs of a test no node would run, since no instance of the application serves their queue.

A drain runs every queue, so that a test which drains passes where production would run nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pgjobs.rules.errors import closest
from pgjobs.rules.job import Job
from pgjobs.rules.reasons import QueueNotServed


def not_served(queue: str, served: Iterable[str]) -> QueueNotServed:
    """What is said of a queue that is not among those that are served."""
    names = tuple(served)
    return QueueNotServed(queue, names, closest(queue, names))


def by_queue(jobs: Iterable[Job], served: Mapping[str, object] | None) -> dict[str, list[Job]]:
    """Those of the jobs whose queue is not among those that are served, each once; None serves every one."""
    found: dict[str, dict[int, Job]] = {}
    if served is not None:
        for job in jobs:
            if job.queue not in served:
                found.setdefault(job.queue, {})[job.id] = job
    return {queue: [*those.values()] for queue, those in found.items()}
