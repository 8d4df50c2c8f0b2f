"""What is known of a scenario's world before it is played: for the invariants that watch over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pgjobs.rules.schedule import later
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.invariants import Facts
from pgjobs_testing.invariants.overseer import Overseer
from pgjobs_testing.nodes.cluster import Cluster
from pgjobs_testing.nodes.making import Make
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.steps import StepSpec
from pgjobs_testing.scenarios.times import FURTHEST

A_DAY_S = 86_400
LONGEST = FURTHEST
"""Whatever a file says takes longer counts as this long: bounds are sums of a few of these."""
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Most:
    """What befalls a play that no step of its file tells: how far clocks are off at most, how long the
    longest answer, run and stop take."""

    skew: timedelta = timedelta(0)
    delay: timedelta = timedelta(0)
    run: timedelta = timedelta(0)
    grace: timedelta = timedelta(0)


NO_MORE = Most()


def overseer(
    scenario: Scenario, cluster: Cluster, clock: VirtualClock, make: Make, most: Most
) -> Overseer:
    """Who watches over a play."""
    return Overseer(facts(scenario, make, most), cluster, clock)


def facts(scenario: Scenario, make: Make, most: Most) -> Facts:
    """The facts of a play."""
    steps = scenario.steps
    return Facts(
        make.queues,
        make.registry,
        make.plugins,
        make.others,
        jitter=scenario.jitter,
        elide=make.elide,
        skew=min(LONGEST, max(most.skew, _furthest_skew(scenario))),
        delay=min(LONGEST, max([most.delay, *(each.slow.by for each in steps if each.slow)])),
        longest_run=min(LONGEST, max([most.run, *_runs(scenario)])),
        grace=min(LONGEST, max([most.grace, *(each.stop.grace for each in steps if each.stop)])),
    )


def faults_end(scenario: Scenario) -> datetime | None:
    """When the last fault of a file ended, or the last step of an operator; its start without any.

    None where one never ends. That a node is gone for good is none: the others do its work.
    """
    under_way: dict[tuple[str, str], bool] = {}
    for step in scenario.steps:
        under_way |= _switched(step)
    if any(under_way.values()):
        return None
    ends = [later(scenario.instant(step.at), _length(step)) for step in scenario.steps]
    return max(ends, default=scenario.start)


def _switched(step: StepSpec) -> dict[tuple[str, str], bool]:
    """The faults that a step begins (True) or ends: each by its kind and its node."""
    if step.partition is not None:
        return {("cut", step.partition): True}
    if step.heal is not None:
        return {("cut", step.heal): False}
    if step.slow is not None:
        return {("slow", step.slow.node): bool(step.slow.by)}
    if step.database is not None:
        return {("database", ""): step.database == "down"}
    if step.drop_notifications is not None:
        return {("dropped", ""): step.drop_notifications}
    if step.delay_notifications is not None:
        return {("delayed", ""): bool(step.delay_notifications)}
    return {}


def _length(step: StepSpec) -> timedelta:
    if step.suspend is not None:
        return step.suspend.span
    return timedelta(0) if step.stop is None else step.stop.grace


def _runs(scenario: Scenario) -> Iterator[timedelta]:
    """How long runs take; one that hangs takes as long as it may."""
    for worker in scenario.workers.values():
        for run in worker.runs:
            yield worker.timeout or timedelta(0) if run.hang else run.duration
    for task in scenario.plugins.tasks.values():
        yield from (run.duration for run in task.runs)


def _furthest_skew(scenario: Scenario) -> timedelta:
    """How far a clock is off at most: what it was set to, and what it gains until it is set again."""
    nodes = (step.skew or step.drift for step in scenario.steps)
    names = dict.fromkeys(each.node for each in nodes if each is not None)
    return 2 * max((_furthest_off(scenario, name) for name in names), default=timedelta(0))


def _furthest_off(scenario: Scenario, name: str) -> timedelta:
    """A drift begins where the one before it has left the clock."""
    most = off = timedelta(0)
    ppm, since = 0, scenario.start
    for step in scenario.steps:
        for each in (step.skew, step.drift):
            if each is None or each.node != name:
                continue
            at = scenario.instant(step.at)
            off += (at - since) * (ppm / MILLION)
            most, since = max(most, abs(off)), at
            if step.drift is not None:
                ppm = step.drift.ppm
            else:
                assert step.skew is not None
                off = max(-LONGEST, min(LONGEST, step.skew.by))
                most = max(most, abs(off))
    if ppm:
        off += (_end(scenario, since) - since) * (ppm / MILLION)
    return max(most, abs(off))


def _end(scenario: Scenario, begin: datetime) -> datetime:
    until = scenario.until
    return later(begin, timedelta(seconds=A_DAY_S)) if until is None else scenario.instant(until)
