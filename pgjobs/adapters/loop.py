"""Runs async jobs on an event loop in its own thread, which no job can end, by an exit or by a stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context

from pgjobs.adapters.inbox import not_begun, of_thread, withdrawn
from pgjobs.adapters.outbox import Outbox
from pgjobs.adapters.performing import perform_async
from pgjobs.ports import NotBegunError, Run
from pgjobs.rules.lifecycle import Outcome
from pgjobs.rules.outcome import failed

log = logging.getLogger("pgjobs")

EXITS_OF_A_CLOSE = 100
"""So many tasks that jobs left behind may answer with an exit when a closing loop cancels them."""
BROKEN = "its loop broke"


class LoopExecutor:
    """Runs each ``async def`` job as a task on one event loop in one thread of its own."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._loop = _new_loop()
        self._inbox: deque[Run] = deque()
        self._tasks: dict[Run, asyncio.Task[None]] = {}
        self._ended: list[tuple[Run, Outcome]] = []
        self._over = self._stopped = False
        self.broken = False
        """Whether it can run nothing any more."""
        self._thread = threading.Thread(target=self._serve, name="pgjobs-loop", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._loop.close()
            raise

    def start(self, runs: list[Run]) -> None:
        self._inbox.extend(runs)
        try:
            # What the engine's own thread has set, as by a worker's ``timeout(job)``, is none of theirs.
            self._loop.call_soon_threadsafe(self._begin, context=Context())
        except Exception as error:
            raise not_begun(withdrawn(self._inbox, runs), error) from error
        if self.broken and (left := withdrawn(self._inbox, runs)):
            raise NotBegunError(left, BROKEN)

    def tell(self, run: Run) -> None:
        if not self.broken:
            self._loop.call_soon_threadsafe(self._cancel, run)

    def close(self) -> None:
        if not self.broken:
            self._loop.call_soon_threadsafe(self._end)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        of_thread.tasks = self._tasks
        try:
            while not self._over:
                if not self._exits(self._loop.run_forever) and not self._over:
                    self._warn_of_a_stop()
            for _ in range(EXITS_OF_A_CLOSE):
                if not self._exits(lambda: self._loop.run_until_complete(self._clear_up())):
                    break
        except Exception as error:  # its selector fails, as where a job closed what is not its own
            log.exception("the loop of all async jobs broke: its jobs fail, and others get another")
            self._break(error)
        else:
            self._loop.close()

    def _end(self) -> None:
        """Leave the loop, whether or not an exit in the same pass undoes the stop."""
        self._over = True
        self._loop.stop()

    def _warn_of_a_stop(self) -> None:
        """A job called the loop's ``stop``, which is nobody's to call: nothing comes of it. Logged once."""
        if not self._stopped:
            self._stopped = True
            log.warning("a job stopped the loop of all async jobs, which goes on")

    def _break(self, error: Exception) -> None:
        """Let its jobs fail by what broke the loop, and give back those that had not begun."""
        self.broken = True  # first: what comes in later is refused
        with contextlib.suppress(Exception):
            self._loop.close()
        ended, self._ended = self._ended, []
        ended += [(run, failed(error)) for run in self._tasks]
        while self._inbox:
            run = self._inbox.popleft()
            ended.append((run, failed(NotBegunError([run], BROKEN))))
        self._outbox.put(*ended)

    def _exits(self, run: Callable[[], object]) -> bool:
        """Whether a task that a job has begun ends ``run`` by an exit, as asyncio lets it.

        Who awaits the task gets the exit all the same: the other jobs of the loop are to go on.
        """
        try:
            run()
        except (SystemExit, KeyboardInterrupt) as error:
            log.warning("a task that a job began on the loop of all async jobs raised %r", error)
            return True
        return False

    async def _clear_up(self) -> None:
        """End what jobs left behind on the loop: tasks and generators of their own."""
        left = sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=asyncio.Task.get_name)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._loop.shutdown_asyncgens()

    def _begin(self) -> None:
        while self._inbox:
            run = self._inbox.popleft()
            self._tasks[run] = self._loop.create_task(self._perform(run))

    async def _perform(self, run: Run) -> None:
        ended = await perform_async(run)
        if self.broken:  # what is left of it is thrown away
            return
        del self._tasks[run]
        if not self._ended:
            self._loop.call_soon(self._hand_in)
        self._ended.append((run, ended))

    def _hand_in(self) -> None:
        ended, self._ended = self._ended, []
        self._outbox.put(*ended)

    def _cancel(self, run: Run) -> None:
        if (task := self._tasks.get(run)) is not None:
            # A task cancelled before its first step never runs, and would never say that it ended.
            self._loop.call_soon(task.cancel)


def _new_loop() -> asyncio.AbstractEventLoop:
    """An event loop, once what it opens is known to be had: one that is half made makes noise as it goes."""
    with selectors.DefaultSelector():
        for end in socket.socketpair():
            end.close()
    return asyncio.new_event_loop()
