"""Jobs that ran: each run that ended is one, so that a job which was retried ran more than once.

A run's ``state`` is what it left its job in, its ``error`` how it failed, its ``attempt`` the number that
the worker saw (a snooze gives it back afterwards).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.job import WAITING, Job, JobState
from pgjobs_testing.asserting import verdict
from pgjobs_testing.asserting.clues import duplicates
from pgjobs_testing.asserting.counting import Noun, asked
from pgjobs_testing.asserting.describing import SMALL, aligned, crowd, overview, standing
from pgjobs_testing.asserting.errors import Raised, shown_error
from pgjobs_testing.asserting.expectation import Expectation
from pgjobs_testing.asserting.fields import OF_RUNS, wanted
from pgjobs_testing.asserting.kinds import OneOf
from pgjobs_testing.asserting.scene import Scene
from pgjobs_testing.asserting.verdict import Words
from pgjobs_testing.telling import counted, cut
from pgjobs_testing.unserved import not_served

RUN = Noun("matching run", "matching runs", "no run matches")
_LEFT_BY_A_RUN = tuple(
    state
    for state in JobState
    if state not in (JobState.AVAILABLE, JobState.EXECUTING, JobState.SUSPENDED)
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run that ended. ``job`` is as it was left; ``error`` is the run's own."""

    job: Job
    attempt: int
    error: Raised
    at: datetime

    worker = property(attrgetter("job.worker"))
    queue = property(attrgetter("job.queue"))
    args = property(attrgetter("job.args"))
    meta = property(attrgetter("job.meta"))
    tags = property(attrgetter("job.tags"))
    priority = property(attrgetter("job.priority"))
    max_attempts = property(attrgetter("job.max_attempts"))
    id = property(attrgetter("job.id"))
    state = property(attrgetter("job.state"))


def runs(scene: Scene) -> list[Run]:
    """The runs of a test that ended, in the order in which they did."""
    attempts: dict[int, int] = {}
    ended = []
    for each in scene.events("pgjobs.job.start", "pgjobs.job.stop", "pgjobs.job.exception"):
        job = each.job
        assert job is not None
        if each.name == "pgjobs.job.start":
            attempts[job.id] = job.attempt
            continue
        error = Raised(each.details.get("error"), each.details.get("exception"))
        ended.append(Run(job, attempts.get(job.id, job.attempt), error, each.at))
    return ended


class Performed:
    """One question about the runs of a test; the stored jobs are read only for a failure."""

    def __init__(self, filters: Mapping[str, Any], scene: Scene) -> None:
        self._scene = scene
        self._expected: Expectation[Run] = Expectation(wanted(filters, OF_RUNS, 0, scene.times))
        self._check_state()
        self._runs = runs(scene)
        self._filters = filters

    def some(self, count: object, at_least: object) -> Job:
        """The job of the first run that matches, as the run left it."""
        __tracebackhide__ = True
        number = asked(count, at_least, RUN, zero="refute_performed")
        found = verdict.found(self._expected, self._runs, number, self._words)
        self._scene.saw(run.job for run in found)
        return found[0].job

    def none(self) -> None:
        """No run matches."""
        __tracebackhide__ = True
        if self._scene.unknown(self._expected.wanted, [run.job for run in self._runs]):
            self._scene.refuse_unknown(self._expected.wanted, self._scene.jobs())
        verdict.none(self._expected, self._runs, self._words)

    def _check_state(self) -> None:
        for each in self._expected.wanted:
            asked_for = each.pattern
            if isinstance(asked_for, OneOf) and not set(asked_for.states) & set(_LEFT_BY_A_RUN):
                raise ConfigurationError(
                    f"no run leaves its job {each.pattern}: it leaves it {', '.join(_LEFT_BY_A_RUN)}"
                )

    def _words(self) -> Words[Run]:
        scene = self._scene
        return Words(
            nothing="no run was seen here"
            if self._elsewhere(scene.jobs())
            else "nothing ran at all",
            refused="no run may match",
            called=lambda run: f"{scene.called(run.job)} in attempt {run.attempt}",
            line=self._line,
            overview=self._overview,
            legend=scene.times.legend(),
            clues=self._clues,
        )

    def _elsewhere(self, jobs: Iterable[Job]) -> set[int]:
        """The jobs that ran, and none of whose runs began here."""
        here = {each.job.id for each in self._scene.events("pgjobs.job.start") if each.job}
        return {
            job.id
            for job in jobs
            if job.attempt and job.state is not JobState.EXECUTING and job.id not in here
        }

    def _line(self, run: Run) -> str:
        name = f"{self._scene.called(run.job)} {cut(run.worker, plain=True)}, attempt {run.attempt}"
        return f"{name}, {run.state} at {self._scene.times.short(run.at)}"

    def _overview(self, runs: Sequence[Run], matched: Sequence[Run]) -> list[tuple[str, list[str]]]:
        if not runs:
            jobs = self._scene.jobs()
            return overview(jobs, (), self._scene.times, self._scene.called)
        if len(runs) > SMALL:
            return [(f"{counted(len(runs), 'run')} in all", crowd(run.job for run in runs))]
        marked = {id(run) for run in matched}
        rows = [
            (
                "✓" if id(run) in marked else " ",
                self._scene.called(run.job),
                cut(run.worker, plain=True, longest=48),
                str(run.attempt),
                self._scene.times.short(run.at),
                str(run.state),
                shown_error(run.error.text),
            )
            for run in runs
        ]
        heading = "the only run" if len(runs) == 1 else f"all {len(runs)} runs"
        return [
            (heading, aligned([(" ", "job", "worker", "attempt", "at", "left it", "error"), *rows]))
        ]

    def _clues(self) -> list[str]:
        """Jobs that match in what can be asked of a job, and have not run, or not to an end."""
        scene, jobs = self._scene, self._scene.jobs()
        said = scene.unknown(self._expected.wanted, jobs)
        own = {k: v for k, v in self._filters.items() if k not in ("state", "attempt", "error")}
        of_jobs: Expectation[Job] = Expectation(wanted(own, OF_RUNS, 0, scene.times))
        ran = {run.id for run in self._runs}
        idle = [job for job in jobs if job.id not in ran and of_jobs.judge(job)]
        elsewhere = self._elsewhere(idle)
        notes = [said] if said else []
        for job in idle[:3]:
            name = f"{scene.called(job)} {cut(job.worker, plain=True)}"
            if job.state in WAITING and job.id not in elsewhere:
                stands = standing(job, scene.times)
                notes.append(f"{name} has not run: {stands}; {self._what_runs(job)}")
            elif job.id in elsewhere:
                notes.append(
                    f"{name} has run, and this harness saw no run of it: {standing(job, scene.times)}. What "
                    "another ran on this store, such as a World, its own timeline tells"
                )
            else:
                notes.append(f"{name} has not run to an end: {standing(job, scene.times)}")
        if not idle:
            notes += duplicates(scene.events("pgjobs.job.conflict"), scene)
        return notes

    def _what_runs(self, job: Job) -> str:
        """What would run a job that waits."""
        served, due = self._scene.served(), job.state is JobState.AVAILABLE
        if served is not None and job.queue not in served:
            drain = "jobs.drain_queue()" if due else "jobs.drain_queue(with_scheduled=True)"
            why = not_served(job.queue, served)
            return f"{why} jobs.advance(...) does not run it, {drain} does"
        return f"{'jobs.drain_queue()' if due else 'jobs.advance(...)'} runs it"
