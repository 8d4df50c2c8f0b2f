"""What stands in for one database under test: a store, one node, and what happened.

It decides when jobs run: inside an insert (mode inline), while the test lets time pass, or in a drain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.client import filtered
from pgjobs.effects import Count, Find
from pgjobs.engine.drain import DrainPlan, DrainResult, Program, drive, drive_async
from pgjobs.engine.node import Node, NodePorts
from pgjobs.gathering import Surroundings
from pgjobs.plugins import Plugin
from pgjobs.ports import Run
from pgjobs.rules.errors import BlockingCallError, ConfigurationError
from pgjobs.rules.facts import UnderTest
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.options import Queue
from pgjobs.rules.selection import OneOf, Selection
from pgjobs.runtime import Runtime
from pgjobs.worker import REGISTRY
from pgjobs_testing import flow
from pgjobs_testing.executor import InlineExecutor, Loops, VirtualHere, running
from pgjobs_testing.flow import Flow, Member
from pgjobs_testing.looking import Looking
from pgjobs_testing.timeline import Recorder, Setting, Trace
from pgjobs_testing.transactions import CallersTransactions
from pgjobs_testing.turns import Turn

if TYPE_CHECKING:
    from pgjobs_testing.capture import Capture

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
        self._executor: InlineExecutor | None = None
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

    def configured(self, own: Mapping[str, Queue]) -> Mapping[str, Queue]:
        given = self._capture.settings.queues
        return given if own and given is not None else own

    def calling(self, call: str) -> None:
        if self._capture.mode == "inline" and not self._turn.taken and running():
            raise BlockingCallError(
                f"in mode inline {call} runs what is due, and an event loop runs in this thread: "
                f"await {call}_async instead"
            )

    def called(self) -> None:
        if self._capture.mode == "inline" and self._turn.take_or_ask():
            self._drive(self._at_once, self._at_once, "insert", self._capture.loops_here())

    async def called_async(self) -> None:
        if self._capture.mode == "inline" and self._turn.take_or_ask():
            await self._drive_async(self._at_once, self._at_once)

    def holding(self) -> AbstractContextManager[None]:
        """What a worker that is run by hand inserts meanwhile waits until that worker has ended."""
        return self._turn.held()

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
        return VirtualHere(self._capture.loops_here(), self.holding, self.recorder)

    def until(self, target: datetime) -> Trace:
        """Let everything happen up to ``target``."""
        self._take_turn()
        first = len(self.recorder)
        self._drive(lambda: self._awake(self.ready().until(target)), self._quiet, "advance")
        return self.traced(first)

    async def until_async(self, target: datetime) -> Trace:
        """``until`` on the running loop."""
        self._take_turn()
        first = len(self.recorder)
        await self._drive_async(lambda: self._awake(self.ready().until(target)), self._quiet)
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
        executor = self._executor = InlineExecutor(
            capture.clock, capture.loops, lambda: sum(self._waiting().values()), self.recorder
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

    def _at_once(self) -> flow.Program:
        """Everything that is due, async workers to their end: what an insert does in mode inline."""
        made = self.ready()
        assert self._executor is not None
        with self._executor.at_once(self._capture.loops_here(), self._give_back):
            yield from made.quiet()

    def _give_back(self, run: Run) -> None:
        """The caller of a run was cancelled: its job is available again, as after a drain."""
        assert self._node is not None
        now = self._capture.clock.now()
        self._node.runs.release(run, now)
        self._node.settler.step(now)

    def _take_turn(self) -> None:
        if not self._turn.take():
            raise ConfigurationError(
                "time is being advanced already, or jobs run: neither a worker nor another thread "
                "can advance it meanwhile"
            )

    def _drive(
        self,
        program: Callable[[], flow.Program],
        left: Callable[[], flow.Program],
        call: str,
        loops: Loops | None = None,
    ) -> None:
        """Run a program, and what was ``left`` to it meanwhile; the turn is taken, and ended here."""
        loops = loops or self._capture.loops
        self._begin()
        try:
            with self._capture.clock.still():
                flow.drive(program(), lambda each: loops.run(each, call))
                while not self._turn.end_unless_asked():
                    flow.drive(left(), lambda each: loops.run(each, call))
        except BaseException:
            self._turn.end()
            raise
        finally:
            self.recorder.call("hold")

    async def _drive_async(
        self, program: Callable[[], flow.Program], left: Callable[[], flow.Program]
    ) -> None:
        self._begin()
        try:
            with self._capture.clock.still():
                await flow.drive_async(program())
                while not self._turn.end_unless_asked():
                    await flow.drive_async(left())
        except BaseException:
            self._turn.end()
            raise
        finally:
            self.recorder.call("hold")

    def _begin(self) -> None:
        self.recorder.call("let")
        if self._executor is not None:
            self._executor.count_anew()

    def _setting(self) -> Setting:
        settings, served = self._capture.settings, self.served()
        heard = {} if self._node is None else dict.fromkeys(self._node.queues, EVERY_QUEUE)
        return Setting(
            (NODE,),
            heard if served is None else served,  # in the order in which they start jobs
            served is None,
            self._plugins(),
            settings.seed,
            settings.jitter,
            self._capture.mode,
            True,
            self._capture.clock.now(),
            REGISTRY.by_name.get,
        )
