"""Which node leads: the one that has the lease, for as long as the lease says.

The lease is renewed three times in its span, and taken when nobody has it. What leads acts under a
``Fence``, checked by the store in the transaction of each effect; the lease is given back when
the node stops, so that another need not wait for its end. Where nothing but this process changes the
store (``elide``, for tests), it is taken once and for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pgjobs.effects import Effect
from pgjobs.engine.duty import Patience
from pgjobs.leading import Fence, Lead, Lease, Resign
from pgjobs.rules.schedule import later

SPAN = timedelta(seconds=30)
RENEWALS = 3
RENEWED_AFTER = SPAN / RENEWALS
SOON = SPAN / 100
FOR_EVER = timedelta(days=36_500)


class Leader:
    """The duty that holds the lease ``name``; ``elected`` is told each time that it is won anew."""

    def __init__(
        self,
        name: str,
        node: str,
        submit: Callable[[Effect[Any]], None],
        renew: Callable[[Effect[Any], Callable[[Any], bool], datetime], None],
        patience: Patience,
        elected: Callable[[datetime, bool], None],
        elide: bool,
    ) -> None:
        self._name, self._node = name, node
        self._submit, self._renew = submit, renew
        self._patience, self._elected = patience, elected
        self._elide = elide
        self._due: datetime | None = None
        self._asking = False
        self._closed = False
        self._lease: Lease | None = None

    def start(self, now: datetime) -> None:
        """The node starts: try to lead."""
        self._due = now

    def close(self, now: datetime) -> None:
        """Lead no more: the node stops."""
        fence = self.fence(now)
        if fence is not None and not self._closed:
            self._submit(Resign(fence))
        self._closed, self._lease, self._due = True, None, None

    def fence(self, now: datetime) -> Fence | None:
        """What effects act under at ``now``, or None while this node does not lead."""
        lease = self._lease
        if lease is None or not self.leads(now):
            return None
        return Fence(self._name, self._node, lease.token, now)

    def leads(self, now: datetime) -> bool:
        """Whether this node has the lease at ``now``, as far as it knows."""
        lease = self._lease
        return lease is not None and lease.node == self._node and lease.until > now

    def want(self, now: datetime) -> None:
        """Something is to be done: ask for the lease, unless another node is known to have it."""
        lease = self._lease
        if lease is None or lease.node == self._node or lease.until <= now:
            self._due = now if self._due is None else min(self._due, now)

    def when(self, due: datetime, now: datetime) -> datetime | None:
        """When something that is due at ``due`` can be done, as far as this node knows."""
        if self._closed:
            return None
        if self.leads(now):
            return due
        return self._patience.not_before(due) if self._elide and not self._asking else None

    def lost(self, now: datetime) -> None:
        """The store says that the lease is another's."""
        if self._lease is not None and self._lease.node == self._node:
            self._lease = None
            self._elected(now, False)
        self._due = now

    def next_due(self, now: datetime) -> datetime | None:
        if self._due is None or self._asking or self._closed:
            return None
        return self._patience.not_before(self._due)

    def step(self, now: datetime) -> None:
        if self._due is None or self._due > now:
            return
        due = self.next_due(now)
        if due is None or due > now:
            return
        self._asking = True
        self._due = None
        lead = Lead(self._name, self._node, now, FOR_EVER if self._elide else SPAN)
        if self._lease is not None and self._lease.until > now:
            self._renew(lead, self._goes_on, now)
        else:
            self._submit(lead)

    def _goes_on(self, answer: Lease) -> bool:
        """Whether the lease is in the same hands as before."""
        old = self._lease
        return old is not None and (answer.node, answer.token) == (old.node, old.token)

    def answered(self, effect: Effect[Any], answer: Any, now: datetime) -> None:
        self._patience.regain()
        if not isinstance(effect, Lead):
            return
        self._asking = False
        if self._closed:
            return
        assert isinstance(answer, Lease)
        before, self._lease = self._lease, answer
        led = before is not None and before.node == self._node
        leads = answer.node == self._node
        if not self._elide:
            again = later(effect.now, RENEWED_AFTER)
            self._due = again if leads else min(max(answer.until, later(now, SOON)), again)
        if leads and not (led and before is not None and before.token == answer.token):
            self._elected(now, True)
        elif led and not leads:
            self._elected(now, False)

    def failed(self, effect: Effect[Any], error: Exception, now: datetime) -> None:
        if isinstance(effect, Lead):
            self._asking = False
            self._patience.lose(now)
            self._due = None if self._closed else now
