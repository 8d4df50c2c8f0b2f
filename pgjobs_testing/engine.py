"""What stands in for one database under test: a store, one node, and what happened.

It decides when jobs run: inside an insert (mode inline), while the test lets time pass, or in a drain.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.adapters.memory import MemoryStore
from pgjobs.client import filtered
from pgjobs.effects import Count, Find
from pgjobs.engine.drain import DrainPlan, DrainResult, Program, drive, drive_async
from pgjobs.engine.node import Node, NodePorts
from pgjobs.gathering import Surroundings
from pgjobs.ports import Run
from pgjobs.rules.errors import BlockingCallError, ConfigurationError
from pgjobs.rules.facts import UnderTest
from pgjobs.rules.job import Job, JobState
from pgjobs.rules.options import Queue
from pgjobs.rules.selection import OneOf, Selection
from pgjobs.runtime import Runtime
from pgjobs.worker import REGISTRY
from pgjobs_testing import flow
from pgjobs_testing.conditions import Conditions
from pgjobs_testing.executor import InlineExecutor, Loops, VirtualHere, running
from pgjobs_testing.flow import Flow, Member
from pgjobs_testing.looking import Looking
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.trace import Setting, Trace
from pgjobs_testing.transactions import CallersTransactions
from pgjobs_testing.turns import Turn

NODE = "test"
EVERY_QUEUE = Queue(concurrency=10)
"""How a queue is served where the application names none."""


class Engine:
    """The engine of one database under test: a store, one node, and what happened.

    ``database`` tells which of the application's instances it stands for.
    """

    def __init__(self, conditions: Conditions, store: LocalStore, database: object) -> None:
        self._conditions = conditions
        self.store = store
        self.database = database
        self.recorder = Recorder(conditions.clock)
        self.starts = 0
        self._flow: Flow | None = None
        self._node: Node | None = None
        self._executor: InlineExecutor | None = None
        self._turn = Turn()
        self.holding = self._turn.held
        """What a worker that is run by hand inserts meanwhile waits until that worker has ended."""
        itself = weakref.ref(self)  # what an engine holds does not hold it
        self.recorder.setting = lambda: None if (engine := itself()) is None else engine._setting()
        if isinstance(store, MemoryStore):
            store.withholds = lambda: conditions.mode == "inline"
            store.watcher = CallersTransactions(itself, self.recorder)

    def runtime(self) -> Runtime:
        """What an instance on this database runs against."""
        return Runtime(
            clock=self._conditions.clock,
            rng=self._conditions.rng,
            store=self.store,
            registry=REGISTRY,
            telemetry=self.recorder,
            here=self._here,
            jitter=self._conditions.settings.jitter,
            captor=self,
        )

    def served(self) -> Mapping[str, Queue] | None:
        """The queues that are served; None stands for every one."""
        return self._conditions.served(self.database)

    def started(self) -> None:
        self.starts += 1

    def stopped(self) -> None:
        """Nothing was started."""

    def surroundings(self) -> Surroundings:
        served = self.served()
        others = EVERY_QUEUE if served is None else None
        test = UnderTest(NODE, self._conditions.mode, self.starts > 0)
        return Surroundings(
            served or {}, REGISTRY, self._conditions.plugins(self.database), others, test
        )

    def configured(self, own: Mapping[str, Queue]) -> Mapping[str, Queue]:
        given = self._conditions.settings.queues
        return given if own and given is not None else own

    def calling(self, call: str) -> None:
        if self._conditions.mode == "inline" and not self._turn.taken and running():
            raise BlockingCallError(
                f"in mode inline {call} runs what is due, and an event loop runs in this thread: "
                f"await {call}_async instead"
            )

    def called(self) -> None:
        if self._conditions.mode == "inline" and self._turn.take_or_ask():
            self._drive(self._at_once, self._at_once, "insert", self._conditions.loops_here())

    async def called_async(self) -> None:
        if self._conditions.mode == "inline" and self._turn.take_or_ask():
            await self._drive_async(self._at_once, self._at_once)

    @cached_property
    def looking(self) -> Looking:
        """Which jobs the test has looked at."""
        return Looking()

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
        return self.looking.result(result) if self._conditions.settings.strict else result

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
        return self.looking.result(result) if self._conditions.settings.strict else result

    def answered(self, jobs: Iterable[Job]) -> None:
        if self._conditions.settings.strict and not self._turn.taken:
            self.looking.saw(jobs)

    def saw(self, jobs: Iterable[Job]) -> None:
        """An assertion matched these."""
        if self._conditions.settings.strict:
            self.looking.saw(jobs)

    def counted(self, filters: Mapping[str, Any]) -> None:
        if self._conditions.settings.strict and not self._turn.taken:
            self.looking.saw(self.store.run(Find(filtered(filters))))

    def _here(self) -> VirtualHere:
        return VirtualHere(self._conditions.loops_here(), self.holding, self.recorder)

    def until(self, target: datetime) -> Trace:
        """Let everything happen up to ``target``."""
        self._take_turn()
        first = len(self.recorder)
        self._drive(lambda: self._awake(self.ready().until(target)), self._quiet, "advance")
        return self.recorder.trace(first)

    async def until_async(self, target: datetime) -> Trace:
        """``until`` on the running loop."""
        self._take_turn()
        first = len(self.recorder)
        await self._drive_async(lambda: self._awake(self.ready().until(target)), self._quiet)
        return self.recorder.trace(first)

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
        self._node.stager.ask(self._conditions.clock.now())
        return self._flow

    def _waiting(self) -> Mapping[str, int]:
        """The queues that have available jobs, which are served where none is named."""
        available = Selection((OneOf("state", (JobState.AVAILABLE,)),))
        return self.store.run(Count(available, "queue"))

    def _about_to_start(self, asleep: Mapping[str, int]) -> tuple[int, int]:
        """How many jobs are available, and how many of them nothing holds back until time passes."""
        waiting, starting = self._waiting(), 0
        assert self._node is not None
        for name, count in waiting.items():
            if (duty := self._node.queues.get(name)) is not None:
                queue = duty.effective
                slots = queue.concurrency - asleep.get(name, 0)
                if slots > 0 and not queue.paused and queue.rate_limit is None:
                    starting += count
        return sum(waiting.values()), starting

    def _made(self) -> Flow:
        conditions = self._conditions
        served = self.served()
        session = LocalSession(self.store)
        executor = self._executor = InlineExecutor(
            conditions.clock, conditions.loops, self._about_to_start, self.recorder
        )
        ports = NodePorts(
            conditions.clock, conditions.rng, session, executor, REGISTRY, self.recorder
        )
        self._node = Node(
            NODE,
            served or {},
            ports,
            plugins=self._conditions.plugins(self.database),
            elide=True,
            jitter=conditions.settings.jitter,
            others=EVERY_QUEUE if served is None else None,
        )
        now = conditions.clock.now()
        self._node.heart.start(now)
        self._node.recurring.start(now)
        self._node.recurring.awake = False
        made = Flow(self.store, conditions.clock)
        made.members.append(Member(self._node, session, executor))
        return made

    def _quiet(self) -> flow.Program:
        return self.ready().quiet()

    def _at_once(self) -> flow.Program:
        """Everything that is due, async workers to their end: what an insert does in mode inline."""
        made = self.ready()
        assert self._executor is not None
        with self._executor.at_once(self._conditions.loops_here(), self._give_back):
            yield from made.quiet()

    def _give_back(self, run: Run) -> None:
        """The caller of a run was cancelled: its job is available again, as after a drain."""
        assert self._node is not None
        now = self._conditions.clock.now()
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
        loops = loops or self._conditions.loops
        self._begin()
        try:
            with self._conditions.clock.still():
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
            with self._conditions.clock.still():
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
        settings, served = self._conditions.settings, self.served()
        heard = {} if self._node is None else dict.fromkeys(self._node.queues, EVERY_QUEUE)
        return Setting(
            (NODE,),
            heard if served is None else served,  # in the order in which they start jobs
            served is None,
            self._conditions.plugins(self.database),
            settings.seed,
            settings.jitter,
            self._conditions.mode,
            True,
            self._conditions.clock.now(),
            REGISTRY.by_name.get,
        )
