"""What a node does: one agenda of duties over one session, advanced by ``step(now)``.

Nothing here blocks or waits. Production calls ``step`` from one thread and waits between two steps
until ``next_due``, or until the session has something; a test calls the same ``step`` on a virtual
clock. Worker code runs in the executor, and its outcomes come back as values.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from pgjobs.effects import Effect, Poll, Polled
from pgjobs.engine.duty import Duty, Patience
from pgjobs.engine.queue import QueueDuty, QueuePorts
from pgjobs.engine.report import Reporter, delay_s
from pgjobs.engine.settler import Ending, Settler
from pgjobs.engine.stager import Stager
from pgjobs.ports import Clock, Done, Executor, Finished, Rng, Run, Session, Signal
from pgjobs.rules import lifecycle, outcome
from pgjobs.rules.control import Control, effective
from pgjobs.rules.errors import JobTimeoutError, StoreError
from pgjobs.rules.job import Job
from pgjobs.rules.lifecycle import Event
from pgjobs.rules.options import Queue
from pgjobs.rules.schedule import later
from pgjobs.telemetry import Telemetry
from pgjobs.worker import Registry

log = logging.getLogger("pgjobs")

POLL_INTERVAL = timedelta(seconds=1)
LOG_OUTAGE_EVERY = timedelta(minutes=1)
GIVE_UP_AFTER = timedelta(seconds=30)
"""How long after its grace a stopping node still waits for a store that does not answer."""
UNSAVED_LIMIT = 5_000
"""Outcomes that wait for the store; beyond that nothing is claimed until some are saved."""


@dataclass(frozen=True, slots=True)
class NodePorts:
    """The outside of one node."""

    clock: Clock
    rng: Rng
    session: Session
    executor: Executor
    registry: Registry
    telemetry: Telemetry


class Node:
    """One process's engine: it serves ``queues`` in the name of ``name``.

    ``elide`` leaves out polls that find nothing, for tests in which only this process changes the
    store. ``jitter=False`` makes every backoff exact. ``others`` serves every queue that is heard of
    and not listed.
    """

    def __init__(
        self,
        name: str,
        queues: Mapping[str, Queue],
        ports: NodePorts,
        *,
        poll_interval: timedelta = POLL_INTERVAL,
        elide: bool = False,
        jitter: bool = True,
        others: Queue | None = None,
    ) -> None:
        self.name = name
        self._others = others
        self._clock, self._rng, self._session = ports.clock, ports.rng, ports.session
        self._executor, self._registry = ports.executor, ports.registry
        self._report = Reporter(ports.telemetry, name)
        self._draw = (lambda: self._rng.random("backoff")) if jitter else None
        self._owners: dict[int, tuple[Effect[Any], Duty]] = {}
        self._deadlines: list[tuple[datetime, int, Run]] = []
        self._order = count()
        self._controls: Mapping[str, Control] | None = None
        self._controls_asked = 0
        self._outage_logged: datetime | None = None
        self._stop_at: datetime | None = None
        self._gave_back = self._gave_up = False
        self.stager = Stager(
            lambda effect: self._submit(effect, self.stager),
            self._found,
            self._held,
            lambda: tuple(self.queues),
            poll_interval,
            self._patience("stager"),
            elide,
        )
        self.settler = Settler(
            lambda effect: self._submit(effect, self.settler),
            self._saved,
            self._unsavable,
            self._patience("settler"),
        )
        self.queues = {
            queue: self._queue_duty(queue, configured) for queue, configured in queues.items()
        }

    def start(self, now: datetime) -> None:
        """Take up work: the first poll is due."""
        self._report.node("start", [*self.queues])
        self._controls_asked = self.stager.ask(now)

    def serve(self, name: str, configured: Queue) -> None:
        """Serve one queue more."""
        queue = self.queues[name] = self._queue_duty(name, configured)
        if self._controls is not None:
            queue.effective = effective(name, configured, self._controls)

    def stop(self, now: datetime, grace: timedelta) -> None:
        """Claim nothing more; after ``grace``, what still runs is told to stop and given back."""
        if self._stop_at is None:
            self._stop_at = later(now, grace)
            for queue in self.queues.values():
                queue.close()

    def ended(self) -> None:
        """The node has stopped: say so."""
        self._report.node("stop", [*self.queues])

    @property
    def stopped(self) -> bool:
        """Whether a stopping node has nothing left: no run, no outcome to save, no claim unheard."""
        if self._stop_at is None:
            return False
        if any(queue.running for queue in self.queues.values()):
            return False
        unheard = any(queue.claiming for queue in self.queues.values())
        return self._gave_up or not (unheard or self.settler.unsaved)

    @property
    def _running_count(self) -> int:
        return sum(len(queue.running) for queue in self.queues.values())

    @property
    def running(self) -> list[Run]:
        """The runs that hold a slot."""
        return [run for queue in self.queues.values() for run in queue.running]

    @property
    def _duties(self) -> tuple[Duty, ...]:
        # Settling comes before claiming, so that a store in one process frees before it takes.
        return (self.settler, self.stager, *self.queues.values())

    def next_due(self, now: datetime) -> datetime | None:
        """The earliest instant at which ``step`` has something to do without being woken."""
        moments = [due for duty in self._duties if (due := duty.next_due(now)) is not None]
        if self._deadlines:
            moments.append(self._deadlines[0][0])
        if self._stop_at is not None and not self._gave_back:
            moments.append(self._stop_at)
        elif self._stop_at is not None and not self._gave_up:
            moments.append(later(self._stop_at, GIVE_UP_AFTER))
        return min(moments, default=None)

    def step(self, now: datetime) -> bool:
        """Take in what ended, then do what is due; return whether anything had ended."""
        heard = self._session.collect()
        for item in heard:
            if isinstance(item, Signal):
                self._heard(item, now)
            else:
                self._ended(item, now)
        finished = self._executor.collect()
        for end in finished:
            self._finish(end, now)
        if self._deadlines:
            self._expire(now)
        if self._stop_at is not None:
            self._wind_up(now, self._stop_at)
        for duty in self._duties:
            duty.step(now)
        return bool(heard or finished)

    def _queue_duty(self, queue: str, configured: Queue) -> QueueDuty:
        def submit(effect: Effect[Any]) -> None:
            self._submit(effect, self.queues[queue])

        ports = QueuePorts(
            submit,
            lambda: self._rng.token(f"claim:{self.name}"),
            self._may_claim,
            self._hand_over,
        )
        return QueueDuty(queue, self.name, configured, ports, self._patience(f"queue:{queue}"))

    def _patience(self, duty: str) -> Patience:
        return Patience(lambda: self._rng.random(f"pause:{self.name}:{duty}"))

    def _submit(self, effect: Effect[Any], owner: Duty) -> None:
        self._owners[id(effect)] = (effect, owner)
        self._session.submit(effect)

    def _ended(self, done: Done, now: datetime) -> None:
        _, owner = self._owners.pop(id(done.effect))
        if done.error is None:
            owner.answered(done.effect, done.answer, now)
            return
        error = done.error
        if not isinstance(error, StoreError):
            log.error("node %s: an error in its store", self.name, exc_info=error)
            error = StoreError(f"{type(error).__name__}: {error}")
        self._log_outage(done.effect, error, now)
        owner.failed(done.effect, error, now)

    def _log_outage(self, effect: Effect[Any], error: StoreError, now: datetime) -> None:
        kind = type(effect).__name__
        self._report.failed_store(kind, error)
        if self._outage_logged is None or now >= later(self._outage_logged, LOG_OUTAGE_EVERY):
            self._outage_logged = now
            log.warning(
                "node %s: the store failed at %s and will be asked again; running jobs go on: %s",
                self.name,
                kind,
                error,
            )

    def _heard(self, signal: Signal, now: datetime) -> None:
        if signal.kind == "insert":
            self._feed(signal.queue)
        elif signal.kind == "due":
            if signal.at is not None:
                self.stager.expect(signal.at)
        elif signal.kind == "control":
            self._controls_asked = self.stager.ask(now)
        else:
            self.stager.ask(now)

    def _may_claim(self) -> bool:
        """Not while a pause may have been set that is not read yet, nor with too much unsaved."""
        return self.stager.heard(self._controls_asked) and self.settler.unsaved < UNSAVED_LIMIT

    def _held(self) -> tuple[tuple[int, str], ...]:
        return tuple(
            (run.job.id, run.job.token)
            for queue in self.queues.values()
            for run in queue.running
            if not run.settled and not run.told
        )

    def _found(self, effect: Poll, polled: Polled, now: datetime) -> None:
        self._report.staged(polled.staged)
        self._control(polled.controls)
        for name in (*polled.ready, *dict.fromkeys(queue for _, queue in polled.staged)):
            self._feed(name)
        if polled.lost:
            lost = frozenset(polled.lost)
            asked = frozenset(effect.held)  # a job claimed again meanwhile is another run
            for run in self.running:
                held = (run.job.id, run.job.token) in asked
                if held and run.job.id in lost and not run.settled:
                    self._tell(run)

    def _feed(self, name: str) -> None:
        if name not in self.queues and self._others is not None:
            self.serve(name, self._others)
        if (queue := self.queues.get(name)) is not None:
            queue.feed()

    def _control(self, controls: Mapping[str, Control]) -> None:
        if controls == self._controls:
            return
        self._controls = controls
        for name, queue in self.queues.items():
            queue.effective = effective(name, queue.configured, controls)
            queue.feed()

    def _hand_over(self, queue: str, jobs: list[Job], now: datetime) -> list[Run]:
        started = self._clock.monotonic()
        runs: list[Run] = []
        for job in jobs:
            run = Run(job, self._registry.by_name.get(job.worker), queue, started)
            self._report.started(job)
            try:
                if run.worker is None:
                    self._registry.find(job.worker)
                elif (limit := run.worker.timeout_of(job)) is not None:
                    run.limit, run.deadline = limit, later(now, limit)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # an unknown worker, or a timeout(job) that raised
                self._settle(run, outcome.failed(error), now, started)
                continue
            if run.deadline is not None:
                heapq.heappush(self._deadlines, (run.deadline, next(self._order), run))
            runs.append(run)
        if self._gave_back:  # a claim that was under way when the grace ended
            for run in runs:
                self._release(run, now)
            return []
        if runs:
            self._executor.start(runs)
        return runs

    def _finish(self, end: Finished, now: datetime) -> None:
        run = end.run
        self.queues[run.queue].ended(run)
        self.stager.suspect(now)
        if run.settled:
            if run.told and isinstance(end.outcome.exception, asyncio.CancelledError):
                return  # it did as it was told
            self._report.late(run, end.outcome, end.at)
            return
        self._settle(run, end.outcome, now, end.at)

    def _expire(self, now: datetime) -> None:
        if len(self._deadlines) > 2 * self._running_count + 64:  # most runs ended long ago
            self._deadlines = [each for each in self._deadlines if not each[2].settled]
            heapq.heapify(self._deadlines)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, run = heapq.heappop(self._deadlines)
            if run.settled or run not in self.queues[run.queue].running:
                continue
            error = JobTimeoutError(f"the run took longer than its time limit of {run.limit}")
            self._tell(run)
            self._settle(run, outcome.failed(error), now, self._clock.monotonic())

    def _tell(self, run: Run) -> None:
        run.told = True
        run.job.cancelled.set()
        self._executor.tell(run)

    def _wind_up(self, now: datetime, stop_at: datetime) -> None:
        if now >= stop_at and not self._gave_back:
            self._give_back(now)
        if now >= later(stop_at, GIVE_UP_AFTER) and not self._gave_up:
            self._give_up()

    def _give_back(self, now: datetime) -> None:
        """The grace is over: what can be stopped is stopped, and released."""
        self._gave_back = True
        for run in self.running:
            if run.settled:
                continue
            self._tell(run)
            if run.worker is not None and run.worker.executor == "thread":
                continue  # it cannot be stopped, so it is not given back while it runs
            self._release(run, now)

    def _give_up(self) -> None:
        """The store has not answered for long: stop without it."""
        self._gave_up = True
        if self.settler.unsaved:
            log.error(
                "node %s stops with %d outcome(s) that the store did not take; their jobs stay "
                "executing until they are rescued, or cancelled",
                self.name,
                self.settler.unsaved,
            )

    def _release(self, run: Run, now: datetime) -> None:
        run.settled = True
        settlement = lifecycle.release(run.job, now)
        self.settler.add(Ending(run, outcome.COMPLETED, settlement, self._clock.monotonic()))

    def _settle(self, run: Run, ended: lifecycle.Outcome, now: datetime, at: float) -> None:
        run.settled = True
        job = run.job
        wait_s = 0.0
        if ended.event is Event.FAIL and job.attempt < job.max_attempts:
            wait_s = delay_s(run, self._draw)
        self.settler.add(Ending(run, ended, lifecycle.settle(job, ended, now, wait_s), at))

    def _saved(self, ending: Ending, counted: bool, now: datetime) -> None:
        run, settlement = ending.run, ending.settlement
        if not counted:
            if not ending.again:
                self._report.late(run, ending.outcome, ending.at)
            return
        change = settlement.change
        if change.scheduled_at is not None:
            self.stager.expect(change.scheduled_at)
        if change.event is Event.RELEASE:
            return
        self._report.ended(run, lambda: lifecycle.apply(change, run.job), ending.outcome, ending.at)

    def _unsavable(self, ending: Ending, error: Exception, now: datetime) -> Ending:
        ended = outcome.failed(StoreError(f"the outcome of this run could not be saved: {error}"))
        settlement = lifecycle.settle(ending.run.job, ended, now, delay_s(ending.run, None))
        return Ending(ending.run, ended, settlement, ending.at)
