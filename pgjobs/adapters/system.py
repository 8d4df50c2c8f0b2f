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
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from pgjobs.rules.errors import StoreUnavailableError

REPROBE_AFTER_S: Final = 300.0
"""The store's clock is read again after so many seconds."""
RETRY_AFTER_S: Final = 1.0
"""The same where it could not be read yet."""
READINGS: Final = 3
CLOSE_S: Final = 0.005
"""Of so many readings that of the shortest round trip counts; one this short needs no other."""
SLOWED_TO: Final = 0.5
"""The pace of a clock that is ahead, until it no longer is."""

_steady: Final = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Seconds that go through system sleep, and never step."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """The store's clock showed ``base`` at ``at`` (steady seconds); ours was ``ahead_s`` ahead of it then."""

    base: datetime
    at: float
    ahead_s: float = 0.0
    known: bool = True
    """Whether it is the store's; else the store could not be reached, and it is the machine's."""

    def shows(self, steady: float) -> datetime:
        """The time at ``steady``."""
        seconds = steady - self.at
        if self.ahead_s:
            seconds += max(0.0, self.ahead_s - seconds * (1.0 - SLOWED_TO))
        return self.base + timedelta(seconds=seconds)


class SystemClock:
    """The production clock: the store's, never going backwards.

    ``server_now`` reads the store's clock, or gives None where it has none, and then this machine's is
    used. Where it raises ``StoreUnavailableError`` before the first reading, this machine's serves until
    the store can be read (see ``settle``), and is forgotten then. A correction backwards slows the clock
    down to half its pace until the difference is used up: timers go on. ``steady`` gives seconds that
    never step.
    """

    def __init__(
        self,
        server_now: Callable[[], datetime | None] | None = None,
        steady: Callable[[], float] = _steady,
    ) -> None:
        self._server_now, self._steady = server_now, steady
        self._lock = threading.Lock()
        self._reading: _Reading | None = None
        self._old_at = 0.0
        """From when on (steady seconds) the store's clock is to be read again."""
        self._trouble: StoreUnavailableError | None = None
        """Why the store's clock has never been read."""
        self._last = _NEVER

    def now(self) -> datetime:
        steady = self._steady()
        reading = self._reading  # read at once: another thread may be reading anew
        if reading is None or steady > self._old_at:
            reading = self._read_anew()
            steady = self._steady()
        if reading.ahead_s:
            present = reading.shows(steady)
        else:  # as it mostly is: one call less of each reading
            present = reading.base + timedelta(seconds=steady - reading.at)
        if present < self._last:
            return self._last
        if reading is self._reading:
            self._last = present
        return present

    def monotonic(self) -> float:
        return time.monotonic()

    def settle(self) -> None:
        """See that the store's clock has been read, where it has one.

        ``StoreUnavailableError`` where it cannot be; it is tried again each second at most.
        """
        self.now()
        if (trouble := self._trouble) is not None:
            raise StoreUnavailableError(str(trouble)) from trouble

    @property
    def offset(self) -> timedelta:
        """How far this clock is ahead of the machine's own."""
        return self.now() - datetime.now(UTC)

    def _read_anew(self) -> _Reading:
        with self._lock:
            before = self._reading
            if before is not None and self._steady() <= self._old_at:
                return before  # another thread has tried, meanwhile
            found = self._read()
            at = self._steady()
            if found is None:
                found = before or _Reading(datetime.now(UTC), at, known=False)
            elif before is not None and before.known:
                ahead = (before.shows(found.at) - found.base).total_seconds()
                found = replace(found, ahead_s=max(0.0, ahead))
            elif before is not None:
                self._last = _NEVER
            if found.known:
                self._trouble = None
            self._old_at = at + (REPROBE_AFTER_S if found.known else RETRY_AFTER_S)
            self._reading = found
            return found

    def _read(self) -> _Reading | None:
        """The store's clock, by the closest of a few readings; None where it cannot be reached."""
        best: tuple[float, _Reading] | None = None
        for _ in range(READINGS):
            before = self._steady()
            try:
                server = None if self._server_now is None else self._server_now()
            except StoreUnavailableError as error:
                self._trouble = error
                break
            after = self._steady()
            if server is None:  # there is none: this machine's is right, and read once
                return self._reading or _Reading(datetime.now(UTC), after)
            if best is None or after - before < best[0]:
                best = after - before, _Reading(server, (before + after) / 2)
            if best[0] <= CLOSE_S:
                break
        return None if best is None else best[1]


_NEVER: Final = datetime.min.replace(tzinfo=UTC)


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
