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
from pgjobs.engine.duty import LONGEST_PAUSE_S, Duty, Patience, earliest
from pgjobs.engine.heart import Heart
from pgjobs.engine.queue import QueueDuty, QueuePorts
from pgjobs.engine.recurring import Recurring
from pgjobs.engine.report import Reporter
from pgjobs.engine.runs import RunPorts, Runs
from pgjobs.engine.settler import Ending, Settler
from pgjobs.engine.stager import Stager
from pgjobs.engine.strays import Strays
from pgjobs.plugins import Plugin
from pgjobs.ports import Clock, Done, Executor, Finished, Insight, Rng, Run, Session, Signal
from pgjobs.rules.control import Control, effective
from pgjobs.rules.errors import LeaseLostError, StoreError
from pgjobs.rules.job import Job
from pgjobs.rules.lifecycle import Event
from pgjobs.rules.options import POLL_INTERVAL, Queue
from pgjobs.rules.schedule import later
from pgjobs.telemetry import Telemetry
from pgjobs.worker import Registry

log = logging.getLogger("pgjobs")

LOG_OUTAGE_EVERY = timedelta(minutes=1)
GIVE_UP_AFTER = timedelta(seconds=30)
"""How long after its grace a stopping node still waits for a store that does not answer."""
_PLAIN = (QueueDuty, Settler, Stager, Strays)
"""The duties whose effects are no concern of the recurring ones."""
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
        self.leaves_out = ports.insight is not None
        """Whether polls are left out, so that it matters which turns the node has had."""
        self._others = others
        self._rng, self._session = ports.rng, ports.session
        self._executor, self._insight = ports.executor, ports.insight
        self._report = Reporter(ports.telemetry, name)
        draw = (lambda: self._rng.random("backoff")) if jitter else None
        self._owners: dict[int, tuple[Effect[Any], Duty]] = {}
        self._controls: Mapping[str, Control] | None = None
        self._controls_asked = 0
        self._outage_logged: datetime | None = None
        self._stop_at: datetime | None = None
        self._gave_back = self._gave_up = False
        self.settled = False
        """Whether the node's next moment is known: nothing was asked of it since it was worked out."""
        self._due: datetime | None = None
        self.heart = Heart(
            name,
            lambda effect: self._submit(effect, self.heart),
            lambda effect, expected, now: self._renew(effect, expected, self.heart, now),
            self._patience("heart", beat.total_seconds()),
            beat,
            elide,
            self._beaten,
        )
        self.stager = Stager(
            lambda effect, expected, now: self._renew(effect, expected, self.stager, now),
            self._tells_nothing,
            self._found,
            lambda: self.runs.held,
            lambda: tuple(self.queues),
            poll_interval,
            self._patience("stager"),
            elide,
            ports.insight,
            self._woken,
        )
        self.settler = Settler(
            lambda effect: self._submit(effect, self.settler),
            self._saved,
            self._unsavable,
            self._patience("settler"),
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
            lambda effect: self._submit(effect, self.strays),
            self._stray,
            self._patience("strays"),
        )
        self.recurring = Recurring(
            instance,
            name,
            plugins,
            ports.clock,
            ports.executor,
            self._report,
            self._submit,
            self._renew,
            self._patience,
            self.heart.judges_from,
            elide,
            self._woken,
        )
        self.queues: dict[str, QueueDuty] = {}
        # Settling comes before claiming, so that a store in one process frees before it takes.
        self._duties: tuple[Duty, ...] = (self.heart, self.settler, self.stager, self.strays)
        self._places: dict[str, int] = {}
        self._awake: dict[int, QueueDuty] = {}
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
        queue = self.queues[name] = self._queue_duty(name, configured)
        self._places.setdefault(name, len(self._places))
        self._wake(queue)
        self._woken()
        if self._controls is not None:
            queue.obey(effective(name, configured, self._controls))

    def stop(self, now: datetime, grace: timedelta) -> None:
        """Claim nothing more; after ``grace``, what still runs is told to stop and given back."""
        if self._stop_at is None:
            self._woken()
            self._stop_at = later(now, grace)
            self.recurring.close(now)
            for queue in self.queues.values():
                queue.close()
            self._leave()

    def ended(self) -> None:
        """The node has stopped: say so."""
        self._report.node("stop", [*self.queues])

    @property
    def stopped(self) -> bool:
        """Whether a stopping node has nothing left: no run, no outcome to save, no claim unheard."""
        if self._stop_at is None or self.runs.any or self.recurring.running:
            return False
        return self._gave_up or (self._idle and self.heart.left)

    @property
    def running(self) -> list[Run]:
        """The runs that hold a slot."""
        return self.runs.all

    @property
    def _idle(self) -> bool:
        unheard = any(queue.claiming for queue in self.queues.values())
        return not (self.runs.any or unheard or self.settler.busy)

    def next_due(self, now: datetime) -> datetime | None:
        """The earliest instant at which ``step`` has something to do without being woken.

        It is worked out anew only after a step, or after somebody asked something of the node. What
        passes by itself meanwhile, such as a lease, can make it too early and never too late.
        """
        if self.leaves_out:
            self.stager.heed(now)
        if not self.settled:
            self.settled, self._due = True, self._next_due(now)
        return self._due

    def _next_due(self, now: datetime) -> datetime | None:
        first = earliest(self.recurring.next_due(now), self.runs.next_due())
        for duty in self._duties if not self._awake else (*self._duties, *self._awake.values()):
            due = duty.next_due(now)
            if due is not None and (first is None or due < first):
                first = due
        if self._stop_at is not None and not self._gave_back:
            first = earliest(first, self._stop_at)
        elif self._stop_at is not None and not self._gave_up:
            first = earliest(first, later(self._stop_at, GIVE_UP_AFTER))
        return first

    @property
    def awaits_marks(self) -> bool:
        """Whether the time of a poll that is left out tells something: others' runs may have ended."""
        return self.stager.awaits_ends

    def passed(self, now: datetime) -> None:
        """The node could have stepped at ``now`` and had nothing to do, but for polls left out."""
        self.stager.passed(now)

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
        if self._stop_at is not None:
            self._wind_up(now, self._stop_at)
        self.recurring.step(now)
        for duty in self._duties:
            duty.step(now)
        if self._awake:
            self._step_queues(now)
        if self.leaves_out:
            self.stager.passed(now)
        return bool(heard or finished)

    def _step_queues(self, now: datetime) -> None:
        for place, queue in sorted(self._awake.items()):
            queue.step(now)
            if queue.asleep:
                del self._awake[place]

    def _wake(self, queue: QueueDuty) -> None:
        """Let ``queue`` step with the others, in the order in which they were configured.

        Of a thousand queues most have nothing to do, and cost nothing then.
        """
        self._awake[self._places[queue.name]] = queue

    def _queue_duty(self, queue: str, configured: Queue) -> QueueDuty:
        def submit(effect: Effect[Any]) -> None:
            self._submit(effect, self.queues[queue])

        def renew(effect: Effect[Any], expected: Callable[[Any], bool], now: datetime) -> None:
            self._renew(effect, expected, self.queues[queue], now)

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
        return QueueDuty(queue, self.name, configured, ports, self._patience(f"queue:{queue}"))

    def _patience(self, duty: str, longest_s: float = LONGEST_PAUSE_S) -> Patience:
        return Patience(lambda: self._rng.random(f"pause:{self.name}:{duty}"), longest_s)

    def _submit(self, effect: Effect[Any], owner: Duty) -> None:
        self._owners[id(effect)] = (effect, owner)
        self._session.submit(effect)

    def _renew(
        self, effect: Effect[Any], expected: Callable[[Any], bool], owner: Duty, now: datetime
    ) -> None:
        """Submit what changes nothing for this node if it is answered as expected.

        Such an answer need not wait for the next step.
        """
        if self._insight is None:
            self._submit(effect, owner)
            return
        done = self._insight.at_once(effect, expected)
        if done is None:
            self._owners[id(effect)] = (effect, owner)
        else:
            self._answer(owner, done, now)

    def _take_in(
        self, items: Sequence[Done | Signal | Finished], now: datetime
    ) -> Exception | None:
        """The first error that was raised, when the others of its batch have been taken in all the same."""
        raised: Exception | None = None
        for item in items:
            try:
                if isinstance(item, Done):
                    self._ended(item, now)
                elif isinstance(item, Signal):
                    self._heard(item, now)
                else:
                    self._finish(item, now)
            except Exception as error:
                raised = raised or error
        return raised

    def _ended(self, done: Done, now: datetime) -> None:
        _, owner = self._owners.pop(id(done.effect))
        self._answer(owner, done, now)

    def _answer(self, owner: Duty, done: Done, now: datetime) -> None:
        if not isinstance(owner, _PLAIN):
            self.recurring.stir()
        try:
            if done.error is None:
                owner.answered(done.effect, done.answer, now)
            else:
                self._tell(owner, done, done.error, now)
        except Exception as error:
            if not self.recurring.broke(owner, error, now):
                raise
        finally:
            if isinstance(owner, QueueDuty):
                self._wake(owner)

    def _beaten(self) -> None:
        """The store is there: do not wait out the long pause of a poll that met an outage."""
        self.stager.hurry()

    def _tell(self, owner: Duty, done: Done, error: Exception, now: datetime) -> None:
        if not isinstance(error, StoreError):
            log.error("node %s: an error in its store", self.name, exc_info=error)
            error = StoreError(f"{type(error).__name__}: {error}")
        if not isinstance(error, LeaseLostError):
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
        self._control(polled.controls)
        for name in (*polled.ready, *dict.fromkeys(queue for _, queue in polled.staged)):
            self._feed(name)
        for queue in self.queues.values():
            queue.free()
        if polled.lost:
            self.runs.lose(polled.lost, effect.held)

    def _tells_nothing(self, polled: Polled, now: datetime) -> bool:
        """Whether no queue would do anything at ``now`` for this answer."""
        if polled.staged or polled.ready or polled.lost or polled.controls != self._controls:
            return False
        return all(queue.waits(now) for queue in self._awake.values())

    def _feed(self, name: str) -> None:
        if name not in self.queues and self._others is not None:
            self.serve(name, self._others)
        if (queue := self.queues.get(name)) is not None:
            queue.feed()
            self._wake(queue)

    def _control(self, controls: Mapping[str, Control]) -> None:
        if controls == self._controls:
            return
        self._controls = controls
        for name, queue in self.queues.items():
            queue.obey(effective(name, queue.configured, controls))
            queue.feed()
            self._wake(queue)

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

    def _wind_up(self, now: datetime, stop_at: datetime) -> None:
        if now >= stop_at and not self._gave_back:
            self._gave_back = True
            self.runs.give_back(now)
            self.recurring.give_back()
        self._leave()
        if now >= later(stop_at, GIVE_UP_AFTER) and not self._gave_up:
            self._give_up()

    def _leave(self) -> None:
        """Say farewell, once nothing is left to be done.

        Where a claim may come true yet, the heartbeat is left to grow old instead, so that what it takes
        is rescued: a node that nobody has heard of is thought to be of another kind, and waited for.
        """
        if self._idle and not self.heart.left:
            self.heart.leave(silently=self.strays.doubtful)

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
