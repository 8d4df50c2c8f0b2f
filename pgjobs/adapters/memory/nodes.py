"""Heartbeats, leases, and what a leader does, in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from operator import itemgetter

from pgjobs import leading
from pgjobs.adapters.memory import jobs
from pgjobs.adapters.memory.rows import first
from pgjobs.adapters.memory.tables import Tables
from pgjobs.effects import Insert
from pgjobs.leading import Fence, Heartbeat, Lease, Pruned
from pgjobs.rules import stalled
from pgjobs.rules.errors import LeaseLostError
from pgjobs.rules.job import Job
from pgjobs.rules.schedule import earlier


def beat(tables: Tables, effect: leading.Beat) -> None:
    old = tables.nodes.get(effect.node)
    at = effect.now if old is None else max(effect.now, old.beat_at)
    tables.nodes[effect.node] = Heartbeat(effect.node, effect.started_at, at, effect.every)


def leave(tables: Tables, effect: leading.Leave) -> None:
    if effect.node not in _executing_nodes(tables):
        tables.nodes.pop(effect.node, None)


def heartbeats(tables: Tables, _: leading.Heartbeats) -> list[Heartbeat]:
    return [tables.nodes[node] for node in sorted(tables.nodes)]


def lead(tables: Tables, effect: leading.Lead) -> Lease:
    old = tables.leases.get(effect.name)
    until = effect.now + effect.span
    if old is None:
        new = Lease(effect.node, 1, until)
    elif old.node == effect.node:
        new = Lease(effect.node, old.token, max(until, old.until))
    elif old.until <= effect.now:
        new = Lease(effect.node, old.token + 1, until)
    else:
        return old
    tables.leases[effect.name] = new
    return new


def leases(tables: Tables, _: leading.Leases) -> dict[str, Lease]:
    return dict(sorted(tables.leases.items()))


def resign(tables: Tables, effect: leading.Resign) -> None:
    if _holds(tables, effect.fence):
        old = tables.leases[effect.fence.name]
        tables.leases[effect.fence.name] = Lease(old.node, old.token, effect.fence.now)


def rescue(tables: Tables, effect: leading.Rescue) -> list[Job]:
    _check(tables, effect.fence)
    rows = tables.jobs
    lost = first(_lost(tables, effect), effect.limit)
    found = [
        rows.change(job, effect.again if job.attempt < job.max_attempts else effect.last)
        for job in lost
    ]
    last = earlier(effect.fence.now, stalled.FORGOTTEN_AFTER)
    old = [node for node, heard in tables.nodes.items() if heard.beat_at < last]
    if old:
        kept = {*_executing_nodes(tables), effect.fence.node}
        for node in old:
            if node not in kept:
                del tables.nodes[node]
    return found


def prune(tables: Tables, effect: leading.Prune) -> Pruned:
    _check(tables, effect.fence)
    over = tables.jobs.over
    first_left = bisect_right(over, effect.until, key=_at)
    oldest = over[first_left][0] if first_left < len(over) else None
    aged = over[: min(first_left, effect.limit)]
    for _, job_id in aged:
        tables.jobs.remove(tables.jobs.by_id[job_id])
    return Pruned(len(aged), oldest)


def watermarks(tables: Tables, effect: leading.Watermarks) -> dict[str, datetime]:
    _check(tables, effect.fence)
    return {key: tables.ticks.setdefault(key, start) for key, start in effect.entries}


def tick(tables: Tables, effect: leading.Tick) -> list[Job] | None:
    _check(tables, effect.fence)
    before = tables.ticks.get(effect.key)
    if before is not None and before >= effect.at:
        return None
    inserted = jobs.insert(tables, Insert(effect.jobs, effect.fence.now))
    tables.ticks[effect.key] = effect.at
    return inserted


def _holds(tables: Tables, fence: Fence) -> bool:
    lease = tables.leases.get(fence.name)
    return (
        lease is not None
        and lease.node == fence.node
        and lease.token == fence.token
        and lease.until > fence.now
    )


def _check(tables: Tables, fence: Fence) -> None:
    if not _holds(tables, fence):
        raise LeaseLostError(f"the lease {fence.name!r} is no longer held by {fence.node}")


def _executing_nodes(tables: Tables) -> set[str]:
    return {_node_of(tables.jobs.by_id[job_id]) for job_id in tables.jobs.executing}


def _lost(tables: Tables, effect: leading.Rescue) -> Iterator[Job]:
    now = effect.fence.now
    for job_id in sorted(tables.jobs.executing):
        job = tables.jobs.by_id[job_id]
        node = _node_of(job)
        heard = tables.nodes.get(node)
        if node == effect.fence.node:
            lost = False
        elif heard is not None:
            lost = stalled.gone(heard.beat_at, heard.every, now, effect.rescue_after)
        else:
            lost = stalled.foreign_gone(job, None, now)
        if lost:
            yield job


def _node_of(job: Job) -> str:
    return job.attempted_by[0] if job.attempted_by else ""


_at = itemgetter(0)
