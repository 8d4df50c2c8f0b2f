"""What the engine needs of the outside, and nothing more: time, chance, identity, storage, runs.

Each port has one adapter for production and one for tests. None of them decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, final

from pgjobs.effects import Effect
from pgjobs.rules.errors import PgJobsError
from pgjobs.rules.job import Job
from pgjobs.rules.lifecycle import Outcome
from pgjobs.rules.swift import swift

if TYPE_CHECKING:
    from pgjobs.worker import Worker

T = TypeVar("T")


class Clock(Protocol):
    """Where instants come from."""

    def now(self) -> datetime:
        """The present instant, in UTC, in whole microseconds; never earlier than before."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment, for durations."""
        ...


class Rng(Protocol):
    """Where chance and identity come from, in streams that do not disturb one another."""

    def random(self, label: str) -> float:
        """The next draw from [0, 1) in the stream ``label``."""
        ...

    def token(self, label: str) -> str:
        """The next name in the stream ``label`` that nothing else has: a UUID's text."""
        ...


class Store(Protocol):
    """Where jobs are kept. Safe to use from any thread."""

    def run(self, effect: Effect[T]) -> T:
        """Carry out one effect in one transaction.

        ``StoreUnavailableError`` when the store cannot be reached (it may or may not have happened),
        ``StoreError`` when it refused.
        """
        ...

    async def run_async(self, effect: Effect[T]) -> T:
        """The same, without blocking the running event loop."""
        ...

    def run_within(self, effect: Effect[T], connection: object) -> T:
        """Carry out one effect inside the transaction that is open on the caller's ``connection``.

        The caller commits it or rolls it back. ``ConfigurationError`` for a connection that cannot
        be used, ``StoreError`` from the driver's exception. A store without transactions carries
        the effect out at once.
        """
        ...

    async def run_within_async(self, effect: Effect[T], connection: object) -> T:
        """The same over an asynchronous connection."""
        ...

    def session(self, name: str) -> Session:
        """A session for one node, to be used from one thread."""
        ...

    def server_now(self) -> datetime | None:
        """What the store's own clock shows; None where it has none. The production clock follows it.

        ``StoreUnavailableError`` where it cannot be reached.
        """
        ...

    def close(self) -> None:
        """Release every connection; the store opens new ones when it is used again."""
        ...


@swift
@dataclass(frozen=True, slots=True)
class Done:
    """An effect that ended: with its answer, or with the error that it met."""

    effect: Effect[Any]
    answer: Any = None
    error: Exception | None = None


@swift
@dataclass(frozen=True, slots=True)
class Signal:
    """A notification. Signals are hints: a lost, doubled or late one costs a poll interval at most.

    ``kind`` is ``insert`` (``queue`` has available jobs), ``due`` (a job waits for ``at``), ``cancel``
    (``job_id`` was cancelled or deleted; None: some were), ``kill`` (a neighbour asks whoever runs
    ``job_id`` to cancel it; nothing is stored, and where it is lost nobody knows) or ``control``
    (something was set by hand).
    """

    kind: str
    queue: str = ""
    job_id: int | None = None
    at: datetime | None = None


class Session(Protocol):
    """One node's line to the store. All methods but ``wake`` belong to the node's thread."""

    def submit(self, effect: Effect[Any]) -> None:
        """Begin an effect; it ends in a ``Done`` that ``collect`` gives."""
        ...

    def collect(self) -> list[Done | Signal]:
        """What ended or was heard since the last call, in that order. Never blocks."""
        ...

    def wait(self, seconds: float | None) -> None:
        """Block until something can be collected, ``wake`` is called or the time is over."""
        ...

    def wake(self) -> None:
        """End the present or the next ``wait``. From any thread."""
        ...

    def close(self) -> None:
        """End the session; effects under way may still happen."""
        ...


class Insight(Protocol):
    """What a session knows, under test, of what its store did: what a node need not ask for is left out.

    Nothing is different for that but the effects that would have told nothing.
    """

    def changes(self) -> int | None:
        """How often the store has done what only a poll would tell this node: none is made while it stays
        the same. None: that cannot be said now."""
        ...

    def dues(self) -> Sequence[datetime]:
        """When jobs fall due that others let wait since the last call. ``changes`` counts none of it."""
        ...

    def ends(self) -> int:
        """How often others may have ended runs. ``changes`` counts none of it."""
        ...

    def empty(self, queue: str) -> bool:
        """Whether a queue has certainly no available job now: it is not asked for one."""
        ...

    def at_once(self, effect: Effect[Any], expected: Callable[[Any], bool]) -> Done | None:
        """Submit an effect; its end, where that is there already and the answer is as expected."""
        ...

    def before(self, now: datetime) -> datetime:
        """What the node's clock showed just before it showed ``now``, in whose steps alone time goes."""
        ...


@final
@dataclass(eq=False, slots=True)
class Run:
    """One claimed job in the hands of an executor.

    ``then`` is told of the end where the run is no job's, but a function's of ``LeaderTasks``.
    """

    job: Job
    worker: Worker[..., Any] | None
    queue: str
    started: float
    limit: timedelta | None = None
    deadline: datetime | None = None
    settled: bool = False
    told: bool = False
    then: Callable[[Finished, datetime], None] | None = None


class NotBegunError(PgJobsError, RuntimeError):
    """These ``runs`` have not begun and never will: their jobs are given back, their attempts not counted.

    ``start`` raises it; later on it is the outcome of a run that ``tell`` has kept from beginning.
    """

    def __init__(self, runs: Sequence[Run], why: str) -> None:
        super().__init__(why)
        self.runs = runs


@swift
@dataclass(frozen=True, slots=True)
class Finished:
    """A run that ended, how, and when by the clock's ``monotonic``."""

    run: Run
    outcome: Outcome
    at: float


class Executor(Protocol):
    """Where worker code runs. ``start`` and ``tell`` never block on it (under test, they may)."""

    def start(self, runs: list[Run]) -> None:
        """Begin these runs, in order.

        ``NotBegunError`` names those of them that have not begun and never will; where anything else is
        raised, none of them has.
        """
        ...

    def tell(self, run: Run) -> None:
        """Ask a run to stop: cancel its task, kill its process; a thread sees ``job.cancelled``.

        One that has not begun never does, where that can be: it ends in a ``NotBegunError``.
        """
        ...

    def collect(self) -> list[Finished]:
        """The runs that ended since the last call, in that order. Never blocks."""
        ...

    def close(self) -> None:
        """Accept no more runs, and wait until the running ones have ended."""
        ...


ExecutorFactory = Callable[[Clock, Callable[[], None]], Executor]
"""Makes an executor from the clock and the function that wakes the engine (from any thread)."""
