"""What a node does: one agenda of duties over one session, advanced by ``step(now)``.

Nothing here blocks or waits. Production calls ``step`` from one thread and waits between two steps
until ``next_due``, or until the session has something; a test calls the same ``step`` on a virtual
clock. Worker code runs in the executor, and its outcomes come back as values.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pgjobs.effects import Effect, Poll, Polled
from pgjobs.engine import heart
from pgjobs.engine.duty import Patience, Pauses, earliest
from pgjobs.engine.errands import ErrandPorts, Errands
from pgjobs.engine.farewell import Farewell
from pgjobs.engine.heart import Heart
from pgjobs.engine.queue import QueueDuty, QueuePorts
from pgjobs.engine.recurring import Recurring
from pgjobs.engine.report import Reporter
from pgjobs.engine.runs import RunPorts, Runs
from pgjobs.engine.serving import Serving
from pgjobs.engine.settler import Ending, Settler
from pgjobs.engine.stager import Stager
from pgjobs.engine.strays import Strays
from pgjobs.plugins import Plugin
from pgjobs.ports import Clock, Done, Executor, Finished, Insight, Rng, Run, Session, Signal
from pgjobs.rules.job import Job
from pgjobs.rules.lifecycle import Event
from pgjobs.rules.options import POLL_INTERVAL, Queue
from pgjobs.telemetry import Telemetry
from pgjobs.worker import Registry

log = logging.getLogger("pgjobs")

UNSAVED_LIMIT = 5_000
"""Outcomes that wait for the store; beyond that nothing is claimed until some are saved."""
LONGEST_UNSTARTED_S = 5.0
"""How long at most, but for jitter, a queue is left alone whose jobs could not be started."""


@dataclass(frozen=True, slots=True)
class NodePorts:
    """The outside of one node."""

    clock: Clock
    rng: Rng
    session: Session
    executor: Executor
    registry: Registry
    telemetry: Telemetry
    insight: Insight | None = None
    """For tests, of the session: what it says would tell nothing is not asked."""


class Node:
    """One process's engine: it serves ``queues`` in the name of ``name``.

    ``plugins`` are what it does while it leads the nodes of ``instance``. ``elide`` leaves out polls
    that find nothing, for tests in which only this node changes the store. ``jitter=False``
    makes every backoff exact. ``others`` serves every queue that is heard of and not listed.
    ``beat`` is the interval of its heartbeats.
    """

    def __init__(
        self,
        name: str,
        queues: Mapping[str, Queue],
        ports: NodePorts,
        *,
        plugins: Sequence[Plugin] = (),
        instance: str = "default",
        poll_interval: timedelta = POLL_INTERVAL,
        beat: timedelta = heart.EVERY,
        elide: bool = False,
        jitter: bool = True,
        others: Queue | None = None,
    ) -> None:
        self.name = name
        self._alone = elide
        self._rng, self._session = ports.rng, ports.session
        self._executor, self._insight = ports.executor, ports.insight
        self._report = Reporter(ports.telemetry, name)
        draw = (lambda: self._rng.random("backoff")) if jitter else None
        self._pauses = Pauses(
            lambda duty: self._rng.random(f"pause:{name}:{duty}"),
            lambda: self.recurring.stir(),  # noqa: PLW0108 - which is made below
        )
        self._controls_asked = 0
        self.settled = False
        """Whether the node's next moment is known: nothing was asked of it since it was worked out."""
        self._due: datetime | None = None
        self._serving = Serving(self._queue_duty, others)
        self.queues = self._serving.queues
        self._errands = Errands(
            name,
            ports.session,
            ports.insight,
            self._report,
            ErrandPorts(
                lambda: self.recurring.stir(),  # noqa: PLW0108 - which is made below
                lambda *broken: self.recurring.broke(*broken),  # noqa: PLW0108 - the same
                self._serving.wake,
            ),
        )
        submit, renew = self._errands.submit, self._errands.renew
        self.heart = Heart(
            name,
            lambda effect: submit(effect, self.heart),
            lambda effect, expected, now: renew(effect, expected, self.heart, now),
            self._pauses.of("heart", beat.total_seconds()),
            beat,
            elide,
            self._beaten,
        )
        self.stager = Stager(
            lambda effect, expected, now: renew(effect, expected, self.stager, now),
            self._tells_nothing,
            self._found,
            lambda: self.runs.held,
            lambda: tuple(self.queues),
            poll_interval,
            self._pauses.of("stager"),
            elide,
            ports.insight,
            self._woken,
        )
        self.settler = Settler(
            lambda effect: submit(effect, self.settler),
            self._saved,
            self._unsavable,
            self._pauses.of("settler"),
        )
        self.runs = Runs(
            RunPorts(
                ports.clock,
                ports.executor,
                ports.registry,
                self._report,
                draw,
                self.settler.add,
                self.stager.expect,
            )
        )
        self.strays = Strays(
            name,
            lambda effect: submit(effect, self.strays),
            self._stray,
            self._pauses.of("strays"),
        )
        self.recurring = Recurring(
            instance,
            name,
            plugins,
            ports.clock,
            ports.executor,
            self._report,
            submit,
            renew,
            self._pauses.of,
            self.heart.judges_from,
            elide,
            self._woken,
        )
        self.farewell = Farewell(
            name,
            self.heart,
            self.settler,
            self.runs,
            self.strays,
            self.recurring,
            lambda: any(queue.claiming for queue in self.queues.values()),
        )
        for queue, configured in queues.items():
            self.serve(queue, configured)

    def start(self, now: datetime) -> None:
        """Take up work: the first heartbeat and the first poll are due."""
        self._woken()
        self._report.node("start", [*self.queues])
        self.heart.start(now)
        self.recurring.start(now)
        self._controls_asked = self.stager.ask(now)

    def serve(self, name: str, configured: Queue) -> None:
        """Serve one queue more."""
        self._serving.serve(name, configured)
        self._woken()

    def stop(self, now: datetime, grace: timedelta) -> None:
        """Claim nothing more, and save at once what waits for a store that failed; after ``grace``, what
        still runs is told to stop and given back."""
        if not self.farewell.begun:
            self._woken()
            self._pauses.end()
            self.settler.hasten()
            self.recurring.close(now)
            self._serving.close()
            self.farewell.begin(now, grace)

    def ended(self) -> None:
        """The node has stopped: say so."""
        self._report.node("stop", [*self.queues])

    @property
    def stopped(self) -> bool:
        """Whether a stopping node has nothing left: no run, no outcome to save, no claim unheard."""
        return self.farewell.over

    @property
    def running(self) -> list[Run]:
        """The runs that hold a slot."""
        return self.runs.all

    def next_due(self, now: datetime) -> datetime | None:
        """The earliest instant at which ``step`` has something to do without being woken.

        It is worked out anew only after a step, or after somebody asked something of the node. What
        passes by itself meanwhile, such as a lease, can make it too early and never too late.
        """
        if self._insight is not None:
            self.stager.heed(now)
        if not self.settled:
            self.settled, self._due = True, self._next_due(now)
        return self._due

    def _next_due(self, now: datetime) -> datetime | None:
        first = None
        for due in (
            self.recurring.next_due(now),
            self.runs.next_due(),
            self.heart.next_due(now),
            self.settler.next_due(now),
            self.stager.next_due(now),
            self.strays.next_due(now),
        ):
            if due is not None and (first is None or due < first):
                first = due
        for queue in self._serving.awake.values():
            due = queue.next_due(now)
            if due is not None and (first is None or due < first):
                first = due
        if self.farewell.begun:
            first = earliest(first, self.farewell.next_due())
        return first

    def doubt(self, now: datetime) -> None:
        """From ``now`` on the node may miss its turns, or its clock is set: let it poll at its next mark."""
        self.stager.doubt(now)

    def _woken(self) -> None:
        """Something has been asked of the node: it may be due earlier than it was."""
        self.settled = False

    def step(self, now: datetime) -> bool:
        """Take in what ended, then do what is due; return whether anything had ended."""
        self.settled = False
        heard = self._session.collect()
        raised = self._take_in(heard, now) if heard else None
        finished = self._executor.collect()
        if finished:
            raised = self._take_in(finished, now) or raised
        if raised is not None:
            raise raised
        self.runs.expire(now)
        if self.farewell.begun:
            self.farewell.step(now)
        self.recurring.step(now)
        self.heart.step(now)
        # Before claims, so that a store in one process frees before it takes.
        self.settler.step(now)
        self.stager.step(now)
        self.strays.step(now)
        if self._serving.awake:
            self._serving.step(now)
        self.stager.turn = now
        return bool(heard or finished)

    def _queue_duty(self, queue: str, configured: Queue) -> QueueDuty:
        def submit(effect: Effect[Any]) -> None:
            self._errands.submit(effect, self.queues[queue])

        def renew(effect: Effect[Any], expected: Callable[[Any], bool], now: datetime) -> None:
            self._errands.renew(effect, expected, self.queues[queue], now)

        ports = QueuePorts(
            submit,
            renew,
            lambda: self._rng.token(f"claim:{self.name}"),
            self._may_claim,
            self.runs.start,
            self.runs.of(queue),
            self.stager.suspect,
            self.stager.await_ends,
            self.strays.doubt,
            self.stager.frees,
            self._alone,
            None if self._insight is None else self._insight.empty,
        )
        starts = Patience(
            lambda: self._rng.random(f"pause:{self.name}:starts:{queue}"), LONGEST_UNSTARTED_S
        )
        patience = self._pauses.of(f"queue:{queue}")
        return QueueDuty(queue, self.name, configured, ports, patience, starts)

    def _take_in(
        self, items: Sequence[Done | Signal | Finished], now: datetime
    ) -> Exception | None:
        """The first error that was raised, when the others of its batch have been taken in all the same."""
        raised: Exception | None = None
        for item in items:
            try:
                if isinstance(item, Done):
                    self._errands.ended(item, now)
                elif isinstance(item, Signal):
                    self._heard(item, now)
                else:
                    self._finish(item, now)
            except Exception as error:
                raised = raised or error
        return raised

    def _beaten(self, anew: bool) -> None:
        """The store is there: do not wait out the long pause of a poll that met an outage. Whoever judges
        by the silence of others may do so from another time on, where this node was silent itself."""
        self.stager.hurry()
        if anew:
            self.recurring.stir()

    def _heard(self, signal: Signal, now: datetime) -> None:
        if signal.kind == "insert":
            self._serving.feed(signal.queue)
        elif signal.kind == "due":
            if signal.at is not None:
                self.stager.expect(signal.at)
        elif signal.kind == "kill":
            self.runs.kill(signal.job_id, now)
        elif signal.kind == "control":
            self._controls_asked = self.stager.ask(now)
        else:
            self.stager.ask(now)

    def _may_claim(self, now: datetime) -> bool:
        """Not before a heartbeat, nor while a pause may have been set that is not read yet (a signal
        said so, or none could have been heard), nor with too much unsaved."""
        return (
            self.heart.fresh(now)
            and self.stager.heard(self._controls_asked)
            and not self.stager.overdue(now)
            and self.settler.unsaved < UNSAVED_LIMIT
        )

    def _found(self, effect: Poll, polled: Polled, now: datetime) -> None:
        self._report.staged(polled.staged)
        self._serving.obey(polled.controls)
        for name in polled.ready:
            self._serving.feed(name)
        for name in dict.fromkeys([queue for _, queue in polled.staged]) if polled.staged else ():
            self._serving.feed(name)
        for queue in self.queues.values():
            queue.free()
        if polled.lost:
            self.runs.lose(polled.lost, effect.held)

    def _tells_nothing(self, polled: Polled, now: datetime) -> bool:
        """Whether no queue would do anything at ``now`` for this answer."""
        if (
            polled.staged
            or polled.ready
            or polled.lost
            or polled.controls != self._serving.controls
        ):
            return False
        return all(queue.waits(now) for queue in self._serving.awake.values())

    def _finish(self, end: Finished, now: datetime) -> None:
        if end.run.then is not None:
            self.recurring.stir()
            end.run.then(end, now)
            return
        self.runs.finish(end, now)
        if self._alone:
            self.stager.suspect(now)  # the worker's code may have written by SQL of its own

    def _stray(self, job: Job, now: datetime) -> None:
        log.warning("node %s: job %d was claimed after all, and is given back", self.name, job.id)
        self.queues[job.queue].strayed()
        self.runs.stray(job, now)

    def _saved(self, ending: Ending, counted: bool, now: datetime) -> None:
        self.runs.saved(ending, counted)
        if ending.settlement.change.event is Event.RELEASE:
            self.stager.ask(now)  # no signal tells of it
        self.queues[ending.run.queue].saved()

    def _unsavable(self, ending: Ending, error: Exception, now: datetime) -> Ending:
        return self.runs.unsavable(ending, error, now)
