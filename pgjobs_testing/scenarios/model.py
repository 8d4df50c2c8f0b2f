"""What a scenario file may hold: one frozen model for each mapping of the format.

Models check single values. What spans several of them (names, order, "exactly one of") is checked
by ``checks.py``, so that one mistake hides no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.schedule import LAST_INSTANT
from pgjobs.worker import Worker
from pgjobs_testing.scenarios.accepting import Maybe
from pgjobs_testing.scenarios.duties import PluginsSpec
from pgjobs_testing.scenarios.expectations import ExpectationSpec, FilterSpec
from pgjobs_testing.scenarios.parts import MANY, NODES, SOME, Part
from pgjobs_testing.scenarios.steps import FAULTS, StepSpec
from pgjobs_testing.scenarios.times import (
    START,
    DateTime,
    Instant,
    PositiveDuration,
    WrittenInstant,
)
from pgjobs_testing.scenarios.values import Allowed, Concurrency, Flag, Name, Seed, Text
from pgjobs_testing.scenarios.work import InsertSpec, WorkerSpec


class RateSpec(Part):
    """At most ``allowed`` starts in any half-open window of ``period``."""

    allowed: Allowed
    period: PositiveDuration


class QueueSpec(Part):
    """How the nodes serve a queue, or those of them alone that ``nodes`` names."""

    concurrency: Concurrency = 10
    paused: Flag = False
    global_concurrency: Maybe[Concurrency] = None
    rate_limit: Maybe[RateSpec] = None
    nodes: Maybe[Annotated[list[Name], Field(min_length=1, max_length=NODES)]] = None

    def made(self) -> Queue:
        """The queue that is meant."""
        rate = self.rate_limit
        limit = None if rate is None else RateLimit(rate.allowed, rate.period)
        return Queue(self.concurrency, self.paused, self.global_concurrency, limit)


class Scenario(Part):
    """A whole file."""

    name: Name
    start: DateTime = START
    seed: Seed = 0
    jitter: Flag = False
    nodes: list[Name] = Field(["a"], min_length=1, max_length=NODES)
    queues: dict[Name, QueueSpec] = Field(default_factory=dict, max_length=SOME)
    plugins: PluginsSpec = Field(default_factory=PluginsSpec)
    workers: dict[Name, WorkerSpec] = Field(default_factory=dict, max_length=SOME)
    steps: list[StepSpec] = Field(default_factory=list, min_length=1, max_length=MANY)
    until: Maybe[WrittenInstant] = None
    expect: list[ExpectationSpec] = Field(default_factory=list, max_length=SOME)
    invariants: Flag = False
    trace: Maybe[Text] = None

    @property
    def alone(self) -> bool:
        """Whether one node has the store to itself all the time, so that it need not poll in vain."""
        return len(self.nodes) == 1 and all(step.action not in FAULTS for step in self.steps)

    def inserts(self) -> Iterator[tuple[tuple[str | int, ...], InsertSpec]]:
        """Every job that the file inserts, with its path: by runs, by steps, by a crontab."""
        for name, worker in self.workers.items():
            for n, run in enumerate(worker.runs):
                if run.insert is not None:
                    yield ("workers", name, "runs", n, "insert"), run.insert
                for m, each in enumerate(run.insert_all or ()):
                    yield ("workers", name, "runs", n, "insert_all", m), each
        for n, step in enumerate(self.steps):
            if step.insert is not None:
                yield ("steps", n, "insert"), step.insert
            for m, each in enumerate(step.insert_all or ()):
                yield ("steps", n, "insert_all", m), each
        cron = self.plugins.cron
        for n, (_, job) in enumerate(() if cron is None else cron.crontab):
            yield ("plugins", "cron", "crontab", n, 1), job

    @property
    def queues_used(self) -> list[str]:
        """The queues that workers and inserts name, in the file's order."""
        used = [worker.serving for worker in self.workers.values()]
        used += [each.queue for _, each in self.inserts() if "queue" in each.model_fields_set]
        return list(dict.fromkeys(used))

    @property
    def served_by(self) -> dict[str, tuple[str, ...]]:
        """The queues that some nodes alone serve, with these."""
        queues = self.queues.items()
        return {name: tuple(spec.nodes) for name, spec in queues if spec.nodes is not None}

    @property
    def real_workers(self) -> list[Worker[Any, Any]]:
        """The workers that ``use`` names, in the file's order."""
        return [spec.use for spec in self.workers.values() if spec.use is not None]

    def stored(self, worker: str) -> str:
        """The name that rows have for a worker: a real one's own, else the file's."""
        spec = self.workers.get(worker)
        return worker if spec is None or spec.use is None else str(spec.use.name)

    def filters(self, chosen: FilterSpec) -> dict[str, Any]:
        """Filters as a client takes them; of jobs that are meant by name only the rest."""
        given = chosen.given(*FilterSpec.model_fields)
        if chosen.worker is not None:
            given["worker"] = [self.stored(name) for name in chosen.worker]
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value is not None
        }

    def instant(self, written: Instant) -> datetime:
        """The instant that is meant by what is written."""
        return resolved(self.start, written)


def resolved(start: datetime, written: Instant) -> datetime:
    """An instant from how it is written; ``LAST_INSTANT`` where it would be later than that."""
    if isinstance(written, datetime):
        return written
    try:
        return start + written
    except OverflowError:
        return LAST_INSTANT
