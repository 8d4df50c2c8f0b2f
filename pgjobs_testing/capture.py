"""How a test takes the place of production: one clock, and an engine for each database in use.

A ``Capture`` lives for one test (or one ``with harness():``). While it is on top, every ``PgJobs``
that would open a database works on its engines instead, whenever and in whichever thread it was
made. Outside every test a capture of its own serves what runs at import or in wider fixtures.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from pgjobs import guard, runtime
from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.adapters.system import SystemClock
from pgjobs.app import PgJobs
from pgjobs.client import filtered
from pgjobs.effects import Count, Find
from pgjobs.engine.drain import DrainPlan, DrainResult, Program, drive, drive_async
from pgjobs.engine.node import Node, NodePorts
from pgjobs.gathering import Surroundings
from pgjobs.plugins import ONCE, Plugin
from pgjobs.ports import Clock
from pgjobs.rules.errors import (
    BlockingCallError,
    CapturedStoreError,
    ConfigurationError,
    nearest,
)
from pgjobs.rules.facts import UnderTest
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.options import Queue
from pgjobs.rules.selection import OneOf, Selection
from pgjobs.runtime import Runtime
from pgjobs.worker import REGISTRY
from pgjobs_testing import flow
from pgjobs_testing.clock import SeededRng, VirtualClock
from pgjobs_testing.executor import InlineExecutor, Loops, VirtualHere, running
from pgjobs_testing.flow import Flow, Member
from pgjobs_testing.freezing import freeze
from pgjobs_testing.frozen import SharedClock
from pgjobs_testing.looking import Looking
from pgjobs_testing.settings import Settings, check_mode, shown_start
from pgjobs_testing.stores import StoreSource, own_databases
from pgjobs_testing.timeline import Recorder, Setting, Trace
from pgjobs_testing.transactions import CallersTransactions
from pgjobs_testing.turns import Turn

NODE = "test"
EVERY_QUEUE = Queue(concurrency=10)
"""How a queue is served where the application names none."""


class Engine:
    """The engine of one database under test: a store, one node, and what happened.

    ``queues`` tells at any time which queues the application's instances serve, ``plugins`` what
    their leader does; it does so only while the test lets time pass.
    """

    def __init__(
        self,
        capture: Capture,
        store: LocalStore,
        queues: Callable[[], Mapping[str, Queue] | None],
        plugins: Callable[[], tuple[Plugin, ...]],
    ) -> None:
        self._capture = capture
        self._queues = queues
        self._plugins = plugins
        self.store = store
        self.recorder = Recorder(capture.clock)
        self.recorder.setting = self._setting
        self.starts = 0
        self._flow: Flow | None = None
        self._node: Node | None = None
        self._turn = Turn()
        self.looking = Looking()
        if isinstance(store, MemoryStore):
            store.withholds = lambda: capture.mode == "inline"
            store.watcher = CallersTransactions(self, self.recorder)
        self._runtime = Runtime(
            clock=capture.clock,
            rng=capture.rng,
            store=store,
            registry=REGISTRY,
            telemetry=self.recorder,
            here=self._here,
            jitter=capture.settings.jitter,
            captor=self,
        )

    def runtime(self) -> Runtime:
        """What an instance on this database runs against."""
        return self._runtime

    def served(self) -> Mapping[str, Queue] | None:
        """The queues that are served; None stands for every one."""
        return self._queues()

    def started(self) -> None:
        self.starts += 1

    def stopped(self) -> None:
        """Nothing was started."""

    def surroundings(self) -> Surroundings:
        served = self.served()
        others = EVERY_QUEUE if served is None else None
        test = UnderTest(NODE, self._capture.mode, self.starts > 0)
        return Surroundings(served or {}, REGISTRY, self._plugins(), others, test)

    def calling(self, call: str) -> None:
        if self._capture.mode == "inline" and not self._turn.taken and running():
            raise BlockingCallError(
                f"in mode inline {call} runs what is due, and an event loop runs in this thread: "
                f"await {call}_async instead"
            )

    def called(self) -> None:
        if self._capture.mode == "inline" and self._turn.take_or_ask():
            self._drive(self._quiet, "insert")

    async def called_async(self) -> None:
        if self._capture.mode == "inline" and self._turn.take_or_ask():
            await self._drive_async(self._quiet)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """What a worker that is run by hand inserts meanwhile waits until that worker has ended."""
        mine = self._turn.take()
        try:
            yield
        finally:
            if mine:
                self._turn.end()

    def draining(self, plan: DrainPlan, node: str) -> None:
        self.recorder.call("drain", plan, node)

    def drain(self, program: Program) -> DrainResult:
        here = self._here()
        try:
            result = drive(program, self.store, here)
        except BaseException:  # what a worker raised comes to the test, which looks at it so
            self.looking.saw(() if here.last is None else (here.last.job,))
            raise
        finally:
            self.recorder.call("drained")
            self.called()
        return self.looking.result(result) if self._capture.settings.strict else result

    async def drain_async(self, program: Program) -> DrainResult:
        here = self._here()
        try:
            result = await drive_async(program, self.store, here)
        except BaseException:
            self.looking.saw(() if here.last is None else (here.last.job,))
            raise
        finally:
            self.recorder.call("drained")
            await self.called_async()
        return self.looking.result(result) if self._capture.settings.strict else result

    def answered(self, jobs: Iterable[Job]) -> None:
        if self._capture.settings.strict and not self._turn.taken:
            self.looking.saw(jobs)

    def counted(self, filters: Mapping[str, Any]) -> None:
        if self._capture.settings.strict and not self._turn.taken:
            self.looking.saw(self.store.run(Find(filtered(filters))))

    def traced(self, first: int = 0) -> Trace:
        """What happened from the moment with index ``first`` on."""
        found = self.recorder.trace(first)
        return self.looking.trace(found) if self._capture.settings.strict else found

    def _here(self) -> VirtualHere:
        return VirtualHere(self._capture.loops_here(), self.holding)

    def until(self, target: datetime) -> Trace:
        """Let everything happen up to ``target``."""
        self._take_turn()
        first = len(self.recorder)
        self._drive(lambda: self._awake(self.ready().until(target)), "advance")
        return self.traced(first)

    async def until_async(self, target: datetime) -> Trace:
        """``until`` on the running loop."""
        self._take_turn()
        first = len(self.recorder)
        await self._drive_async(lambda: self._awake(self.ready().until(target)))
        return self.traced(first)

    def _awake(self, program: flow.Program) -> flow.Program:
        """Let recurring duties act meanwhile."""
        assert self._node is not None
        self._node.recurring.awake = True
        try:
            yield from program
        finally:
            self._node.recurring.awake = False

    def ready(self) -> Flow:
        """The flow of this engine's node, which is made at the first call."""
        if self._flow is None:
            self._flow = self._made()
        assert self._node is not None
        served = self.served()
        if served is None:
            served = dict.fromkeys(self._waiting(), EVERY_QUEUE)
        for name, queue in served.items():
            if name not in self._node.queues:
                self._node.serve(name, queue)
        self._node.stager.ask(self._capture.clock.now())
        return self._flow

    def _waiting(self) -> Mapping[str, int]:
        """The queues that have available jobs, which are served where none is named."""
        available = Selection((OneOf("state", (JobState.AVAILABLE,)),))
        return self.store.run(Count(available, "queue"))

    def _made(self) -> Flow:
        capture = self._capture
        served = self.served()
        session = LocalSession(self.store)
        executor = InlineExecutor(
            capture.clock, capture.loops, lambda: sum(self._waiting().values())
        )
        ports = NodePorts(capture.clock, capture.rng, session, executor, REGISTRY, self.recorder)
        self._node = Node(
            NODE,
            served or {},
            ports,
            plugins=self._plugins(),
            elide=True,
            jitter=capture.settings.jitter,
            others=EVERY_QUEUE if served is None else None,
        )
        now = capture.clock.now()
        self._node.heart.start(now)
        self._node.recurring.start(now)
        self._node.recurring.awake = False
        made = Flow(self.store, capture.clock)
        made.members.append(Member(self._node, session, executor))
        return made

    def _quiet(self) -> flow.Program:
        return self.ready().quiet()

    def _take_turn(self) -> None:
        if not self._turn.take():
            raise ConfigurationError(
                "time is being advanced already, or jobs run: neither a worker nor another thread "
                "can advance it meanwhile"
            )

    def _drive(self, program: Callable[[], flow.Program], call: str) -> None:
        """Run a program, and what was left to it meanwhile; the turn is taken, and ended here."""
        self.recorder.call("let")
        try:
            with self._capture.clock.still():
                flow.drive(program(), lambda coroutine: self._capture.loops.run(coroutine, call))
                while not self._turn.end_unless_asked():
                    flow.drive(self._quiet(), lambda each: self._capture.loops.run(each, call))
        except BaseException:
            self._turn.end()
            raise
        finally:
            self.recorder.call("hold")

    async def _drive_async(self, program: Callable[[], flow.Program]) -> None:
        self.recorder.call("let")
        try:
            with self._capture.clock.still():
                await flow.drive_async(program())
                while not self._turn.end_unless_asked():
                    await flow.drive_async(self._quiet())
        except BaseException:
            self._turn.end()
            raise
        finally:
            self.recorder.call("hold")

    def _setting(self) -> Setting:
        settings, served = self._capture.settings, self.served()
        return Setting(
            (NODE,),
            served or {},
            served is None,
            self._plugins(),
            settings.seed,
            settings.jitter,
            self._capture.mode,
            True,
            self._capture.clock.now(),
            REGISTRY.by_name.get,
        )


class Capture:
    """What stands in for production during one test. ``remedy`` is told to who opens a database."""

    remedy = guard.REMEDY

    def __init__(self, settings: Settings, source: StoreSource) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._blocks: list[list[str]] = []
        self.process = os.getpid()
        self._source = source
        self.clock: VirtualClock = SharedClock(settings.start or _next_second())
        self._began = self.clock.now()
        self.rng = SeededRng(settings.seed)
        self.loops = Loops(self.clock)
        self._unfreeze: Callable[[], None] | None = None
        self._thread = threading.get_ident()
        self._loops_of_threads: dict[int, Loops] = {}
        self._engines: dict[object, Engine] = {}
        self._used: dict[object, str] = {}
        self._stands_for: dict[str | None, Engine] = {}  # whatever becomes of the instance

    @property
    def mode(self) -> str:
        """The mode of the block that was entered last, in whichever thread; else the test's."""
        blocks = self._blocks
        return blocks[-1][0] if blocks else self.settings.mode

    @property
    def repeated_by(self) -> str:
        """The options of pytest under which this test does the same again."""
        return f"--pgjobs-seed {self.settings.seed} --pgjobs-start {shown_start(self._began)}"

    def loops_here(self) -> Loops:
        """Where this thread runs async workers by hand: the test's loop in its own thread."""
        here = threading.get_ident()
        if here == self._thread:
            return self.loops
        return self._loops_of_threads.setdefault(here, Loops(self.clock))

    def runtime_of(self, app: PgJobs) -> Runtime | None:
        """The runtime of an application's instance; None in live mode, where nothing is captured."""
        if self.mode == "live":
            return None
        self.refuse_fork()
        with self._lock:
            self._used.setdefault(app.database, app.name)
        return self._engine(app.database).runtime()

    def refuse_fork(self) -> None:
        """``CapturedStoreError`` in a process that was forked from the test's."""
        if os.getpid() != self.process:
            raise CapturedStoreError(
                f"this process was forked from a test (process {self.process}), which would never "
                "see what happens to jobs here, so the call is refused: insert from the test's own "
                'process, or mark the test with @pytest.mark.pgjobs(mode="live")'
            )

    def engine(self, name: str | None) -> Engine:
        """The engine of the application's instance of that name.

        Without a name: of the only instance, of the one named "default", else one of its own.
        """
        with self._lock:
            used = {name: database for database, name in self._used.items()}
        wanted = "default" if name is None else name
        if wanted in used:
            return self._engine(used[wanted])
        if name not in self._stands_for:
            self._stands_for[name] = self._meant(name, used)
        return self._stands_for[name]

    def _meant(self, name: str | None, used: dict[str, object]) -> Engine:
        found = {app.name: app.database for app in reversed(applications())} | used
        if name is not None:
            if name not in found:
                raise ConfigurationError(
                    f"no PgJobs is named {name!r}{nearest(name, found) if found else ''}"
                )
            return self._engine(found[name])
        if "default" in found:
            return self._engine(found["default"])
        if len(found) == 1:
            return self._engine(next(iter(found.values())))
        return self._engine(None)

    def engines(self) -> list[Engine]:
        """The engines that were used, in order."""
        return list(self._engines.values())

    def told(self) -> int:
        """How many events there were so far."""
        return sum(len(engine.recorder) for engine in self.engines())

    def named_engines(self) -> list[tuple[str | None, Engine]]:
        """The engines, each with the name of the instance that it stands for, if there is one."""
        return [(self._used.get(database), each) for database, each in self._engines.items()]

    def open(self) -> None:
        """Begin: hold the application's time where the test asks for it."""
        if self.settings.freeze:
            self._unfreeze = freeze(self.settings.start or self.clock.now())

    def close(self) -> None:
        """End what still runs, and let the application's time go."""
        try:
            for loops in (self.loops, *self._loops_of_threads.values()):
                loops.close()
        finally:
            if self._unfreeze is not None:
                self._unfreeze()

    @contextmanager
    def switched(self, mode: str) -> Iterator[None]:
        """Another mode inside a block."""
        check_mode(mode)
        before = self.mode
        if before != mode and {before, mode} - {"manual", "inline"}:
            raise ConfigurationError(
                f"mode {before!r} cannot become {mode!r} within a test: a block can be manual or "
                "inline; for another store use the marker @pytest.mark.pgjobs(mode=...)"
            )
        block = [mode]  # a list of its own: threads may leave their blocks in any order
        with self._lock:
            self._blocks.append(block)
        try:
            yield
        finally:
            with self._lock:
                self._blocks = [each for each in self._blocks if each is not block]

    def _engine(self, database: object) -> Engine:
        with self._lock:
            found = self._engines.get(database)
            if found is None and database is not None and None in self._engines:
                found = self._engines[database] = self._engines.pop(None)
            if found is None:
                store = self._source.store(len(self._engines))
                found = Engine(
                    self, store, lambda: self._served(found), lambda: self._plugins(found)
                )
                for first in self.engines()[:1]:  # the times of all databases have one beginning
                    found.recorder.start = first.recorder.start
                self._engines[database] = found
            return found

    def _served(self, engine: Engine | None) -> Mapping[str, Queue] | None:
        if self.settings.queues is not None:
            return self.settings.queues
        served: dict[str, Queue] = {}
        for app in applications():
            if self._engines.get(app.database) is engine:
                served |= app.queues
        return served or None

    def _plugins(self, engine: Engine | None) -> tuple[Plugin, ...]:
        """What the leaders of the application's instances do: each plugin once, in order."""
        if self.settings.plugins is not None:
            return self.settings.plugins
        found: list[Plugin] = []
        for app in applications():
            if self._engines.get(app.database) is engine:
                kinds = [type(plugin) for plugin in found]
                found += [p for p in app.plugins if not (type(p) in ONCE and type(p) in kinds)]
        return tuple(found)


_stack: list[Capture] = []


def current() -> Capture | None:
    """The capture on top."""
    return _stack[-1] if _stack else None


def around(capture: Capture) -> list[Capture]:
    """The captures around this one: those of wider fixtures, and of what runs at import."""
    return _stack[: _stack.index(capture)] if capture in _stack else []


def push(capture: Capture) -> None:
    """Let ``capture`` stand in for production from now on."""
    capture.open()
    _stack.append(capture)
    runtime.capture(_runtime_of)
    runtime.capture_clock(_clock)
    guard.install(_guard)


def pop(capture: Capture) -> None:
    """Take a capture away, and close it."""
    _stack.remove(capture)
    if not _stack:
        runtime.capture(None)
        runtime.capture_clock(None)
        guard.install(None)
    capture.close()


@contextmanager
def beneath(capture: Capture) -> Iterator[None]:
    """Let ``capture`` stand in for what happens in the block, over the one that is on top."""
    entry = len(_stack)
    _stack.append(capture)
    try:
        yield
    finally:
        del _stack[entry]


def applications() -> list[PgJobs]:
    """The application's instances: all that would open a database."""
    return [app for app in runtime.instances() if app.opens_database]


def _runtime_of(app: PgJobs) -> Runtime | None:
    capture = current()
    return None if capture is None else capture.runtime_of(app)


def _guard(dsn: str) -> None:
    capture = current()
    if capture is not None and capture.mode != "live" and dsn not in own_databases:
        raise CapturedStoreError(
            "a test run keeps real databases closed, and this one was about to be opened past "
            f"PgJobs: {capture.remedy}"
        )


def _clock() -> Clock | None:
    capture = current()
    return None if capture is None or capture.mode == "live" else capture.clock


def _next_second() -> datetime:
    """Real time, rounded up to the next second."""
    now = SystemClock().now()
    return now.replace(microsecond=0) + timedelta(seconds=1) if now.microsecond else now
