"""How a node shows that it lives: a heartbeat before its first claim, and again and again.

What a node claims is safe from rescue while it beats. So it claims nothing while its last
heartbeat is old: after a pause (a suspended machine, a store that was away) it beats first of all.

And it takes nobody for dead after such a pause before it has beaten steadily for a while: where
nobody could beat, silence tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pgjobs.effects import Effect
from pgjobs.engine.duty import Patience
from pgjobs.leading import Beat, Leave
from pgjobs.rules.schedule import later

EVERY = timedelta(seconds=10)
TOO_OLD = 2
"""Intervals after which a heartbeat allows no claim any more; rescue takes three at least."""


class Heart:
    """The duty that beats. ``elide``: once is enough, where nobody else could take it for dead.

    ``beaten`` is called each time that the store has a heartbeat, with whether the node was silent before.
    """

    def __init__(
        self,
        node: str,
        submit: Callable[[Effect[Any]], None],
        renew: Callable[[Effect[Any], Callable[[Any], bool], datetime], None],
        patience: Patience,
        every: timedelta,
        elide: bool,
        beaten: Callable[[bool], None],
    ) -> None:
        self._node, self._beaten = node, beaten
        self._submit, self._renew = submit, renew
        self._patience = patience
        self._every, self._too_old = every, TOO_OLD * every
        self._elide = elide
        self._started: datetime | None = None
        self._due: datetime | None = None
        self._beating: datetime | None = None
        self._beat: datetime | None = None
        self._steady: datetime | None = None
        self._leaving = False
        self.left = False

    def start(self, now: datetime) -> None:
        """The node starts."""
        self._started = self._due = now

    def fresh(self, now: datetime) -> bool:
        """Whether the node may claim: the store has a heartbeat that is not old."""
        if self._beat is None:
            return False
        return self._elide or now - self._beat <= self._too_old

    def judges_from(self, now: datetime) -> datetime | None:
        """When the silence of others tells something; None while this node is silent itself.

        Two intervals after the first of an unbroken row of heartbeats: others that live have beaten
        by then.
        """
        if self._steady is None or not self.fresh(now):
            return None
        return self._steady if self._elide else later(self._steady, self._too_old)

    def leave(self, *, silently: bool) -> None:
        """The node has stopped: say so, once; ``silently``, only beat no more."""
        if self._beat is None or silently:
            self.left = self._leaving = True
        elif not self._leaving:
            self._leaving = True
            self._submit(Leave(self._node))

    def next_due(self, now: datetime) -> datetime | None:
        if self._due is None or self._beating is not None or self._leaving:
            return None
        return self._patience.not_before(self._due)

    def step(self, now: datetime) -> None:
        if self._due is None or self._due > now:
            return
        due = self.next_due(now)
        if due is None or due > now:
            return
        assert self._started is not None
        self._beating = now
        self._due = None if self._elide else later(now, self._every)
        beat = Beat(self._node, self._started, now, self._every)
        if self.fresh(now):
            self._renew(beat, lambda _: True, now)
        else:
            self._submit(beat)

    def answered(self, effect: Effect[Any], answer: Any, now: datetime) -> None:
        self._patience.regain()
        if isinstance(effect, Leave):
            self.left = True
        else:
            assert self._beating is not None
            silent = not self.fresh(now)
            if self._beat is None or self._beating - self._beat > self._too_old:
                silent, self._steady = True, self._beating
            self._beat, self._beating = self._beating, None
            self._beaten(silent)

    def failed(self, effect: Effect[Any], error: Exception, now: datetime) -> None:
        if isinstance(effect, Leave):
            self.left = True  # its row is forgotten in a day
            return
        self._beating = None
        self._patience.lose(now)
        self._due = now
