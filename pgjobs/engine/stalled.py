"""When a leader looks for jobs of nodes that are gone: every interval, page after page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pgjobs.engine.led import LedPorts, Sweep
from pgjobs.leading import Fence, Rescue
from pgjobs.rules import lifecycle
from pgjobs.rules.job import Job
from pgjobs.rules.schedule import later

PAGE = 1_000


def rescuer(ports: LedPorts, interval: timedelta, rescue_after: timedelta) -> Sweep:
    """The duty that rescues."""

    def effect(fence: Fence) -> Rescue:
        again, last = lifecycle.rescue(fence.now), lifecycle.rescue_last(fence.now)
        return Rescue(fence, again, last, rescue_after, PAGE)

    def found(answer: Any, asked: datetime, now: datetime) -> datetime:
        rescued: list[Job] = answer
        for job in rescued:
            ports.report.rescued(job)
        return now if len(rescued) >= PAGE else later(asked, interval)

    return Sweep(ports, effect, found, judging=True)
