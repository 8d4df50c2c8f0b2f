"""Where worker code runs: on an event loop in its own thread, in a pool of threads, in processes of
their own (``processes.py``), or right here.

All of them answer with an ``Outcome`` for every run, whatever the worker did: ``CancelledError``,
``SystemExit`` and exceptions that cannot be printed are failures of the run, never of the engine.
Where nobody waits for a run but the engine, it has a context of its own: what it sets of context
variables, no other run sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import TYPE_CHECKING

from pgjobs.adapters.outbox import Outbox
from pgjobs.adapters.performing import perform, perform_async, perform_within_limit
from pgjobs.ports import Clock, Finished, NotBegunError, Run
from pgjobs.rules.lifecycle import Outcome
from pgjobs.rules.outcome import failed, summary

if TYPE_CHECKING:
    from pgjobs.adapters.processes import ProcessExecutor

log = logging.getLogger("pgjobs")

EXITS_OF_A_CLOSE = 100
"""So many tasks that jobs left behind may answer with an exit when a closing loop cancels them."""
MAX_THREADS = 100_000
"""More than an engine ever asks for: it holds back what has no slot."""
ASK_AGAIN_S = 1.0
"""How often a thread is asked for where none could be had, and runs wait for those that there are."""


class LoopExecutor:
    """Runs each ``async def`` job as a task on one event loop in one thread of its own."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._loop = _new_loop()
        self._inbox: deque[Run] = deque()
        self._tasks: dict[Run, asyncio.Task[None]] = {}
        self._ended: list[tuple[Run, Outcome]] = []
        self._closing = False
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
            raise _not_begun(_withdrawn(self._inbox, runs), error) from error

    def tell(self, run: Run) -> None:
        self._loop.call_soon_threadsafe(self._cancel, run)

    def close(self) -> None:
        self._closing = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        _thread.tasks = self._tasks
        try:
            while self._exits(self._loop.run_forever):
                if self._closing:  # an exit in the same pass has undone the stop
                    self._loop.call_soon(self._loop.stop)
            for _ in range(EXITS_OF_A_CLOSE):
                if not self._exits(lambda: self._loop.run_until_complete(self._clear_up())):
                    break
        finally:
            self._loop.close()

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


class ThreadedExecutor:
    """Runs jobs in as many threads as there are jobs that wait for something.

    One more thread than is at work is asked for while runs are left, and takes the next as soon as the
    others let it: a run that blocks holds up nobody, and runs that end at once take turns in few threads,
    without a future or a wake-up for each.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._pool = ThreadPoolExecutor(MAX_THREADS, "pgjobs-worker")
        self._lock = threading.Lock()
        self._inbox: deque[Run] = deque()
        self._coming = self._short = False
        self._at_work = 0
        self._asked_at: float | None = None

    def start(self, runs: list[Run]) -> None:
        with self._lock:
            self._inbox.extend(runs)
            asks = not self._coming and not (self._short and self._at_work)
            self._coming = self._coming or asks
        if asks and (error := self._ask()) is not None:
            with self._lock:
                left = [] if self._at_work else _withdrawn(self._inbox, runs)
            if left:
                raise _not_begun(left, error) from error

    def tell(self, run: Run) -> None:
        """A run that no thread has taken yet never begins."""
        with self._lock:
            left = _withdrawn(self._inbox, [run])
        if left:
            self._outbox.put((run, failed(NotBegunError(left, "it was told to stop before"))))

    def ask_again(self, at: float) -> None:
        """No thread could be had, and runs wait for those that there are: try again, once in a while."""
        if not self._short:
            return
        with self._lock:
            waits = self._asked_at is not None and at < self._asked_at + ASK_AGAIN_S
            if not self._inbox or self._coming or waits:
                return
            self._coming, self._asked_at = True, at
        self._ask()

    def close(self) -> None:
        self._pool.shutdown(wait=True)

    def _ask(self) -> Exception | None:
        """Ask for one more thread; why there is none to be had, if so.

        What it was asked to serve stays in the pool, for the next thread that is idle: so do not ask often.
        """
        try:
            self._pool.submit(self._serve)
        except Exception as error:
            self._coming, self._short = False, True
            return error
        self._short = False
        return None

    def _serve(self) -> None:
        _thread.working = True
        arrived = True
        while (taken := self._next(arrived)) is not None:
            run, more = taken
            if more:
                self._ask()  # where none comes, those there are take all in turn
            self._outbox.put((run, copy_context().run(perform, run)))
            arrived = False

    def _next(self, arrived: bool) -> tuple[Run, bool] | None:
        """The next run, and whether one more thread is to be asked for."""
        with self._lock:
            if arrived:
                self._coming = False
                self._at_work += 1
            if not self._inbox:
                self._at_work -= 1
                return None
            run = self._inbox.popleft()
            more = bool(self._inbox) and not self._coming and not self._short
            self._coming = self._coming or more
            return run, more


class LiveExecutor:
    """The production executor: async workers on a loop, others in threads or in processes.

    None of them is started before a worker needs it. They grow as far as the engine's slots do,
    which an operator may scale up at any time. ``modules`` define workers, and are imported in
    every process.
    """

    def __init__(
        self, clock: Clock, wake: Callable[[], None], modules: tuple[str, ...] = ()
    ) -> None:
        self._clock, self._modules = clock, modules
        self._outbox = Outbox(clock, wake)
        self._loop: LoopExecutor | None = None
        self._threads: ThreadedExecutor | None = None
        self._processes: ProcessExecutor | None = None

    def start(self, runs: list[Run]) -> None:
        on_loop: list[Run] = []
        in_threads: list[Run] = []
        in_processes: list[Run] = []
        for run in runs:
            assert run.worker is not None
            if run.worker.executor == "async":
                on_loop.append(run)
            elif run.worker.executor == "process":
                in_processes.append(run)
            else:
                in_threads.append(run)
        errors: list[NotBegunError] = []
        for part, start in (
            (on_loop, self._start_on_loop),
            (in_threads, self._start_in_threads),
            (in_processes, self._start_in_processes),
        ):
            if not part:
                continue
            try:
                start(part)
            except NotBegunError as error:
                errors.append(error)
            except Exception as error:
                errors.append(_not_begun(part, error))
        if errors:
            left = [run for error in errors for run in error.runs]
            raise NotBegunError(left, "; ".join(map(str, errors)))

    def _start_on_loop(self, runs: list[Run]) -> None:
        if self._loop is None:
            self._loop = LoopExecutor(self._outbox)
        self._loop.start(runs)

    def _start_in_threads(self, runs: list[Run]) -> None:
        if self._threads is None:
            self._threads = ThreadedExecutor(self._outbox)
        self._threads.start(runs)

    def _start_in_processes(self, runs: list[Run]) -> None:
        if self._processes is None:
            from pgjobs.adapters.processes import ProcessExecutor

            self._processes = ProcessExecutor(self._outbox, self._clock, self._modules)
        self._processes.start(runs)

    def tell(self, run: Run) -> None:
        executor = None if run.worker is None else run.worker.executor
        if executor == "async" and self._loop is not None:
            self._loop.tell(run)
        elif executor == "process" and self._processes is not None:
            self._processes.tell(run)
        elif executor == "thread" and self._threads is not None:
            self._threads.tell(run)

    def collect(self) -> list[Finished]:
        if self._threads is not None:
            self._threads.ask_again(self._clock.monotonic())
        return self._outbox.take()

    def close(self) -> None:
        if self._loop is not None:
            self._loop.close()
        if self._processes is not None:
            self._processes.close()
        if self._threads is not None:
            self._threads.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    """An event loop, once what it opens is known to be had: one that is half made makes noise as it goes."""
    with selectors.DefaultSelector():
        for end in socket.socketpair():
            end.close()
    return asyncio.new_event_loop()


def _not_begun(runs: list[Run], error: Exception) -> NotBegunError:
    return NotBegunError(runs, summary(error))


def _withdrawn(inbox: deque[Run], runs: list[Run]) -> list[Run]:
    """Those of ``runs`` that could be taken back."""
    left: list[Run] = []
    for run in runs:
        with contextlib.suppress(ValueError):  # somebody has it already
            inbox.remove(run)
            left.append(run)
    return left


_thread = threading.local()


def in_job() -> bool:
    """Whether a job runs here: this is one of the threads that run them, or the task of one.

    A task that a job began may outlive it, and is none.
    """
    if getattr(_thread, "working", False):
        return True
    tasks: dict[Run, asyncio.Task[None]] | None = getattr(_thread, "tasks", None)
    return tasks is not None and asyncio.current_task() in tasks.values()


class Here:
    """Runs jobs in the caller's own thread and context, one at a time: for drains."""

    _runner: asyncio.Runner | None = None

    def perform(self, run: Run) -> Outcome:
        """The outcome of a run; ``KeyboardInterrupt`` passes through, the person means it."""
        assert run.worker is not None
        ended = self.run(run) if run.worker.is_async else self.call(run)
        return self.passing_on_interrupts(ended)

    async def perform_async(self, run: Run) -> Outcome:
        """The outcome of a run, an ``async def`` worker's as part of the running task."""
        assert run.worker is not None
        ended = await self.run_async(run) if run.worker.is_async else self.call(run)
        task = asyncio.current_task()
        if isinstance(ended.exception, asyncio.CancelledError) and task and task.cancelling():
            raise ended.exception  # the drain was cancelled, not the job
        return self.passing_on_interrupts(ended)

    def call(self, run: Run) -> Outcome:
        """Call a ``def`` worker, which nothing can end at its time limit."""
        return perform(run)

    def run(self, run: Run) -> Outcome:
        """Run an ``async def`` worker within its time limit, on a loop that is kept between jobs."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(perform_within_limit(run))

    async def run_async(self, run: Run) -> Outcome:
        """The same as part of the running task."""
        return await perform_within_limit(run)

    def close(self) -> None:
        """Close the loop, if one was needed."""
        if self._runner is not None:
            self._runner.close()

    @staticmethod
    def passing_on_interrupts(ended: Outcome) -> Outcome:
        """Raise what is meant for the person at the keyboard, not for the job."""
        if isinstance(ended.exception, KeyboardInterrupt):
            raise ended.exception
        return ended
