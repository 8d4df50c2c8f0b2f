"""How outcomes are saved: in batches, each fenced by its claim, kept until the store has them.

One batch is under way at a time, and whatever ends meanwhile waits for the next, so that batches
grow with the load. A batch that the store cannot take now is tried again for ever; one that it
refuses is split, until the one outcome that it refuses stands alone and is saved as a failure
that says so. Where even that is refused, it is put off and tried again every minute, alone, for its
job would else execute for ever in the name of a node that lives. A store that is not ready says nothing
against an outcome: that is put off in the same way, and stays what it is. Where an answer was lost, the
second try finds its claim gone, since the first one was saved or since somebody took the job: the rows
are read to tell which.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pgjobs.effects import Effect, Find, Settle
from pgjobs.engine.duty import Patience
from pgjobs.ports import Run
from pgjobs.rules import lifecycle
from pgjobs.rules.errors import StoreError, StoreNotReadyError, StoreUnavailableError
from pgjobs.rules.job import Job
from pgjobs.rules.lifecycle import Outcome, Settlement
from pgjobs.rules.schedule import later
from pgjobs.rules.selection import OneOf, Selection
from pgjobs.rules.swift import swift

BATCH_LIMIT = 1_000
"""Outcomes saved by one statement; more wait for the next."""

PUT_OFF = timedelta(minutes=1)
"""How long an outcome waits that the store refuses even as a failure, or for which it is not ready."""

log = logging.getLogger("pgjobs")


@swift
@dataclass(frozen=True, slots=True)
class Ending:
    """A run's outcome on its way to the store.

    ``again``: an earlier try may have been saved. ``refused`` is the outcome for which it stands, since the
    store refused that one: also it may have been saved, by a try before.
    """

    run: Run
    outcome: Outcome
    settlement: Settlement
    at: float
    again: bool = False
    refused: Ending | None = None


class Settler:
    """The duty that saves outcomes."""

    def __init__(
        self,
        submit: Callable[[Effect[Any]], None],
        saved: Callable[[Ending, bool, datetime], None],
        unsavable: Callable[[Ending, Exception, datetime], Ending],
        patience: Patience,
    ) -> None:
        self._submit, self._saved, self._unsavable = submit, saved, unsavable
        self._patience = patience
        self._waiting: deque[Ending] = deque()
        self._under_way: list[Ending] = []
        self._doubtful: list[Ending] = []
        self._put_off: deque[tuple[datetime, Ending]] = deque()
        self._asked = 0
        self._size = BATCH_LIMIT
        self.trouble: Exception | None = None
        """How the store failed last to take an outcome, while there is one that it is not known to have."""

    @property
    def unsaved(self) -> int:
        """Outcomes that the store does not have yet."""
        return len(self._waiting) + len(self._under_way)

    @property
    def busy(self) -> bool:
        """Whether an outcome is unsaved, or not known to be saved. What is put off holds up no stop."""
        return bool(self.unsaved or self._doubtful)

    @property
    def left(self) -> int:
        """Outcomes that the store is not known to have, put off or not."""
        return self.unsaved + len(self._doubtful) + len(self._put_off)

    def add(self, ending: Ending) -> None:
        """Save this outcome with the next batch."""
        self._waiting.append(ending)

    def hasten(self) -> None:
        """The node stops: try at once what was put off."""
        self._waiting.extend(ending for _, ending in self._put_off)
        self._put_off.clear()

    def next_due(self, now: datetime) -> datetime | None:
        if not (self._waiting or self._doubtful or self._put_off):
            return None
        asks = self._doubtful and not self._asked
        saves = self._waiting and not self._under_way
        if asks or saves:
            return self._patience.not_before(now)
        if self._put_off and not self._under_way:
            return self._patience.not_before(self._put_off[0][0])
        return None

    def step(self, now: datetime) -> None:
        if not (self._waiting or self._doubtful or self._put_off):
            return
        if not self._patience.allows(now):
            return
        if self._doubtful and not self._asked:
            self._asked = min(BATCH_LIMIT, len(self._doubtful))
            ids = [ending.settlement.id for ending in self._doubtful[: self._asked]]
            self._submit(Find(Selection((OneOf("id", tuple(dict.fromkeys(ids))),))))
        if self._under_way:
            return
        if self._put_off and self._put_off[0][0] <= now:
            self._under_way = [self._put_off.popleft()[1]]
            self._submit(Settle((self._under_way[0].settlement,)))
            return
        if not self._waiting:
            return
        count = min(self._size, len(self._waiting))
        self._under_way = [self._waiting.popleft() for _ in range(count)]
        self._submit(Settle(tuple(ending.settlement for ending in self._under_way)))

    def answered(self, effect: Effect[Any], answer: Any, now: datetime) -> None:
        if isinstance(effect, Find):
            self._resolve({job.id: job for job in answer}, now)
            return
        batch, self._under_way = self._under_way, []
        self._patience.regain()
        self._size = min(BATCH_LIMIT, self._size * 2)
        for ending, counted in zip(batch, answer, strict=True):
            if ending.again and not counted:
                self._doubtful.append(ending)
            else:
                self._saved(ending, counted, now)
        if self.trouble is not None and not self.left:
            self.trouble = None

    def _resolve(self, rows: Mapping[int, Job], now: datetime) -> None:
        """Report the doubtful endings that were asked for, by what their rows show."""
        known, self._doubtful = self._doubtful[: self._asked], self._doubtful[self._asked :]
        self._asked = 0
        for ending in known:
            row = rows.get(ending.settlement.id)
            tried = (ending,) if ending.refused is None else (ending.refused, ending)
            saved = (
                None if row is None else next((each for each in tried if _shows(row, each)), None)
            )
            self._saved(saved or ending, saved is not None, now)
        if not self.left:
            self.trouble = None

    def failed(self, effect: Effect[Any], error: Exception, now: datetime) -> None:
        self.trouble = error
        if isinstance(effect, Find):
            self._asked = 0
            self._patience.lose(now)
            return
        batch, self._under_way = self._under_way, []
        refused = isinstance(error, StoreError) and not isinstance(error, StoreUnavailableError)
        unready = isinstance(error, StoreNotReadyError)
        if unready:
            self._patience.lose(now)
        if refused and len(batch) > 1:
            self._size = max(1, len(batch) // 2)
        elif unready:
            self._put_off.append((later(now, PUT_OFF), batch[0]))
            return
        elif refused and batch[0].refused is None:
            failure = self._unsavable(batch[0], error, now)
            batch = [replace(failure, again=batch[0].again, refused=batch[0])]
        elif refused:
            log.error(
                "the outcome of job %d cannot be saved, not even as a failure; it is tried again in %s: %s",
                batch[0].run.job.id,
                PUT_OFF,
                error,
            )
            self._put_off.append((later(now, PUT_OFF), batch[0]))
            return
        else:
            self._patience.lose(now)
            batch = [replace(ending, again=True) for ending in batch]
        self._waiting.extendleft(reversed(batch))


def _shows(row: Job, ending: Ending) -> bool:
    return lifecycle.took_effect(ending.settlement, ending.run.job, row)
