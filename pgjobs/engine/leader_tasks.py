"""How a leader calls plain functions at their ticks: claimed, never twice at once, never again.

A node that stood still between its claim and the call, until its lease was over, calls nothing.

A function runs where jobs run, as a run without a row: in a thread, or on the loop for
``async def``. What it raises is told and forgotten.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pgjobs.engine.led import LedPorts
from pgjobs.engine.ticker import Entry, Ticker
from pgjobs.plugins import CronEntry, LeaderTasks
from pgjobs.ports import Clock, Executor, Finished, Run
from pgjobs.rules import outcome
from pgjobs.rules.job import Job, JobState, NewJob
from pgjobs.rules.lifecycle import Event
from pgjobs.rules.schedule import later
from pgjobs.worker import Worker

LONG = timedelta(seconds=60)
REMEDY = "what must not be missed belongs into Cron, which has catch_up"

log = logging.getLogger("pgjobs")


class Tasks:
    """The functions that run now, and the duty that fires them."""

    def __init__(
        self,
        ports: LedPorts,
        name: str,
        plugins: Sequence[LeaderTasks],
        clock: Clock,
        executor: Executor,
    ) -> None:
        self._ports, self._clock, self._executor = ports, clock, executor
        self._running: dict[str, Run] = {}
        self._long: dict[str, datetime] = {}
        lines = [line for plugin in plugins for line in plugin.entries]
        self.ticker = Ticker(ports, [self._entry(f"{name}:{line.key}", line) for line in lines])

    @property
    def running(self) -> bool:
        """Whether a function has not returned yet."""
        return bool(self._running)

    def next_due(self) -> datetime | None:
        """When the first run becomes a long one."""
        return min(self._long.values(), default=None)

    def watch(self, now: datetime) -> None:
        """Log what has run for long, once a run."""
        for key, at in tuple(self._long.items()):
            if now >= at:
                del self._long[key]
                log.warning("the leader's task %s has been running for more than %s", key, LONG)

    def tell(self) -> None:
        """The node stops: ask what runs to stop."""
        for run in self._running.values():
            run.told = True
            self._executor.tell(run)

    def _entry(self, key: str, line: CronEntry) -> Entry:
        worker = _worker_of(line.what)

        def nothing(_at: datetime) -> tuple[NewJob, ...]:
            return ()

        def fired(at: datetime, _inserted: list[Job], now: datetime) -> None:
            self._fire(key, worker, at, now)

        title = f"the leader's task {str(line.crontab)!r} ({line.zone}) of {worker.name}"
        return Entry(key, title, REMEDY, line.crontab, line.zone, nothing, fired)

    def _fire(self, key: str, worker: Worker[..., Any], at: datetime, now: datetime) -> None:
        if key in self._running:
            self._ports.report.task("skip", key, at)
            log.warning("the leader's task %s still runs: its tick at %s is skipped", key, at)
            return
        if not self._ports.leader.leads(now):
            self._ports.report.task("skip", key, at)
            log.warning("%s is not called for its tick at %s: its node leads no more", key, at)
            return

        def ended(end: Finished, _now: datetime) -> None:
            self._running.pop(key, None)
            self._long.pop(key, None)
            failed = end.outcome.event is Event.FAIL
            duration_s = max(0.0, end.at - end.run.started)
            self._ports.report.task(
                "exception" if failed else "stop", key, at, duration_s, end.outcome.exception
            )
            if failed and not end.run.told:
                log.error("the leader's task %s failed: %s", key, end.outcome.error)

        run = Run(_no_job(worker.name, now), worker, "", self._clock.monotonic(), then=ended)
        self._running[key] = run
        self._long[key] = later(now, LONG)
        self._ports.report.task("start", key, at)
        try:
            self._executor.start([run])
        except Exception as error:
            ended(Finished(run, outcome.failed(error), run.started), now)


def _worker_of(function: Callable[[], Any]) -> Worker[..., Any]:
    """A worker, in no registry, that calls ``function``."""
    name = getattr(function, "__qualname__", type(function).__qualname__)[-100:]
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object may be async by it
    ):

        async def call_async(_: Job) -> object:
            return await function()

        return Worker(call_async, {"name": name})

    def call(_: Job) -> object:
        return function()

    return Worker(call, {"name": name})


def _no_job(name: str, now: datetime) -> Job:
    """What stands for the job of a run that has no row."""
    return Job(
        id=0,
        state=JobState.EXECUTING,
        queue="",
        worker=name,
        args={},
        meta={},
        tags=(),
        errors=(),
        attempt=1,
        max_attempts=1,
        priority=0,
        attempted_by=(),
        inserted_at=now,
        scheduled_at=now,
        attempted_at=now,
    )
