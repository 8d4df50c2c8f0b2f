"""How jobs are inserted, claimed, settled, moved, read and counted in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pgjobs import effects
from pgjobs.adapters.callers.transaction import Transaction
from pgjobs.adapters.memory.controlling import by_queue
from pgjobs.adapters.memory.rows import Rows, first
from pgjobs.adapters.memory.tables import Tables
from pgjobs.rules import lifecycle, replacing
from pgjobs.rules.job import Job, NewJob, revised
from pgjobs.rules.lifecycle import Change, Event, Settlement, sources


def insert(tables: Tables, effect: effects.Insert, within: Transaction | None = None) -> list[Job]:
    """``within``: the caller's transaction, if it is one that is followed."""
    rows = tables.jobs
    if tables.held:
        tables.held.refuse(effect.jobs, within)
    return [_inserted(rows, new, effect.now) for new in effect.jobs]


def _inserted(rows: Rows, new: NewJob, now: datetime) -> Job:
    """The new job, or the oldest that stands in its way."""
    rule = new.unique
    if rule is None:
        return rows.read(rows.add(new, now))
    job = next((job for job in rows.group(rule.fingerprint) if rule.counts(job, now)), None)
    if job is None:
        return rows.read(rows.add(new, now))
    replaced = replacing.replaced(job, new, now)
    if replaced is not None:
        rows.put(replaced)
    found_now = rows.read(replaced or job)
    return revised(found_now, {"conflict": True, "replaced": replaced is not None})


def claim(tables: Tables, effect: effects.Claim) -> list[Job]:
    rows = tables.jobs
    waiting = rows.in_claim_order(effect.selection)
    if waiting == ():
        return []
    found = filter(effect.selection.matches, waiting)
    return [rows.change(job, effect.change) for job in first(found, effect.demand)]


def settle(tables: Tables, effect: effects.Settle) -> list[bool]:
    settlements = effect.settlements
    of_groups, others = lifecycle.in_order(settlements)
    counted = [False] * len(settlements)
    ended: dict[str, Change] = {}
    for place in of_groups:
        counted[place] = _settled(tables.jobs, settlements[place])
        group = settlements[place].group
        if counted[place] and group is not None:
            ended.setdefault(group, settlements[place].change)
    for group, change in ended.items():
        for job in tables.jobs.group(group):
            if job.state in sources(Event.CANCEL):
                tables.jobs.put(lifecycle.apply(change, job))
    for place in others:
        counted[place] = _settled(tables.jobs, settlements[place])
    return counted


def _settled(rows: Rows, settlement: Settlement) -> bool:
    """Apply a settlement; whether it counted."""
    fenced = rows.holds(settlement.id, settlement.token)
    if fenced:
        rows.put(lifecycle.apply(settlement.change, rows.by_id[settlement.id]))
    return fenced


def transition(tables: Tables, effect: effects.Transition) -> list[Job]:
    rows = tables.jobs
    if effect.change.event is Event.STAGE and not rows.due:
        return []
    selected = effect.selection.leaving(effect.change.event)
    found = rows.matching(selected, _by_due)
    return [rows.change(job, effect.change) for job in first(found, effect.limit)]


def _by_due(job: Job) -> tuple[datetime, int]:
    return job.scheduled_at, job.id


def delete(tables: Tables, effect: effects.Delete) -> list[Job]:
    found = first(tables.jobs.matching(effect.selection, _by_due), effect.limit)
    for job in found:
        tables.jobs.remove(job)
    return found


def find(tables: Tables, effect: effects.Find) -> list[Job]:
    rows, selection = tables.jobs, effect.selection
    candidates = rows.candidates(selection)
    found: Iterable[Job] = candidates
    if len(candidates) > 1 or effect.after is not None:
        column = effect.order_by.removeprefix("-")
        key = _OrderBy(column, effect.order_by.startswith("-")).key
        candidates.sort(key=key)
        if effect.after is not None:
            behind = key(effect.after)
            found = (job for job in candidates if key(job) > behind)
    if selection.conditions:
        found = filter(selection.matches, found)
    return [rows.read(job) for job in first(found, effect.limit)]


def find_ids(tables: Tables, effect: effects.FindIds) -> list[int]:
    found = tables.jobs.matching(effect.selection, lambda job: job.id)
    if effect.after is not None:
        behind = effect.after
        found = (job for job in found if job.id > behind)
    return [job.id for job in first(found, effect.limit)]


def count(tables: Tables, effect: effects.Count) -> dict[str, int]:
    if effect.by in (None, "queue"):
        waiting = tables.jobs.available_by_queue(effect.selection)
        if waiting is not None:
            return (
                {"": sum(waiting.values())} if effect.by is None else dict(sorted(waiting.items()))
            )
    found = filter(effect.selection.matches, tables.jobs.candidates(effect.selection))
    if effect.by is None:
        return {"": sum(1 for _ in found)}
    return dict(sorted(Counter(str(getattr(job, effect.by)) for job in found).items()))


def poll(tables: Tables, effect: effects.Poll) -> effects.Polled:
    rows = tables.jobs
    now = effect.stage.at
    staged: list[tuple[int, str]] = []
    while rows.due and rows.due[0][0] <= now and len(staged) < effect.limit:
        job = rows.by_id[rows.due[0][1]]
        rows.put(lifecycle.apply(effect.stage, job))
        staged.append((job.id, job.queue))
    return effects.Polled(
        staged=tuple(staged),
        ready=tuple([queue for queue in effect.queues if rows.available.get(queue)]),
        next_due=rows.due[0][0] if rows.due else None,
        lost=tuple(job_id for job_id, token in effect.held if not rows.holds(job_id, token)),
        controls=by_queue(tables),
    )


class _OrderBy:
    """Rows by a column, then id; empty values last, texts by code point."""

    def __init__(self, column: str, down: bool) -> None:
        self._column, self._down = column, down

    def key(self, job: Job) -> tuple[bool, Any, int]:
        value = getattr(job, self._column)
        if isinstance(value, str):
            value = str(value).encode()
        ordered = _Reversed(value) if self._down else value
        return value is None, 0 if value is None else ordered, job.id


class _Reversed:
    """A value that sorts the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.value < self.value)

    def __gt__(self, other: _Reversed) -> bool:
        return bool(other.value > self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]  # only ever compared
