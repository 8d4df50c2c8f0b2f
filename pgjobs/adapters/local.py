"""Sessions for a store whose effects take no time worth overlapping, with signals in the process.

The memory store uses it always, a Postgres store under test: an effect is carried out when it is
submitted, so that equal steps meet equal answers in equal order.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pgjobs.adapters.callers.kinds import checked, kind_of
from pgjobs.adapters.signals import (
    ENDING,
    LOOKS,
    TELL_NOTHING,
    due_of,
    ends_own_runs,
    signals_of,
    silent,
)
from pgjobs.effects import Effect
from pgjobs.ports import Done, Session, Signal
from pgjobs.rules.errors import StoreError

T = TypeVar("T")


class LocalStore:
    """A store with listeners in its own process; subclasses carry effects out."""

    def __init__(self) -> None:
        self.silent = 0
        """How often an effect did what only polls tell, or failed and may have."""
        self.ends = 0
        """How often an effect may have ended runs, each of which leaves room under a limit."""
        self.news = 0
        """How often an effect did anything at all that others may notice."""
        self.troubled = False
        """Whether effects may fail or be slow, for a test has it so: then no poll is left out."""
        self.learners: list[list[datetime]] = []
        """Where it is noted when jobs fall due of which no signal tells."""
        self._listeners: list[Callable[[Signal], None]] = []

    def run(self, effect: Effect[T]) -> T:
        try:
            answer = self.carry_out(effect)
        except StoreError:
            self.silent += 1
            self.news += 1
            raise
        kind = type(effect)
        if kind not in TELL_NOTHING:
            hidden = silent(effect, answer) if answer else False
            self.silent += hidden
            self.news += hidden or kind not in LOOKS
            if answer and kind in ENDING:
                self.ends += 1
            if self.learners and (due := due_of(effect, answer)) is not None:
                for dues in self.learners:
                    dues.append(due)
            if self._listeners:
                self.tell(effect, answer)
        return answer

    def pulse(self) -> int | None:
        """``news``, where it tells all; None while effects may fail or be slow."""
        return None if self.troubled else self.news

    def tell(self, effect: Effect[Any], answer: Any) -> None:
        """Tell the listeners what an effect with this answer means to them."""
        if self._listeners:
            for signal in signals_of(effect, answer):
                for listener in tuple(self._listeners):
                    listener(signal)

    def empty(self, queue: str) -> bool:
        """Whether the queue has certainly no available job; False where only the store can tell."""
        return False

    async def run_async(self, effect: Effect[T]) -> T:
        return self.run(effect)

    def run_within(self, effect: Effect[T], connection: object) -> T:
        """Carry the effect out at once: nothing here knows of the caller's transaction.

        What is no connection that we know is taken as it is; one that production would refuse for
        its colour is refused here as well.
        """
        if kind_of(connection) is not None:
            checked(connection, awaits=False)
        return self.run(effect)

    async def run_within_async(self, effect: Effect[T], connection: object) -> T:
        if kind_of(connection) is not None:
            checked(connection, awaits=True)
        return await self.run_async(effect)

    def session(self, name: str) -> Session:
        return LocalSession(self)

    def server_now(self) -> datetime | None:
        return None

    def close(self) -> None:
        """There is nothing to release."""

    def listen(self, listener: Callable[[Signal], None]) -> Callable[[], None]:
        """Call ``listener`` with every signal, until the function returned here is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def carry_out(self, effect: Effect[T]) -> T:
        """Carry out one effect, all or nothing."""
        raise StoreError(f"this store cannot carry out {type(effect).__name__}")


class LocalSession:
    """A session whose effects are done when ``submit`` returns."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self.inbox: deque[Done | Signal] = deque()
        """What ``collect`` would give."""
        self._changed = threading.Condition()
        self._woken = False
        self._missed = self._own_ends = 0
        self._dues: list[datetime] = []
        self._learns = False
        self._unlisten = store.listen(self._hear)

    def submit(self, effect: Effect[Any]) -> None:
        self.inbox.append(self._done(effect))

    def _done(self, effect: Effect[Any]) -> Done:
        """Carry the effect out."""
        store = self._store
        before, ends, known = store.silent, store.ends, len(self._dues)
        try:
            done = Done(effect, store.run(effect))
        except StoreError as error:
            return Done(effect, error=error)
        if type(effect) in TELL_NOTHING:
            return done
        self._missed -= store.silent - before
        if store.ends != ends and ends_own_runs(effect):
            self._own_ends += store.ends - ends
        del self._dues[known:]
        return done

    def changes(self) -> int | None:
        """How often the store has done what only a poll tells the node; None where that is not known.

        What its own effects did is in their answers, and does not count.
        """
        return None if self._store.troubled else self._store.silent + self._missed

    def ends(self) -> int:
        """How often runs may have ended whose ends are not in the answers to this session's own settling."""
        return self._store.ends - self._own_ends

    def dues(self) -> Sequence[datetime]:
        """When jobs fall due, of which others' effects let wait since the last call and no signal tells."""
        if not self._learns:
            self._learns = True
            self._store.learners.append(self._dues)
        if not self._dues:
            return ()
        found = tuple(self._dues)
        self._dues.clear()
        return found

    def collect(self) -> list[Done | Signal]:
        inbox = self.inbox
        found: list[Done | Signal] = []
        while inbox:
            found.append(inbox.popleft())
        return found

    def wait(self, seconds: float | None) -> None:
        with self._changed:
            if not self.inbox and not self._woken:
                self._changed.wait(seconds)
            self._woken = False

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        self._unlisten()
        learners = self._store.learners
        self._store.learners = [dues for dues in learners if dues is not self._dues]

    def _hear(self, signal: Signal) -> None:
        self.inbox.append(signal)
        self.wake()
