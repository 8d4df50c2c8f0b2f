"""Runs each job of a process worker in a process of its own, and keeps idle processes for the next.

One thread supervises them all: it starts processes, hands jobs over, reads outcomes and sends
signals, so that a signal never meets the wrong job. A run that is told to stop gets SIGTERM and,
after ``GRACE_S``, SIGKILL, with all that its process started; it has ended when the process is dead.

Processes come from multiprocessing's "spawn". A fork of a process with threads, as every engine
is, copies locks that nobody will release; "forkserver" would start faster, but forks every process
from one that imported the application, with whatever threads and connections that made.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing
import multiprocessing.util  # so that its own exit hook runs after ours
import os
import signal
import threading
from collections import deque
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from pgjobs.adapters.outbox import Outbox
from pgjobs.adapters.process_child import GRACE_S, PARENTS_SIGNALS, READY, serve
from pgjobs.ports import Clock, NotBegunError, Run
from pgjobs.rules import outcome, wire
from pgjobs.rules.errors import ProcessDiedError
from pgjobs.rules.lifecycle import Outcome

IDLE_S = 60.0
"""Seconds for which a process waits for another job. There are never more than ran at one time."""
LEAVE_S = 5.0
"""Seconds in which a process that is not needed any more may end by itself."""
AFTER_A_BUG_S = 1.0
"""Pause after an error that the supervisor did not expect, so that it cannot spin."""
NAME = "pgjobs-process"

log = logging.getLogger("pgjobs")


@dataclass(eq=False, slots=True)
class Child:
    """One process. ``death`` is readable when it is dead; ``kill_at`` is by the clock's monotonic."""

    process: BaseProcess
    pipe: connection.Connection[Any, bytes]
    death: int
    run: Run | None
    ready: bool = False
    told: bool = False
    answer: Outcome | None = None
    kill_at: float | None = None
    idle_since: float = 0.0


class ProcessExecutor:
    """The process workers of one node. ``modules`` are those of ``PgJobs(workers=[...])``."""

    def __init__(
        self, outbox: Outbox, clock: Clock, modules: tuple[str, ...] = (), idle_s: float = IDLE_S
    ) -> None:
        self._outbox, self._clock, self._modules, self._idle_s = outbox, clock, modules, idle_s
        self._context = multiprocessing.get_context("spawn")
        self._children: list[Child] = []
        self._idle: list[Child] = []
        self._orders: deque[tuple[bool, Run]] = deque()
        self._closing = self._abandoned = False
        self._woken = False
        self._alarm, self._bell = connection.Pipe(duplex=False)
        self._thread = threading.Thread(target=self._serve, name="pgjobs-processes", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._alarm.close()
            self._bell.close()
            raise
        atexit.register(self._abandon)

    def start(self, runs: list[Run]) -> None:
        orders = [(True, run) for run in runs]
        self._orders.extend(orders)
        try:
            self._wake()
        except Exception as error:
            raise NotBegunError(self._withdrawn(orders), outcome.summary(error)) from error

    def tell(self, run: Run) -> None:
        self._orders.append((False, run))
        self._wake()

    def close(self) -> None:
        self._closing = True
        self._wake()
        self._thread.join()
        atexit.unregister(self._abandon)
        self._alarm.close()
        self._bell.close()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            try:
                self._bell.send_bytes(b"")
            except BaseException:
                self._woken = False
                raise

    def _withdrawn(self, orders: list[tuple[bool, Run]]) -> list[Run]:
        """The runs of those orders that could be taken back."""
        left: list[Run] = []
        for order in orders:
            with contextlib.suppress(ValueError):  # the supervisor has it already
                self._orders.remove(order)
                left.append(order[1])
        return left

    def _abandon(self) -> None:
        """The interpreter exits without a stop: multiprocessing would wait for the processes."""
        self._abandoned = True
        for child in list(self._children):
            _signal(child, signal.SIGKILL)

    def _serve(self) -> None:
        while not self._abandoned and not (self._closing and not self._children):
            try:
                self._turn()
            except Exception:
                log.exception("an error in the supervisor of processes; it goes on")
                connection.wait([self._alarm], AFTER_A_BUG_S)

    def _turn(self) -> None:
        """Do what is due, then wait for the next thing and take it in: answers before deaths."""
        while self._orders:
            begin, run = self._orders.popleft()
            if begin:
                self._begin(run)
            else:
                self._stop(run)
        now = self._clock.monotonic()
        self._let_go(now)
        self._kill(now)
        pipes = {child.pipe: child for child in self._children if not child.pipe.closed}
        deaths = {child.death: child for child in self._children}
        ready = connection.wait([self._alarm, *pipes, *deaths], self._patience(now))
        for each in ready:
            if each is self._alarm:
                self._alarm.recv_bytes()
                self._woken = False
            elif isinstance(each, connection.Connection):
                self._hear(pipes[each])
        for each in ready:
            if isinstance(each, int):
                self._bury(deaths[each])

    def _begin(self, run: Run) -> None:
        while self._idle:
            child = self._idle.pop()
            child.run = run
            if self._hand_over(child):
                return
            child.run = None  # it died while it waited, which is no fault of this job
        try:
            self._children.append(self._started(run))
        except (
            Exception
        ) as error:  # no memory, no processes left, or a program that cannot be spawned
            self._outbox.put((run, outcome.failed(_not_started(error))))

    def _started(self, run: Run) -> Child:
        resource_tracker.ensure_running()  # it unblocks signals in the thread that starts it
        signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)
        pipe, far = connection.Pipe()
        try:
            process = self._context.Process(target=serve, args=(far, self._modules), name=NAME)
            process.start()
        except BaseException:
            pipe.close()
            raise
        finally:
            far.close()
        assert process.pid is not None
        return Child(process, pipe, _death_of(process), run)

    def _hand_over(self, child: Child) -> bool:
        assert child.run is not None and child.run.worker is not None
        worker = child.run.worker
        try:
            child.pipe.send((worker.name, worker.module, wire.job_values(child.run.job)))
        except OSError:  # it is dead, or dying: its death is heard next
            child.pipe.close()
            return False
        except Exception as error:  # args that are nested too deeply to be packed
            child.answer = outcome.failed(error)
            self._rest(child)
        return True

    def _stop(self, run: Run) -> None:
        for child in self._children:
            if child.run is run and not child.told:
                child.told = True
                child.kill_at = self._clock.monotonic() + GRACE_S
                _signal(child, signal.SIGTERM)

    def _let_go(self, now: float) -> None:
        """End the processes that wait for a job no more."""
        while self._idle and (self._closing or now >= self._idle[0].idle_since + self._idle_s):
            child = self._idle.pop(0)
            child.pipe.close()
            child.kill_at = now + LEAVE_S

    def _kill(self, now: float) -> None:
        for child in self._children:
            if child.kill_at is not None and child.kill_at <= now:
                child.kill_at = None
                _signal(child, signal.SIGKILL)

    def _patience(self, now: float) -> float | None:
        """Seconds until something is due; None when nothing is."""
        moments = [child.kill_at for child in self._children if child.kill_at is not None]
        if self._idle:
            moments.append(self._idle[0].idle_since + self._idle_s)
        return max(0.0, min(moments) - now) if moments else None

    def _hear(self, child: Child) -> None:
        try:
            said = child.pipe.recv_bytes()
        except (EOFError, OSError):  # what is left to hear of it is its death
            child.pipe.close()
            return
        if said == READY:
            child.ready = True
            if not child.told:
                self._hand_over(child)
            return
        child.answer = wire.outcome_of(said)
        if child.told:  # the run has ended when the process has
            return
        self._rest(child)

    def _bury(self, child: Child) -> None:
        """A process is dead: its run ends, with the answer that it may have left in the pipe."""
        while not child.pipe.closed and child.pipe.poll():
            self._hear(child)
        if child.run is not None:
            _signal(child, signal.SIGKILL)  # what it started; the dead one keeps the group's number
        child.process.join()
        if child in self._idle:
            self._idle.remove(child)
        self._children.remove(child)
        if child.run is not None:
            child.answer = child.answer or outcome.failed(ProcessDiedError(_obituary(child)))
            self._finish(child)
        child.pipe.close()
        if child.death != child.process.sentinel:
            os.close(child.death)
        if child.process.exitcode is not None:
            child.process.close()

    def _rest(self, child: Child) -> None:
        self._finish(child)
        child.idle_since = self._clock.monotonic()
        self._idle.append(child)

    def _finish(self, child: Child) -> None:
        assert child.run is not None and child.answer is not None
        self._outbox.put((child.run, child.answer))
        child.run = child.answer = None


def in_worker_process() -> bool:
    """Whether this is a process that runs workers, or is about to."""
    return multiprocessing.current_process().name == NAME


def _signal(child: Child, number: signal.Signals) -> None:
    """Signal a process and what it started; before it has a group, itself alone."""
    assert child.process.pid is not None
    try:
        os.killpg(child.process.pid, number)
    except (ProcessLookupError, PermissionError):
        try:
            os.kill(child.process.pid, number)
        except ProcessLookupError:
            pass


def _death_of(process: BaseProcess) -> int:
    """What is readable when a process is dead; its sentinel is so only when what it started is, too."""
    assert process.pid is not None
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # no descriptor is to be had
            return os.pidfd_open(process.pid)
    return process.sentinel


def _not_started(error: Exception) -> ProcessDiedError:
    return ProcessDiedError(f"no process could be started for this job: {outcome.summary(error)}")


def _obituary(child: Child) -> str:
    code = child.process.exitcode
    if code is None:
        how = "ended, and somebody else collected its exit code"
    elif code < 0:
        how = f"was killed by {_named(-code)}"
    else:
        how = f"ended with exit code {code}"
    if child.told:
        return f"the process of this job was told to stop, and {how}"
    if not child.ready:
        return (
            f"the process of this job {how} before it could take the job; its standard error says "
            "why. A program that starts its queues when it is imported must do so under "
            "`if __name__ == '__main__':`, for its processes import it too"
        )
    hint = " (the system does that when memory runs out)" if code == -signal.SIGKILL else ""
    return f"the process of this job {how}{hint} before the job had ended"


def _named(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
