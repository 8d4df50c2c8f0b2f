"""What nodes of a cluster are made of, where they run, and what their processes are called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pgjobs.engine.node import Node, NodePorts
from pgjobs.plugins import Plugin
from pgjobs.ports import Executor, Rng
from pgjobs.rules.options import Queue
from pgjobs.worker import Registry
from pgjobs_testing.flow import Member, VirtualExecutor
from pgjobs_testing.nodes.line import Line
from pgjobs_testing.nodes.view import NodeClock
from pgjobs_testing.recorder import Recorder


@dataclass(slots=True)
class Machine:
    """Where the incarnations of one node run; its clock and its line's cut outlive them."""

    clock: NodeClock
    incarnation: int = 1
    member: Member | None = None
    line: Line | None = None
    cut: bool = False
    slow: timedelta = timedelta(0)
    stopping: bool = False
    wakes_at: datetime | None = None
    plugins: Sequence[Plugin] | None = None
    queues: Collection[str] | None = None
    """Those that it serves alone; None where the queues say who serves them."""
    last: str | None = None
    """The name in the store of its process, or of the last that it had."""


@dataclass(slots=True)
class Names:
    """Names for processes that no other process has had."""

    taken: set[str] = field(default_factory=set)

    def new(self, name: str, incarnation: int) -> str:
        """The name in the store of a node's process; the first has the node's own."""
        made = name if incarnation == 1 else f"{name}#{incarnation}"
        while made in self.taken:
            made += "'"
        self.taken.add(made)
        return made


@dataclass(frozen=True, slots=True)
class Make:
    """What every node is made of; ``executor`` gets the node's line, for what its runs store.

    ``seen`` is what the node itself has of its executor: the same, or one that tells who watches.
    """

    queues: Mapping[str, Queue]
    rng: Rng
    registry: Registry
    executor: Callable[[Line], VirtualExecutor]
    plugins: Sequence[Plugin] = ()
    others: Queue | None = None
    elide: bool = False
    jitter: bool = True
    seen: Callable[[VirtualExecutor, Line], Executor] = lambda executor, _: executor
    polls: bool = False
    """Whether nodes poll at every mark, also where that provably finds nothing."""
    served_by: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The nodes that serve a queue, where that is not all of them."""

    def queues_of(self, name: str, machine: Machine) -> Mapping[str, Queue] | None:
        """The queues that a node serves alone; None where it serves all of them."""
        if machine.queues is not None:
            others = self.others or Queue()
            return {queue: self.queues.get(queue, others) for queue in machine.queues}
        left = [queue for queue, nodes in self.served_by.items() if name not in nodes]
        if not left:
            return None
        return {queue: each for queue, each in self.queues.items() if queue not in left}

    def node(
        self,
        own: str,
        queues: Mapping[str, Queue] | None,
        machine: Machine,
        line: Line,
        executor: VirtualExecutor,
        recorder: Recorder,
    ) -> Node:
        """A process named ``own`` on ``machine``; one that serves ``queues`` alone serves no others."""
        ports = NodePorts(
            machine.clock,
            self.rng,
            line,
            self.seen(executor, line),
            self.registry,
            recorder,
            None if self.elide or self.polls else line,
        )
        return Node(
            own,
            self.queues if queues is None else queues,
            ports,
            plugins=self.plugins if machine.plugins is None else machine.plugins,
            others=self.others if queues is None else None,
            elide=self.elide,
            jitter=self.jitter,
        )
