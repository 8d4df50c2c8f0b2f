"""Programs: what somebody does to a queue, step by step, as data that can be read, shrunk and run again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from pgjobs import NewJob, Worker
from pgjobs_testing.fixture import Harness
from pgjobs_testing.properties.instants import spans
from pgjobs_testing.properties.options import job_options, new_jobs
from pgjobs_testing.simulation.verdict import FAULTS

BY_HAND = ("cancel_job", "retry_job", "delete_job")
OF_QUEUES = ("pause_queue", "resume_queue", "reset_queue")


@dataclass(frozen=True, slots=True)
class Insert:
    """Store these jobs, at once."""

    jobs: tuple[NewJob, ...]

    def act(self, jobs: Harness) -> None:
        jobs.insert_all(self.jobs)


@dataclass(frozen=True, slots=True)
class Advance:
    """Let time pass."""

    span: timedelta

    def act(self, jobs: Harness) -> None:
        jobs.advance(self.span)


@dataclass(frozen=True, slots=True)
class Change:
    """``call`` one of the jobs that are there, chosen by ``number`` in order of their ids."""

    call: str
    number: int

    def act(self, jobs: Harness) -> None:
        if found := jobs.all_jobs():
            getattr(jobs, self.call)(found[self.number % len(found)])


@dataclass(frozen=True, slots=True)
class Control:
    """``call`` a queue."""

    call: str
    queue: str

    def act(self, jobs: Harness) -> None:
        getattr(jobs, self.call)(self.queue)


@dataclass(frozen=True, slots=True)
class Scale:
    """Let a queue have so many slots."""

    queue: str
    concurrency: int

    def act(self, jobs: Harness) -> None:
        jobs.scale_queue(self.queue, concurrency=self.concurrency)


@dataclass(frozen=True, slots=True)
class Drain:
    """Run what is due of a queue, or of all, at most ``limit`` runs."""

    queue: str | None
    limit: int | None

    def act(self, jobs: Harness) -> None:
        jobs.drain_queue(self.queue, with_safety=True, limit=self.limit)


Step = Insert | Advance | Change | Control | Scale | Drain
Program = tuple[Step, ...]


def run(program: Iterable[Step], jobs: Harness) -> None:
    """Do every step of a program, in order."""
    for step in program:
        step.act(jobs)


def programs(
    workers: Mapping[Worker[..., Any], st.SearchStrategy[Any]],
    queues: Sequence[str] = ("default",),
    options: st.SearchStrategy[dict[str, Any]] | None = None,
    max_size: int = 10,
) -> st.SearchStrategy[Program]:
    """Programs of up to ``max_size`` steps over ``workers``, each with a strategy for its args.

    ``options`` are those of ``new``; by default any, in one of ``queues``.
    """
    chosen = job_options(queues=queues) if options is None else options
    queue = st.sampled_from(list(queues))
    inserted = st.lists(new_jobs(workers, chosen), min_size=1, max_size=3)
    step = st.one_of(
        inserted.map(lambda new: Insert(tuple(new))),
        st.builds(Advance, spans()),
        st.builds(Change, st.sampled_from(BY_HAND), st.integers(0, 20)),
        st.builds(Control, st.sampled_from(OF_QUEUES), queue),
        st.builds(Scale, queue, st.integers(1, 4)),
        st.builds(Drain, st.none() | queue, st.none() | st.integers(1, 3)),
    )
    return st.lists(step, min_size=1, max_size=max_size).map(tuple)


def faults() -> st.SearchStrategy[tuple[str, ...]]:
    """Some of the faults that a simulated world knows, in their order; none shrinks first."""
    some = st.lists(st.sampled_from(FAULTS), unique=True)
    return some.map(lambda names: tuple(name for name in FAULTS if name in names))
