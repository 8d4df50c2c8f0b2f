"""How a node serves one queue: claim as many jobs as there are free slots, and hand them over.

A slot is taken from the claim until the run has really ended: a thread that ignores its deadline
keeps its slot, so that running and free slots always add up to the concurrency. A claim whose answer
was lost may have happened: its token is looked up, and what it took is run. Jobs that could not be started
are given back, and the next claim waits as after a failure of the store.

A queue that is limited over all nodes is not asked in vain. Where its rate lets nothing start, the next
claim is due when the rate's window opens. Where runs on all nodes are as many as may be, it waits until
one of this node's is saved, or until the next poll, as others' runs may have ended by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pgjobs.effects import Claim, Claimed, ClaimWithin, Effect, Find
from pgjobs.engine.duty import Patience
from pgjobs.ports import Run
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.job import Job
from pgjobs.rules.limits import UNLIMITED, Limits
from pgjobs.rules.options import Queue

CLAIM_LIMIT = 1_000
"""Jobs taken by one claim; where more slots are free, the next claim follows at once."""


@dataclass(frozen=True, slots=True)
class QueuePorts:
    """What a queue uses of its node."""

    submit: Callable[[Effect[Any]], None]
    renew: Callable[[Effect[Any], Callable[[Any], bool], datetime], None]
    """Submit what an expected answer makes no difference to."""
    token: Callable[[], str]
    may_claim: Callable[[datetime], bool]
    hand_over: Callable[[str, list[Job], datetime], bool]
    """Start these jobs; whether all of them began."""
    running: Mapping[Run, None]
    suspect: Callable[[datetime], None]
    """Something will happen that no signal tells."""
    await_ends: Callable[[datetime], None]
    """Runs of others will end, and no signal tells of it."""
    doubt: Callable[[str, datetime], None]
    """A claim under this token is not there, and may come true all the same."""
    frees: Callable[[datetime], bool]
    """Whether a poll that is left out would tell, after this claim, that runs of others may have ended."""
    alone: bool
    """Whether no other node takes what the end of a run sets free."""
    empty: Callable[[str], bool] | None
    """Whether a queue has certainly no available job: asking it would find nothing."""


def _nothing(answer: Claimed | list[Job]) -> bool:
    return not (answer.jobs if isinstance(answer, Claimed) else answer)


class QueueDuty:
    """The duty that claims."""

    def __init__(
        self,
        name: str,
        node: str,
        configured: Queue,
        ports: QueuePorts,
        patience: Patience,
        starts: Patience,
    ) -> None:
        self.name = name
        self.configured = configured
        self.obey(replace(configured, paused=True))  # until the controls are known
        self.running = ports.running
        self._node = node
        self._ports = ports
        self._patience, self._starts = patience, starts
        self._hungry = True
        self._opens_at: datetime | None = None
        self._full = self._freed = False
        self._unsaved = 0
        self._claiming: Claim | ClaimWithin | None = None
        self._unsure: Claim | ClaimWithin | None = None
        self._closed = False

    def obey(self, effective: Queue) -> None:
        """It is served like this from now on: as configured, and as was set by hand."""
        self.effective = effective
        self._limits = Limits(effective.rate_limit, effective.global_concurrency)
        self._limited = self._limits != UNLIMITED

    def waits(self, now: datetime) -> bool:
        """Whether it claims nothing now, also when it hears that runs of other nodes may have ended."""
        if self.asleep or self._claiming is not None:
            return True
        if self._unsure is not None:
            return False
        return self.demand == 0 or (self._opens_at is not None and self._opens_at > now)

    def feed(self) -> None:
        """There may be available jobs."""
        self._hungry = True

    def free(self) -> None:
        """Runs of other nodes may have ended since the last claim."""
        self._freed, self._full = True, False

    def saved(self) -> None:
        """A run of this node has ended for all to see."""
        self._unsaved -= 1
        self.free()

    def strayed(self) -> None:
        """A run of this node turned up that no claim had told of."""
        self._unsaved += 1

    def close(self) -> None:
        """Claim nothing any more."""
        self._closed = True

    @property
    def claiming(self) -> bool:
        """Whether a claim is under way, or one is not accounted for."""
        return self._claiming is not None or self._unsure is not None

    @property
    def asleep(self) -> bool:
        """Whether nothing is to be claimed, or to be found out, until something else happens."""
        return not self._hungry and self._unsure is None

    @property
    def demand(self) -> int:
        """How many jobs may start now."""
        if self._closed or self.effective.paused:
            return 0
        free = self.effective.concurrency - len(self.running)
        if free <= 0:
            return 0
        return free if free < CLAIM_LIMIT else CLAIM_LIMIT  # noqa: FURB136 - min() takes twice as long

    def next_due(self, now: datetime) -> datetime | None:
        if self._claiming is not None:
            return None
        if self._unsure is not None:
            return self._patience.not_before(now)
        if not self._hungry or self._full or self.demand == 0 or not self._ports.may_claim(now):
            return None
        due = self._starts.not_before(self._patience.not_before(now))
        return due if self._opens_at is None else max(due, self._opens_at)

    def step(self, now: datetime) -> None:
        due = self.next_due(now)
        if due is None or due > now:
            return
        if self._unsure is not None:
            self._claiming = self._unsure
            self._ports.submit(Find(selection.claimed_under(self._token(self._unsure), self.name)))
            return
        self._hungry = False
        self._freed = self._ports.frees(now)
        if self._in_vain():
            return
        self._claiming = self._claim(now)
        self._ports.renew(self._claiming, _nothing, now)

    def _in_vain(self) -> bool:
        """Whether a claim is known to find nothing, and to change nothing by that."""
        empty = self._ports.empty
        if empty is None or self._patience.until is not None or self._limited:
            return False
        return empty(self.name)

    def _claim(self, now: datetime) -> Claim | ClaimWithin:
        change = lifecycle.claim(self._node, self._ports.token(), now)
        chosen = selection.claimable(self.name)
        if not self._limited:
            return Claim(chosen, self.demand, change)
        return ClaimWithin(self.name, chosen, self.demand, change, self._limits)

    def answered(self, effect: Effect[Any], answer: Any, now: datetime) -> None:
        assert self._claiming is not None
        claim, self._claiming, self._unsure = self._claiming, None, None
        jobs: list[Job] = answer.jobs if isinstance(answer, Claimed) else answer
        self._unsaved += len(jobs)
        if isinstance(effect, Find):  # it says nothing of claims, which may fail again
            self._hungry = True
            if not jobs:
                self._ports.doubt(self._token(claim), now)
        else:
            self._patience.regain()
            self._hungry = self._hungry or len(jobs) >= claim.demand
        if isinstance(answer, Claimed):
            assert isinstance(claim, ClaimWithin)
            self._hold_back(claim, answer, now)
        if not self._ports.hand_over(self.name, jobs, now):
            self._hungry = True
            self._starts.lose(now)
        elif jobs:
            self._starts.regain()

    def _hold_back(self, claim: ClaimWithin, answer: Claimed, now: datetime) -> None:
        """Note what the limits kept from this claim, to ask again when they may give it."""
        self._opens_at = answer.opens_at
        limit = claim.limits.concurrency
        full = limit is not None and answer.running >= limit and len(answer.jobs) < claim.demand
        if full:
            self._full = not self._freed
            if answer.running > self._unsaved or not self._ports.alone:
                if answer.opens_at is None:
                    self._ports.await_ends(now)
                else:  # the next poll sets free what the rate opens then
                    self._ports.suspect(now)
        self._hungry = self._hungry or full or answer.opens_at is not None

    def failed(self, effect: Effect[Any], error: Exception, now: datetime) -> None:
        self._unsure, self._claiming = self._claiming, None
        self._patience.lose(now)

    @staticmethod
    def _token(claim: Claim | ClaimWithin) -> str:
        assert claim.change.attempted_by is not None
        return claim.change.attempted_by[1]
