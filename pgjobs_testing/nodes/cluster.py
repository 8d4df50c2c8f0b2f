"""Which nodes there are, and what happens to them: crashes, suspensions, cut lines, clocks that are off.

A cluster is a flow of nodes over one store. Nodes act in the order in which they were added, in each
of their incarnations: a restarted node has a new name in the store, as a new process has, and its
old one in the timeline. What is done to a node takes effect at once, before anything else happens at
that instant, and is recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from pgjobs.adapters.local import LocalStore
from pgjobs.engine.duty import earliest
from pgjobs.plugins import Plugin
from pgjobs.rules.errors import PgJobsError
from pgjobs.rules.schedule import later
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.flow import Flow, Member, Program
from pgjobs_testing.nodes.line import Exchange, Line
from pgjobs_testing.nodes.making import Machine, Make, Names
from pgjobs_testing.nodes.traps import CRASHES, Trap, name_of
from pgjobs_testing.nodes.view import NodeClock
from pgjobs_testing.nodes.witness import Witness
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.trace import CLIENT, elapsed


class SimulationError(PgJobsError, RuntimeError):
    """Something was asked of a node that it cannot do as it is now."""


class Cluster:
    """Nodes on one clock over one store. ``store`` is the way to it that a client has."""

    def __init__(
        self, store: LocalStore, clock: VirtualClock, recorder: Recorder, make: Make
    ) -> None:
        self.store = Exchange(store, clock)
        self.overseer: Witness | None = None
        self._clock, self._recorder, self._make = clock, recorder, make
        self._flow = Flow(self.store, clock)
        self._machines: dict[str, Machine] = {}
        self._suspended: dict[str, Machine] = {}
        self._leaving = False
        """Whether any process may be dead, or was asked to stop, and is not gone yet."""
        self._names = Names()
        self._gone: list[Member] = []
        self.armed: list[tuple[str, Trap]] = []
        """Every trap that was set, with its node, until somebody takes it off."""

    # What happens by itself

    def next_due(self) -> datetime | None:
        """The earliest instant at which anything will happen by itself."""
        first = earliest(self._flow.next_due(), self.store.next_due())
        for machine in self._suspended.values():
            first = earliest(first, machine.wakes_at)
        return first

    def move(self, instant: datetime) -> None:
        """Let it be ``instant``, or stay where the clock is later; who was suspended till then goes on."""
        now = self._clock.now()
        if instant > now:
            now = instant
            self._clock.set(now)
        for name, machine in self._suspended.items():
            if machine.wakes_at is not None and machine.wakes_at <= now:
                machine.wakes_at = None
                self._recorder.note("resume", name)
                if self.overseer is not None and machine.line is not None:
                    self.overseer.resumed(machine.line.name, now)
                self._gather()
        self.store.deliver(now)

    def look(self) -> None:
        """Let every node poll at its next step: something has changed that no signal tells it of."""
        now = self._clock.now()
        for member in self._flow.members:
            member.node.stager.ask(member.now(now))

    def quiet(self) -> Program:
        """Everything that happens at this instant."""
        yield from self._flow.quiet()
        if not self._leaving:
            return
        for machine in self._machines.values():
            member = machine.member
            if machine.line is not None and machine.line.dead:
                self._end(machine)
            elif member is not None and machine.wakes_at is None and member.node.stopped:
                member.executor.close()
                if self.overseer is not None and machine.line is not None:
                    self.overseer.stopped(machine.line.name, self._clock.now())
                self._end(machine)
                member.node.ended()
        self._leaving = any(machine.stopping for machine in self._machines.values())

    @property
    def busy(self) -> bool:
        """Whether a run has an end or a limit to come, or a node a stop, a suspension or an outcome; or a
        statement, that its node has given up, a late commit."""
        return self.store.late > 0 or any(
            machine.wakes_at is not None
            or member.executor.next_due() is not None
            or member.node.runs.next_due() is not None
            or member.node.settler.unsaved
            or machine.stopping
            for machine in self._machines.values()
            if (member := machine.member) is not None
        )

    @property
    def members(self) -> Sequence[Member]:
        """Who acts, in their order: the processes that are up and not suspended."""
        return self._flow.members

    @property
    def lines(self) -> list[Line]:
        """The ways to the store of the processes that are up."""
        return [each.line for each in self._machines.values() if each.line is not None]

    @property
    def living(self) -> list[str]:
        """The processes that are up, by their names in the store."""
        return [each.line.name for each in self._machines.values() if each.line is not None]

    @property
    def stopping(self) -> list[str]:
        """Those of them that were asked to stop."""
        machines = self._machines.values()
        return [each.line.name for each in machines if each.line is not None and each.stopping]

    @property
    def whole(self) -> bool:
        """Whether every process that is up has the plugins that nodes are made with."""
        made = [*map(type, self._make.plugins)]
        up = (each.plugins for each in self._machines.values() if each.line is not None)
        return all(plugins is None or made == [*map(type, plugins)] for plugins in up)

    def each_has(self, kind: type[Plugin]) -> bool:
        """Whether every process that is up has a plugin of this kind."""
        up = (each.plugins for each in self._machines.values() if each.line is not None)
        made = self._make.plugins
        return all(kind in map(type, made if plugins is None else plugins) for plugins in up)

    def is_cut(self, name: str) -> bool:
        """Whether a node is cut off from the store."""
        return self._machine(name).cut

    def close(self) -> None:
        """End every session."""
        for machine in self._machines.values():
            self._end(machine)

    def dissolve(self) -> None:
        """Let go of everything: each process that was ever there holds itself in circles."""
        for member in self._gone:
            for part in (member.node.recurring, member.node, member.session):
                vars(part).clear()
        vars(self).clear()

    # What is done to nodes

    def add(self, name: str) -> None:
        """One node more, started; it acts after those that are there."""
        machine = self._machines[name] = Machine(NodeClock(self._clock))
        self._start(name, machine)

    def crash(self, name: str) -> None:
        """The process is gone: its runs vanish, its jobs stay executing."""
        machine = self._up(name, "crash")
        self._recorder.note("crash", name)
        self._end(machine)

    def restart(
        self,
        name: str,
        plugins: Sequence[Plugin] | None = None,
        queues: Collection[str] | None = None,
        told: str = "",
    ) -> None:
        """A new process in the place of one that has crashed or stopped.

        From now on it has these plugins, and serves these queues alone; None: as the one before it.
        ``told`` says so in the timeline.

        One that was to crash at a point which it has not reached crashes now.
        """
        machine = self._machine(name)
        if machine.line is not None and any(trap.how in CRASHES for trap in machine.line.traps):
            self.crash(name)
        if machine.member is not None:
            state = "is still stopping" if machine.stopping else "is up"
            raise SimulationError(f"node {name} {state}: it can restart after a crash or a stop")
        machine.incarnation += 1
        if plugins is not None:
            machine.plugins = plugins
        if queues is not None:
            machine.queues = queues
        self._recorder.note("restart", name, told)
        self._start(name, machine)

    def stop(self, name: str, grace: timedelta) -> None:
        """The process is asked to stop; it goes when it has nothing left, and is then not there."""
        machine = self._awake(name, "stop")
        assert machine.member is not None
        self._recorder.note("stopping", name, f"grace {elapsed(grace)}")
        machine.stopping = self._leaving = True
        machine.member.node.stop(machine.clock.now(), grace)
        if self.overseer is not None and machine.line is not None:
            self.overseer.stopping(machine.line.name, grace, self._clock.now())

    def suspend(self, name: str, span: timedelta) -> None:
        """The process does nothing for ``span``, and then goes on where it was."""
        machine = self._awake(name, "be suspended")
        self._recorder.note("suspend", name, f"for {elapsed(span)}")
        machine.wakes_at = later(self._clock.now(), span)
        if self.overseer is not None and machine.line is not None:
            self.overseer.suspended(machine.line.name, self._clock.now())
        self._gather()

    def partition(self, name: str) -> None:
        """The node reaches the store no more, and hears no signal."""
        self._cut(name, cut=True)

    def heal(self, name: str) -> None:
        """The node reaches the store again."""
        self._cut(name, cut=False)

    def skew(self, name: str, off: timedelta) -> None:
        """The node's clock is ``off`` from now on, ahead or, where negative, behind."""
        self._machine(name).clock.off = off
        self._recorder.note("skew", name, f"by {elapsed(off)}")

    def drift(self, name: str, ppm: int) -> None:
        """The node's clock gains ``ppm`` microseconds a second from now on, or loses them."""
        self._machine(name).clock.drift = ppm
        self._recorder.note("drift", name, f"{ppm} ppm")

    def slow(self, name: str, by: timedelta) -> None:
        """Every answer of the store takes ``by`` to reach the node from now on."""
        machine = self._machine(name)
        machine.slow = by
        if machine.line is not None:
            machine.line.slow = by
            self._tell_of_slowness(machine.line)
        self._befalls("slow", name, f"by {elapsed(by)}")

    def trap(self, name: str, trap: Trap) -> None:
        """What befalls the next effects of the process that is up; it is gone with it."""
        machine = self._machine(name)
        if machine.line is not None:
            machine.line.traps.append(trap)
            self.armed.append((name, trap))
            self._befalls("trap", name, trap.told)

    # What is done to what they share

    def drop_notifications(self, dropped: bool) -> None:
        """Whether every signal to every node is lost."""
        self.store.mute = dropped
        self._befalls("drop" if dropped else "deliver", detail="notifications")

    def delay_notifications(self, by: timedelta) -> None:
        """Every signal to every node is late by so much."""
        self.store.delay = by
        self._befalls("delay", detail=f"notifications by {elapsed(by)}")

    def double_notifications(self, doubled: bool) -> None:
        """Whether every signal to every node comes twice."""
        self.store.doubled = doubled
        self._befalls("double" if doubled else "single", detail="notifications")

    def database(self, *, up: bool) -> None:
        """Whether the store is there, for nodes and clients."""
        self.store.down = not up
        self._befalls("up" if up else "down", detail="the database")

    # Its means

    def _befalls(self, event: str, name: str = CLIENT, detail: str = "") -> None:
        """Something has changed between nodes and the store."""
        self._flow.stir()
        self._recorder.note(event, name, detail)

    def _start(self, name: str, machine: Machine) -> None:
        make, own = self._make, self._names.new(name, machine.incarnation)
        if own != name:
            self._recorder.show(own, name)
        line = machine.line = Line(self.store, name, own)
        line.cut, line.slow = machine.cut, machine.slow
        line.before = machine.clock.just_before
        self._tell_of_slowness(line)
        line.died = lambda trap: self._died(name, trap)
        line.committed = lambda effect: self._recorder.note(
            "commits", name, f"a late {name_of(effect)}"
        )
        executor = make.executor(line)
        queues = make.queues_of(name, machine)
        if self.overseer is not None:
            self.overseer.joined(own, self._clock.now(), queues, machine.last)
        machine.last = own
        node = make.node(own, queues, machine, line, executor, self._recorder)
        machine.member = Member(node, line, executor, machine.clock)
        node.start(machine.clock.now())
        self._gather()

    def _died(self, name: str, trap: Trap) -> None:
        self._leaving = True
        self._recorder.note("crash", name, f"{trap.how[6:]} {trap.effect}")

    def _tell_of_slowness(self, line: Line) -> None:
        if line.slow and self.overseer is not None:
            self.overseer.slowed(line.name)

    def _end(self, machine: Machine) -> None:
        if machine.line is None:
            return
        machine.line.close()
        if machine.member is not None:
            self._gone.append(machine.member)
        if self.overseer is not None:
            self.overseer.gone(machine.line.name)
        machine.member = machine.line = machine.wakes_at = None
        machine.stopping = False
        self._gather()

    def _cut(self, name: str, *, cut: bool) -> None:
        machine = self._machine(name)
        machine.cut = cut
        if machine.line is not None:
            machine.line.cut = cut
        self._befalls("partition" if cut else "heal", name)

    def _gather(self) -> None:
        machines = self._machines.items()
        self._suspended = {name: each for name, each in machines if each.wakes_at is not None}
        self._flow.members = [
            machine.member
            for machine in self._machines.values()
            if machine.member is not None and machine.wakes_at is None
        ]

    def _machine(self, name: str) -> Machine:
        found = self._machines.get(name)
        if found is None:
            known = ", ".join(self._machines) or "none"
            raise SimulationError(f"no node is named {name!r}; known are {known}")
        return found

    def _up(self, name: str, what: str) -> Machine:
        machine = self._machine(name)
        if machine.member is None:
            raise SimulationError(f"node {name} is down and cannot {what}: restart it first")
        return machine

    def _awake(self, name: str, what: str) -> Machine:
        machine = self._up(name, what)
        if machine.wakes_at is not None:
            raise SimulationError(f"node {name} is suspended and cannot {what} before it goes on")
        return machine
