"""One node's line to the server, driven by the node's own thread: three sockets and one ``select``.

Two lanes carry effects: outcomes are saved on one while jobs are claimed on the other. Claims
within limits wait for their turn on a lane of their own, opened when there is one. Another connection
listens. Nothing here blocks but ``wait``, and nothing sleeps: connections are opened by
short-lived threads, and whatever happens (an answer, a notification, a connection, a wake-up) ends
the wait. Why it is built so, and what it costs: ``docs/decisions/0002-the-live-core.md``.

A connection that is lost ends its effect with ``StoreUnavailableError`` (it may have happened), and is
opened anew for the next effect, for ever. How long to wait between two attempts is the node's
decision, not one of this file.
"""

from __future__ import annotations

import os
import selectors
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pgjobs.adapters.postgres.lines import Lane, Line, Listener
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.preparing import Preparing
from pgjobs.adapters.postgres.silence import PATIENCE, Patience, Vigil
from pgjobs.effects import ClaimWithin, Effect, Poll, Settle
from pgjobs.ports import Done, Signal
from pgjobs.rules.errors import PgJobsError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


class PostgresSession:
    """A session in the name of ``name``; ``connect`` opens a connection, blocking its thread."""

    def __init__(
        self,
        name: str,
        names: Names,
        preparing: Preparing,
        connect: Callable[[], Connection],
        monotonic: Callable[[], float],
        patience: Patience = PATIENCE,
    ) -> None:
        self._name = name
        self._connect = connect
        self._ended: list[Done | Signal] = []
        self._told: set[Signal] = set()
        self._arrivals: deque[tuple[Line, Connection | None, StoreError | None]] = deque()
        self._lock = threading.Lock()
        self._closed = self._woken = self._waiting = False
        self._bell, self._rope = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._rope, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, selectors.EVENT_READ, self._rung)
        self._claiming = Lane(names, preparing, self._selector, self._open, self._end)
        self._settling = Lane(names, preparing, self._selector, self._open, self._end)
        self._queueing = Lane(names, preparing, self._selector, self._open, self._end)
        self._listener = Listener(names, self._selector, self._open, self._tell, connect)
        lanes = (self._claiming, self._settling, self._queueing)
        self._vigil = Vigil(name, lanes, self._listener, connect, self._ring, monotonic, patience)

    def submit(self, effect: Effect[Any]) -> None:
        self._listener.begin()
        if isinstance(effect, Settle):
            self._settling.add(effect)
        elif isinstance(effect, ClaimWithin):
            self._queueing.add(effect)
        else:
            self._claiming.add(effect)

    def collect(self) -> list[Done | Signal]:
        if not self._ended:
            self._move_on(0)
        found, self._ended = self._ended, []
        self._told.clear()
        return found

    def wait(self, seconds: float | None) -> None:
        """As the port says; it may last longer while an answer arrives piece by piece, and end early
        where it is time to look whether the server is silent."""
        left = self._vigil.left_s()
        if seconds is None or left < seconds:
            seconds = left
        while not self._ended:
            self._waiting = True  # from here on a wake rings; one that came before left its mark
            moved = self._move_on(0 if self._woken else seconds)
            self._waiting = False
            if self._woken or not moved:
                break
        self._woken = False

    def wake(self) -> None:
        self._woken = True
        self._ring()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            os.close(self._rope)
        for line in (self._claiming, self._settling, self._queueing, self._listener):
            line.drop()
        for _, connection, _ in self._arrivals:
            if connection is not None:
                connection.close()
        self._selector.close()
        os.close(self._bell)

    def _move_on(self, seconds: float | None) -> bool:
        """Let everything go as far as it can; say whether anything could."""
        ready = self._selector.select(0 if self._arrivals or self._vigil.answers else seconds)
        for key, events in ready:
            key.data(events)
        arrived = bool(self._arrivals or self._vigil.answers)
        self._vigil.heed()
        while self._arrivals:
            line, connection, error = self._arrivals.popleft()
            if connection is not None:
                line.arrived(connection)
            else:
                assert error is not None
                line.failed(error)
        return bool(ready) or arrived

    def _end(self, done: Done) -> None:
        self._ended.append(done)
        if isinstance(done.effect, Poll) and done.error is None:
            self._listener.revive()

    def _tell(self, signal: Signal) -> None:
        """Hand a signal on, once a collection."""
        if signal not in self._told:
            self._told.add(signal)
            self._ended.append(signal)

    def _open(self, line: Line) -> None:
        """Open a connection for ``line`` in a thread of its own, however long that blocks."""
        name = f"pgjobs-connect-{self._name}"
        try:
            threading.Thread(target=self._opening, args=(line,), name=name, daemon=True).start()
        except Exception as reason:  # no thread is to be had now
            with self._lock:
                self._arrivals.append((line, None, _as_store_error(reason)))

    def _opening(self, line: Line) -> None:
        connection, error = None, None
        try:
            connection = self._connect()
            line.prepare(connection)
        except Exception as reason:
            if connection is not None:
                connection.close()
            connection, error = None, _as_store_error(reason)
        with self._lock:
            if not self._closed:
                self._arrivals.append((line, connection, error))
                connection = None
        if connection is not None:
            connection.close()
        self._ring()

    def _ring(self) -> None:
        """End a wait that has begun; the pipe holds more rings than there can be waits."""
        if not self._waiting:
            return
        with self._lock:
            if self._waiting and not self._closed:
                self._waiting = False
                os.write(self._rope, b"!")

    def _rung(self, _: int) -> None:
        os.read(self._bell, 64)


def _as_store_error(reason: Exception) -> StoreError:
    if isinstance(reason, StoreError):
        return reason
    text = f"no connection could be opened: {type(reason).__name__}: {reason}"
    return StoreError(text) if isinstance(reason, PgJobsError) else StoreUnavailableError(text)
