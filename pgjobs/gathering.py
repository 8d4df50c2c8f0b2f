"""What has to be read to explain a job, as a program of effects that exist for other purposes.

Each effect is a transaction of its own. A job that changed meanwhile is looked at again, so that what is
told fits the job that is told of.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pgjobs import effects
from pgjobs.effects import Effect
from pgjobs.leading import Heartbeat, Heartbeats
from pgjobs.plugins import Plugin, Stalled
from pgjobs.ports import Clock
from pgjobs.rules import selection
from pgjobs.rules.errors import JobNotFoundError, UnknownWorkerError
from pgjobs.rules.facts import Beat, Facts, Rescue, UnderTest
from pgjobs.rules.job import WAITING, Job, JobState
from pgjobs.rules.options import Queue
from pgjobs.rules.schedule import duration
from pgjobs.rules.selection import OneOf, Selection
from pgjobs.rules.unique import UniqueRule
from pgjobs.worker import Registry

LOOKS = 3
"""How often a job is looked at anew because it changed meanwhile; the last look counts as it is."""
MOST_EXECUTING = 10_000
"""Executing jobs of one queue that are read; beyond that nodes look freer than they are."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the asking instance knows by itself. ``others``: how queues are served that it does not list."""

    queues: Mapping[str, Queue]
    registry: Registry
    plugins: tuple[Plugin, ...] = ()
    others: Queue | None = None
    test: UnderTest | None = None

    @property
    def workers(self) -> frozenset[str] | None:
        """The registered workers; None for a mere client, or where there are none: it runs no jobs."""
        runs = bool(self.queues) or self.others is not None or self.test is not None
        return frozenset(self.registry.by_name) or None if runs else None


Program = Generator[Effect[Any], Any, Facts]


def facts(job_id: int, conflict: bool, around: Surroundings, clock: Clock) -> Program:
    """The facts of one job; ``JobNotFoundError`` where there is none."""
    found = yield from _look(job_id, conflict, around, clock)
    for _ in range(LOOKS - 1):
        if (yield from _stored(job_id)) == found.job:
            break
        found = yield from _look(job_id, conflict, around, clock)
    return found


def _look(job_id: int, conflict: bool, around: Surroundings, clock: Clock) -> Program:
    job = yield from _stored(job_id)
    now = clock.now()
    found = Facts(
        job,
        now,
        conflict=conflict,
        rule=_rule(around.registry, job) if conflict else None,
        configured=around.queues.get(job.queue, around.others),
        served=tuple(around.queues),
        workers=around.workers,
        rescue=_rescue(around.plugins),
        test=around.test,
    )
    if job.state in (*WAITING, JobState.EXECUTING):
        heartbeats: list[Heartbeat] = yield Heartbeats()
        beats = tuple(Beat(each.node, each.beat_at, each.every) for each in heartbeats)
        found = replace(found, beats=beats)
    if job.state not in WAITING:
        return found
    controls = yield effects.Controls()
    windows = yield effects.Windows()
    chosen = Selection((OneOf("state", (JobState.EXECUTING,)), OneOf("queue", (job.queue,))))
    executing = yield effects.Find(chosen, limit=MOST_EXECUTING)
    ahead = 0
    for each in selection.ahead_of(job, now) if found.due else ():
        counts: dict[str, int] = yield effects.Count(each)
        ahead += counts.get("", 0)
    return replace(
        found,
        controls=controls,
        window=windows.get(job.queue, ()),
        executing=tuple(executing),
        ahead=ahead,
    )


def _stored(job_id: int) -> Generator[Effect[Any], Any, Job]:
    found: list[Job] = yield effects.Find(selection.by_id(job_id), limit=1)
    if not found:
        raise JobNotFoundError(f"no job has the id {job_id}: it was deleted, or never stored")
    return found[0]


def _rule(registry: Registry, job: Job) -> UniqueRule | None:
    """What an insert of the same worker looks for, as far as its options in ``new`` did not say else."""
    try:
        unique = registry.find(job.worker).unique
    except UnknownWorkerError:
        return None
    return None if unique is None else unique.rule(job.worker, job.queue, job.args)


def _rescue(plugins: Iterable[Plugin]) -> Rescue | None:
    for plugin in plugins:
        if isinstance(plugin, Stalled):
            after = duration(plugin.rescue_after, "rescue_after")
            return Rescue(after, duration(plugin.interval, "interval"))
    return None
