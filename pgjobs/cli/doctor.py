"""``pgjobs doctor``: whether a node could run here, and whether anything wants attention.

Reads only. What can be checked is checked in order; behind an error that keeps the rest from being
read, the rest is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from pgjobs import effects, guard, leading
from pgjobs.adapters.system import SystemClock
from pgjobs.app import PgJobs
from pgjobs.cli import checks
from pgjobs.cli.checks import Finding, Level
from pgjobs.cli.common import (
    CANNOT,
    Seconds,
    counted,
    echo_json,
    opened,
    table,
    takes_database,
    takes_json,
)
from pgjobs.cli.importing import import_workers
from pgjobs.rules.control import effective
from pgjobs.rules.errors import PgJobsError
from pgjobs.rules.job import WAITING, Job, JobState
from pgjobs.rules.schedule import duration, earlier
from pgjobs.rules.selection import AtMost, OneOf, Selection
from pgjobs.rules.stalled import RESCUE_AFTER, gone

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.store import PostgresStore

LONG_S = 3_600.0
"""How long a job may execute before it is noted, where no ``--max-running`` says otherwise."""

OLDEST = 1_000
"""Executing jobs that are looked at, those first that have run for longest."""


class Depths(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 alone
    """``NUMBER``, or ``QUEUE=NUMBER``: a pair of a queue (None: all others) and a number."""

    name = "[QUEUE=]NUMBER"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str | None, int]:
        queue, equals, number = value.rpartition("=")
        if (
            not (number.isascii() and number.isdigit())
            or len(number) > 18
            or (equals and not queue)
        ):
            self.fail(f"a number, or QUEUE=NUMBER, is taken, not {value!r}", param, ctx)
        return queue if equals else None, int(number)


@click.command()
@click.argument("app", metavar="[MODULE:JOBS]", required=False)
@click.option(
    "--max-depth",
    type=Depths(),
    multiple=True,
    help="Warn of more available jobs than this in a queue; QUEUE=NUMBER for one of them.",
)
@click.option(
    "--max-running",
    type=Seconds(min=0, min_open=True),
    metavar="SECONDS",
    help="Warn of jobs that execute for longer. Without it, what takes an hour is noted.",
)
@click.option(
    "--max-offset",
    type=Seconds(min=0),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Warn of a clock further off the server's.",
)
@takes_database
@takes_json
@click.pass_context
def doctor(
    context: click.Context,
    app: str | None,
    max_depth: Sequence[tuple[str | None, int]],
    max_running: float | None,
    max_offset: float,
    dsn: str | None,
    schema: str | None,
    as_json: bool,
) -> None:
    """Check the database; with MODULE:JOBS, that PgJobs against it too. Changes nothing.

    Exit code: 0 fine, 1 a warning, 2 a node cannot run.
    """
    with opened(dsn, schema, app) as jobs:
        examination = Examination(jobs, app, dict(max_depth), max_running, max_offset)
        findings = list(examination.findings())
    code = checks.exit_code(findings)
    if as_json:
        echo_json({"exit_code": code, "checks": [_values(finding) for finding in findings]})
    else:
        rows = [(each.level.name.lower(), each.check, each.text) for each in findings]
        click.echo(table(("LEVEL", "CHECK", "FOUND"), rows))
        click.echo(_summary(findings))
    context.exit(code)


class Examination:
    """The checks of one run of the command."""

    def __init__(
        self,
        jobs: PgJobs,
        app: str | None,
        most: dict[str | None, int],
        max_running: float | None,
        max_offset: float,
    ) -> None:
        self._jobs, self._app = jobs, app
        self._default_depth = most.pop(None, None)
        self._depths = {queue: number for queue, number in most.items() if queue is not None}
        self._running_s, self._alert = max_running or LONG_S, max_running is not None
        self._max_offset_s = max_offset

    def findings(self) -> Iterator[Finding]:
        """What each check found, in order, up to the first that keeps the next from being read."""
        from pgjobs.adapters.postgres.store import PostgresStore

        store = self._jobs.store
        if not isinstance(store, PostgresStore):
            text = f"{self._app or 'this'} has no database: {store!r}"
            if self._jobs.runtime().captor is not None:
                text = f"a test run stands in for the database: {guard.LIVE}"
            yield Finding("server", Level.ERROR, text)
            return
        try:
            yield from self._of_database(store)
        except PgJobsError as error:
            yield Finding("server", Level.ERROR, " ".join(str(error).split()))

    def _of_database(self, store: PostgresStore) -> Iterator[Finding]:
        from pgjobs.adapters.postgres import inspecting
        from pgjobs.adapters.postgres.privileges import privileges

        server = inspecting.server(store)
        yield checks.version(server, store.schema)
        allowed = checks.privileges(
            privileges(store), serves=bool(self._jobs.queues or not self._app)
        )
        if allowed.details["unreadable"]:
            yield allowed
            return
        tables = inspecting.tables(store)
        first = [
            *([allowed] if tables.columns else []),
            checks.migration(tables, store.schema),
            checks.shape(tables, store.schema),
        ]
        yield from first
        clock = SystemClock(store.server_now)
        yield checks.clock(clock.offset, self._max_offset_s)
        if checks.exit_code(first) == CANNOT:
            return
        now = clock.now()
        found = inspecting.neighbours(store, tables, now)
        available = self._jobs.count_jobs(by="queue", state=JobState.AVAILABLE)
        yield checks.depth(available, self._depths, self._default_depth)
        heard = self._jobs.store.run(leading.Heartbeats())
        leases = self._jobs.store.run(leading.Leases())
        executing = inspecting.executing(store)
        yield checks.nodes(heard, leases, executing, now)
        alive = {each.node for each in found if each.queue is not None}
        alive |= {h.node for h in heard if not gone(h.beat_at, h.every, now, RESCUE_AFTER)}
        yield checks.running(self._old(now), alive, self._running_s, self._alert)
        yield checks.neighbours(found)
        if self._app is not None and self._jobs.queues:
            import_workers(self._jobs)
            queues = [*self._jobs.queues]
            waiting = self._jobs.count_jobs(by="worker", state=WAITING, queue=queues)
            yield checks.workers(waiting, self._jobs.runtime().registry.by_name)
            limited = any(
                queue.rate_limit or queue.global_concurrency for queue in self._jobs.queues.values()
            )
            yield from checks.pool(self._concurrency(), store.pool_size, server, limited=limited)

    def _old(self, now: datetime) -> list[Job]:
        long_ago = earlier(now, duration(self._running_s, "--max-running"))
        chosen = (OneOf("state", (JobState.EXECUTING,)), AtMost("attempted_at", long_ago))
        return self._jobs.store.run(effects.Find(Selection(chosen), "attempted_at", OLDEST))

    def _concurrency(self) -> int:
        controls = self._jobs.store.run(effects.Controls())
        served = [effective(name, queue, controls) for name, queue in self._jobs.queues.items()]
        return sum(queue.concurrency for queue in served)


def _summary(findings: Sequence[Finding]) -> str:
    levels = (Level.ERROR, Level.WARNING, Level.NOTE)
    counts = {level: sum(each.level is level for each in findings) for level in levels}
    said = [counted(count, level.name.lower()) for level, count in counts.items() if count]
    return ", ".join(said) if said else "all is well"


def _values(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "level": finding.level.name.lower(),
        "text": finding.text,
        "details": finding.details,
    }
