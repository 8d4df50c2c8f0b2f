"""When a node looks at the store: the poll that stages due jobs and hears what no signal told.

One combined statement a node. It is due at once when something asks for it, at the next known due
moment, and every ``interval`` as the floor under lost notifications.

Under test, polls that provably find nothing are left out: the next one then comes when a job falls due,
or at the next mark of the interval after something happened that no signal tells. Where nothing but this
node changes the store (``elide``), the node itself knows of that. Where others do, the session has an
``Insight`` that counts it, and a mark is left out where the node had its turn at or after it and the
count stood as at its last poll. The trace is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pgjobs.effects import Effect, Poll, Polled
from pgjobs.engine.duty import Patience, earliest
from pgjobs.ports import Insight
from pgjobs.rules import lifecycle
from pgjobs.rules.schedule import later

STAGE_LIMIT = 5_000
"""Jobs staged by one poll; when a poll staged that many, the next follows at once."""
PUNCTUAL = 100
"""A poll that is late by no more than this part of the interval came at its mark."""
TOO_OLD = 2
"""Intervals that a poll may be late before nothing is claimed on what the last one told."""


class Stager:
    """The duty that polls."""

    def __init__(
        self,
        renew: Callable[[Effect[Any], Callable[[Any], bool], datetime], None],
        nothing: Callable[[Polled, datetime], bool],
        found: Callable[[Poll, Polled, datetime], None],
        held: Callable[[], tuple[tuple[int, str], ...]],
        queues: Callable[[], tuple[str, ...]],
        interval: timedelta,
        patience: Patience,
        elide: bool,
        insight: Insight | None,
        woken: Callable[[], None],
    ) -> None:
        self._renew, self._nothing, self._found, self._held = renew, nothing, found, held
        self._queues = queues
        self._interval, self._too_old = interval, TOO_OLD * interval
        self._patience = patience
        self._floors = not elide and insight is None
        self._insight = insight
        self.awaited: int | None = None
        """Where runs of other nodes are waited for, how many had ended by then, and marks are left out
        meanwhile: the time of each of these tells something."""
        self._foreseen: list[tuple[datetime, datetime]] = []
        self._seen: int | None = None
        self.turn: datetime | None = None
        """When the node had its last turn, to say by whoever gives it one in which it does not step."""
        self._woken = woken
        self._polling = False
        self._asked: datetime | None = None
        self._last: datetime | None = None
        self._floor: datetime | None = None
        self._due: datetime | None = None
        self._requests = 0
        self._under_way = 0
        self._heard = 0
        self._since: datetime | None = None
        self._answered: datetime | None = None

    def ask(self, now: datetime) -> int:
        """Poll as soon as possible; ``heard`` of the number given here tells when that is done."""
        self._asked = now
        self._woken()
        self._requests += 1
        return self._requests

    def heard(self, request: int) -> bool:
        """Whether a poll that began after this ``ask`` has been answered."""
        return self._heard >= request

    def overdue(self, now: datetime) -> bool:
        """Whether a poll is due, or under way, for so long that the last one tells nothing any more.

        This process stood still, or the store was away, and a queue may have been paused unheard. However
        slow the polls are, each answer counts for a while.
        """
        since = self._since if self._polling else self._first
        if since is None:
            return False
        answered = self._answered
        if answered is not None and since < answered:
            since = answered
        return now - since > self._too_old

    def expect(self, due: datetime) -> None:
        """A job is known to fall due at that instant."""
        if self._due is None or due < self._due:
            self._due = due
            self._woken()

    def hurry(self) -> None:
        """The store answers this node's heartbeat: a poll that waits after a failure comes now."""
        if self._patience.cut_short():
            self._woken()

    def suspect(self, now: datetime) -> None:
        """Something happens without a signal: do not leave out the next poll."""
        if not self._floors and self._last is not None:
            missed = (now - self._last) // self._interval
            mark = later(self._last, (missed + 1) * self._interval)
            self._asked = earliest(self._asked, mark)
            self._woken()

    def await_ends(self, now: datetime) -> None:
        """Runs of other nodes end without a signal: do not leave out the poll that would tell."""
        if self._insight is None:
            self.suspect(now)
        else:
            self.awaited = self._insight.ends()

    def frees(self, now: datetime) -> bool:
        """Whether a poll that is left out in this very turn would have been answered before the next."""
        if self._insight is None or self._floor is not None or self._last is None:
            return False
        return self.turn != now and self._mark(now) <= now

    def heed(self, now: datetime) -> None:
        """Look at ``now`` whether anything was changed just now that only a poll would tell."""
        if self._floor is not None or self._insight is None or self._last is None:
            return
        found = self._insight.changes()
        changed = found is None or found != self._seen
        if changed or (self.awaited is not None and self._may_have_ended(now)):
            self.doubt(now)
        else:
            for due in self._insight.dues():
                self._foresee(due, now)

    def _may_have_ended(self, now: datetime) -> bool:
        """Whether others' runs may have ended since this node began to wait for that.

        Also where they may at this instant, which is a mark: the claim that follows its poll would see it.
        """
        assert self._insight is not None
        return self._insight.ends() != self.awaited or (self.turn != now and self._mark(now) <= now)

    def _foresee(self, due: datetime, now: datetime) -> None:
        """The next mark would tell that a job falls due: it need not, if that is later."""
        mark = self._mark(now)
        if self._floor is None and due > mark:
            self._foreseen.append((mark, due))
            self._woken()
        else:
            self.doubt(now)

    def doubt(self, now: datetime) -> None:
        """Leave out no more marks: the next one is the first that this node has not passed by ``now``."""
        if self._insight is not None and self._floor is None and self._last is not None:
            self._floor = self._make_up(now)
            self._woken()

    def _mark(self, now: datetime) -> datetime:
        """The first mark not passed: the node has passed those before this turn, and in it those till now."""
        assert self._last is not None and self._insight is not None
        passed = now if self.turn == now else self._insight.before(now)
        missed = (passed - self._last) // self._interval
        return later(self._last, (missed + 1) * self._interval)

    def _make_up(self, now: datetime) -> datetime:
        """The first mark not passed, with the node as it were had it polled at those before."""
        mark = self._mark(now)
        self._learn(mark)
        assert self._last is not None
        if (before := mark - self._interval) > self._last:
            self._answered = before
        return mark

    def _learn(self, mark: datetime) -> None:
        """Keep what marks before this one have told, and forget what it and later ones would."""
        for told, due in self._foreseen:
            if told < mark:
                self.expect(due)
        self._foreseen.clear()

    def next_due(self, now: datetime) -> datetime | None:
        if self._polling:
            return None
        first = self._first
        return None if first is None else self._patience.not_before(first)

    @property
    def _first(self) -> datetime | None:
        """When the next poll is due, however often the store failed."""
        first, due, floor = self._asked, self._due, self._floor
        if first is None or (due is not None and due < first):
            first = due
        if first is None or (floor is not None and floor < first):
            first = floor
        if self._foreseen:
            first = earliest(first, min(due for _, due in self._foreseen))
        return first

    def step(self, now: datetime) -> None:
        if self._insight is not None and self.turn != now:
            self.heed(now)  # duties that came before may have changed something
        if self._polling:
            return
        first = self._first
        if first is None or first > now or self._patience.not_before(first) > now:
            return
        self._polling, self._since = True, first
        if self._insight is not None and self._floor is None and self._last is not None:
            self._make_up(now)
        self._under_way = self._requests
        self._asked = self.awaited = None
        self._last = self._anchored(now)
        self._floor = later(self._last, self._interval) if self._floors else None
        if self._insight is not None:
            self._seen, self.turn = self._insight.changes(), now
            self._insight.dues()  # the poll tells of them
        if self._due is not None and self._due <= now:
            self._due = None
        poll = Poll(lifecycle.stage(now), STAGE_LIMIT, self._queues(), self._held())
        self._renew(poll, lambda polled: self._nothing(polled, now), now)

    def _anchored(self, now: datetime) -> datetime:
        """From where marks are counted: a poll that comes just after its mark does not shift the next."""
        if self._last is None:
            return now
        late = (now - self._last) % self._interval
        return now if late * PUNCTUAL > self._interval else now - late

    def answered(self, effect: Effect[Any], answer: Any, now: datetime) -> None:
        assert isinstance(effect, Poll) and isinstance(answer, Polled)
        self._polling = False
        self._patience.regain()
        self._heard = self._under_way
        self._answered = now
        if answer.next_due is not None:
            self.expect(answer.next_due)
        if len(answer.staged) >= effect.limit:
            self.ask(now)
        self._found(effect, answer, now)

    def failed(self, effect: Effect[Any], error: Exception, now: datetime) -> None:
        self._polling = False
        self._patience.lose(now)
        assert self._since is not None
        self.ask(self._since)  # it is overdue since then, however often it has failed
