"""What is known of a job, its queue and the nodes when it is asked why the job has not run.

``Facts`` holds what was read, and tells what follows from it by the rules that the engine goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pgjobs.rules import stalled
from pgjobs.rules.control import Control, effective
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.limits import Limits, Turn
from pgjobs.rules.options import Queue
from pgjobs.rules.ratelimit import Window
from pgjobs.rules.reasons import Running
from pgjobs.rules.unique import UniqueRule


@dataclass(frozen=True, slots=True)
class Beat:
    """When a node was last heard of, and how often it means to be."""

    node: str
    at: datetime
    every: timedelta


@dataclass(frozen=True, slots=True)
class Rescue:
    """The ``Stalled`` of the asking instance."""

    after: timedelta
    interval: timedelta


@dataclass(frozen=True, slots=True)
class UnderTest:
    """A test run stands in for production: its one node, named ``node``, acts when the test says so."""

    node: str
    mode: str
    started: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is looked at. ``job`` is as it is stored at ``now``.

    ``conflict``: it stands for one that an insert did not store; ``rule`` is then what that insert's
    worker looks for. ``configured`` is None where the asking instance does not know how the queue is
    served; ``served`` are the queues that it knows. ``executing`` are the queue's, on all nodes;
    ``ahead`` counts the due ones that come first. ``workers`` are the names registered, None in a
    process that runs no jobs.
    """

    job: Job
    now: datetime
    conflict: bool = False
    rule: UniqueRule | None = None
    configured: Queue | None = None
    served: tuple[str, ...] = ()
    controls: Mapping[str, Control] = field(default_factory=dict)
    beats: tuple[Beat, ...] = ()
    executing: tuple[Job, ...] = ()
    window: Window = ()
    ahead: int = 0
    workers: frozenset[str] | None = None
    rescue: Rescue | None = None
    test: UnderTest | None = None

    @property
    def due(self) -> bool:
        return self.job.state is JobState.AVAILABLE or self.job.scheduled_at <= self.now

    @property
    def queue(self) -> Queue:
        """The queue as it is served. Where that is not known, as whoever paused it saw it."""
        name = self.job.queue
        own = self.controls.get(name, Control())
        configured = self.configured or Queue(paused=bool(own.paused_over))
        return effective(name, configured, self.controls)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that are alive."""
        if self.test is not None:
            return (self.test.node,)
        after = stalled.RESCUE_AFTER if self.rescue is None else self.rescue.after
        alive = (b for b in self.beats if not stalled.gone(b.at, b.every, self.now, after))
        return tuple(beat.node for beat in alive)

    @property
    def running(self) -> tuple[Running, ...]:
        return tuple(
            Running(job.id, job.worker, node_of(job), job.attempted_at) for job in self.executing
        )

    @property
    def free(self) -> int:
        """Slots that are free on the nodes alive, each of which is taken to serve the queue alike."""
        names = [node_of(job) for job in self.executing]
        return sum(max(0, self.queue.concurrency - names.count(node)) for node in self.nodes)

    @property
    def turn(self) -> Turn:
        """The claim that would take the job now."""
        limits = Limits(self.queue.rate_limit, self.queue.global_concurrency)
        return Turn(limits, self.free, self.now, self.window, len(self.executing))


def node_of(job: Job) -> str:
    """The node of a job's newest claim, or an empty string."""
    return job.attempted_by[0] if job.attempted_by else ""
