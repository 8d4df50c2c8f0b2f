"""Plays a scenario: the engine's own nodes on virtual time, steps from outside, expectations looked at.

At each instant that the file names, its steps come first, in the file's order; then everything
happens that is due; then expectations of that instant look. Between these instants the engine is
on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pgjobs.adapters.local import LocalStore
from pgjobs.client import Client
from pgjobs.plugins import Plugin
from pgjobs.ports import Executor, Rng
from pgjobs.rules.errors import LivelockError, PgJobsError
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.options import Queue
from pgjobs.telemetry import PROCESS, Telemetry
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.executor import ends_a_test
from pgjobs_testing.flow import VirtualExecutor
from pgjobs_testing.invariants.overseer import Overseer
from pgjobs_testing.nodes.cluster import Cluster
from pgjobs_testing.nodes.line import Line
from pgjobs_testing.nodes.making import Make
from pgjobs_testing.nodes.traps import Asked
from pgjobs_testing.nodes.watching import Alarm, AlarmError
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.scenarios import failure, scripted
from pgjobs_testing.scenarios.acting import Actor
from pgjobs_testing.scenarios.draining import Drains
from pgjobs_testing.scenarios.expectations import ExpectationSpec
from pgjobs_testing.scenarios.expecting import Witness
from pgjobs_testing.scenarios.facts import NO_MORE, Most, faults_end, overseer
from pgjobs_testing.scenarios.failure import Failure
from pgjobs_testing.scenarios.mistakes import Place
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.source import Source
from pgjobs_testing.scenarios.staff import Staff
from pgjobs_testing.scenarios.stage import Stage
from pgjobs_testing.scenarios.steps import StepSpec
from pgjobs_testing.scenarios.times import END
from pgjobs_testing.trace import Setting, Trace, elapsed

EVENT_LIMIT = 50_000
"""Events after which a scenario is taken for endless."""

ERRORS_LIMIT = 1_000_000
"""Errors in the jobs of all events after which it is so as well, for each event keeps its job with every
error that it had: a job that fails a thousand times, in 100 MB."""

TURN_LIMIT = 300_000
"""Turns of nodes after which it is so, too: one that is not alone beats and leads for ever, and polls where
signals may be lost. Many queues count as more than one turn, so that this is half a minute of real time in
memory."""
AT_REST_AFTER = timedelta(minutes=2)
"""Without an event for so long, and the time to rescue, nodes that poll and beat have nothing to do: a
lease of 30 s can end in it, and the longest pause of a duty that failed, 45 s."""

Progress = Callable[[int], object]
"""Is told the number of events so far, at each instant."""


class EndlessScenarioError(PgJobsError, RuntimeError):
    """A scenario that plays on and on."""


def end_of(scenario: Scenario, trace: Trace) -> datetime:
    """``until``, or the instant of the last event (a poll that finds nothing may come later)."""
    if scenario.until is not None:
        return scenario.instant(scenario.until)
    return trace.moments[-1].at if trace.moments else scenario.start


class BoundedRecorder(Recorder):
    """A recorder that ends what has no end, and passes a store's failure on instead of waiting."""

    def __init__(
        self, clock: VirtualClock, passing_on: Telemetry | None, *, bounded: bool = True
    ) -> None:
        super().__init__(clock, passing_on)
        self._errors, self._bounded = 0, bounded
        self.heard: Callable[[str, Mapping[str, Any]], None] | None = None

    def emit(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]
    ) -> None:
        super().emit(event, measurements, metadata)
        if self.heard is not None:
            self.heard(event, metadata)
        if event == "pgjobs.store.error":
            error: Exception = metadata["error"]
            if not isinstance(error, Asked):
                raise error
        if self._bounded:
            job: Job | None = metadata.get("job")
            self._errors += 0 if job is None else len(job.errors)
            self.check()

    def check(self) -> None:
        """``EndlessScenarioError`` beyond the limit."""
        if not self._bounded:
            return
        if len(self) >= EVENT_LIMIT:
            raise EndlessScenarioError(
                f"the scenario has not come to an end after {EVENT_LIMIT:,} events: give `until`, "
                "or let its workers' last run end"
            )
        if self._errors >= ERRORS_LIMIT:
            raise EndlessScenarioError(
                f"the scenario's jobs fail on and on: the events keep {ERRORS_LIMIT:,} errors of theirs; "
                "lower max_attempts, or let their last run end well"
            )


class Play:
    """One playing of one scenario.

    ``real``: workers of the process run as well, whoever inserts their jobs. ``plugins`` take the place of
    the scenario's. ``most`` is how far it goes beyond the scenario's own steps. ``rng`` takes the place of
    the one of ``seed``.
    """

    def __init__(
        self,
        scenario: Scenario,
        source: Source,
        store: LocalStore,
        seed: int,
        progress: Progress | None = None,
        *,
        bounded: bool = True,
        real: bool = False,
        plugins: Sequence[Plugin] | None = None,
        most: Most = NO_MORE,
        rng: Rng | None = None,
    ) -> None:
        self.scenario, self.source, self.store = scenario, source, store
        self.failures: list[Failure] = []
        self.broken = self.endless = self._held = False
        self.alarm: Alarm | None = None
        self.clock = VirtualClock(scenario.start)
        real = real or bool(scenario.real_workers)
        self.recorder = BoundedRecorder(self.clock, PROCESS if real else None, bounded=bounded)
        self._bounded, self._alone = bounded, scenario.alone and most == NO_MORE
        self._progress = progress
        self._place = source.place(("name",))
        self._turns, self._turns_an_instant = 0, _turns(scenario)
        self._waiting = (-1, 0)
        registry = scripted.registry(scenario.workers, real=real)
        queues = {name: spec.made() for name, spec in scenario.queues.items()}
        others = Queue(concurrency=10)
        if not self._alone:  # a signal may be lost that would tell of a queue
            queues |= {name: others for name in scenario.queues_used if name not in queues}
        self.client = Client(self.clock, self.recorder, queues)
        starts, calls, tasks = dict[int, int](), dict[str, int](), scenario.plugins.tasks
        rng = SeededRng(seed) if rng is None else rng

        def script(line: Line | None) -> scripted.Script:
            return scripted.Script(
                scenario.workers,
                lambda spec: self.actor.insert(spec, line),
                starts,
                tasks,
                calls,
            )

        self._staffs: list[Staff] = []

        def seen(executor: VirtualExecutor, line: Line) -> Executor:
            return (
                executor if self.overseer is None else self.overseer.overseen(executor, line.name)
            )

        def executor(line: Line) -> VirtualExecutor:
            played = scripted.ScriptedExecutor(self.clock, script(line))
            if self.stage is None:
                return played
            names = scripted.scripted_names(scenario.workers)
            self._staffs.append(Staff(played, names, tasks, self.clock, self.stage, line))
            return self._staffs[-1]

        self.registry = registry
        own = scripted.plugins(scenario, registry) if plugins is None else list(plugins)
        make = Make(
            queues,
            rng,
            scripted.served(scenario.workers, registry),
            executor,
            plugins=own,
            others=others,
            served_by=scenario.served_by,
            elide=self._alone,
            jitter=scenario.jitter,
            seen=seen,
        )
        self.cluster = Cluster(store, self.clock, self.recorder, make)
        self.stage: Stage | None = None
        if real:
            self.stage = Stage(
                self.clock,
                self.cluster.store,
                rng,
                registry,
                self.recorder,
                jitter=scenario.jitter,
            )
        drains = Drains(
            self.clock,
            self.recorder,
            rng,
            registry,
            script(None),
            node=scenario.nodes[0],
            jitter=scenario.jitter,
        )
        self.actor = Actor(
            scenario, self.cluster, self.client, registry, drains, self.recorder, own
        )
        self.overseer: Overseer | None = None
        if scenario.invariants:
            self.overseer = overseer(scenario, self.cluster, self.clock, make, most)
            self.recorder.heard = self.overseer.heard
        self.recorder.setting = lambda: Setting(
            tuple(scenario.nodes),
            {name: spec.made() for name, spec in scenario.queues.items()},
            True,
            tuple(make.plugins),
            seed,
            scenario.jitter,
            "scenario",
            False,
            self.clock.now(),
            registry.by_name.get,
            scenario.served_by,
        )
        self._witness = Witness(
            scenario, store, self.client, self.recorder, self.actor.names, self.actor.answers
        )

    def run(self) -> None:
        """Play to the end, or to what makes going on pointless."""
        if self.stage is None:
            self._run()
        else:
            self.stage.play(self._run, self.dismiss)

    # What somebody plays by hand

    def begin(self) -> None:
        """Start the nodes; nothing has happened yet."""
        for name in self.scenario.nodes:
            self.cluster.add(name)

    def reach(self, target: datetime) -> None:
        """Everything before ``target``, where the clock then stands; what is due there waits for ``rest``."""
        self._quiet()
        self._reach(target)

    def rest(self) -> None:
        """Everything that is due at this instant."""
        self._quiet()

    def act(self, step: StepSpec) -> None:
        """Do what a step says, now; what follows from it waits for ``rest``."""
        self._act(step)

    def end(self) -> None:
        """Nothing happens any more."""
        self.cluster.close()

    def dismiss(self) -> None:
        """End what real workers have left running."""
        for staff in self._staffs:
            staff.close()

    def dissolve(self) -> None:
        """Let go of everything, once nobody looks at the play any more.

        It holds itself in circles. What hangs on them would wait for the garbage collector, which takes
        several times as long for it; real workers may still hold some of it.
        """
        if self.stage is None:
            self.cluster.dissolve()
            if self.overseer is not None:
                self.overseer.dissolve()
            for part in (self.recorder, self):
                vars(part).clear()

    def _run(self) -> None:
        try:
            self.begin()
            for at, steps, expectations in self._agenda():
                self._reach(at)
                for self._place, step in steps:
                    self._act(step)
                self._quiet()
                self._look(expectations, at)
            self._finish()
            if self.overseer is not None:
                self.overseer.at_the_end(faults_end(self.scenario))
            self._look(self._at_end(), self._end())
        except AlarmError as error:
            first = self.cluster.store.alarm or error  # what follows an alarm may raise another
            self.alarm = first.alarm
            self._break(str(first))
        except (LivelockError, EndlessScenarioError) as error:
            self.endless = True
            self._break(str(error))
        except PgJobsError as error:
            self._break(f"{type(error).__name__}: {error}")
        except BaseException as error:
            if not ends_a_test(error):
                raise
            self._break(f"a worker ended it by pytest's {type(error).__name__}: {error}")
        finally:
            self.end()

    def _act(self, step: StepSpec) -> None:
        if step.hold is None:
            self.actor.act(step)
            if step.drain is not None:
                self.cluster.look()  # for what its runs left to be done later
            return
        self._held = False
        self.recorder.call("let")
        if step.hold:
            self._quiet()
            self._held = True
            self.recorder.call("hold")

    def _agenda(
        self,
    ) -> list[tuple[datetime, list[tuple[Place, StepSpec]], list[tuple[Place, ExpectationSpec]]]]:
        """Every instant that the file names, with what belongs to it, each in the file's order."""
        steps: dict[datetime, list[tuple[Place, StepSpec]]] = {}
        looks: dict[datetime, list[tuple[Place, ExpectationSpec]]] = {}
        for n, step in enumerate(self.scenario.steps):
            at = self.scenario.instant(step.at)
            steps.setdefault(at, []).append((self.source.place(("steps", n)), step))
        for n, expectation in enumerate(self.scenario.expect):
            if expectation.at != END:
                at = self.scenario.instant(expectation.at)
                looks.setdefault(at, []).append((self.source.place(("expect", n)), expectation))
        return [(at, steps.get(at, []), looks.get(at, [])) for at in sorted({**steps, **looks})]

    def _at_end(self) -> list[tuple[Place, ExpectationSpec]]:
        return [
            (self.source.place(("expect", n)), expectation)
            for n, expectation in enumerate(self.scenario.expect)
            if expectation.at == END
        ]

    def _reach(self, at: datetime) -> None:
        """Everything before ``at``; the clock then stands there, and nothing has happened yet."""
        while not self._held and (due := self.cluster.next_due()) is not None and due < at:
            self._move(due)
            self._quiet()
        self._move(at)

    def _finish(self) -> None:
        """Everything up to ``until``, or until nothing is due."""
        until = None if self.scenario.until is None else self.scenario.instant(self.scenario.until)
        self._quiet()
        while not self._held and (due := self.cluster.next_due()) is not None:
            if self._at_rest() if until is None else due > until:
                break
            self._move(due)
            self._quiet()
        if until is not None:
            self._move(until)

    def _at_rest(self) -> bool:
        """Whether nothing is due but what recurs: nodes poll, beat, lead and sweep for ever."""
        plugins = self.scenario.plugins
        if self._alone and not plugins.model_fields_set:
            return False
        patience = AT_REST_AFTER
        if plugins.stalled is not None:
            patience += plugins.stalled.interval + plugins.stalled.rescue_after
        if self.cluster.busy or self.clock.now() - self.recorder.last <= patience:
            return False
        return self._jobs_wait() == 0

    def _jobs_wait(self) -> int:
        """How many jobs are due later; counted again only when something has happened."""
        events = len(self.recorder)
        if self._waiting[0] != events:
            count = self._witness.count(JobState.SCHEDULED, JobState.RETRYABLE)
            self._waiting = (events, count)
        return self._waiting[1]

    def _move(self, at: datetime) -> None:
        self.cluster.move(at)
        self._turns += self._turns_an_instant
        if self._bounded and self._turns > TURN_LIMIT:
            raise EndlessScenarioError(
                f"the scenario has not come to an end after {TURN_LIMIT:,} turns of its nodes: with "
                "faults or several nodes, each beats and leads for ever; give `until`, or shorter waits"
            )

    def _quiet(self) -> None:
        if self._held:
            return
        self.recorder.check()  # what the engine makes of an error, a failed duty, may hide the end
        for member in self.cluster.quiet():
            assert isinstance(member.executor, Staff), "a scripted run needs no loop"
            member.executor.turn_here()
        if self._progress is not None:
            self._progress(len(self.recorder))
        if self.overseer is not None:
            self.overseer.look()

    def _end(self) -> datetime:
        """Where the scenario ended: at ``until``, or with its last event."""
        return end_of(self.scenario, self.recorder.trace())

    def _look(self, expectations: Iterable[tuple[Place, ExpectationSpec]], at: datetime) -> None:
        for place, expectation in expectations:
            failed = self._witness.look(expectation, place, at)
            if failed is not None:
                self.failures.append(failed)

    def _break(self, message: str) -> None:
        self.broken = True
        now = self.clock.now()
        what = f"stopped at {elapsed(now - self.scenario.start)}: {message}"
        timeline = failure.around(self.recorder.trace(), now)
        self.failures.append(Failure(self._place, what, (), timeline))


def _turns(scenario: Scenario) -> int:
    """What one instant costs: a turn of each node, and one more of each for ten queues."""
    queues = len({*scenario.queues, *scenario.queues_used})
    return len(scenario.nodes) * (10 + queues) // 10
