"""``PgJobs``: one instance of the queue, from its options to its running node.

The instance is a client at once; ``start`` makes it a node as well. Each method of the client has an
``_async`` twin that never blocks the running event loop.

A process that only inserts jobs imports this file too: what it takes to run them, and asyncio, is
imported where it is first needed.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, TypeVar

from pgjobs import client
from pgjobs.adapters.system import SystemClock, SystemRng, node_name
from pgjobs.calls import Calls
from pgjobs.plugins import Plugin, beat_interval
from pgjobs.plugins import checked as checked_plugins
from pgjobs.rules import options
from pgjobs.rules.errors import (
    BlockingCallError,
    ConfigurationError,
    StoreUnavailableError,
)
from pgjobs.rules.options import POLL_INTERVAL, Queue
from pgjobs.rules.schedule import duration, next_wall_time, time_zone
from pgjobs.rules.signatures import checks_options
from pgjobs.runtime import Runtime, captured, captured_clock, register
from pgjobs.telemetry import PROCESS
from pgjobs.worker import REGISTRY

if TYPE_CHECKING:
    from pgjobs.adapters.executors import Here
    from pgjobs.engine.drain import DrainResult, Program
    from pgjobs.engine.farewell import Remains
    from pgjobs.engine.runner import Runner
    from pgjobs.gathering import Surroundings
    from pgjobs.ports import Clock, ExecutorFactory, Rng, Store

T = TypeVar("T")
Dsn = str | Callable[[], str]

log = logging.getLogger("pgjobs")

DSN_VARIABLE = "PGJOBS_DSN"


@checks_options
class PgJobs(Calls):
    """A job queue on PostgreSQL.

    ``dsn`` is a connection string, a function that gives one, or None for the environment's
    ``PGJOBS_DSN``; ``store=`` takes its place (``MemoryStore()``, ``PostgresStore(...)``). No
    connection is opened before one is needed. The tables are in ``schema``, by default ``"public"``; a
    store names its own.

    ``queues`` maps the queues that ``start`` serves to a concurrency or a ``Queue``; False makes a
    client only. ``plugins`` lists what the leader of the nodes does (``Pruner``, ``Stalled``,
    ``Cron``, ``LeaderTasks``), by default ``[Stalled(), Pruner()]``; False for none. ``workers``
    lists modules that ``start`` imports, so that their workers are known. ``name`` tells several
    instances apart; nodes that share it and a database share a leader. ``node`` names this process
    and is made up if not given, new at every start; one that another start has used is extended.
    ``poll_interval`` (seconds or timedelta) is the floor under lost notifications. ``clock``,
    ``executor`` and ``rng`` are the injected ports.
    """

    def __init__(
        self,
        dsn: Dsn | None = None,
        *,
        name: str = "default",
        node: str | None = None,
        queues: Mapping[str, int | Queue] | bool | None = None,
        plugins: Iterable[Plugin] | bool | None = None,
        workers: Iterable[str] = (),
        store: Store | None = None,
        clock: Clock | None = None,
        executor: ExecutorFactory | None = None,
        rng: Rng | None = None,
        schema: str | None = None,
        poll_interval: float | timedelta = POLL_INTERVAL,
    ) -> None:
        if dsn is not None and store is not None:
            raise ConfigurationError("give a dsn or a store, not both")
        if dsn is not None and not isinstance(dsn, str) and not callable(dsn):
            raise ConfigurationError(f"dsn is a connection string or a function, not {dsn!r}")
        if store is not None and (isinstance(store, type) or not hasattr(store, "run")):
            raise ConfigurationError(
                f"store takes a MemoryStore() or a PostgresStore(dsn), not {store!r}"
            )
        _check_port(clock, "clock", "now", "monotonic")
        _check_port(rng, "rng", "random", "token")
        if executor is not None and not callable(executor):
            raise ConfigurationError(
                f"executor takes a function of a clock and a wake that makes one, not {executor!r}"
            )
        self.name = options.name(name, "name")
        self.node = None if node is None else options.name(node, "node")
        self.queues = options.queues({"default": 10} if queues in (None, True) else queues)
        self.plugins = checked_plugins(plugins)
        self.workers = _module_names(workers)
        self.schema = _schema(schema, store)
        self._poll_interval = duration(poll_interval, "poll_interval", least_s=0.01)
        self._dsn, self._given_store = dsn, store
        self._given_clock, self._given_rng, self._executor = clock, rng, executor
        self._lock = threading.Lock()
        self._own: Runtime | None = None
        self._runner: Runner | None = None
        register(self)

    def __repr__(self) -> str:
        return f"<PgJobs {self.name!r} queues={[*self.queues]}>"

    # Running

    def start(self) -> None:
        """Serve the queues in a thread of their own; a second start is a no-op.

        Imports the modules of ``workers`` first. A database that cannot be reached is waited for;
        one without the tables raises ``StoreError``.
        """
        _refuse_in_worker_process()
        self._import_workers()
        runtime = self.runtime()
        if runtime.captor is not None:
            runtime.captor.started()
            return
        with self._lock:
            if self._runner is not None and self._runner.alive:
                return
            self._runner = self._make_runner(runtime)
            self._runner.start()

    def stop(self, grace: float | timedelta = 15) -> None:
        """Claim nothing more, wait up to ``grace`` for running jobs, give the others back.

        A job in a thread cannot be stopped: it keeps its node up until it returns. Stopping what
        does not run is a no-op.
        """
        span = duration(grace, "grace")
        runtime = self.runtime()
        if runtime.captor is not None:
            runtime.captor.stopped()
            return
        runner = self._runner
        if runner is not None and runner.alive:
            _refuse_in_loop("stop")
            _refuse_in_job("stop")
            runner.stop(span)
        runtime.store.close()

    async def start_async(self) -> None:
        """``start`` without blocking the running event loop."""
        import asyncio

        await asyncio.to_thread(self.start)

    async def stop_async(self, grace: float | timedelta = 15) -> None:
        """``stop`` without blocking the running event loop."""
        import asyncio

        runner = self._runner
        if runner is not None and runner.alive and self.runtime().captor is None:
            _refuse_in_job("stop_async")
        await asyncio.to_thread(self.stop, grace)

    @contextmanager
    def running(self, grace: float | timedelta = 15) -> Iterator[PgJobs]:
        """``with jobs.running():`` serves the queues inside the block.

        What its end would refuse is refused before it begins, or the node would go on after the block:
        ``BlockingCallError`` inside a running event loop, ``ConfigurationError`` for what is no ``grace``.
        """
        duration(grace, "grace")
        _refuse_in_worker_process()
        if self.runtime().captor is None:
            _refuse_in_loop("running", "use `async with running_async()` instead")
        self.start()
        try:
            yield self
        finally:
            self.stop(grace)

    async def __aenter__(self) -> PgJobs:
        await self.start_async()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop_async()

    def running_async(self, grace: float | timedelta = 15) -> AbstractAsyncContextManager[PgJobs]:
        """``async with jobs.running_async():`` serves the queues inside the block."""

        duration(grace, "grace")

        @asynccontextmanager
        async def serving() -> AsyncIterator[PgJobs]:
            await self.start_async()
            try:
                yield self
            finally:
                await self.stop_async(grace)

        return serving()

    def drain_queue(
        self,
        queue: str | None = None,
        with_scheduled: bool | datetime | timedelta = False,
        with_recursion: bool = True,
        with_safety: bool = False,
        limit: int | None = None,
    ) -> DrainResult:
        """Run due work of one queue, or of all, in this thread, in order, until none is left.

        One job at a time, whether its queue is paused or limited: pauses and limits bind nodes only.
        ``with_scheduled`` also runs jobs that are due later (True: all; until an instant, or for a
        duration from now); the clock stays where it is. ``with_recursion`` runs what the jobs insert.
        Without ``with_safety`` an exception that a worker raised is raised here, after its attempt
        was settled. ``limit`` bounds the number of runs. Raises ``LivelockError`` when one job runs
        a hundred times without progress, ``BlockingCallError`` inside a running event loop.
        """
        _refuse_in_loop("drain_queue")
        runtime = self.runtime()
        program = self._drain(runtime, queue, with_scheduled, with_recursion, with_safety, limit)
        if runtime.captor is not None:
            return runtime.captor.drain(program)
        from pgjobs.engine.drain import drive

        return drive(program, runtime.store, runtime.here())

    async def drain_queue_async(
        self,
        queue: str | None = None,
        with_scheduled: bool | datetime | timedelta = False,
        with_recursion: bool = True,
        with_safety: bool = False,
        limit: int | None = None,
    ) -> DrainResult:
        """``drain_queue`` on the running event loop: ``async def`` workers run as its tasks."""
        runtime = self.runtime()
        program = self._drain(runtime, queue, with_scheduled, with_recursion, with_safety, limit)
        if runtime.captor is not None:
            return await runtime.captor.drain_async(program)
        from pgjobs.engine.drain import drive_async

        return await drive_async(program, runtime.store, runtime.here())

    def next_at(self, wall: str, tz: str | tzinfo = "Etc/UTC") -> datetime:
        """The next instant at which clocks in ``tz`` show ``wall`` ("HH:MM"), by the clock."""
        return next_wall_time(wall, time_zone(tz), self.runtime().clock.now())

    # How it is put together

    @property
    def store(self) -> Store:
        """The store that this instance uses now."""
        return self.runtime().store

    @property
    def database(self) -> object:
        """What tells the database of this instance from another's: equal for the same one."""
        if (place := getattr(self._given_store, "place", None)) is not None:
            return place
        return (self._given_store or self._dsn or os.environ.get(DSN_VARIABLE), self.schema)

    @property
    def opens_database(self) -> bool:
        """Whether this instance, left alone, would open a database."""
        if self._given_store is None:
            return True
        from pgjobs.adapters.memory import MemoryStore

        return not isinstance(self._given_store, MemoryStore)

    def surroundings(self) -> Surroundings:
        """What this instance knows by itself; the modules of ``workers`` are imported, as by ``start``."""
        runtime = self.runtime()
        self._import_workers()
        instead = None if runtime.captor is None else runtime.captor.surroundings()
        from pgjobs.gathering import Surroundings

        return instead or Surroundings(self.queues, runtime.registry, self.plugins)

    def runtime(self) -> Runtime:
        """The outside that this instance uses now: its own, or that of a test run."""
        if (instead := captured(self)) is not None:
            return instead
        if self._own is None:
            with self._lock:
                if self._own is None:
                    self._own = self._make_runtime()
        return self._own

    def _make_runtime(self) -> Runtime:
        store = self._given_store or _postgres_store(self._dsn, self.schema)
        return Runtime(
            clock=self._given_clock or SystemClock(store.server_now),
            rng=self._given_rng or SystemRng(),
            store=store,
            registry=REGISTRY,
            telemetry=PROCESS,
            here=_here,
        )

    def _make_runner(self, runtime: Runtime) -> Runner:
        from pgjobs.adapters.executors import LiveExecutor
        from pgjobs.engine.heart import EVERY
        from pgjobs.engine.node import Node, NodePorts
        from pgjobs.engine.runner import Runner

        if not self.queues:
            raise ConfigurationError(
                "this instance is a client only (queues=False): give it queues to start it"
            )
        name = self._fresh_name(runtime.store)
        session = runtime.store.session(name)
        if self._executor is not None:
            executor = self._executor(runtime.clock, session.wake)
        else:
            executor = LiveExecutor(runtime.clock, session.wake, self.workers)
        ports = NodePorts(
            runtime.clock, runtime.rng, session, executor, runtime.registry, runtime.telemetry
        )
        node = Node(
            name,
            self.queues,
            ports,
            plugins=self.plugins,
            instance=self.name,
            beat=beat_interval(self.plugins, EVERY),
            poll_interval=self._poll_interval,
            jitter=runtime.jitter,
        )
        if isinstance(runtime.clock, SystemClock):
            return Runner(node, session, executor, runtime.clock, runtime.clock.settle)
        return Runner(node, session, executor, runtime.clock)

    def _fresh_name(self, store: Store) -> str:
        """The name of a node, never used before: rescue tells by it who is alive."""
        from pgjobs.leading import Heartbeats

        used: set[str] | None = None
        try:
            used = {heartbeat.node for heartbeat in store.run(Heartbeats())}
        except StoreUnavailableError as error:
            log.warning("the store cannot be reached yet and will be asked again: %s", error)
        if self.node is None:
            return node_name()
        if used is not None and self.node not in used:
            return self.node
        room = options.NAME_LIMIT - 1 - len(chance := node_name().rpartition(".")[2])
        return f"{self.node[:room]}.{chance}"

    def _import_workers(self) -> None:
        for module in self.workers:
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                raise ConfigurationError(
                    f"workers names the module {module!r}, which cannot be imported: {error}"
                ) from error

    def _drain(
        self,
        runtime: Runtime,
        queue: str | None,
        with_scheduled: bool | datetime | timedelta,
        with_recursion: bool,
        with_safety: bool,
        limit: int | None,
    ) -> Program:
        import pgjobs.engine.drain as draining  # a test drains often: so it takes a third of `from`

        if queue is not None:
            options.queue_name(queue, "queue")
        if limit is not None:
            options.whole(limit, "limit", 0, 2**63 - 1)
        if self.workers:
            self._import_workers()
        clock, node = runtime.clock, self.node or "drain"
        until = client.horizon(with_scheduled, clock.now())
        plan = draining.DrainPlan(queue, until, with_recursion, with_safety, limit)
        if runtime.captor is not None:
            runtime.captor.draining(plan, node)
        ports = draining.DrainPorts(
            node, clock, runtime.rng, runtime.registry, runtime.telemetry, runtime.jitter
        )
        return draining.drain(plan, ports)


def next_at(wall: str, tz: str | tzinfo = "Etc/UTC", *, clock: Clock | None = None) -> datetime:
    """The next instant at which clocks in ``tz`` show ``wall`` ("HH:MM" or "HH:MM:SS").

    By ``clock``; without one by that of the test run that captures this process, or the real one.
    """
    chosen = clock or captured_clock() or SystemClock()
    return next_wall_time(wall, time_zone(tz), chosen.now())


def remains(jobs: PgJobs) -> Remains | None:
    """What the node of ``jobs`` has not done yet, as another thread sees it; None before it is started."""
    runner = jobs._runner
    return None if runner is None else runner.remains


def _schema(given: str | None, store: Store | None) -> str:
    """The schema of the tables: the store's, where there is one."""
    own: str = getattr(store, "schema", "public")
    if given is None:
        return own
    if store is not None and given != own:
        raise ConfigurationError(
            f"schema belongs to the store that is given: PostgresStore(dsn, schema={given!r})"
        )
    return options.name(given, "schema")


def _check_port(given: object, name: str, *methods: str) -> None:
    missing = [method for method in methods if not callable(getattr(given, method, None))]
    if given is not None and (missing or isinstance(given, type)):
        raise ConfigurationError(
            f"{name} takes an object with the methods {' and '.join(methods)}, not {given!r}"
        )


def _module_names(workers: Iterable[str]) -> tuple[str, ...]:
    if isinstance(workers, str):
        raise ConfigurationError(f'workers takes a list of modules, as in workers=["{workers}"]')
    if not isinstance(workers, Iterable):
        raise ConfigurationError(
            f'workers takes a list of modules, such as ["shop.jobs"], not {workers!r}'
        )
    names = tuple(options.name(module, "a module of workers") for module in workers)
    for module in names:
        if module.startswith("."):
            raise ConfigurationError(
                f"workers names the module {module!r}, relative to nothing: give its full name"
            )
    return names


def _postgres_store(dsn: Dsn | None, schema: str) -> Store:
    from pgjobs.adapters.postgres.store import PostgresStore

    if dsn is None:
        dsn = os.environ.get(DSN_VARIABLE)
        if not dsn:
            from pgjobs import guard

            guard.check_unnamed()
            raise ConfigurationError(
                f"no database is named: give PgJobs a dsn or a store, or set {DSN_VARIABLE}"
            )
    return PostgresStore(dsn, schema=schema)


def _here() -> Here:
    from pgjobs.adapters.executors import Here

    return Here()


def _refuse_in_job(call: str) -> None:
    """A job that waits for the end of its node waits for itself, until the grace is over."""
    from pgjobs.adapters.inbox import in_job

    if in_job():
        raise BlockingCallError(
            f"{call} waits for running jobs, and was called by one: call it from another "
            "thread, or send the process SIGTERM where `pgjobs run` serves"
        )


def _refuse_in_worker_process() -> None:
    """A process that was spawned for a worker imports the program's main module, which may start."""
    if "multiprocessing" not in sys.modules:
        return
    from pgjobs.adapters.processes import in_worker_process

    if in_worker_process():
        raise ConfigurationError(
            "start was called in a process that runs workers, which imports the main module of its "
            "program: start the queues under `if __name__ == '__main__':`"
        )


def _refuse_in_loop(call: str, instead: str | None = None) -> None:
    if "asyncio" not in sys.modules:
        return
    import asyncio

    if asyncio._get_running_loop() is None:
        return
    raise BlockingCallError(
        f"{call} would block the event loop that runs in this thread: "
        f"{instead or f'await {call}_async instead'}"
    )
