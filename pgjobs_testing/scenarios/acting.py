"""What each step of a scenario does: by a client as the application has it, or to nodes from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pgjobs.client import Client, Program, drive
from pgjobs.plugins import Cron, LeaderTasks, Plugin, Pruner, Stalled
from pgjobs.rules.errors import JobNotFoundError, PgJobsError
from pgjobs.rules.job import Job
from pgjobs.worker import Registry
from pgjobs_testing.nodes.cluster import Cluster
from pgjobs_testing.nodes.line import Line
from pgjobs_testing.nodes.traps import Trap
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.scenarios import scripted
from pgjobs_testing.scenarios.draining import Drains
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.steps import FAULTS, OrderSpec, RestartSpec, StepSpec
from pgjobs_testing.scenarios.versions import told_with
from pgjobs_testing.scenarios.work import InsertSpec

T = TypeVar("T")

_KINDS: dict[str, type[Plugin]] = {
    "stalled": Stalled,
    "pruner": Pruner,
    "cron": Cron,
    "leader_tasks": LeaderTasks,
}


class Actor:
    """Does steps, and knows the jobs that they have inserted.

    ``names`` has their ids by name, ``answers`` what each first insert of a name gave.
    """

    def __init__(
        self,
        scenario: Scenario,
        cluster: Cluster,
        client: Client,
        registry: Registry,
        drains: Drains,
        recorder: Recorder,
        plugins: Sequence[Plugin],
    ) -> None:
        self._recorder, self._plugins_there = recorder, plugins
        self._scenario, self._cluster, self._drains = scenario, cluster, drains
        self._client, self._registry = client, registry
        self.names: dict[str, int] = {}
        self.answers: dict[str, Job] = {}

    def act(self, step: StepSpec) -> None:
        """Do what a step says; ``PgJobsError`` where it cannot be done.

        Where invariants are watched, whoever calls is told that a job is gone, and that is all.
        """
        if step.action in FAULTS:
            self._fault(step)
            return
        try:
            self._call(step)
        except JobNotFoundError:
            if not self._scenario.invariants:
                raise
            self._recorder.note("missing", detail=f"the job to {step.action}")

    def insert(self, spec: InsertSpec, line: Line | None = None) -> None:
        """Store a job, for a step or, by its node's ``line``, for a run."""
        if line is not None:
            line.check()
        new = scripted.new_job(spec, self._registry, self._scenario)
        self._name(spec, self._drive(self._client.insert(new)))

    def _call(self, step: StepSpec) -> None:
        client, action = self._client, step.action
        if step.insert is not None:
            self.insert(step.insert)
        elif step.insert_all is not None:
            new = [
                scripted.new_job(each, self._registry, self._scenario) for each in step.insert_all
            ]
            jobs = self._drive(client.insert_all(new))
            for spec, job in zip(step.insert_all, jobs, strict=True):
                self._name(spec, job)
        elif step.cancel is not None:
            self._order("cancel", step.cancel, client.cancel, client.cancel_all)
        elif step.retry is not None:
            self._order("retry", step.retry, client.retry, client.retry_all)
        elif step.delete is not None:
            self._order("delete", step.delete, client.delete, client.delete_all)
        elif step.pause is not None:
            self._drive(client.pause(step.pause))
        elif step.resume is not None:
            self._drive(client.resume(step.resume))
        elif step.scale is not None:
            self._drive(client.scale(step.scale.queue, step.scale.concurrency))
        elif step.reset is not None:
            self._drive(client.reset(step.reset))
        elif step.drain is not None:
            self._drains.drain(step.drain, self._cluster.store)
        elif action == "pause_all":
            self._drive(client.pause_all())
        else:
            assert action == "resume_all", f"a step that does nothing: {action}"
            self._drive(client.resume_all())

    def _order(
        self,
        event: str,
        meant: str | OrderSpec,
        one: Callable[[object], Program[Job]],
        many: Callable[[Mapping[str, Any]], Program[int]],
    ) -> None:
        """One job by its name, or all that filters mean; whoever watches hears which these are."""
        if isinstance(meant, str):
            self._drive(one(self._id(meant)))
            return
        client, witness = self._client, self._cluster.overseer
        filters = self._scenario.filters(meant)
        if meant.jobs is not None:
            filters["id"] = [*self._ids(meant.jobs)]
        if witness is not None:
            witness.ordered(event, filters)
        count = self._drive(many(filters))
        if witness is not None:
            witness.carried_out(count, client.clock.now())

    def _fault(self, step: StepSpec) -> None:
        cluster = self._cluster
        if (crash := step.crash) is not None:
            point = crash.before or crash.after
            if point is None:
                cluster.crash(crash.node)
            else:
                when = "before" if crash.before else "after"
                cluster.trap(crash.node, Trap(point, f"crash {when}"))
        elif (restart := step.restart) is not None:
            plugins, queues = self._plugins(restart), restart.queues
            cluster.restart(restart.node, plugins, queues, told_with(plugins, queues))
        elif step.stop is not None:
            cluster.stop(step.stop.node, step.stop.grace)
        elif step.suspend is not None:
            cluster.suspend(step.suspend.node, step.suspend.span)
        elif step.partition is not None:
            cluster.partition(step.partition)
        elif step.heal is not None:
            cluster.heal(step.heal)
        elif step.skew is not None:
            cluster.skew(step.skew.node, step.skew.by)
        elif step.drift is not None:
            cluster.drift(step.drift.node, step.drift.ppm)
        elif step.slow is not None:
            cluster.slow(step.slow.node, step.slow.by)
        elif (fail := step.fail) is not None:
            cluster.trap(fail.node, Trap(fail.effect, fail.how, fail.times, fail.by))
        elif step.drop_notifications is not None:
            cluster.drop_notifications(step.drop_notifications)
        elif step.delay_notifications is not None:
            cluster.delay_notifications(step.delay_notifications)
        elif step.double_notifications is not None:
            cluster.double_notifications(step.double_notifications)
        else:
            assert step.database is not None, f"a fault that does nothing: {step.action}"
            cluster.database(up=step.database == "up")

    def _plugins(self, restart: RestartSpec) -> list[Plugin] | None:
        """The plugins of a new process, where it has others than the file's; they stay with the node."""
        if restart.plugins is None:
            return None
        kinds = tuple(_KINDS[name] for name in restart.plugins)
        return [each for each in self._plugins_there if isinstance(each, kinds)]

    def _drive(self, program: Program[T]) -> T:
        return drive(self._cluster.store, program)

    def _name(self, spec: InsertSpec, job: Job) -> None:
        """Name a job; where a run inserts again and again, the name stays with its first."""
        if spec.name_as is not None:
            self.names.setdefault(spec.name_as, job.id)
            self.answers.setdefault(spec.name_as, job)

    def _ids(self, names: Sequence[str]) -> Iterator[int]:
        """Where invariants are watched, of those that are there by now; each once."""
        found: dict[int, None] = {}
        for name in names:
            if name in self.names or not self._scenario.invariants:
                found[self._id(name)] = None
        yield from found

    def _id(self, name: str) -> int:
        job_id = self.names.get(name)
        if job_id is None and self._scenario.invariants:
            raise JobNotFoundError(f"no job named {name!r} has been inserted by now")
        if job_id is None:
            raise PgJobsError(f"no job named {name!r} has been inserted by now")
        return job_id
