"""The store that keeps jobs in this process: the reference, and what tests use.

Rows are frozen jobs; what is read is a copy, so that nobody can change a row but by an effect. Every
decision comes from ``rules``; this file selects, saves and keeps its indexes in step.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from heapq import merge
from typing import Any, TypeVar, cast

from pgjobs import effects
from pgjobs.adapters.local import LocalStore
from pgjobs.effects import Effect
from pgjobs.rules import control, lifecycle
from pgjobs.rules.control import Control
from pgjobs.rules.errors import StoreError
from pgjobs.rules.job import CancelFlag, Job, JobState, NewJob, revised
from pgjobs.rules.jsonb import copied
from pgjobs.rules.lifecycle import Event, sources
from pgjobs.rules.schedule import due_at, first_state
from pgjobs.rules.selection import OneOf, Selection, claim_order

T = TypeVar("T")

ClaimKey = tuple[int, datetime, int]
DueKey = tuple[datetime, int]


class MemoryStore(LocalStore):
    """Jobs in memory. ``first_id`` is the id of the first job."""

    def __init__(self, first_id: int = 1) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._first_id = first_id
        self.clear()

    def clear(self) -> None:
        """Forget every job and control, and begin with the first id again."""
        self._next_id = self._first_id
        self._rows: dict[int, Job] = {}
        self._available: dict[str, list[ClaimKey]] = {}
        self._due: list[DueKey] = []
        self._executing: dict[int, None] = {}
        self._controls: dict[str, Control] = {}

    def carry_out(self, effect: Effect[T]) -> T:
        carry_out = _CARRY_OUT.get(type(effect))
        if carry_out is None:
            raise StoreError(f"the memory store cannot carry out {type(effect).__name__}")
        with self._lock:
            return cast(T, carry_out(self, effect))

    def _insert(self, effect: effects.Insert) -> list[Job]:
        return [self._read(self._add(new, effect.now)) for new in effect.jobs]

    def _add(self, new: NewJob, now: datetime) -> Job:
        due = due_at(new, now)
        job = Job(
            id=self._next_id,
            state=first_state(due, now),
            queue=new.queue,
            worker=new.worker,
            args=copied(dict(new.args)),
            meta=copied(dict(new.meta)),
            tags=new.tags,
            errors=(),
            attempt=0,
            max_attempts=new.max_attempts,
            priority=new.priority,
            attempted_by=(),
            inserted_at=now,
            scheduled_at=due,
        )
        self._next_id += 1
        self._put(job)
        return job

    def _claim(self, effect: effects.Claim) -> list[Job]:
        found = filter(effect.selection.matches, self._in_claim_order(effect.selection))
        return [self._change(job, effect.change) for job in _first(found, effect.demand)]

    def _settle(self, effect: effects.Settle) -> list[bool]:
        counted: list[bool] = []
        for settlement in effect.settlements:
            job = self._rows.get(settlement.id)
            fenced = (
                job is not None
                and job.state is JobState.EXECUTING
                and job.token == settlement.token
            )
            if fenced:
                self._put(lifecycle.apply(settlement.change, cast(Job, job)))
            counted.append(fenced)
        return counted

    def _transition(self, effect: effects.Transition) -> list[Job]:
        selected = effect.selection.leaving(effect.change.event)
        found = self._matching(selected, lambda job: (job.scheduled_at, job.id))
        return [self._change(job, effect.change) for job in _first(found, effect.limit)]

    def _delete(self, effect: effects.Delete) -> list[Job]:
        found = _first(self._matching(effect.selection, lambda job: job.id), effect.limit)
        for job in found:
            self._unindex(job)
            del self._rows[job.id]
        return found

    def _find(self, effect: effects.Find) -> list[Job]:
        column = effect.order_by.removeprefix("-")
        down = effect.order_by.startswith("-")
        order = _OrderBy(column, down)
        found: Iterable[Job] = sorted(self._candidates(effect.selection), key=order.key)
        if effect.after is not None:
            behind = order.key(effect.after)
            found = (job for job in found if order.key(job) > behind)
        return [
            self._read(job) for job in _first(filter(effect.selection.matches, found), effect.limit)
        ]

    def _count(self, effect: effects.Count) -> dict[str, int]:
        found = filter(effect.selection.matches, self._candidates(effect.selection))
        if effect.by is None:
            return {"": sum(1 for _ in found)}
        return dict(sorted(Counter(str(getattr(job, effect.by)) for job in found).items()))

    def _set_control(self, effect: effects.SetControl) -> None:
        given = effect.control
        if effect.queue == control.EVERY_QUEUE and given.paused is not None:
            for queue, old in self._controls.items():
                self._controls[queue] = replace(old, paused=None, paused_over=None)
        self._controls[effect.queue] = control.merged(self._controls.get(effect.queue), given)

    def _reset_control(self, effect: effects.ResetControl) -> None:
        self._controls.pop(effect.queue, None)

    def _read_controls(self, effect: effects.Controls) -> dict[str, Control]:
        return dict(sorted(self._controls.items()))

    def _poll(self, effect: effects.Poll) -> effects.Polled:
        now = effect.stage.at
        staged: list[tuple[int, str]] = []
        while self._due and self._due[0][0] <= now and len(staged) < effect.limit:
            job = self._rows[self._due[0][1]]
            self._put(lifecycle.apply(effect.stage, job))
            staged.append((job.id, job.queue))
        return effects.Polled(
            staged=tuple(staged),
            ready=tuple(queue for queue in effect.queues if self._available.get(queue)),
            next_due=self._due[0][0] if self._due else None,
            lost=tuple(job_id for job_id, token in effect.held if not self._holds(job_id, token)),
            controls=dict(sorted(self._controls.items())),
        )

    def _holds(self, job_id: int, token: str) -> bool:
        job = self._rows.get(job_id)
        return job is not None and job.state is JobState.EXECUTING and job.token == token

    def _matching(self, selection: Selection, order: Callable[[Job], Any]) -> Iterator[Job]:
        candidates = self._candidates(selection)
        return filter(selection.matches, sorted(candidates, key=order))

    def _in_claim_order(self, selection: Selection) -> Iterator[Job]:
        """Available rows of the selection's queues, read lazily from the index."""
        named = {c.field: c.values for c in selection.conditions if isinstance(c, OneOf)}
        queues = dict.fromkeys(named.get("queue") or self._available)
        for key in merge(*(self._available.get(queue, ()) for queue in queues)):
            yield self._rows[key[2]]

    def _candidates(self, selection: Selection) -> list[Job]:
        """Rows among which all of the selection are: as few as an index can name."""
        named = {c.field: c.values for c in selection.conditions if isinstance(c, OneOf)}
        if "id" in named:
            return [self._rows[i] for i in dict.fromkeys(named["id"]) if i in self._rows]
        states = named.get("state")
        if states is None or not set(states) <= _INDEXED:
            return list(self._rows.values())
        found: list[int] = []
        if JobState.AVAILABLE in states:
            queues = dict.fromkeys(named.get("queue") or self._available)
            for queue in queues:
                found.extend(key[2] for key in self._available.get(queue, ()))
        if set(states) & set(sources(Event.STAGE)):
            found.extend(key[1] for key in self._due)
        if JobState.EXECUTING in states:
            found.extend(self._executing)
        return [self._rows[job_id] for job_id in found]

    def _change(self, job: Job, change: lifecycle.Change) -> Job:
        changed = lifecycle.apply(change, job)
        self._put(changed)
        return self._read(changed)

    def _put(self, job: Job) -> None:
        old = self._rows.get(job.id)
        if old is not None:
            self._unindex(old)
        self._rows[job.id] = job
        if job.state is JobState.AVAILABLE:
            insort(self._available.setdefault(job.queue, []), claim_order(job))
        elif job.state is JobState.EXECUTING:
            self._executing[job.id] = None
        elif job.state in _DUE:
            insort(self._due, (job.scheduled_at, job.id))

    def _unindex(self, job: Job) -> None:
        if job.state is JobState.AVAILABLE:
            keys = self._available[job.queue]
            del keys[bisect_left(keys, claim_order(job))]
        elif job.state is JobState.EXECUTING:
            del self._executing[job.id]
        elif job.state in _DUE:
            del self._due[bisect_left(self._due, (job.scheduled_at, job.id))]

    @staticmethod
    def _read(job: Job) -> Job:
        return revised(
            job,
            {
                "args": copied(job.args),
                "meta": copied(job.meta),
                "errors": tuple(copied(error) for error in job.errors) if job.errors else (),
                "cancelled": CancelFlag(),
            },
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


_DUE = frozenset(sources(Event.STAGE))
_INDEXED = _DUE | {JobState.AVAILABLE, JobState.EXECUTING}


def _first(jobs: Iterable[Job], limit: int | None) -> list[Job]:
    if limit is None:
        return list(jobs)
    found: list[Job] = []
    for job in jobs:
        if len(found) >= limit:
            break
        found.append(job)
    return found


_CARRY_OUT: dict[type[Any], Callable[[MemoryStore, Any], Any]] = {
    effects.Insert: MemoryStore._insert,
    effects.Claim: MemoryStore._claim,
    effects.Settle: MemoryStore._settle,
    effects.Transition: MemoryStore._transition,
    effects.Delete: MemoryStore._delete,
    effects.Find: MemoryStore._find,
    effects.Count: MemoryStore._count,
    effects.SetControl: MemoryStore._set_control,
    effects.ResetControl: MemoryStore._reset_control,
    effects.Controls: MemoryStore._read_controls,
    effects.Poll: MemoryStore._poll,
}
