"""Running due work to its end in one go: in order, one job at a time, on a clock that stands still.

A drain is a program: a generator that yields effects for the store, and a ``Run`` for a job that is to
be run now, and is sent their answers: that of a run is its ``Outcome``. It is driven with or without an
event loop, and decides the same.

What it claims and does not run to its end it gives back, where an interrupt ends a run, and where it refuses
to begin one more of a job that comes to no end. It tells of both as a node does that stops: else who reads a
timeline would see a start without an end, or a job with one release more than there are lines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from pgjobs.effects import Claim, Count, Effect, Find, Settle, Transition
from pgjobs.engine.livelock import Watch
from pgjobs.engine.report import Reporter, delay_s
from pgjobs.engine.stager import STAGE_LIMIT
from pgjobs.ports import Clock, Rng, Run, Store
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.errors import LivelockError, nearest
from pgjobs.rules.job import FINAL, Job, JobState
from pgjobs.rules.lifecycle import Event, Outcome
from pgjobs.rules.selection import Selection
from pgjobs.rules.swift import swift
from pgjobs.telemetry import Telemetry
from pgjobs.worker import Registry

NAMED = 100
"""Jobs of which a claim takes the first, where only those run that were there at first: so many are looked
up by their ids for each of them."""

REMEDY = "Let the worker come to an end, or bound the drain: limit=, with_recursion=False"


_STATES = tuple(str(each) for each in JobState)


class DrainResult(Mapping[str, int]):
    """How many runs left their job in each state, and ``jobs``: each run's job as it stood after.

    A state that no run reached counts 0, and is left out when iterating, so that
    ``result == {"completed": 3}`` reads as it should.
    """

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        self._counts: dict[str, int] = {}
        for job in jobs:
            state = str(job.state)
            self._counts[state] = self._counts.get(state, 0) + 1

    def __getitem__(self, state: str) -> int:
        if state not in _STATES:
            raise KeyError(f"no state {state!r}{nearest(str(state), _STATES)}")
        return self._counts.get(str(state), 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __eq__(self, other: object) -> bool:
        if type(other) is dict:  # what nearly every test compares with
            return self._counts == other
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]  # as of any mapping that compares by its items

    def __repr__(self) -> str:
        return f"DrainResult({self._counts})"


@swift
@dataclass(frozen=True, slots=True)
class DrainPlan:
    """What to drain: ``queue`` (None: all), jobs due by ``until``, at most ``limit`` runs.

    ``recursion`` includes what the drained jobs insert; without ``safety`` the first exception that
    a worker raised is raised again, after its attempt was settled.
    """

    queue: str | None
    until: datetime
    recursion: bool
    safety: bool
    limit: int | None


@dataclass(eq=False, slots=True)
class DrainPorts:
    """What a drain uses of its engine."""

    node: str
    clock: Clock
    rng: Rng
    registry: Registry
    telemetry: Telemetry
    jitter: bool


@dataclass(frozen=True, slots=True)
class Raised:
    """What a worker raised ended the drain; a generator cannot raise it, were it ``StopIteration``."""

    error: BaseException


Program = Generator[Effect[Any] | Run, Any, DrainResult | Raised]


class Performer(Protocol):
    """Where the jobs of a drain run; what it raises ends the drain."""

    def perform(self, run: Run) -> Outcome: ...

    async def perform_async(self, run: Run) -> Outcome: ...

    def close(self) -> None: ...


def drive(program: Program, store: Store, here: Performer) -> DrainResult:
    """Run a drain to its end, blocking."""
    return _result(_driven(program, store, here))


def _driven(program: Program, store: Store, here: Performer) -> DrainResult | Raised:
    try:
        request = next(program)
        while True:
            if type(request) is not Run:
                request = program.send(store.run(request))
                continue
            try:
                ended = here.perform(request)
            except BaseException as error:  # the program gives the job back, and raises it again
                request = program.throw(error)
            else:
                request = program.send(ended)
    except StopIteration as stop:
        came_to: DrainResult | Raised = stop.value
        return came_to
    finally:
        here.close()


async def drive_async(program: Program, store: Store, here: Performer) -> DrainResult:
    """Run a drain to its end on the running event loop.

    A worker's ``StopIteration`` leaves it, as it would any coroutine, as the cause of a ``RuntimeError``.
    """
    return _result(await _driven_async(program, store, here))


async def _driven_async(program: Program, store: Store, here: Performer) -> DrainResult | Raised:
    try:
        request = next(program)
        while True:
            if type(request) is not Run:
                request = program.send(await store.run_async(request))
                continue
            try:
                ended = await here.perform_async(request)
            except BaseException as error:  # the program gives the job back, and raises it again
                request = program.throw(error)
            else:
                request = program.send(ended)
    except StopIteration as stop:
        came_to: DrainResult | Raised = stop.value
        return came_to
    finally:
        here.close()


def _result(came_to: DrainResult | Raised) -> DrainResult:
    if isinstance(came_to, Raised):
        raise came_to.error
    return came_to


def drain(plan: DrainPlan, ports: DrainPorts) -> Program:
    """The program of a drain."""
    done: list[Job] = []
    report = Reporter(ports.telemetry, ports.node)
    watch = Watch("in one drain", REMEDY, branches=plan.recursion)
    chosen, due = selection.claimable(plan.queue), selection.due(plan.until, plan.queue)
    yield from _stage(due, ports)
    parts = deque([chosen])
    if not plan.recursion:
        present = sorted((yield Find(chosen)), key=selection.claim_order)
        ids = [job.id for job in present]
        parts = deque(chosen.named(ids[at : at + NAMED]) for at in range(0, len(ids), NAMED))
        chosen = chosen.named(ids)
    while parts and (plan.limit is None or len(done) < plan.limit):
        job = yield from _next(parts[0], due if plan.recursion else None, ports)
        if job is None:
            parts.popleft()
            continue
        if watch.asks:
            of = selection.available(plan.queue) if plan.recursion else chosen
            waiting = yield Count(of)
            most = None if plan.limit is None else plan.limit - len(done) - 1
            watch.counted(waiting.get("", 0), most)
        try:
            watch.running(job)
        except LivelockError:
            yield from _give_back(Run(job, None, job.queue, ports.clock.monotonic()), ports, report)
            raise
        after, ended = yield from _run(job, ports, report)
        done.append(after)
        if after.state in FINAL:
            watch.gone(after)
        if ended.raised and not plan.safety:
            assert ended.exception is not None
            return Raised(ended.exception)
    return DrainResult(done)


def _stage(due: Selection, ports: DrainPorts) -> Generator[Effect[Any], Any, bool]:
    staged_any = False
    while True:
        change = lifecycle.stage(ports.clock.now())
        staged = yield Transition(due, change, STAGE_LIMIT)
        staged_any = staged_any or bool(staged)
        if len(staged) < STAGE_LIMIT:
            return staged_any


def _next(
    chosen: Selection, due: Selection | None, ports: DrainPorts
) -> Generator[Effect[Any], Any, Job | None]:
    """Claim the next job; when there is none, stage what of ``due`` has fallen due, and look again."""
    while True:
        change = lifecycle.claim(ports.node, ports.rng.token("claim:drain"), ports.clock.now())
        claimed = yield Claim(chosen, 1, change)
        if claimed:
            job: Job = claimed[0]
            return job
        if due is None or not (yield from _stage(due, ports)):
            return None


def _run(
    job: Job, ports: DrainPorts, report: Reporter
) -> Generator[Effect[Any] | Run, Any, tuple[Job, Outcome]]:
    worker = ports.registry.by_name.get(job.worker)
    report.started(job)
    run = Run(job, worker, job.queue, ports.clock.monotonic())
    if worker is None:
        ended = outcome.failed(ports.registry.unknown(job.worker), raised=True)
    else:
        try:
            ended = yield run
        except (
            BaseException
        ):  # an interrupt, or a cancel of the drain itself: the job is given back
            yield from _give_back(run, ports, report)
            raise
    failing = ended.event is Event.FAIL and job.attempt < job.max_attempts
    wait_s = _backoff_s(run, ports) if failing else 0.0
    settlement = lifecycle.settle(job, ended, ports.clock.now(), wait_s)
    (counted,) = yield Settle((settlement,))
    if counted:
        after = lifecycle.apply(settlement.change, job)
        report.ended(run, lambda: after, ended, ports.clock.monotonic())
    else:
        (after,) = (yield Find(selection.by_id(job.id))) or [job]
        report.late(run, ended, ports.clock.monotonic())
    return after, ended


def _give_back(run: Run, ports: DrainPorts, report: Reporter) -> Generator[Effect[Any], Any, None]:
    job, at = run.job, ports.clock.monotonic()
    settlement = lifecycle.release(job, ports.clock.now())
    (counted,) = yield Settle((settlement,))
    if counted:
        report.released(run, lambda: lifecycle.apply(settlement.change, job), at)


def _backoff_s(run: Run, ports: DrainPorts) -> float:
    return delay_s(run, partial(ports.rng.random, "backoff") if ports.jitter else None)
