"""A world in the hand of a test: several nodes of the engine on one virtual clock, and what befalls them.

It is a scenario that is written while it is played: each method is a step of the format, done at once, and
``scenario()`` is the file that plays them all again. Invariants are looked at after every step.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.client import drive
from pgjobs.plugins import DEFAULT, Plugin
from pgjobs.plugins import checked as checked_plugins
from pgjobs.rules.errors import (
    ConfigurationError,
    InvalidJobError,
    JobNotFoundError,
    UnknownWorkerError,
    shown,
)
from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.options import Queue
from pgjobs.rules.schedule import later
from pgjobs.rules.signatures import checks_options
from pgjobs.worker import Worker
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.nodes.cluster import SimulationError
from pgjobs_testing.scenarios.facts import Most
from pgjobs_testing.scenarios.play import Play
from pgjobs_testing.scenarios.times import START
from pgjobs_testing.simulation.asked import seed_of
from pgjobs_testing.simulation.befalling import Befalling, Span
from pgjobs_testing.simulation.chronicle import KINDS, Chronicle
from pgjobs_testing.simulation.drawing.meanwhile import Meanwhile
from pgjobs_testing.simulation.given import (
    empty_given,
    faults_given,
    nodes_given,
    queues_given,
    span_given,
    store_given,
)
from pgjobs_testing.simulation.hushing import hushed
from pgjobs_testing.simulation.lasting import Lasting, await_rest
from pgjobs_testing.simulation.nowhere import NOWHERE
from pgjobs_testing.simulation.scripts import NOTHING, beginning, scenario_of, step_of
from pgjobs_testing.simulation.stillness import Stillness
from pgjobs_testing.timeline import Timeline

REFUSALS = (
    ConfigurationError,
    InvalidJobError,
    JobNotFoundError,
    SimulationError,
    UnknownWorkerError,
)
"""What a call raises that cannot be, where nothing is to be learnt from the world."""


class UnsprungWarning(UserWarning):
    """What a test asked to befall an effect of a node never came, so that the test shows nothing of it."""


@checks_options
class World(Befalling):
    """Nodes, time and faults, as a context manager.

    The call in which an invariant breaks raises ``AlarmError``; every error that leaves the block, but the
    refusal of a call, has the world as a scenario file for its note. ``seed`` decides every jitter, and the
    faults that ``advance`` draws: ``faults`` is "none" (the default), "all", or names out of ``OF_NODES``.
    ``nodes`` is how many (a, b and so on), or their names, in the order in which they act. ``store`` is
    empty, and one in memory by default; in a test ``jobs.store`` is that of its mode. ``queues`` are as for
    ``PgJobs``; one that is not listed is served, ten jobs at a time. ``plugins`` are as for ``PgJobs``, too.

    ``workers`` are scripted ones, as a scenario file has them; workers of the process run besides, in virtual
    time, and an application's own ``PgJobs`` works on the world's store inside the block. ``skew``, ``delay``
    and ``run`` are how far clocks are off, and how long answers and runs take, at most: by these the
    invariants know what is too late. Spans are seconds or a ``timedelta``.

    ``ConfigurationError`` for what cannot be, ``SimulationError`` for what a node cannot do as it is now.
    """

    def __init__(
        self,
        seed: int = 0,
        nodes: int | Sequence[str] = 3,
        store: LocalStore | None = None,
        faults: str | Iterable[str] = "none",
        *,
        queues: Mapping[str, int | Queue] | None = None,
        plugins: Iterable[Plugin] | bool | None = DEFAULT,
        workers: Mapping[str, Any] | None = None,
        start: datetime = START,
        jitter: bool = True,
        skew: Span = 5,
        delay: Span = 15,
        run: Span = 60,
    ) -> None:
        store_given(store)
        self._nodes, drawing = nodes_given(nodes), faults_given(faults)
        seed, own = seed_of(seed), checked_plugins(plugins)
        self._most = Most(
            skew=span_given(skew, "skew"),
            delay=span_given(delay, "delay"),
            run=span_given(run, "run"),
            grace=timedelta(minutes=1),
        )
        data = beginning(seed, start, jitter, self._nodes, queues_given(queues), workers)
        scenario = scenario_of({**data, "steps": [NOTHING]})
        self._queues = list(dict.fromkeys([*scenario.queues, *scenario.queues_used]))
        self._play = play = Play(
            scenario,
            NOWHERE,
            MemoryStore() if store is None else store,
            seed,
            bounded=False,
            real=True,
            plugins=own,
            most=self._most,
        )
        self._chronicle = Chronicle(data, own, play.registry)
        self._stillness = Stillness(play.cluster, play.clock, play.recorder)
        self._lasting = Lasting(play.cluster, play.recorder, self._nodes)
        kinds = [KINDS[type(each)] for each in own if type(each) in KINDS]
        self._meanwhile = Meanwhile(seed, self._nodes, kinds, drawing)
        self._within = ExitStack()
        self._open = self._begun = False

    def __enter__(self) -> World:
        if self._begun:
            raise SimulationError("this world has been played: make another")
        empty_given(self._play.store)
        self._begun = True
        self._within.enter_context(hushed())
        stage = self._play.stage
        assert stage is not None
        self._within.enter_context(stage.standing_in(self._play.dismiss))
        self._within.callback(self._play.end)
        self._play.begin()
        self._rest()
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, REFUSALS):
            error.add_note(f"The world, to be replayed as a scenario file:\n\n{self.scenario()}")
        self._open = False
        self._within.close()
        if error is None:
            self._tell_of_unsprung()

    # Time

    @property
    def clock(self) -> VirtualClock:
        """The world's clock; each node has one of its own, which may be off from it."""
        return self._play.clock

    def advance(self, span: Span) -> Timeline:
        """Let ``span`` pass, with the faults that are drawn for it; returns what happened.

        Each of these ends before ``span`` does: in a short one there is room for few.
        """
        self._check_open()
        first, length = len(self._play.recorder), span_given(span, "span")
        target = later(self.clock.now(), length)
        armed = self._play.cluster.armed
        for at, step in self._meanwhile.drawn(self.clock.now(), target):
            self._reach(at)
            asked = len(armed)
            try:
                self._do(step)
            except SimulationError:
                continue  # the test has done something to this node itself
            del armed[asked:]  # nobody counts on what was drawn
        self._reach(target)
        return Timeline.showing(self._play.recorder.trace(first))

    def settle(self) -> Timeline:
        """End every fault, let time pass in which all must come to rest, and look whether it has.

        Nodes that are down stay down: no job may need them. A run that still goes on is at rest.
        ``AlarmError`` where it has not. ``UnsprungWarning`` where a ``crash`` before or after an effect, or a
        ``fail``, that was asked for has not come.
        """
        self._check_open()
        first = len(self._play.recorder)
        for step in tuple(self._lasting.ends()):
            self._do(step)
        await_rest(self._play, self._reach)
        self._tell_of_unsprung()
        return Timeline.showing(self._play.recorder.trace(first))

    # Jobs

    def insert(
        self,
        worker: str | Worker[Any, Any] | NewJob,
        args: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Job:
        """Insert a job, as a client does: of a worker, or of its name, with the options of ``worker.new``,
        or one that ``worker.new`` made.
        """
        self._check_open()
        new = worker if isinstance(worker, NewJob) else self._new(worker, args, options)
        if new is worker and (args is not None or options):
            given = ", ".join([*(["args"] if args is not None else []), *options])
            raise ConfigurationError(
                f"found {given} beside a job of {new.worker}; expected the job alone: give them to worker.new"
            )
        apart = self._stillness.matters({"insert": new})
        job: Job = drive(self._play.cluster.store, self._play.client.insert(new))
        self._done(self._chronicle.inserted(job.id, new), apart)
        return job

    def job(self, job: Job | int) -> Job:
        """The job as the store has it now; ``JobNotFoundError`` where it has none."""
        if isinstance(job, bool) or not isinstance(job, int | Job):
            raise ConfigurationError(f"found the job {shown(job)}; expected one, or its id")
        job_id = job if isinstance(job, int) else job.id
        found: Job = drive(self._play.store, self._play.client.get(job_id))
        return found

    # Seeing

    @property
    def timeline(self) -> Timeline:
        """Everything that has happened; equal seeds and calls give equal bytes."""
        return Timeline.showing(self._play.recorder.trace())

    @property
    def marks(self) -> dict[str, int]:
        """How often things happened that should sometimes happen (see EXPECTED_MARKS)."""
        return {} if self._play.overseer is None else dict(self._play.overseer.marks)

    def scenario(self) -> str:
        """The scenario file that plays what was done here; its first lines say what it cannot tell.

        That is the code of plugins, and of workers that no import leads to (the others it names by ``use``),
        and jobs that code inserted. What else an application did through its ``PgJobs`` is no step either.
        """
        return self._chronicle.text(self.clock.now(), self.timeline)

    # Its means

    def _new(
        self, worker: object, args: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> NewJob:
        known = self._play.registry.find(worker) if isinstance(worker, str) else worker
        if not isinstance(known, Worker):
            raise ConfigurationError(
                f"found the worker {shown(worker)}; expected one, or its name, or a job of worker.new(...)"
            )
        new: NewJob = known.new({} if args is None else args, **options)
        return new

    def _do(self, step: dict[str, Any]) -> None:
        """Do a step at this instant, and what follows from it; ``SimulationError`` where it cannot be."""
        self._check_open()
        read = step_of(step)
        if self._lasting.changes(step):
            apart = self._stillness.matters(step)
            self._play.act(read)
            self._lasting.note(step)
            self._done(step, apart)

    def _tell_of_unsprung(self) -> None:
        """Once of each: what was to befall an effect that its node has not come to."""
        armed = self._play.cluster.armed
        left = [f"{trap.told} of node {node}" for node, trap in armed if not trap.sprung]
        armed.clear()
        if left:
            warnings.warn(
                UnsprungWarning(
                    f"never came, since no such effect was reached: {', '.join(left)}. The world was "
                    "played without"
                ),
                stacklevel=3,
            )

    def _check_open(self) -> None:
        if not self._open:
            raise SimulationError(
                "this world does not play: use it inside of `with World(...) as world:`"
            )

    def _done(self, step: dict[str, Any], apart: bool) -> None:
        if apart:
            self._stillness.forget()
        self._stillness.note(step)
        self._chronicle.add(self.clock.now(), step, apart=apart)
        self._rest()

    def _reach(self, at: datetime) -> None:
        """All that happens up to ``at``, and at it."""
        if at > self.clock.now():
            self._play.reach(at)
            self._stillness.forget()
        self._rest()

    def _rest(self) -> None:
        """Everything that is due at this instant."""
        with self._stillness.watched():
            self._play.rest()
