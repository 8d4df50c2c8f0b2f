"""Sessions for a store whose effects take no time worth overlapping, with signals in the process.

The memory store uses it always, a Postgres store under test: an effect is carried out when it is
submitted, so that equal steps meet equal answers in equal order.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from pgjobs.adapters.callers.kinds import checked, kind_of
from pgjobs.effects import Delete, Effect, Insert, ResetControl, SetControl, Settle, Transition
from pgjobs.leading import Rescue, Tick
from pgjobs.ports import Done, Session, Signal
from pgjobs.rules.errors import StoreError
from pgjobs.rules.job import JobState
from pgjobs.rules.lifecycle import Event

T = TypeVar("T")


def signals_of(effect: Effect[Any], answer: Any) -> list[Signal]:
    """What a store tells its listeners after an effect; each queue once."""
    if isinstance(effect, Insert | Tick):
        return _arrivals([job for job in answer or () if job.came_of != "conflict"])
    if isinstance(effect, Settle):
        groups = (each.group is not None for each in effect.settlements)
        stopped = any(group and counted for group, counted in zip(groups, answer, strict=True))
        return [Signal("cancel")] if stopped else []
    if isinstance(effect, Transition):
        if effect.change.event is Event.RETRY:
            return _arrivals(answer)
        if effect.change.event is Event.CANCEL:
            return [Signal("cancel", job_id=job.id) for job in answer if job.attempted_at]
    if isinstance(effect, Delete):
        return [
            Signal("cancel", job_id=job.id) for job in answer if job.state is JobState.EXECUTING
        ]
    if isinstance(effect, Rescue):
        return _arrivals(answer)
    if isinstance(effect, SetControl | ResetControl):
        return [Signal("control", effect.queue)]
    return []


def _arrivals(jobs: list[Any]) -> list[Signal]:
    ready = dict.fromkeys(job.queue for job in jobs if job.state is JobState.AVAILABLE)
    found = [Signal("insert", queue) for queue in ready]
    waits = (JobState.SCHEDULED, JobState.RETRYABLE)
    later = [job.scheduled_at for job in jobs if job.state in waits]
    if later:
        found.append(Signal("due", at=min(later)))
    return found


class LocalStore:
    """A store with listeners in its own process; subclasses carry effects out."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Signal], None]] = []

    def run(self, effect: Effect[T]) -> T:
        answer = self.carry_out(effect)
        self.tell(effect, answer)
        return answer

    def tell(self, effect: Effect[Any], answer: Any) -> None:
        """Tell the listeners what an effect with this answer means to them."""
        if self._listeners:
            for signal in signals_of(effect, answer):
                for listener in tuple(self._listeners):
                    listener(signal)

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
        self._inbox: deque[Done | Signal] = deque()
        self._changed = threading.Condition()
        self._woken = False
        self._unlisten = store.listen(self._hear)

    def submit(self, effect: Effect[Any]) -> None:
        try:
            done = Done(effect, self._store.run(effect))
        except StoreError as error:
            done = Done(effect, error=error)
        self._inbox.append(done)

    def collect(self) -> list[Done | Signal]:
        found: list[Done | Signal] = []
        while self._inbox:
            found.append(self._inbox.popleft())
        return found

    @property
    def pending(self) -> bool:
        """Whether ``collect`` would give anything."""
        return bool(self._inbox)

    def wait(self, seconds: float | None) -> None:
        with self._changed:
            if not self._inbox and not self._woken:
                self._changed.wait(seconds)
            self._woken = False

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        self._unlisten()

    def _hear(self, signal: Signal) -> None:
        self._inbox.append(signal)
        self.wake()
