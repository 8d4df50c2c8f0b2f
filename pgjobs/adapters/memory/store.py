"""How effects are carried out in memory: under one lock, all or nothing.

Every decision comes from ``rules``; the files of this folder select, save and keep indexes in step.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, cast

from pgjobs import effects, leading
from pgjobs.adapters.callers.following import follow, follow_async
from pgjobs.adapters.callers.transaction import Transaction
from pgjobs.adapters.local import LocalStore
from pgjobs.adapters.memory import controlling, jobs, limits, nodes
from pgjobs.adapters.memory.tables import Tables
from pgjobs.adapters.memory.within import Inserted, Watcher, inserted_within
from pgjobs.effects import Effect
from pgjobs.rules.errors import StoreError
from pgjobs.rules.job import Job
from pgjobs.rules.selection import Selection
from pgjobs.rules.signatures import checks_options

T = TypeVar("T")


@checks_options
class MemoryStore(LocalStore):
    """Jobs in memory. ``first_id`` is the id of the first job; ``tables`` may be looked at.

    What is inserted within a caller's transaction is stored at once and follows its end. While
    ``withholds`` says so it is not claimed before the commit; ``watcher`` is told of the end.
    """

    def __init__(self, first_id: int = 1) -> None:
        super().__init__()
        self.withholds: Callable[[], bool] = lambda: True
        self.watcher: Watcher | None = None
        self._lock = threading.RLock()
        self._first_id = first_id
        self.clear()

    def clear(self) -> None:
        """Forget everything, and begin with the first id again."""
        self.tables = Tables(self._first_id)

    def carry_out(self, effect: Effect[T]) -> T:
        try:
            carry_out = _CARRY_OUT[type(effect)]
        except KeyError:
            unknown = f"the memory store cannot carry out {type(effect).__name__}"
            raise StoreError(unknown) from None
        with self._lock:
            answer: T = carry_out(self.tables, effect)
            return answer

    def empty(self, queue: str) -> bool:
        return not self.tables.jobs.available.get(queue)

    def run_within(self, effect: Effect[T], connection: object) -> T:
        return self._followed(effect, follow(connection))

    async def run_within_async(self, effect: Effect[T], connection: object) -> T:
        return self._followed(effect, await follow_async(connection))

    def _followed(self, effect: Effect[T], transaction: Transaction | None) -> T:
        if transaction is None or not isinstance(effect, effects.Insert):
            return self.run(effect)
        with self._lock:
            answer, places, ids, replaced = inserted_within(
                self.tables, effect, transaction, self.withholds()
            )

        def kept() -> None:
            self.tell(effect, answer)
            if self.watcher is not None:
                self.watcher.committed()

        part = Inserted(
            self._lock,
            self.tables,
            weakref.ref(transaction),
            places,
            ids,
            replaced,
            kept,
            self._taken_back,
        )
        transaction.add(part)
        self.tell(effect, answer)
        return cast(T, answer)

    def _taken_back(self, jobs: list[Job]) -> None:
        self.tell(effects.Delete(Selection(), len(jobs)), jobs)
        if self.watcher is not None:
            self.watcher.rolled_back(jobs)


_CARRY_OUT: dict[type[Any], Callable[[Tables, Any], Any]] = {
    effects.Insert: jobs.insert,
    effects.Claim: jobs.claim,
    effects.ClaimWithin: limits.claim_within,
    effects.Settle: jobs.settle,
    effects.Transition: jobs.transition,
    effects.Delete: jobs.delete,
    effects.Find: jobs.find,
    effects.FindIds: jobs.find_ids,
    effects.Count: jobs.count,
    effects.Poll: jobs.poll,
    effects.SetControl: controlling.set_control,
    effects.ResetControl: controlling.reset_control,
    effects.Controls: controlling.controls,
    effects.Windows: limits.windows,
    leading.Beat: nodes.beat,
    leading.Leave: nodes.leave,
    leading.Heartbeats: nodes.heartbeats,
    leading.Lead: nodes.lead,
    leading.Leases: nodes.leases,
    leading.Resign: nodes.resign,
    leading.Rescue: nodes.rescue,
    leading.Prune: nodes.prune,
    leading.Watermarks: nodes.watermarks,
    leading.Tick: nodes.tick,
}
