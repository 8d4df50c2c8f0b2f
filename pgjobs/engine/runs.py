"""The runs of one node: from the claim to the outcome that is saved.

A run holds its slot until it has really ended, whatever became of its job meanwhile: a thread that
ignores its deadline is settled there, and keeps its slot.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from pgjobs.engine.report import Reporter, delay_s
from pgjobs.engine.settler import Ending
from pgjobs.ports import Clock, Executor, Finished, NotBegunError, Run
from pgjobs.rules import lifecycle, outcome
from pgjobs.rules.errors import JobTimeoutError, ProcessDiedError, StoreError
from pgjobs.rules.job import Job
from pgjobs.rules.lifecycle import Event
from pgjobs.rules.schedule import later
from pgjobs.worker import Registry

log = logging.getLogger("pgjobs")

OBEYED = (asyncio.CancelledError, ProcessDiedError)
"""How a run ends that was told to stop and did."""


@dataclass(frozen=True, slots=True)
class RunPorts:
    """What runs use of their node.

    ``save`` takes an ending to the store; ``expect`` is told when a job will fall due again.
    """

    clock: Clock
    executor: Executor
    registry: Registry
    report: Reporter
    draw: Callable[[], float] | None
    save: Callable[[Ending], None]
    expect: Callable[[datetime], None]


class Runs:
    """The runs that hold a slot of this node, in the order in which they started."""

    def __init__(self, ports: RunPorts) -> None:
        self._ports = ports
        self._clock, self._executor, self._report = ports.clock, ports.executor, ports.report
        self._running: dict[str, dict[Run, None]] = {}
        self._deadlines: list[tuple[datetime, int, Run]] = []
        self._order = count()
        self._gave_back = False

    @property
    def all(self) -> list[Run]:
        """The runs that hold a slot."""
        return [run for runs in self._running.values() for run in runs]

    def seen(self) -> list[Run]:
        """``all`` as another thread may ask for it, while runs come and go: each copy is made at once."""
        return [run for runs in [*self._running.values()] for run in [*runs]]

    def of(self, queue: str) -> dict[Run, None]:
        """The runs of one queue: a live view."""
        return self._running.setdefault(queue, {})

    @property
    def any(self) -> bool:
        """Whether a run holds a slot."""
        return any(self._running.values())

    @property
    def held(self) -> tuple[tuple[int, str], ...]:
        """The claims (id, token) that a poll should look after."""
        return tuple(
            (run.job.id, run.job.token) for run in self.all if not run.settled and not run.told
        )

    def next_due(self) -> datetime | None:
        """The first deadline."""
        return self._deadlines[0][0] if self._deadlines else None

    def start(self, queue: str, jobs: list[Job], now: datetime) -> bool:
        """Hand claimed jobs over to their workers; whether all of them could begin.

        Those that could not are given back.
        """
        if not jobs:
            return True
        started = self._clock.monotonic()
        runs: list[Run] = []
        for job in jobs:
            run = Run(job, self._ports.registry.by_name.get(job.worker), queue, started)
            self._report.started(job)
            if run.worker is None:
                unknown = self._ports.registry.unknown(job.worker)
                self._report.unknown(job, unknown, now)
                self._settle(run, outcome.failed(unknown), now, started)
                continue
            try:
                if (limit := run.worker.timeout_of(job)) is not None:
                    run.limit, run.deadline = limit, later(now, limit)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a timeout(job) that raised
                self._settle(run, outcome.failed(error), now, started)
                continue
            if run.deadline is not None:
                heapq.heappush(self._deadlines, (run.deadline, next(self._order), run))
            runs.append(run)
        if self._gave_back:  # a claim that was under way when the grace ended
            for run in runs:
                self.release(run, now)
        elif runs:
            self._running.setdefault(queue, {}).update(dict.fromkeys(runs))
            try:
                self._executor.start(runs)
            except Exception as error:
                self._not_begun(queue, error, runs, now)
                return False
        return True

    def _not_begun(self, queue: str, error: Exception, runs: list[Run], now: datetime) -> None:
        """The executor could not begin these runs, or those that the error names."""
        left, why = runs, outcome.summary(error)
        if isinstance(error, NotBegunError):
            left, why = [run for run in runs if run in error.runs], str(error)
        for run in left:
            del self._running[queue][run]
            self.release(run, now)
        self._report.not_begun(queue, len(left), why, now)

    def finish(self, end: Finished, now: datetime) -> None:
        """A run has really ended: its slot is free, and its outcome counts if it still may."""
        run = end.run
        self.of(run.queue).pop(run, None)
        if isinstance(end.outcome.exception, NotBegunError) and not end.outcome.raised:
            if not run.settled:
                self.release(run, now)
            return
        if run.settled:
            if run.told and isinstance(end.outcome.exception, OBEYED):
                return  # it did as it was told
            self._report.late(run, end.outcome, end.at)
            return
        if self._leaves(run):
            if not isinstance(end.outcome.exception, OBEYED):
                self._report.late(run, end.outcome, end.at)
            self.release(run, now)
            return
        self._settle(run, end.outcome, now, end.at)

    def expire(self, now: datetime) -> None:
        """Fail the runs whose time limit is over, and tell them to stop."""
        if not self._deadlines:
            return
        ended = len(self._deadlines) - 64
        if ended > 0 and ended > 2 * len(self.all):  # most runs ended long ago
            self._deadlines = [each for each in self._deadlines if not each[2].settled]
            heapq.heapify(self._deadlines)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, run = heapq.heappop(self._deadlines)
            if run.settled or run not in self.of(run.queue) or self._leaves(run):
                continue
            error = JobTimeoutError(f"the run took longer than its time limit of {run.limit}")
            self._tell(run)
            self._settle(run, outcome.failed(error), now, self._clock.monotonic())

    def lose(self, lost: tuple[int, ...], asked: tuple[tuple[int, str], ...]) -> None:
        """Tell the runs whose claims are lost; a job claimed again meanwhile is another run."""
        gone, held = frozenset(lost), frozenset(asked)
        for run in self.all:
            known = (run.job.id, run.job.token) in held
            if known and run.job.id in gone and not run.settled:
                self._tell(run)

    def kill(self, job_id: int | None, now: datetime) -> None:
        """A neighbour asks for a run to end, and leaves it to its node to say so in the row."""
        for run in self.all:
            if run.job.id == job_id and not run.settled and not run.told:
                self._tell(run)
                run.settled = True
                settlement = lifecycle.cancel_run(run.job, now)
                ended = lifecycle.Outcome(Event.CANCEL)
                self._ports.save(Ending(run, ended, settlement, self._clock.monotonic()))

    def give_back(self, now: datetime) -> None:
        """The grace of a stopping node is over: what still runs is told to stop.

        Its job is released when it ends, however it ends and whatever its time limit, and not before: another
        node would run it beside this one. A thread is not stopped by that, and ends as it would.
        """
        self._gave_back = True
        for run in self.all:
            if not run.settled:
                self._tell(run)

    def _leaves(self, run: Run) -> bool:
        """Whether a run was told to stop, and its job is given back when it has."""
        return self._gave_back and run.told and not _in_a_thread(run)

    def release(self, run: Run, now: datetime) -> None:
        """Give a job back: available again, the attempt not counted."""
        run.settled = True
        settlement = lifecycle.release(run.job, now)
        self._ports.save(Ending(run, outcome.COMPLETED, settlement, self._clock.monotonic()))

    def stray(self, job: Job, now: datetime) -> None:
        """A job that was claimed for this node, which had given the claim up: give it back."""
        self.release(Run(job, None, job.queue, self._clock.monotonic()), now)

    def saved(self, ending: Ending, counted: bool) -> None:
        """The store has an outcome, or says that its claim was lost."""
        run, settlement = ending.run, ending.settlement
        if not counted:
            if settlement.change.event is not Event.RELEASE:
                self._report.late(run, ending.outcome, ending.at)
            return
        change = settlement.change
        if change.scheduled_at is not None:
            self._ports.expect(change.scheduled_at)

        def after() -> Job:
            return lifecycle.apply(change, run.job)

        if change.event is Event.RELEASE:
            self._report.released(run, after, ending.at)
        else:
            self._report.ended(run, after, ending.outcome, ending.at)

    def unsavable(self, ending: Ending, error: Exception, now: datetime) -> Ending:
        """What stands for an outcome that the store refuses: a failure that says so."""
        ended = outcome.failed(StoreError(f"the outcome of this run could not be saved: {error}"))
        settlement = lifecycle.settle(ending.run.job, ended, now, delay_s(ending.run, None))
        return Ending(ending.run, ended, settlement, ending.at)

    def _tell(self, run: Run) -> None:
        run.told = True
        run.job.cancelled.set()
        try:
            self._executor.tell(run)
        except Exception:  # what is decided about its job holds all the same
            log.exception("the run of job %d could not be told to stop", run.job.id)

    def _settle(self, run: Run, ended: lifecycle.Outcome, now: datetime, at: float) -> None:
        run.settled = True
        job = run.job
        wait_s = 0.0
        if ended.event is Event.FAIL and job.attempt < job.max_attempts:
            wait_s = delay_s(run, self._ports.draw)
        self._ports.save(Ending(run, ended, lifecycle.settle(job, ended, now, wait_s), at))


def _in_a_thread(run: Run) -> bool:
    return run.worker is not None and run.worker.executor == "thread"
