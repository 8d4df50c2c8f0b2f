"""Workers that do what a scenario says: each run takes its time, inserts, and ends as written.

A run begins when its job is claimed and ends ``for`` later. What it inserts is inserted at its end,
just before its outcome is told to the engine; a run that was told to stop (cancelled, timed out)
ends at once as a cancelled task does, and inserts nothing.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from pgjobs.plugins import Cron, LeaderTasks, Plugin, Pruner, Stalled
from pgjobs.ports import Finished, Run
from pgjobs.rules import outcome
from pgjobs.rules.job import Cancel, Discard, Job, NewJob, Retry, Snooze
from pgjobs.rules.lifecycle import Outcome
from pgjobs.rules.schedule import later
from pgjobs.worker import REGISTRY, Registry, Worker
from pgjobs_testing import doing
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.nodes.traps import CutOffError
from pgjobs_testing.scenarios.calls import SCRIPTED
from pgjobs_testing.scenarios.duties import TaskSpec
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.work import CallSpec, InsertSpec, RunSpec, UniqueSpec, WorkerSpec


def registry(workers: Mapping[str, WorkerSpec], *, real: bool = False) -> Registry:
    """The scenario's workers, in a registry of their own.

    Beside a real one (or where ``real``) there are those that its process has, for it may insert jobs
    for them; one that is scripted under the name of such a worker takes its place.
    """
    used = [spec.use for spec in workers.values() if spec.use is not None]
    made = Registry(dict(REGISTRY.by_name) if used or real else {})
    for each in used:
        made.add(each)
    for name in scripted_names(workers):
        made.add(worker(name, workers[name]))
    return made


def served(workers: Mapping[str, WorkerSpec], known: Registry) -> Registry:
    """The workers that nodes have, of those ``known`` to who inserts."""
    missing = [name for name, spec in workers.items() if spec.missing]
    if not missing:
        return known
    return Registry({name: each for name, each in known.by_name.items() if name not in missing})


def scripted_names(workers: Mapping[str, WorkerSpec]) -> list[str]:
    """The names of those workers that the file scripts."""
    return [name for name, spec in workers.items() if spec.use is None]


def plugins(scenario: Scenario, known: Registry) -> list[Plugin]:
    """The recurring duties of every node."""
    spec, made = scenario.plugins, list[Plugin]()
    if spec.stalled is not None:
        made.append(Stalled(spec.stalled.interval, spec.stalled.rescue_after))
    if spec.pruner is not None:
        made.append(Pruner(spec.pruner.max_age, spec.pruner.limit, spec.pruner.interval))
    if spec.cron is not None:
        lines = [(when, new_job(what, known, scenario)) for when, what in spec.cron.crontab]
        made.append(Cron(lines, spec.cron.timezone, spec.cron.catch_up))
    if (tasks := spec.leader_tasks) is not None:
        calls = [(when, _function(what.task)) for when, what in tasks.crontab]
        made.append(LeaderTasks(calls, tasks.timezone))
    return made


def _function(name: str) -> Callable[[], None]:
    """A function of a leader's, for its name."""

    def call() -> None:
        raise AssertionError("a scripted function is played, never called")

    call.__module__, call.__name__, call.__qualname__ = SCRIPTED, name, name
    return call


def new_job(spec: InsertSpec, known: Registry, scenario: Scenario) -> NewJob:
    """The job that an insert means."""
    given = spec.given(
        "queue", "priority", "max_attempts", "tags", "meta", "schedule_in", "unique", "replace"
    )
    if isinstance(spec.unique, UniqueSpec):
        given["unique"] = spec.unique.made()
    if spec.scheduled_at is not None:
        given["scheduled_at"] = scenario.instant(spec.scheduled_at)
    return known.by_name[scenario.stored(spec.worker)].new(spec.args, **given)


@dataclass(frozen=True, slots=True)
class Script:
    """What each run does. ``insert`` stores a job for a run.

    ``starts`` counts the starts of each job, ``calls`` those of each of the leader's ``tasks``, on all nodes
    that share them.
    """

    workers: Mapping[str, WorkerSpec]
    insert: Callable[[InsertSpec], object]
    starts: dict[int, int]
    tasks: Mapping[str, TaskSpec] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)

    def begin(self, job: Job) -> RunSpec:
        """The entry of this start of the job; the last one repeats."""
        runs = self.workers[job.worker].runs
        started = self.starts.get(job.id, 0)
        self.starts[job.id] = started + 1
        return runs[min(started, len(runs) - 1)]

    def call(self, task: str) -> CallSpec:
        """The entry of this call of a task; the last one repeats."""
        runs = self.tasks[task].runs
        called = self.calls.get(task, 0)
        self.calls[task] = called + 1
        return runs[min(called, len(runs) - 1)]

    def end(self, job: Job, spec: CallSpec) -> Outcome:
        """What the run's end is, after its inserts; where they fail, it is how the run ends."""
        if not isinstance(spec, RunSpec):
            return ended_as(spec)
        inserts = [] if spec.insert is None else [spec.insert]
        try:
            with doing.run_of(job.id):
                for each in (*inserts, *(spec.insert_all or ())):
                    self.insert(each)
        except CutOffError as error:
            return outcome.raised(CutOffError(str(error)))
        return ended_as(spec)


class ScriptedExecutor:
    """Plays the runs of scripted workers in virtual time, as ``script`` has them."""

    wants_loop = False

    def __init__(self, clock: VirtualClock, script: Script) -> None:
        self._clock, self._script = clock, script
        self._order = count()
        self._ends: list[tuple[datetime, int, Run]] = []
        self._under_way: dict[Run, CallSpec] = {}
        self._finished: list[Finished] = []
        self.pending = False

    def start(self, runs: list[Run]) -> None:
        now = self._clock.now()
        for run in runs:
            script, job = self._script, run.job
            spec = script.begin(job) if run.then is None else script.call(job.worker)
            self._under_way[run] = spec
            if not spec.hang:
                end = later(now, spec.duration)
                heapq.heappush(self._ends, (end, next(self._order), run))

    def tell(self, run: Run) -> None:
        spec = self._under_way.get(run)
        if spec is not None and not spec.ignores:
            del self._under_way[run]
            self._finish(run, outcome.raised(asyncio.CancelledError()))

    def collect(self) -> list[Finished]:
        if not self.pending:
            return []
        ended, self._finished, self.pending = self._finished, [], False
        return ended

    def close(self) -> None:
        """Nothing runs on by itself."""

    def next_due(self) -> datetime | None:
        if self._ends and self._ends[0][2] not in self._under_way:
            self._forget_told()
        return self._ends[0][0] if self._ends else None

    def turn(self, now: datetime) -> bool:
        ended = False
        if not self._ends or self._ends[0][0] > now:
            return ended
        while (due := self.next_due()) is not None and due <= now:
            _, _, run = heapq.heappop(self._ends)
            spec = self._under_way.pop(run)
            self._finish(run, self._script.end(run.job, spec))
            ended = True
        return ended

    async def turn_async(self) -> None:
        """No scripted run needs an event loop."""

    def _finish(self, run: Run, ended: Outcome) -> None:
        self._finished.append(Finished(run, ended, self._clock.monotonic()))
        self.pending = True

    def _forget_told(self) -> None:
        while self._ends and self._ends[0][2] not in self._under_way:
            heapq.heappop(self._ends)


def ended_as(spec: CallSpec) -> Outcome:
    """How a run ends that nobody told to stop."""
    if spec.raised is not None:
        return outcome.raised(type(spec.raised)(*spec.raised.args))
    if not isinstance(spec, RunSpec):
        return outcome.COMPLETED
    if spec.error is not None:
        return outcome.returned(Retry(spec.error))
    if spec.snooze is not None:
        return outcome.returned(Snooze(spec.snooze))
    if spec.discard is not None:
        return outcome.returned(Discard(spec.discard))
    if spec.cancel is not None:
        return outcome.returned(Cancel(spec.cancel))
    return outcome.COMPLETED


def worker(name: str, spec: WorkerSpec) -> Worker[Any, Any]:
    """A scripted worker, for its options."""

    async def perform(_: Job) -> None:
        raise AssertionError("a scripted worker is played, never called")

    given = spec.given("queue", "max_attempts", "priority", "tags", "meta", "timeout", "replace")
    if spec.unique is not None:
        given["unique"] = spec.unique.made()
    return Worker(perform, {**given, "name": name, "backoff": spec.backoff.made()})
