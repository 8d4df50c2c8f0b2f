"""Where worker code runs: on an event loop in its own thread, in a pool of threads, in processes of
their own (``processes.py``), or right here.

All of them answer with an ``Outcome`` for every run, whatever the worker did: ``CancelledError``,
``SystemExit`` and exceptions that cannot be printed are failures of the run, never of the engine.
Where nobody waits for a run but the engine, it has a context of its own: what it sets of context
variables, no other run sees.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING

from pgjobs.adapters.inbox import not_begun, of_thread, withdrawn
from pgjobs.adapters.loop import LoopExecutor
from pgjobs.adapters.outbox import Outbox
from pgjobs.adapters.performing import perform, perform_within_limit
from pgjobs.ports import Clock, Finished, NotBegunError, Run
from pgjobs.rules.lifecycle import Outcome
from pgjobs.rules.outcome import failed

if TYPE_CHECKING:
    from pgjobs.adapters.processes import ProcessExecutor

MAX_THREADS = 100_000
"""More than an engine ever asks for: it holds back what has no slot."""
ASK_AGAIN_S = 1.0
"""How often a thread is asked for where none could be had, and runs wait for those that there are."""


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
                left = [] if self._at_work else withdrawn(self._inbox, runs)
            if left:
                raise not_begun(left, error) from error

    def tell(self, run: Run) -> None:
        """A run that no thread has taken yet never begins."""
        with self._lock:
            left = withdrawn(self._inbox, [run])
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
        of_thread.working = True
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
                errors.append(not_begun(part, error))
        if errors:
            left = [run for error in errors for run in error.runs]
            raise NotBegunError(left, "; ".join(map(str, errors)))

    def _start_on_loop(self, runs: list[Run]) -> None:
        if self._loop is None or self._loop.broken:
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
