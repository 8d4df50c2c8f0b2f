"""A drain as a step: the engine's own, with runs that take no time and do what the scenario says."""

from __future__ import annotations

from pgjobs.client import horizon
from pgjobs.engine.drain import DrainPlan, DrainPorts, drain, drive
from pgjobs.ports import Rng, Run, Store
from pgjobs.rules import outcome
from pgjobs.rules.errors import JobTimeoutError, PgJobsError
from pgjobs.rules.lifecycle import Outcome
from pgjobs.worker import Registry
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.scenarios.scripted import Script
from pgjobs_testing.scenarios.steps import DrainSpec


class Drains:
    """Drains on one clock, in the name of ``node`` where a step names none."""

    def __init__(
        self,
        clock: VirtualClock,
        recorder: Recorder,
        rng: Rng,
        registry: Registry,
        script: Script,
        *,
        node: str,
        jitter: bool,
    ) -> None:
        self._clock, self._recorder, self._rng = clock, recorder, rng
        self._registry, self._script = registry, script
        self._node, self._jitter = node, jitter

    def drain(self, spec: DrainSpec, store: Store) -> None:
        """Run what the step means; what a run raises is its job's failure alone."""
        node = spec.node or self._node
        until = horizon(spec.with_scheduled or False, self._clock.now())
        plan = DrainPlan(spec.queue, until, spec.with_recursion, True, spec.limit)
        self._recorder.call("drain", plan, node)
        drive(drain(plan, self._ports(node)), store, self)
        self._recorder.call("drained")

    def perform(self, run: Run) -> Outcome:
        """The next entry of the job's worker; what hangs ends at its time limit."""
        if run.job.worker not in self._script.workers:
            raise PgJobsError(
                f"{run.job.worker} is a real worker: a drain plays scripted ones alone"
            )
        spec = self._script.begin(run.job)
        if not spec.hang:
            return self._script.end(run.job, spec)
        limit = None if run.worker is None else run.worker.timeout_of(run.job)
        if limit is None:
            raise PgJobsError(f"the drain has no end: a run of {run.job.worker} hangs, no timeout")
        return outcome.failed(
            JobTimeoutError(f"the run took longer than its time limit of {limit}")
        )

    async def perform_async(self, run: Run) -> Outcome:
        """Scripted runs need no event loop."""
        return self.perform(run)

    def close(self) -> None:
        """Nothing is kept between runs."""

    def _ports(self, node: str) -> DrainPorts:
        return DrainPorts(
            node, self._clock, self._rng, self._registry, self._recorder, self._jitter
        )
