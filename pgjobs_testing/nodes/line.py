"""The way of a node's effects to the store, and of the store's signals back: cut, slow, trapped, deaf.

Whatever is done to a line is done to one node alone; the exchange is what all lines share. What watches
the world is told of each effect that took place, also where its node never learns of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.effects import Effect
from pgjobs.ports import Done, Signal
from pgjobs.rules.errors import StoreError
from pgjobs.rules.schedule import later
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.nodes.traps import (
    ANY,
    CRASH_AFTER,
    CRASHES,
    LATE,
    NAMES,
    CutOffError,
    Trap,
    error_of,
)
from pgjobs_testing.nodes.watching import AlarmError, Watch

T = TypeVar("T")

COUNTED = (ANY, "poll", "claim")
"""The effects that a trap may await of which there would be more if no poll were left out."""

CLIENT = "-"
"""Who acts where no node does."""


class Exchange(LocalStore):
    """A store that can be down, and whose signals can be lost, late or doubled; ``inside`` does the work.

    ``late`` is how many statements are yet to commit that their nodes have given up. ``sprung`` is when a
    trap of any line took an effect last.
    ``alarm`` is the first that ``watch`` raised: from then on every effect raises it, whoever swallows it.
    """

    def __init__(self, inside: LocalStore, clock: VirtualClock) -> None:
        super().__init__()
        self.inside = inside
        self.down = self.mute = self.doubled = False
        self.delay = timedelta(0)
        self.late = 0
        self.sprung: datetime | None = None
        self.watch: Watch | None = None
        self.alarm: AlarmError | None = None
        self.acting = CLIENT
        self._clock = clock
        self._order = count()
        self._under_way: list[tuple[datetime, int, Callable[[], None]]] = []

    def pulse(self) -> int | None:
        return None if self.inside.troubled else self.news

    def carry_out(self, effect: Effect[T]) -> T:
        if self.alarm is not None:
            raise self.alarm  # an instant that would never come to rest ends here
        if self.down:
            raise self.failed(effect, CutOffError("the database is down"))
        try:
            answer = self.inside.carry_out(effect)
        except StoreError as error:
            raise self.failed(effect, error) from None
        if self.watch is not None and self.alarm is None:
            try:
                self.watch.committed(self.acting, effect, answer, self._clock.now())
            except AlarmError as alarm:
                self.alarm = alarm
        return answer

    def failed(self, effect: Effect[Any], error: StoreError) -> StoreError:
        """Tell who watches of an effect that ended without an answer."""
        if self.watch is not None and self.alarm is None:
            try:
                self.watch.failed(self.acting, effect, error, self._clock.now())
            except AlarmError as alarm:
                self.alarm = alarm
        return error

    def after(self, wait: timedelta, act: Callable[[], None]) -> None:
        """Let something happen later: an answer or a signal arrives, a late statement commits."""
        due = later(self._clock.now(), wait)
        heapq.heappush(self._under_way, (due, next(self._order), act))

    def spring(self) -> None:
        """A trap takes an effect now."""
        self.sprung = self._clock.now()

    def next_due(self) -> datetime | None:
        """When the next of what is under way arrives."""
        return self._under_way[0][0] if self._under_way else None

    def deliver(self, now: datetime) -> None:
        """Let everything arrive that is due."""
        while self._under_way and self._under_way[0][0] <= now:
            heapq.heappop(self._under_way)[2]()


class Line(LocalSession):
    """One node's session. While ``cut``, each of its effects fails and it hears no signal.

    ``slow``: how long each answer takes. ``name`` is the node's in the store. Once ``dead``, its process is
    gone: nothing that it does reaches anybody, and it learns of nothing.
    """

    def __init__(self, exchange: Exchange, node: str, name: str) -> None:
        super().__init__(exchange)
        self._exchange, self._node, self.name = exchange, node, name
        self.cut = self.dead = False
        self.slow = timedelta(0)
        self.traps: list[Trap] = []
        self.died: Callable[[Trap], None] = lambda _: None
        self.committed: Callable[[Effect[Any]], None] = lambda _: None
        self.before: Callable[[datetime], datetime] = lambda now: now

    def submit(self, effect: Effect[Any]) -> None:
        if self.dead:
            return
        trap = self._sprung(effect)
        if trap is not None and trap.how in CRASHES:
            self._crash(effect, trap)
        elif self.cut:
            self._give(self._failed(effect, self._cut_off()))
        elif trap is None or self._exchange.down:
            self._give(self._outcome(effect))
        elif trap.how == LATE:
            self._give(self._failed(effect, error_of(trap.how, effect)))
            self._exchange.late += 1
            self._exchange.after(trap.by, lambda: self._ignored(effect))
        elif trap.how == "after":
            done = self._outcome(effect)
            lost = done.error is None
            self._give(self._failed(effect, error_of(trap.how, effect)) if lost else done)
        else:
            self._give(self._failed(effect, error_of(trap.how, effect)))

    def at_once(self, effect: Effect[Any], expected: Callable[[Any], bool]) -> Done | None:
        """Submit an effect; its end, where that is there already and the answer is as expected."""
        if self.dead or not self._lets_through(effect):
            self.submit(effect)
            return None
        done = self._outcome(effect)
        if done.error is None and expected(done.answer):
            return done
        self._give(done)
        return None

    def changes(self) -> int | None:
        """As for any session; while something befalls this line or all of them, that cannot be said."""
        exchange = self._exchange
        if self.cut or self.slow or exchange.down or exchange.inside.troubled:
            return None
        for trap in self.traps:
            if trap.effect in COUNTED:
                return None
        return exchange.silent + self._missed

    def empty(self, queue: str) -> bool:
        """Whether the queue has certainly no available job, and this node could learn that now."""
        return not self.traps and self.changes() is not None and self._exchange.inside.empty(queue)

    def check(self) -> None:
        """``CutOffError`` where a run on this node could not reach the store now."""
        if self.cut or self.dead:
            raise self._cut_off()

    # Its means

    def _lets_through(self, effect: Effect[Any]) -> bool:
        """Whether nothing befalls the effect on its way. Polls and claims are taken in turn while anything
        at all befalls the node, so that they find what they would find if none were left out."""
        if not (self.traps or self.cut or self.slow or self._exchange.inside.troubled):
            return True  # one that is down refuses it at once
        if self.cut or self.slow or NAMES.get(type(effect)) in COUNTED:
            return False
        for trap in self.traps:  # noqa: SIM110 - any() over a generator takes twice as long
            if trap.takes(effect):
                return False
        return True

    def _sprung(self, effect: Effect[Any]) -> Trap | None:
        for trap in self.traps:
            if trap.takes(effect):
                self._exchange.spring()
                trap.sprung = True
                if trap.how not in CRASHES:
                    trap.times -= 1
                if not trap.times:
                    self.traps.remove(trap)
                return trap
        return None

    def _crash(self, effect: Effect[Any], trap: Trap) -> None:
        """The process is gone: before the effect, or after its commit, for which it lives on till then."""
        if trap.how == CRASH_AFTER:
            done = self._failed(effect, self._cut_off()) if self.cut else self._outcome(effect)
            if done.error is not None:
                self._give(done)
                return
        self._die(trap)

    def _die(self, trap: Trap) -> None:
        self.dead = True
        self.inbox.clear()
        self.traps.clear()
        self.died(trap)

    def _outcome(self, effect: Effect[Any]) -> Done:
        exchange = self._exchange
        before, exchange.acting = exchange.acting, self.name
        try:
            done = self._done(effect)
        finally:
            exchange.acting = before
        if done.error is not None:  # it would hold every frame that it went through
            done.error.__traceback__ = None
        return done

    def _ignored(self, effect: Effect[Any]) -> None:
        """A statement whose client is gone ends all the same."""
        self._exchange.late -= 1
        if self._outcome(effect).error is None:
            self.committed(effect)
        self._missed += 1

    def _failed(self, effect: Effect[Any], error: StoreError) -> Done:
        self._missed += 1  # it may have happened, or happen yet
        before, self._exchange.acting = self._exchange.acting, self.name
        self._exchange.failed(effect, error)
        self._exchange.acting = before
        return Done(effect, error=error)

    def _give(self, item: Done | Signal, by: timedelta | None = None) -> None:
        wait = self.slow if by is None else by
        if wait:
            self._exchange.after(wait, lambda: self._arrived(item))
        else:
            self._arrived(item)

    def _arrived(self, item: Done | Signal) -> None:
        if not self.dead:
            self.inbox.append(item)

    def _cut_off(self) -> CutOffError:
        return CutOffError(f"node {self._node} is cut off from the database")

    def _hear(self, signal: Signal) -> None:
        exchange = self._exchange
        if self.dead:
            return
        if self.cut or exchange.mute or exchange.delay:
            self._missed += 1  # till it is here, or for ever, only a poll tells
        if self.cut or exchange.mute:
            return
        for _ in range(1 + exchange.doubled):
            self._give(signal, exchange.delay)
