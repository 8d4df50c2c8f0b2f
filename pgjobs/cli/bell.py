"""Waiting for signals, and for threads, without missing any: each rings a bell that the wait listens to.

A handler alone does not do. A signal that comes just before the main thread blocks on a lock is only noted,
and nobody looks at the note before the next signal.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import Self

ENOUGH = 4096
"""Bytes taken at a time: however often it has been rung meanwhile, one wait ends."""
LONGEST_S = 86_400.0
"""A socket waits no longer than some days."""


class Bell:
    """A context manager for the main thread: within it every signal that Python handles rings."""

    def __enter__(self) -> Self:
        self._heard, self._rope = socket.socketpair()
        self._rope.setblocking(False)
        self._before = signal.set_wakeup_fd(self._rope.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._before)
        self._heard.close()
        self._rope.close()

    def ring(self) -> None:
        """End a wait, from any thread: the present one, or the next."""
        with contextlib.suppress(BlockingIOError):  # it is full of rings
            self._rope.send(b"\0")

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it is rung, or for so long, a day at most; the handler of what rang runs then."""
        self._heard.settimeout(timeout_s if timeout_s is None else min(timeout_s, LONGEST_S))
        with contextlib.suppress(TimeoutError):
            self._heard.recv(ENOUGH)
