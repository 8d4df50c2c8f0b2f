"""What ``pgjobs doctor`` makes of the facts: each check says what it found, and how bad that is.

A check is a function over what was read; none reads or writes anything itself. ``NOTE`` is for what
an operator should know and nobody should be woken for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from pgjobs.adapters.postgres.inspecting import SESSION_LINES, Neighbour, Server, Tables
from pgjobs.adapters.postgres.migrations import TABLE_REMEDY
from pgjobs.adapters.postgres.names import migrate_command
from pgjobs.adapters.postgres.privileges import SCHEMA, Privileges
from pgjobs.cli.common import counted
from pgjobs.leading import Heartbeat, Lease
from pgjobs.rules import stalled
from pgjobs.rules.job import COLUMNS, Job, JobState

OLDEST_SERVER = 12
SHOWN = 5
"""Names or ids that a finding lists; the rest is counted."""


class Level(IntEnum):
    """How bad a finding is. The exit code follows the worst: 0, 0, 1 and 2."""

    OK = 0
    NOTE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. ``details`` are JSON values, for programs."""

    check: str
    level: Level
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)


def exit_code(findings: Iterable[Finding]) -> int:
    """0: fine, 1: a warning that alerts, 2: a node cannot run."""
    worst = max((finding.level for finding in findings), default=Level.OK)
    return {Level.OK: 0, Level.NOTE: 0, Level.WARNING: 1, Level.ERROR: 2}[worst]


def version(server: Server, schema: str) -> Finding:
    """The server is new enough."""
    details = {"version": server.version, "database": server.database, "schema": schema}
    where = f"PostgreSQL {server.version}, database {server.database}, schema {schema}"
    if server.number < OLDEST_SERVER * 10_000:
        text = f"{where}: {OLDEST_SERVER} or newer is needed"
        return Finding("server", Level.ERROR, text, details)
    return Finding("server", Level.OK, where, details)


def privileges(found: Privileges, *, serves: bool) -> Finding:
    """The role may do what a node does; where none is to serve, it is only noted what it may not."""
    lacking = found.lacking
    details = {
        "role": found.role,
        "lacking": {name: [*which] for name, which in lacking.items()},
        "unreadable": SCHEMA in lacking or "SELECT" in lacking.get("pgjobs_migrations", ()),
    }
    if not lacking:
        text = f"the role {found.role} may do what a node does"
        return Finding("privileges", Level.OK, text, details)
    what = "; ".join(f"{', '.join(which)} on {name}" for name, which in lacking.items())
    text = f"the role {found.role} lacks what a node needs: {what}. GRANT it, or use another role"
    bad = serves or details["unreadable"]
    return Finding("privileges", Level.ERROR if bad else Level.NOTE, text, details)


def migration(tables: Tables, schema: str) -> Finding:
    """Every migration of this version has run."""
    applied = tables.applied or ()
    pending = [version for version in tables.known if version not in applied]
    newer = [version for version in applied if version not in tables.known]
    details = {"applied": [*applied], "pending": pending}
    if pending:
        which = ", ".join(map(str, pending))
        text = f"not applied: {which}. Run `{migrate_command(schema)}`"
        return Finding("migrations", Level.ERROR, text, details)
    if newer:
        text = f"{newer[-1]} was applied by a newer pgjobs; this one knows {tables.known[-1]}"
        return Finding("migrations", Level.NOTE, text, details)
    return Finding("migrations", Level.OK, f"all {len(applied)} applied", details)


def shape(tables: Tables, schema: str) -> Finding:
    """``oban_jobs`` is there, and which Oban's it is."""
    if not tables.columns:
        text = f"there is no table oban_jobs. Run `{migrate_command(schema)}`"
        return Finding("table", Level.ERROR, text)
    missing = [name for name in COLUMNS if name not in tables.columns]
    lacking = [state.value for state in JobState if state.value not in tables.states]
    errors = tables.columns.get("errors")
    details = {"errors": errors, "missing_columns": missing, "missing_states": lacking}
    if missing or lacking:
        which = ", ".join(missing + [f"the state {state}" for state in lacking])
        text = f"oban_jobs lacks {which}: {TABLE_REMEDY}"
        if (missing, lacking) == ([], ["suspended"]) and not tables.applied:
            text = f"oban_jobs lacks {which}. Run `{migrate_command(schema)}`, which adds it"
        return Finding("table", Level.ERROR, text, details)
    if errors == "jsonb":
        text = "oban_jobs is as Oban for Python makes it, and pgjobs"
        return Finding("table", Level.OK, text, details)
    if errors == "jsonb[]":
        noted = f", at its migration {tables.comment}" if tables.comment else ""
        text = f"oban_jobs is as Oban for Elixir makes it{noted}"
        return Finding("table", Level.OK, text, details)
    text = f"the column errors of oban_jobs is {errors}; jsonb or jsonb[] is needed"
    return Finding("table", Level.ERROR, text, details)


def clock(offset: timedelta, most_s: float) -> Finding:
    """This machine's clock agrees with the server's."""
    ahead_s = -offset.total_seconds()
    details = {"ahead_s": round(ahead_s, 6), "max_offset_s": most_s}
    if abs(ahead_s) <= most_s:
        text = f"within {most_s:g} s of the server's"
        return Finding("clock", Level.OK, text, details)
    text = (
        f"this machine is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} the "
        "server. Nodes go by the server's clock; instants that programs here compute do not"
    )
    return Finding("clock", Level.WARNING, text, details)


def depth(available: Mapping[str, int], most: Mapping[str, int], default: int | None) -> Finding:
    """No queue holds more available jobs than was allowed."""
    over = []
    for queue, count in sorted(available.items()):
        limit = most.get(queue, default)
        if limit is not None and count > limit:
            over.append(f"{queue} has {count}, more than {limit}")
    details = {"available": dict(sorted(available.items()))}
    if over:
        return Finding("depth", Level.WARNING, f"available jobs: {'; '.join(over)}", details)
    total = counted(sum(available.values()), "available job")
    where = f"{total} in {counted(len(available), 'queue')}" if available else "no available job"
    limited = "" if most or default is not None else " (no --max-depth was given)"
    return Finding("depth", Level.OK, f"{where}{limited}", details)


def running(jobs: Iterable[Job], alive: Collection[str], most_s: float, alert: bool) -> Finding:
    """No job has been executing for longer than ``most_s`` on a node that nothing is known of.

    ``jobs`` are those that started so long ago, ``alive`` the nodes that said so lately.
    """
    old = [job for job in jobs if not job.attempted_by or job.attempted_by[0] not in alive]
    details = {"ids": [job.id for job in old], "max_running_s": most_s}
    if not old:
        text = f"no job has been executing for more than {most_s:g} s"
        return Finding("running", Level.OK, text, details)
    which = _some([str(job.id) for job in old])
    has = "has" if len(old) == 1 else "have"
    text = (
        f"{counted(len(old), 'job')} {has} been executing for more than {most_s:g} s, and may have "
        f"lost the node: {which}"
    )
    return Finding("running", Level.WARNING if alert else Level.NOTE, text, details)


def nodes(
    heard: Iterable[Heartbeat],
    leases: Mapping[str, Lease],
    executing: Mapping[str, int],
    now: datetime,
) -> Finding:
    """Every node that executes jobs beats. ``executing`` counts jobs by the node's name."""
    beating: list[str] = []
    silent: list[str] = []
    for each in heard:
        gone = stalled.gone(each.beat_at, each.every, now, stalled.RESCUE_AFTER)
        (silent if gone else beating).append(each.node)
    leaders = {name: lease.node for name, lease in leases.items() if lease.until > now}
    lost = {node: executing[node] for node in silent if executing.get(node)}
    details = {"beating": beating, "silent": silent, "leaders": leaders, "lost": lost}
    said = f"{counted(len(beating), 'node')} beating" if beating else "no node of pgjobs beats"
    led = "; ".join(f"{node} leads {name}" for name, node in leaders.items())
    if not lost:
        return Finding("nodes", Level.OK, f"{said}; {led}" if led else said, details)
    which = _some([f"{node} ({counted(count, 'job')})" for node, count in lost.items()])
    rescue = "" if led else ", and none leads that could rescue them: run a node with Stalled()"
    text = f"{said}; silent ones still have executing jobs: {which}{rescue}"
    return Finding("nodes", Level.WARNING, text, details)


def neighbours(found: Iterable[Neighbour]) -> Finding:
    """What cannot hold beside an Oban that works on the same table."""
    producers = sorted({each.queue for each in found if each.queue is not None})
    nodes = sorted({each.node for each in found})
    details = {"nodes": nodes, "queues": producers}
    if not nodes:
        return Finding("neighbours", Level.OK, "no Oban works on this table", details)
    serving = f", serving {_some(producers)}" if producers else ""
    text = (
        f"Oban works on this table ({_some(nodes)}{serving}). What cannot hold beside it: limits, "
        "windows and pauses of pgjobs do not bind it, nor its own a node of pgjobs; its time-based "
        "rescue takes jobs that still run here once they have run for its rescue_after (5 minutes in "
        "Oban for Python, 60 in Oban for Elixir), so set that beyond the longest job; and a node "
        "that serves the same queue must know all of its workers"
    )
    return Finding("neighbours", Level.NOTE, text, details)


def workers(waiting: Mapping[str, int], registered: Collection[str]) -> Finding:
    """Every worker that a waiting job of the served queues names is registered."""
    missing = {name: count for name, count in sorted(waiting.items()) if name not in registered}
    details = {"missing": missing, "registered": len(registered)}
    if not missing:
        text = f"{counted(len(registered), 'worker')} registered, and none missing"
        return Finding("workers", Level.OK, text, details)
    which = _some([f"{name} ({counted(count, 'job')})" for name, count in missing.items()])
    text = f"waiting jobs name workers that are not registered: {which}"
    return Finding("workers", Level.WARNING, text, details)


def pool(
    concurrency: int, pool_size: int, server: Server, *, limited: bool = False
) -> Iterator[Finding]:
    """One process has connections enough, and the server has them to give."""
    wanted = pool_size + SESSION_LINES + limited
    details = {"concurrency": concurrency, "pool_size": pool_size, "connections": wanted}
    if wanted > server.connections:
        text = f"one process may open {wanted} connections; the server has {server.connections}"
        yield Finding("connections", Level.WARNING, text, details)
    elif concurrency > pool_size:
        text = (
            f"up to {counted(concurrency, 'job')} at a time share {pool_size} connections for "
            "their own calls of the client, and may wait for one: see PostgresStore(pool_size=)"
        )
        yield Finding("connections", Level.NOTE, text, details)
    else:
        text = f"{wanted} at most for each process, {concurrency} jobs at a time"
        yield Finding("connections", Level.OK, text, details)


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
