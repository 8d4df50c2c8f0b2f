"""An insert within a caller's transaction: stored at once, and taken back if that is rolled back.

Until the commit a node does not claim it, as on a server no other transaction would see it, unless the
store is told not to withhold. Taking back frees the uniqueness of what was inserted, and gives what was
replaced its old fields, where nothing else has changed it since.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from pgjobs.adapters.callers.transaction import Transaction
from pgjobs.adapters.memory.jobs import insert
from pgjobs.adapters.memory.tables import Tables
from pgjobs.effects import Insert
from pgjobs.rules.job import Job


class Watcher(Protocol):
    """Who is told how inserts within callers' transactions have ended."""

    def committed(self) -> None: ...

    def rolled_back(self, jobs: list[Job]) -> None: ...


@dataclass(frozen=True, slots=True)
class Inserted:
    """The rows of one insert, a ``Part`` of the caller's transaction.

    ``replaced`` holds rows before and after, ``places`` the fingerprints that it looked for; ``lock`` is
    the store's.
    """

    lock: AbstractContextManager[object]
    tables: Tables
    transaction: weakref.ref[Transaction]
    places: tuple[str, ...]
    ids: tuple[int, ...]
    replaced: tuple[tuple[Job, Job], ...]
    kept: Callable[[], None]
    undone: Callable[[list[Job]], None]

    def free(self) -> None:
        transaction = self.transaction()
        if self.places and transaction is not None:
            with self.lock:
                self.tables.held.free(self.places, transaction)

    def undo(self) -> None:
        self.free()
        rows = self.tables.jobs
        with self.lock:
            gone = [rows.by_id[job_id] for job_id in self.ids if job_id in rows.by_id]
            for job in gone:
                rows.remove(job)
            for before, after in self.replaced:
                if rows.by_id.get(after.id) is after:
                    rows.put(before)
        self.undone(gone)

    def keep(self) -> None:
        with self.lock:
            held = [job_id for job_id in self.ids if job_id in self.tables.jobs.withheld]
            for job_id in held:
                del self.tables.jobs.withheld[job_id]
        if held:
            self.kept()


def inserted_within(
    tables: Tables, effect: Insert, transaction: Transaction, withhold: bool
) -> tuple[list[Job], tuple[str, ...], tuple[int, ...], tuple[tuple[Job, Job], ...]]:
    """The answer of ``effect``, the places that it holds, the ids of its new rows, and the rows that it
    replaced."""
    rows = tables.jobs
    found = {
        job.id: job
        for new in effect.jobs
        if new.unique is not None
        for job in rows.group(new.unique.fingerprint)
    }
    answer = insert(tables, effect, transaction)
    places = tuple({job.unique.fingerprint: None for job in effect.jobs if job.unique is not None})
    tables.held.hold(places, transaction)
    ids = tuple(job.id for job in answer if job.came_of == "insert")
    changed = dict.fromkeys(job.id for job in answer if job.came_of == "replace")
    replaced = tuple((found[each], rows.by_id[each]) for each in changed if each in found)
    if withhold:
        rows.withheld.update(dict.fromkeys(ids))
    return answer, places, ids, replaced
