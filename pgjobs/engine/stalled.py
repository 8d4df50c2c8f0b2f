"""When a leader looks for jobs of nodes that are gone: every interval, page after page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pgjobs.effects import Find
from pgjobs.engine.led import LedPorts, Sweep
from pgjobs.leading import Fence, Rescue
from pgjobs.rules import lifecycle
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.schedule import LAST_INSTANT, later
from pgjobs.rules.selection import OneOf, Selection

PAGE = 1_000


EXECUTING = Selection((OneOf("state", (JobState.EXECUTING,)),))


def rescuer(
    ports: LedPorts,
    interval: timedelta,
    rescue_after: timedelta,
    node: str,
    naps: Callable[[], bool],
) -> Sweep:
    """The duty that rescues.

    Where the leader ``naps``, nobody but it claims while it is awake. Then it looks first whether any other
    node has executing jobs; where none has, the marks until it wakes again are left out.
    """
    others = False

    def effect(fence: Fence) -> Rescue | Find:
        if naps() and not others:
            return Find(EXECUTING)
        again, last = lifecycle.rescue(fence.now), lifecycle.rescue_last(fence.now)
        return Rescue(fence, again, last, rescue_after, PAGE)

    def found(answer: Any, asked: datetime, now: datetime) -> datetime:
        nonlocal others
        jobs: list[Job] = answer
        if naps() and not others:
            others = any(job.attempted_by[:1] != (node,) for job in jobs)
            return now if others else LAST_INSTANT
        others = False
        for job in jobs:
            ports.report.rescued(job)
        return now if len(jobs) >= PAGE else later(asked, interval)

    return Sweep(ports, effect, found, lambda jobs: not jobs, judging=True, every=interval)
