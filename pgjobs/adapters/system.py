"""The one place that touches real time and real chance.

``SystemClock`` follows the store's own clock, so that nodes whose machines disagree still agree:
it takes one reading of it, and counts on by a clock that goes through system sleep and never steps.

What only chance and names need is imported with them: psycopg brings most of it, and tests draw elsewhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

REPROBE_AFTER_S: Final = 300.0
"""The store's clock is read again after so many seconds."""

_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The production clock: the store's, never going backwards.

    ``server_now`` reads the store's clock, or gives None where it has none (or cannot be reached),
    and then this machine's is used. A correction backwards holds the clock still until the
    difference has passed.
    """

    def __init__(self, server_now: Callable[[], datetime | None] | None = None) -> None:
        self._server_now = server_now
        self._lock = threading.Lock()
        self._base: tuple[datetime, float] | None = None
        self._probed_at: float | None = None
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        steady = time.clock_gettime(_STEADY)
        if self._probed_at is None or steady - self._probed_at > REPROBE_AFTER_S:
            self._probe()
            steady = time.clock_gettime(_STEADY)
        assert self._base is not None
        base, base_at = self._base  # read at once: another thread may be probing
        present = base + timedelta(seconds=steady - base_at)
        if present < self._last:
            return self._last
        self._last = present
        return present

    def monotonic(self) -> float:
        return time.monotonic()

    @property
    def offset(self) -> timedelta:
        """How far this clock is ahead of the machine's own."""
        return self.now() - datetime.now(UTC)

    def _probe(self) -> None:
        with self._lock:
            before = time.clock_gettime(_STEADY)
            if self._probed_at is not None and before - self._probed_at <= REPROBE_AFTER_S:
                return
            server = self._server_now() if self._server_now is not None else None
            after = time.clock_gettime(_STEADY)
            if server is not None:
                self._base = server, (before + after) / 2
            elif self._base is None:
                self._base = datetime.now(UTC), after
            self._probed_at = after


class SystemRng:
    """Real chance; the labels only keep the interface."""

    def __init__(self) -> None:
        import random

        self._random = random.Random(os.urandom(32))

    def random(self, label: str) -> float:
        return self._random.random()

    def token(self, label: str) -> str:
        """A UUID of version 4, as ``uuid4`` makes it, without an object for it."""
        digits = os.urandom(16).hex()
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def node_name() -> str:
    """A name for this process and start that is never used again: host, process id, chance."""
    import socket
    import uuid

    return f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
