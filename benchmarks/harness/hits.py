"""How a worker's process tells its parent what it did: lines on standard output, with CLOCK_MONOTONIC.

T0 <s>      the node is about to be started
DONE <s>    the last of the jobs that were asked for has been executed
LAT [...]   seconds from insert to execution, one for each job that carries an instant
"""

from __future__ import annotations

import asyncio
import time

mono = time.monotonic


class Hits:
    """What the job functions of this process have executed."""

    n = 0
    target = 0
    latencies_s: list[float] = []  # noqa: RUF012 - one a process

    @classmethod
    def hit(cls, inserted: float | None = None) -> None:
        """Called by every job; ``inserted`` is when that was, negative for those not measured."""
        if inserted is not None and inserted >= 0:
            cls.latencies_s.append(mono() - inserted)
        cls.n += 1
        if cls.n == cls.target:
            print(f"DONE {mono()}", flush=True)


hit = Hits.hit


def mark_start() -> None:
    print(f"T0 {mono()}", flush=True)


def stdin_event() -> asyncio.Event:
    """Set as soon as the parent closes our standard input or writes to it."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ready() -> None:
        loop.remove_reader(0)
        event.set()

    loop.add_reader(0, ready)
    return event
