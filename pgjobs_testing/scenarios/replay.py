"""Plays a scenario: the engine's own node on virtual time, steps from outside, expectations looked at.

At each instant that the file names, its steps come first, in the file's order; then everything
happens that is due; then expectations of that instant look. Between these instants the engine is
on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.client import Client, drive
from pgjobs.engine.node import Node, NodePorts
from pgjobs.rules.errors import LivelockError, PgJobsError
from pgjobs.rules.job import Job
from pgjobs.rules.options import Queue
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.flow import Flow, Member
from pgjobs_testing.scenarios import failure, scripted
from pgjobs_testing.scenarios.expecting import Witness
from pgjobs_testing.scenarios.failure import Failure, Row
from pgjobs_testing.scenarios.mistakes import Place
from pgjobs_testing.scenarios.model import ExpectationSpec, InsertSpec, Scenario, StepSpec
from pgjobs_testing.scenarios.source import Source
from pgjobs_testing.scenarios.values import END
from pgjobs_testing.timeline import Recorder, Trace, elapsed

EVENT_LIMIT = 100_000
"""Events after which a scenario is taken for endless."""

Progress = Callable[[int], object]
"""Is told the number of events so far, at each instant."""


class EndlessScenarioError(PgJobsError, RuntimeError):
    """A scenario that plays on and on."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of a scenario on one store. ``endless``: it was stopped, for it had no end."""

    scenario: Scenario
    store: str
    trace: Trace
    failures: tuple[Failure, ...]
    endless: bool = False

    @property
    def held(self) -> bool:
        """Whether everything was as expected."""
        return not self.failures

    @property
    def duration(self) -> str:
        """Virtual time from the start to the last event, or to ``until``."""
        return elapsed(end_of(self.scenario, self.trace) - self.scenario.start)


def end_of(scenario: Scenario, trace: Trace) -> datetime:
    """``until``, or the instant of the last event (a poll that finds nothing may come later)."""
    if scenario.until is not None:
        return scenario.instant(scenario.until)
    return trace.moments[-1].at if trace.moments else scenario.start


def replay(
    scenario: Scenario,
    source: Source,
    store: LocalStore,
    *,
    store_name: str = "memory",
    seed: int | None = None,
    compare_trace: bool = True,
    progress: Progress | None = None,
) -> Replay:
    """Play ``scenario`` on an empty store.

    ``seed`` takes the place of the file's. The file's ``trace`` is compared unless
    ``compare_trace`` is False, or another seed than the file's is used. Nothing is raised for what
    the scenario does: a step that cannot be done, a store that fails and a scenario without an end
    are failures.
    """
    played_seed = scenario.seed if seed is None else seed
    play = _Play(scenario, source, store, played_seed, progress)
    play.run()
    trace = play.recorder.trace()
    failures = [*play.failures]
    compared = compare_trace and played_seed == scenario.seed and not play.broken
    if compared and scenario.trace is not None:
        failures += trace_failures(scenario.trace, trace, source)
    return Replay(scenario, store_name, trace, tuple(failures), play.endless)


def store_difference(one: Replay, other: Replay, source: Source) -> Failure | None:
    """The failure that two stores gave different traces, with the first line that differs."""
    differing = _first_difference(one.trace.text(), other.trace.text())
    if differing is None:
        return None
    number, left, right = differing
    what = f"the traces of {one.store} and {other.store} differ from line {number} on"
    rows = (Row(f"line {number}", left, right, holds=False),)
    timeline: tuple[str, ...] = ()
    if number <= len(one.trace):
        timeline = failure.around(one.trace, one.trace.moments[number - 1].at)
    return Failure(source.place(("name",)), what, rows, timeline, (one.store, other.store))


def trace_failures(recorded: str, trace: Trace, source: Source) -> list[Failure]:
    """The failure that a trace is not the one recorded in the file."""
    differing = _first_difference(recorded, trace.text())
    if differing is None:
        return []
    number, left, right = differing
    place = source.place(("trace",))
    block = source.text.splitlines()[place.line - 1][place.column - 1 :].startswith("|")
    if block:
        place = Place(place.line + number, 1)
    rows = (Row(f"line {number}", left, right, holds=False),)
    remedy = "replay --record writes the new one, where that is meant"
    what = f"the trace differs from the recorded one in line {number} ({remedy})"
    timeline: tuple[str, ...] = ()
    if number <= len(trace):
        timeline = failure.around(trace, trace.moments[number - 1].at)
    return [Failure(place, what, rows, timeline)]


class BoundedRecorder(Recorder):
    """A recorder that ends what has no end, and passes a store's failure on instead of waiting."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock, passing_on=None)

    def emit(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]
    ) -> None:
        super().emit(event, measurements, metadata)
        if event == "pgjobs.store.error":
            error: Exception = metadata["error"]
            raise error
        if len(self) >= EVENT_LIMIT:
            raise EndlessScenarioError(
                f"the scenario has not come to an end after {EVENT_LIMIT:,} events: give `until`, "
                "or let its workers' last run end"
            )


class _Play:
    """One playing of one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        source: Source,
        store: LocalStore,
        seed: int,
        progress: Progress | None,
    ) -> None:
        self.scenario, self.source, self.store = scenario, source, store
        self.failures: list[Failure] = []
        self.broken = self.endless = False
        self.clock = VirtualClock(scenario.start)
        self.recorder = BoundedRecorder(self.clock)
        self._names: dict[str, int] = {}
        self._answers: dict[str, Job] = {}
        self._progress = progress
        self._place = source.place(("name",))
        self._registry = scripted.registry(scenario.workers)
        queues = {name: spec.made() for name, spec in scenario.queues.items()}
        self._client = Client(self.clock, self.recorder, queues)
        self._executor = scripted.ScriptedExecutor(self.clock, scenario.workers, self._insert)
        session = store.session(scenario.nodes[0])
        assert isinstance(session, LocalSession)
        self._session = session
        ports = NodePorts(
            self.clock, SeededRng(seed), session, self._executor, self._registry, self.recorder
        )
        self._node = Node(
            scenario.nodes[0],
            queues,
            ports,
            elide=True,
            jitter=scenario.jitter,
            others=Queue(concurrency=10),
        )
        self._flow = Flow(store, self.clock)
        self._flow.members.append(Member(self._node, session, self._executor))
        self._witness = Witness(
            scenario, store, self._client, self.recorder, self._names, self._answers
        )

    def run(self) -> None:
        """Play to the end, or to what makes going on pointless."""
        try:
            self._node.start(self.clock.now())
            for at, steps, expectations in self._agenda():
                self._reach(at)
                for self._place, step in steps:
                    self._act(step)
                self._quiet()
                self._look(expectations, at)
            self._finish()
            self._look(self._at_end(), self._end())
        except (LivelockError, EndlessScenarioError) as error:
            self.endless = True
            self._break(str(error))
        except PgJobsError as error:
            self._break(f"{type(error).__name__}: {error}")
        finally:
            self._session.close()

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
        while (due := self._flow.next_due()) is not None and due < at:
            self._move(due)
            self._quiet()
        self._move(at)

    def _finish(self) -> None:
        """Everything up to ``until``, or until nothing is due."""
        until = None if self.scenario.until is None else self.scenario.instant(self.scenario.until)
        self._quiet()
        while (due := self._flow.next_due()) is not None and (until is None or due <= until):
            self._move(due)
            self._quiet()
        if until is not None:
            self._move(until)

    def _move(self, at: datetime) -> None:
        self.clock.set(max(at, self.clock.now()))

    def _quiet(self) -> None:
        for member in self._flow.quiet():
            raise AssertionError(f"{member.node.name} wants a loop for a scripted run")
        if self._progress is not None:
            self._progress(len(self.recorder))

    def _end(self) -> datetime:
        """Where the scenario ended: at ``until``, or with its last event."""
        return end_of(self.scenario, self.recorder.trace())

    def _look(self, expectations: Iterable[tuple[Place, ExpectationSpec]], at: datetime) -> None:
        for place, expectation in expectations:
            failed = self._witness.look(expectation, place, at)
            if failed is not None:
                self.failures.append(failed)

    def _act(self, step: StepSpec) -> None:
        client, action = self._client, step.action
        if step.insert is not None:
            self._insert(step.insert)
        elif step.insert_all is not None:
            new = [
                scripted.new_job(each, self._registry, self.scenario) for each in step.insert_all
            ]
            for spec, job in zip(
                step.insert_all, drive(self.store, client.insert_all(new)), strict=True
            ):
                self._call(spec, job)
        elif step.cancel is not None:
            drive(self.store, client.cancel(self._id(step.cancel)))
        elif step.retry is not None:
            drive(self.store, client.retry(self._id(step.retry)))
        elif step.delete is not None:
            drive(self.store, client.delete(self._id(step.delete)))
        elif step.pause is not None:
            drive(self.store, client.pause(step.pause))
        elif step.resume is not None:
            drive(self.store, client.resume(step.resume))
        elif step.scale is not None:
            drive(self.store, client.scale(step.scale.queue, step.scale.concurrency))
        elif action == "pause_all":
            drive(self.store, client.pause_all())
        else:
            assert action == "resume_all", f"a step that does nothing: {action}"
            drive(self.store, client.resume_all())

    def _insert(self, spec: InsertSpec) -> None:
        new = scripted.new_job(spec, self._registry, self.scenario)
        self._call(spec, drive(self.store, self._client.insert(new)))

    def _call(self, spec: InsertSpec, job: Job) -> None:
        """Name a job; where a run inserts again and again, the name stays with its first."""
        if spec.name_as is not None:
            self._names.setdefault(spec.name_as, job.id)
            self._answers.setdefault(spec.name_as, job)

    def _id(self, name: str) -> int:
        job_id = self._names.get(name)
        if job_id is None:
            raise PgJobsError(f"no job named {name!r} has been inserted by now")
        return job_id

    def _break(self, message: str) -> None:
        self.broken = True
        now = self.clock.now()
        what = f"stopped at {elapsed(now - self.scenario.start)}: {message}"
        timeline = failure.around(self.recorder.trace(), now)
        self.failures.append(Failure(self._place, what, (), timeline))


def _first_difference(one: str, other: str) -> tuple[int, str, str] | None:
    """Number and texts of the first line in which two traces differ, their indentation apart."""
    left = [line.strip() for line in one.strip("\n").split("\n")]
    right = [line.strip() for line in other.strip("\n").split("\n")]
    for number in range(max(len(left), len(right))):
        mine = left[number] if number < len(left) else "(no such line)"
        theirs = right[number] if number < len(right) else "(no such line)"
        if mine != theirs:
            return number + 1, mine, theirs
    return None
