"""The rows of a memory store: frozen jobs, and indexes kept in step.

What is read is a copy, so that nobody can change a row but by an effect.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any

from pgjobs.rules import lifecycle
from pgjobs.rules.job import Job, JobState, NewJob, inserted_job, unshared
from pgjobs.rules.lifecycle import Event, sources
from pgjobs.rules.schedule import due_at, first_state
from pgjobs.rules.selection import OneOf, Selection, claim_order, is_by_id
from pgjobs.rules.unique import fingerprint_of

ClaimKey = tuple[int, datetime, int]
DueKey = tuple[datetime, int]


class Rows:
    """Jobs by id. ``available`` holds each queue's in claim order, ``due`` what is to be staged, ``over``
    what has ended, by when it did.

    ``groups`` holds the ids of each fingerprint, in order, ``withheld`` what is not to be claimed yet.
    """

    def __init__(self, first_id: int) -> None:
        self.next_id = first_id
        self.by_id: dict[int, Job] = {}
        self.available: dict[str, list[ClaimKey]] = {}
        self.due: list[DueKey] = []
        self.over: list[DueKey] = []
        self.executing: dict[int, None] = {}
        self.groups: dict[str, list[int]] = {}
        self.withheld: dict[int, None] = {}

    def add(self, new: NewJob, now: datetime) -> Job:
        """A new row."""
        due = due_at(new, now)
        job = inserted_job(self.next_id, new, first_state(due, now), now, due)
        self.next_id += 1
        self.put(job)
        return job

    def put(self, job: Job) -> None:
        """Store a row, in the place of the one with its id."""
        old = self.by_id.get(job.id)
        if old is not None:
            self._unindex(old)
            if old.meta and old.meta is not job.meta:  # the same meta has the same fingerprint
                self._leave_group(old)
        if job.meta and (old is None or old.meta is not job.meta):
            self._join_group(job)
        self.by_id[job.id] = job
        if job.state is JobState.AVAILABLE:
            insort(self.available.setdefault(job.queue, []), claim_order(job))
        elif job.state is JobState.EXECUTING:
            self.executing[job.id] = None
        elif job.state in _DUE:
            insort(self.due, (job.scheduled_at, job.id))
        elif (at := ended_at(job)) is not None:
            insort(self.over, (at, job.id))

    def remove(self, job: Job) -> None:
        """Forget a row."""
        self._unindex(job)
        if job.meta:
            self._leave_group(job)
        self.withheld.pop(job.id, None)
        del self.by_id[job.id]

    def change(self, job: Job, change: lifecycle.Change) -> Job:
        """Apply a change to a row; what it became, as a copy."""
        changed = lifecycle.apply(change, job)
        self.put(changed)
        return unshared(changed)

    def holds(self, job_id: int, token: str) -> bool:
        """Whether the claim ``token`` still has the job."""
        job = self.by_id.get(job_id)
        return job is not None and job.state is JobState.EXECUTING and job.token == token

    def group(self, fingerprint: str) -> list[Job]:
        """The rows with a fingerprint, by id."""
        return [self.by_id[job_id] for job_id in self.groups.get(fingerprint, ())]

    def matching(self, selection: Selection, order: Callable[[Job], Any]) -> Iterator[Job]:
        """The rows of a selection, sorted."""
        candidates = self.candidates(selection)
        if len(candidates) > 1:
            candidates.sort(key=order)
        named = [each for each in selection.conditions if is_by_id(each)]
        if len(named) == 1:  # those are the candidates, and to look each up in the list takes long
            selection = Selection(tuple(each for each in selection.conditions if each != named[0]))
        return filter(selection.matches, candidates)

    def in_claim_order(self, selection: Selection) -> Iterable[Job]:
        """Available rows of the selection's queues, read lazily from the index."""
        named: tuple[str, ...] = ()
        for each in selection.conditions:
            if type(each) is OneOf and each.field == "queue":
                named = each.values
        if len(named) == 1:
            keys = self.available.get(named[0])
            waiting = [keys] if keys else []
        else:
            queues = dict.fromkeys(named or self.available)
            waiting = [keys for queue in queues if (keys := self.available.get(queue))]
        if not waiting:
            return ()
        in_order: Iterable[ClaimKey] = waiting[0] if len(waiting) == 1 else merge(*waiting)
        return (self.by_id[key[2]] for key in in_order if key[2] not in self.withheld)

    def candidates(self, selection: Selection) -> list[Job]:
        """Rows among which all of the selection are: as few as an index can name."""
        if not selection.conditions:
            return list(self.by_id.values())
        named = {c.field: c.values for c in selection.conditions if isinstance(c, OneOf)}
        if "id" in named:
            return [self.by_id[i] for i in dict.fromkeys(named["id"]) if i in self.by_id]
        states = named.get("state")
        if states is None or not _INDEXED.issuperset(states):
            return list(self.by_id.values())
        found: list[int] = []
        if JobState.AVAILABLE in states:
            queues = dict.fromkeys(named.get("queue") or self.available)
            for queue in queues:
                found.extend(key[2] for key in self.available.get(queue, ()))
        if self.due and not _DUE.isdisjoint(states):
            found.extend(key[1] for key in self.due)
        if JobState.EXECUTING in states:
            found.extend(self.executing)
        return [self.by_id[job_id] for job_id in found]

    def available_by_queue(self, selection: Selection) -> dict[str, int] | None:
        """How many rows of each queue are of the selection; None where the index does not tell it alone."""
        named = {c.field: c.values for c in selection.conditions if isinstance(c, OneOf)}
        if len(named) != len(selection.conditions) or not named.keys() <= {"state", "queue"}:
            return None
        if named.get("state") != (JobState.AVAILABLE,):
            return None
        queues = dict.fromkeys(named["queue"]) if "queue" in named else self.available
        counts = {queue: len(self.available.get(queue, ())) for queue in queues}
        return {queue: n for queue, n in counts.items() if n}

    def _unindex(self, job: Job) -> None:
        if job.state is JobState.AVAILABLE:
            keys = self.available[job.queue]
            del keys[bisect_left(keys, claim_order(job))]
        elif job.state is JobState.EXECUTING:
            del self.executing[job.id]
        elif job.state in _DUE:
            del self.due[bisect_left(self.due, (job.scheduled_at, job.id))]
        elif (at := ended_at(job)) is not None:
            del self.over[bisect_left(self.over, (at, job.id))]

    def _join_group(self, job: Job) -> None:
        if (fingerprint := fingerprint_of(job)) is not None:
            insort(self.groups.setdefault(fingerprint, []), job.id)

    def _leave_group(self, job: Job) -> None:
        if (fingerprint := fingerprint_of(job)) is not None:
            ids = self.groups[fingerprint]
            del ids[bisect_left(ids, job.id)]
            if not ids:
                del self.groups[fingerprint]

    read = staticmethod(unshared)
    """A copy that shares nothing with the row."""


_DUE = frozenset(sources(Event.STAGE))
_ENDED = {
    JobState.COMPLETED: attrgetter("completed_at"),
    JobState.DISCARDED: attrgetter("discarded_at"),
    JobState.CANCELLED: attrgetter("cancelled_at"),
}
_INDEXED = _DUE | {JobState.AVAILABLE, JobState.EXECUTING}


def ended_at(job: Job) -> datetime | None:
    """When a job reached its final state, where it has and its row says so."""
    stamp = _ENDED.get(job.state)
    found: datetime | None = None if stamp is None else stamp(job)
    return found


def first(jobs: Iterable[Job], limit: int | None) -> list[Job]:
    """The first ``limit`` jobs."""
    return list(jobs if limit is None else islice(jobs, max(0, limit)))
