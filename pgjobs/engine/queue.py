"""How a node serves one queue: claim as many jobs as there are free slots, and hand them over.

A slot is taken from the claim until the run has really ended: a thread that ignores its deadline
keeps its slot, so that running and free slots always add up to the concurrency. A claim whose answer
was lost may have happened: its token is looked up, and what it took is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pgjobs.effects import Claim, Effect, Find
from pgjobs.engine.duty import Patience
from pgjobs.ports import Run
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.job import Job
from pgjobs.rules.options import Queue

CLAIM_LIMIT = 1_000
"""Jobs taken by one claim; where more slots are free, the next claim follows at once."""


@dataclass(frozen=True, slots=True)
class QueuePorts:
    """What a queue uses of its node."""

    submit: Callable[[Effect[Any]], None]
    token: Callable[[], str]
    may_claim: Callable[[datetime], bool]
    hand_over: Callable[[str, list[Job], datetime], None]
    running: Mapping[Run, None]


class QueueDuty:
    """The duty that claims."""

    def __init__(
        self, name: str, node: str, configured: Queue, ports: QueuePorts, patience: Patience
    ) -> None:
        self.name = name
        self.configured = configured
        self.effective = replace(configured, paused=True)  # until the controls are known
        self.running = ports.running
        self._node = node
        self._ports = ports
        self._patience = patience
        self._hungry = True
        self._claiming: Claim | None = None
        self._unsure: Claim | None = None
        self._closed = False

    def feed(self) -> None:
        """There may be available jobs."""
        self._hungry = True

    def close(self) -> None:
        """Claim nothing any more."""
        self._closed = True

    @property
    def claiming(self) -> bool:
        """Whether a claim is under way, or one is not accounted for."""
        return self._claiming is not None or self._unsure is not None

    @property
    def demand(self) -> int:
        """How many jobs may start now."""
        if self._closed or self.effective.paused:
            return 0
        return max(0, min(CLAIM_LIMIT, self.effective.concurrency - len(self.running)))

    def _ready(self, now: datetime) -> bool:
        if self._claiming is not None:
            return False
        if self._unsure is not None:
            return True
        return self._hungry and self.demand > 0 and self._ports.may_claim(now)

    def next_due(self, now: datetime) -> datetime | None:
        return self._patience.not_before(now) if self._ready(now) else None

    def step(self, now: datetime) -> None:
        if not self._ready(now) or not self._patience.allows(now):
            return
        if self._unsure is not None:
            self._claiming = self._unsure
            self._ports.submit(Find(selection.claimed_under(self._token(self._unsure), self.name)))
            return
        self._hungry = False
        change = lifecycle.claim(self._node, self._ports.token(), now)
        self._claiming = Claim(selection.claimable(self.name), self.demand, change)
        self._ports.submit(self._claiming)

    def answered(self, effect: Effect[Any], answer: Any, now: datetime) -> None:
        assert self._claiming is not None
        claim, self._claiming, self._unsure = self._claiming, None, None
        if isinstance(effect, Find):  # it says nothing of claims, which may fail again
            self._hungry = True
        else:
            self._patience.regain()
            self._hungry = self._hungry or len(answer) >= claim.demand
        self._ports.hand_over(self.name, answer, now)

    def failed(self, effect: Effect[Any], error: Exception, now: datetime) -> None:
        self._unsure, self._claiming = self._claiming, None
        self._patience.lose(now)

    @staticmethod
    def _token(claim: Claim) -> str:
        assert claim.change.attempted_by is not None
        return claim.change.attempted_by[1]
