"""What the store must hold by now, told from effects and their answers alone: a second set of books.

The ledger never reads the store. Rows stand in it as the effects say that they were changed, beside the
indexes that the invariants ask: who is next in a queue, what falls due, what is over and since when. At a
checkpoint the store's own rows are held against it: what differs was lost, or done twice, or not told.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TypeVar

from pgjobs.leading import Heartbeat, Lease
from pgjobs.rules.control import NOTHING_SET, Control
from pgjobs.rules.job import COLUMNS, Job, JobState
from pgjobs.rules.options import EVERY_QUEUE
from pgjobs.rules.schedule import earlier

AVAILABLE, EXECUTING = JobState.AVAILABLE, JobState.EXECUTING
STAGED_FROM = (JobState.SCHEDULED, JobState.RETRYABLE)
FINAL_STAMPS = {
    JobState.COMPLETED: attrgetter("completed_at"),
    JobState.DISCARDED: attrgetter("discarded_at"),
    JobState.CANCELLED: attrgetter("cancelled_at"),
}
FINGERPRINT = "pgjobs_unique"
"""The key of ``meta`` under which a unique job keeps its fingerprint: part of the stored format."""

_K = TypeVar("_K", int, tuple[datetime, int], tuple[int, datetime, int])

columns = attrgetter(*COLUMNS)
"""All that is stored of a job, as one tuple."""


class Ledger:
    """Rows by id, and the tables beside them. ``since`` is the world's instant of a row's last change of
    state, ``texts`` the args of a row as they were given, byte for byte."""

    def __init__(self) -> None:
        self.rows: dict[int, Job] = {}
        self.since: dict[int, datetime] = {}
        self.texts: dict[int, str] = {}
        self.ready: dict[str, list[tuple[int, datetime, int]]] = {}
        self.due: list[tuple[datetime, int]] = []
        self.executing: dict[str, dict[int, None]] = {}
        self.running: dict[str, int] = {}
        self.over: list[tuple[datetime, int]] = []
        self.groups: dict[str, list[int]] = {}
        self.controls: dict[str, Control] = {}
        self.beats: dict[str, Heartbeat] = {}
        self.leases: dict[str, Lease] = {}
        self.ticks: dict[str, datetime] = {}
        self.last_start: dict[str, datetime] = {}

    # Rows

    def put(self, before: Job | None, after: Job | None, now: datetime) -> None:
        """``after`` stands in the place of ``before``; None for a row that was not there, or is gone."""
        if before is not None:
            self._unindex(before)
            if after is None:
                del self.rows[before.id], self.since[before.id]
                self.texts.pop(before.id, None)
        if after is not None:
            self.rows[after.id] = after
            if before is None or before.state is not after.state:
                self.since[after.id] = now
            self._index(after)

    def first(self, queue: str | None) -> Job | None:
        """Who is next in a queue (None: in any), of those that have an attempt left."""
        if queue is not None:
            return next(self._next(queue), None)
        heads = [job for name in self.ready if (job := next(self._next(name), None)) is not None]
        return min(heads, key=lambda job: (job.priority, job.scheduled_at, job.id), default=None)

    def group(self, fingerprint: str) -> list[Job]:
        """The rows with a fingerprint, by id."""
        return [self.rows[job_id] for job_id in self.groups.get(fingerprint, ())]

    def held(self, job_id: int, token: str) -> bool:
        """Whether the row executes under the claim ``token``."""
        row = self.rows.get(job_id)
        return row is not None and row.state is EXECUTING and row.token == token

    def aged(self, until: datetime, limit: int) -> list[Job]:
        """The first ``limit`` of the rows that were over at ``until``, the oldest first."""
        found = bisect_left(self.over, (until + timedelta.resolution, 0))
        return [self.rows[job_id] for _, job_id in self.over[: min(found, limit)]]

    def difference(self, rows: Sequence[Job]) -> tuple[int, str] | None:
        """The first row that the store has otherwise, and how; None where the books agree."""
        found = {row.id: row for row in rows}
        for job_id in sorted(found.keys() | self.rows.keys()):
            mine, theirs = self.rows.get(job_id), found.get(job_id)
            if theirs is None:
                assert mine is not None
                return job_id, f"is {mine.state} by its history, and the store has no such row"
            if mine is None:
                return (
                    job_id,
                    f"is {theirs.state} in the store, and has no history that leaves it there",
                )
            if columns(mine) != columns(theirs):
                return job_id, differing(mine, theirs)
        return None

    # What stands beside them

    def control(self, queue: str, control: Control) -> None:
        """Something was set by hand."""
        if queue == EVERY_QUEUE and control.paused is not None:
            for name, old in tuple(self.controls.items()):
                self._set(name, replace(old, paused=None, paused_over=None))
        old = self.controls.get(queue, NOTHING_SET)
        if control.paused is not None:
            old = replace(old, paused=control.paused, paused_over=control.paused_over)
        if control.concurrency is not None:
            old = replace(
                old, concurrency=control.concurrency, concurrency_over=control.concurrency_over
            )
        self._set(queue, old)

    def _set(self, queue: str, control: Control) -> None:
        """Only what holds anything counts as set."""
        if control == NOTHING_SET:
            self.controls.pop(queue, None)
        else:
            self.controls[queue] = control

    def silent(self, fence_node: str, now: datetime, forgotten_after: timedelta) -> list[str]:
        """Nodes whose heartbeat a rescue forgets: that old, and with nothing executing."""
        last = earlier(now, forgotten_after)
        old = [node for node, beat in self.beats.items() if beat.beat_at < last]
        return [node for node in old if node != fence_node and not self.executing.get(node)]

    def _next(self, queue: str) -> Iterator[Job]:
        for key in self.ready.get(queue, ()):
            row = self.rows[key[2]]
            if row.attempt < row.max_attempts:
                yield row

    def _index(self, row: Job) -> None:
        state = row.state
        if state is AVAILABLE:
            insort(self.ready.setdefault(row.queue, []), (row.priority, row.scheduled_at, row.id))
        elif state is EXECUTING:
            self.executing.setdefault(node_of(row), {})[row.id] = None
            self.running[row.queue] = self.running.get(row.queue, 0) + 1
        elif state in STAGED_FROM:
            insort(self.due, (row.scheduled_at, row.id))
        elif (stamp := final_at(row)) is not None:
            insort(self.over, (stamp, row.id))
        if (fingerprint := row.meta.get(FINGERPRINT)) is not None:
            insort(self.groups.setdefault(fingerprint, []), row.id)

    def _unindex(self, row: Job) -> None:
        state = row.state
        if state is AVAILABLE:
            _drop(self.ready[row.queue], (row.priority, row.scheduled_at, row.id))
        elif state is EXECUTING:
            held = self.executing[node_of(row)]
            del held[row.id]
            if not held:
                del self.executing[node_of(row)]
            self.running[row.queue] -= 1
        elif state in STAGED_FROM:
            _drop(self.due, (row.scheduled_at, row.id))
        elif (stamp := final_at(row)) is not None:
            _drop(self.over, (stamp, row.id))
        if (fingerprint := row.meta.get(FINGERPRINT)) is not None:
            _drop(self.groups[fingerprint], row.id)


def differing(mine: Job, theirs: Job) -> str:
    """The first column in which two rows differ, in words."""
    for name in COLUMNS:
        one, other = getattr(mine, name), getattr(theirs, name)
        if one != other:
            return f"has {name} {_shown(other)}, and by its history {_shown(one)}"
    return "does not differ"


def node_of(row: Job) -> str:
    """The node of a row's newest claim; empty where it was never claimed."""
    return row.attempted_by[0] if row.attempted_by else ""


def final_at(row: Job) -> datetime | None:
    """When a row reached its final state; None where it is not over."""
    stamp = FINAL_STAMPS.get(row.state)
    found: datetime | None = None if stamp is None else stamp(row)
    return found


def _drop(ordered: list[_K], key: _K) -> None:
    del ordered[bisect_left(ordered, key)]


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return repr(dict(value) if isinstance(value, Mapping) else value)
