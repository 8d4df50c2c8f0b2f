"""Who waits for a connection's socket: a thread that blocks, or an event loop that goes on watching it.

A loop that begins to watch a socket for each statement, and ends it afterwards, spends more on that than
on the statement. So the loop that used a connection first watches it from then on, and moves a
conversation on where the answer comes in, without waking the task that waits before it has ended. The
price: whoever closes such a connection has the loop let go of it first (``Watch.close``), for the number of
a closed socket is soon another's.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Generator
from typing import Any

READ, WRITE = 1, 2

Talk = Generator[int, int, Any]
"""What ``conversation`` makes: it yields what the socket must be ready for, always READ among it."""


def wait(
    conversation: Talk,
    fileno: int,
    silent: Callable[[float], float] | None = None,
    after_s: float | None = None,
) -> Any:
    """Move a conversation on to its end, blocking this thread.

    Where nothing moves for ``after_s``, ``silent`` is told for how many seconds it has been so; it raises, or
    says after how many more it is called again.
    """
    try:
        wanted = next(conversation)
        poll = select.poll()
        left_s, silent_s = after_s, 0.0
        while True:
            poll.register(fileno, _POLL[wanted])
            if moved := poll.poll(None if left_s is None else left_s * 1_000):
                left_s, silent_s = after_s, 0.0
                wanted = conversation.send(_ready(moved[0][1]))
            elif silent is not None and left_s is not None:
                silent_s += left_s
                left_s = silent(silent_s)
    except StopIteration as end:
        return end.value


class Watch:
    """A socket, as event loops see it. One conversation at a time, whoever has it."""

    __slots__ = ("_ended", "_fileno", "_loop", "_talk", "_writing")

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno
        self._loop: asyncio.AbstractEventLoop | None = None
        self._talk: Talk | None = None
        self._ended: asyncio.Future[tuple[Any, Exception | None]] | None = None
        self._writing = False

    async def wait(self, conversation: Talk) -> Any:
        """Move a conversation on to its end, on the running event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                return await self._wait_as_guest(conversation)
            self._begin(loop)
        self._ended = ended = loop.create_future()
        self._talk = conversation
        try:
            self._move(None)
            found, error = await ended
        finally:
            self._talk = self._ended = None
            self._listen_only()
        if error is not None:
            raise error
        return found

    def close(self, close: Callable[[], None]) -> None:
        """Call ``close``, which closes the socket, when no loop watches it any more.

        At once, but for a loop that runs in another thread: that one does it as soon as it can.
        """
        loop = self._loop
        if loop is None or loop.is_closed():
            close()
        elif not loop.is_running() or loop is _running():
            self._let_go(close)
        else:
            try:
                loop.call_soon_threadsafe(self._let_go, close)
            except RuntimeError:  # it was closed just now
                close()

    async def _wait_as_guest(self, conversation: Talk) -> Any:
        """Watch the socket for as long as this lasts: another loop does so for good."""
        guest = Watch(self._fileno)
        try:
            return await guest.wait(conversation)
        finally:
            guest._let_go(lambda: None)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_reader(self._fileno, self._readable)
        self._loop, self._writing = loop, False

    def _let_go(self, then: Callable[[], None]) -> None:
        """In the thread of the loop, or while it does not run."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._fileno)
            if self._writing:
                loop.remove_writer(self._fileno)
        then()

    def _readable(self) -> None:
        if self._talk is None:  # a farewell; or a thread has the connection, and reads it itself
            self._let_go(lambda: None)
        else:
            self._move(READ)

    def _writable(self) -> None:
        if self._talk is None:
            self._listen_only()
        else:
            self._move(WRITE)

    def _move(self, ready: int | None) -> None:
        """Let the conversation go on; at its end, wake who waits for it."""
        talk = self._talk
        assert talk is not None
        try:
            wanted = next(talk) if ready is None else talk.send(ready)
        except StopIteration as end:
            self._end(end.value, None)
        except Exception as error:
            self._end(None, error)
        else:
            if wanted & WRITE:
                self._write_too()
            else:
                self._listen_only()

    def _end(self, found: Any, error: Exception | None) -> None:
        self._talk = None
        if self._ended is not None and not self._ended.done():  # it may have been cancelled
            self._ended.set_result((found, error))

    def _write_too(self) -> None:
        if not self._writing and self._loop is not None:
            self._writing = True
            self._loop.add_writer(self._fileno, self._writable)

    def _listen_only(self) -> None:
        if self._writing and self._loop is not None:
            self._writing = False
            self._loop.remove_writer(self._fileno)


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_POLL = {
    READ: select.POLLIN,
    WRITE: select.POLLOUT,
    READ | WRITE: select.POLLIN | select.POLLOUT,
}


def _ready(events: int) -> int:
    """Errors and hang-ups count as readable: reading tells what happened."""
    found = READ if events & ~select.POLLOUT else 0
    return found | (WRITE if events & select.POLLOUT else 0)
