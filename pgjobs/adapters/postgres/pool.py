"""Which connection carries out the next effect: an idle one, a new one, or the next that is given back.

One pool serves threads and event loops alike, since nothing of a connection belongs to a loop but the
waiting. It has no threads, tasks or timers of its own. Whoever finds all connections taken waits for
one, in order of arrival and without a limit of time. An idle connection that the server closed is
not used again, and a forked child never touches those of its parent.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from pgjobs.adapters.postgres.preparing import Preparing
from pgjobs.adapters.postgres.silence import PATIENCE, Patience

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.pooled import Connection, Line

    Turn = Future[Line | None]

EXTRA = -1
"""The age of a connection that is not counted, and closed when it is given back."""


class Pool:
    """Up to ``size`` connections, opened when they are needed."""

    def __init__(self, size: int, preparing: Preparing, patience: Patience = PATIENCE) -> None:
        self._size, self._patience = size, patience
        self._preparing = preparing
        self._age = 0
        self._begin()
        _POOLS.add(self)

    def take(self, connect: Callable[[], Connection]) -> Line:
        """A connection that nobody else has; ``give`` it back.

        In the thread of a running event loop this never waits for the loop's own tasks, which could
        not give anything back meanwhile: where all are taken, it opens one more, for once.
        """
        turn = self._turn(None)
        if not isinstance(turn, Future):
            line = turn
        elif _in_event_loop() and turn.cancel():
            return self._line(connect(), EXTRA)
        else:
            try:
                line = turn.result()
            except BaseException:
                self._leave(turn)
                raise
        if line is not None and line.alive():
            return line
        try:
            return self._line(connect(), self._age)
        except BaseException:
            self._pass_on(None)
            raise

    async def take_async(self, connect: Callable[[], Awaitable[Connection]]) -> Line:
        """The same, without blocking the running event loop."""
        turn = self._turn(asyncio.get_running_loop())
        if not isinstance(turn, Future):
            line = turn
        else:
            try:
                line = await asyncio.wrap_future(turn)
            except BaseException:
                self._leave(turn)
                raise
        if line is not None and line.alive():
            return line
        try:
            return self._line(await connect(), self._age)
        except BaseException:
            self._pass_on(None)
            raise

    def give(self, line: Line) -> None:
        """Take a connection back; one that is in the middle of something is closed."""
        if line.age == EXTRA:
            line.close()
        elif line.idle and line.age == self._age:
            self._pass_on(line)
        else:
            line.close()
            self._pass_on(None)

    def close(self) -> None:
        """Close what is idle now, and every other connection when it is given back."""
        with self._lock:
            idle = list(self._idle)
            self._idle.clear()
            self._age += 1
        for line in idle:
            line.close()

    def forget(self) -> None:
        """Begin anew in a forked child; the parent's connections are left alone, not closed."""
        _ABANDONED.extend(self._idle)
        self._age += 1
        self._begin()

    def _line(self, connection: Connection, age: int) -> Line:
        from pgjobs.adapters.postgres.pooled import Line

        return Line(connection, age, self._preparing, self._patience)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Line] = []
        self._taken = 0
        self._waiting: deque[tuple[Turn, asyncio.AbstractEventLoop | None]] = deque()

    def _turn(self, loop: asyncio.AbstractEventLoop | None) -> Turn | Line | None:
        """An idle connection, or None for the right to open one; a future of that where all are taken."""
        with self._lock:
            if self._taken < self._size:
                self._taken += 1
                return self._idle.pop() if self._idle else None
            turn: Turn = Future()
            self._waiting.append((turn, loop))
            return turn

    def _pass_on(self, line: Line | None) -> None:
        with self._lock:
            turn = self._next() if self._waiting else None
            if turn is None:
                self._taken -= 1
                if line is not None:
                    self._idle.append(line)
        if turn is not None:
            turn.set_result(line)

    def _next(self) -> Turn | None:
        """The first that still waits."""
        while self._waiting:
            turn, loop = self._waiting.popleft()
            gone = loop is not None and loop.is_closed()
            if not gone and turn.set_running_or_notify_cancel():
                return turn
        return None

    def _leave(self, turn: Turn) -> None:
        if not turn.cancel():
            self._pass_on(turn.result())


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()
_ABANDONED: list[Line] = []
"""Connections of a parent process: kept, so that they are neither used nor closed here."""


def _forked() -> None:
    for pool in tuple(_POOLS):
        pool.forget()


os.register_at_fork(after_in_child=_forked)
