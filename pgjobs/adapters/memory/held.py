"""Which places of unique jobs are held by transactions of callers that are open, and who waits for them.

On a server an equal insert elsewhere waits for the end of the transaction. Here nobody can wait, and who
would wait for itself is refused: the thread and the task that inserted first. Another thread or task gets
the job that is there, though it may yet be rolled back.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field

from pgjobs.adapters.callers.transaction import Transaction
from pgjobs.rules.job import NewJob
from pgjobs.rules.waiting import waits


def _task() -> weakref.ref[asyncio.Task[object]] | None:
    """The task that runs in this thread; None outside of every task."""
    if asyncio._get_running_loop() is None:
        return None
    task = asyncio.current_task()
    return None if task is None else weakref.ref(task)


@dataclass(frozen=True, slots=True)
class _Holder:
    """A transaction, and where the insert was that took the place in it.

    Neither is kept alive: of a transaction whose connection is gone nobody tells the end.
    """

    transaction: weakref.ref[Transaction]
    thread: int = field(default_factory=threading.get_ident)
    task: weakref.ref[asyncio.Task[object]] | None = field(default_factory=_task)

    def is_here(self) -> bool:
        """Whether it was in this thread and, if in a task, in this task."""
        if self.thread != threading.get_ident():
            return False
        return self.task is None or self.task == _task()


class Held:
    """The holders of each fingerprint. False while there are none."""

    def __init__(self) -> None:
        self._holders: dict[str, list[_Holder]] = {}

    def __bool__(self) -> bool:
        return bool(self._holders)

    def hold(self, fingerprints: Iterable[str], transaction: Transaction) -> None:
        """From now on ``transaction`` holds the places of these; those of dropped ones are forgotten."""
        holder = _Holder(weakref.ref(transaction))
        for fingerprint in fingerprints:
            before = self._holders.get(fingerprint, ())
            alive = [each for each in before if each.transaction() is not None]
            self._holders[fingerprint] = [*alive, holder]

    def free(self, fingerprints: Iterable[str], transaction: Transaction) -> None:
        """One of its inserts of these was committed or undone."""
        for fingerprint in fingerprints:
            holders = self._holders.get(fingerprint, [])
            mine = next((each for each in holders if each.transaction() is transaction), None)
            if mine is not None:
                holders.remove(mine)
                if not holders:
                    del self._holders[fingerprint]

    def refuse(self, jobs: Iterable[NewJob], transaction: Transaction | None) -> None:
        """``OpenTransactionError`` where one of ``jobs`` would wait, for what runs here, for itself.

        ``transaction`` is the one in which they are to be inserted.
        """
        for job in jobs:
            if job.unique is None:
                continue
            for holder in self._holders.get(job.unique.fingerprint, ()):
                open_one = holder.transaction()
                if open_one is not None and open_one is not transaction and holder.is_here():
                    refusal = waits((job,), "this thread")
                    assert refusal is not None
                    raise refusal
