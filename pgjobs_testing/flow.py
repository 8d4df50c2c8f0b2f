"""How virtual time flows: the engine's own nodes, stepped until nothing is due, then moved on.

One virtual instant: every node steps until none has anything to do; then the clock jumps to the
earliest due moment among nodes and running jobs. Async jobs need an event loop now and then, so the
flow is a program that yields the member whose executor wants one; its driver awaits that executor's
``turn_async``, on a private loop or on the running one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pgjobs.adapters.local import LocalSession, LocalStore
from pgjobs.engine.node import Node
from pgjobs.ports import Executor
from pgjobs.rules.errors import ConfigurationError, LivelockError
from pgjobs_testing.clock import VirtualClock

STEPS_AT_ONE_INSTANT = 1_000_000
"""Steps without the clock moving after which a flow is taken for endless."""
INSTANTS_OF_ONE_ADVANCE = 1_000_000
"""Instants at which something happens, after which an advance is taken for a mistake."""


class VirtualExecutor(Executor, Protocol):
    """An executor whose runs take virtual time, or none."""

    @property
    def pending(self) -> bool:
        """Whether ``collect`` would give anything."""
        ...

    def next_due(self) -> datetime | None:
        """When the next run goes on or ends by itself."""
        ...

    def turn(self, now: datetime) -> bool:
        """Let runs go on as far as they can at ``now`` without an event loop; whether one did.

        What needs the loop stays, and ``wants_loop`` says so.
        """
        ...

    @property
    def wants_loop(self) -> bool:
        """Whether runs can go on, but only on an event loop."""
        ...

    async def turn_async(self) -> None:
        """Let runs go on that want the loop, as far as they can now."""
        ...


class View(Protocol):
    """A node's own clock, which may be off from the flow's."""

    @property
    def version(self) -> int:
        """How often it was set: while that stays the same, it goes as the flow's clock does."""
        ...

    def before(self, version: int) -> datetime:
        """What it showed last in that version."""
        ...

    def shows(self, at: datetime) -> datetime:
        """What it shows at ``at``, the present instant of the flow."""
        ...

    def when(self, shown: datetime) -> datetime:
        """The flow's instant at which it will show ``shown``; the present one where it does."""
        ...


@dataclass(eq=False, slots=True)
class Member:
    """One node and its own outside; without a ``view`` its clock is the flow's."""

    node: Node
    session: LocalSession
    executor: VirtualExecutor
    view: View | None = None
    _version: int = field(init=False)
    _shown: datetime | None = field(default=None, init=False)
    _rests: datetime | None = field(default=None, init=False)
    _turned: datetime | None = field(default=None, init=False)
    _till: datetime | None = field(default=None, init=False)
    _news: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        if self.view is not None:
            self._version = self.view.version

    def now(self, now: datetime) -> datetime:
        """What the node's clock shows at ``now``."""
        return now if self.view is None else self.view.shows(now)

    def next_due(self, now: datetime) -> datetime | None:
        """When, by the flow's clock, the node has something to do."""
        node, view = self.node, self.view
        if not node.settled:
            self._rests = None
        if view is None:
            if self._turned is now:
                self._catch_up(now)
            self._till = node.next_due(now)
            return self._till
        if view.version != self._version:
            before = view.before(self._version)
            if self._turned is now:
                self._catch_up(before)
            node.doubt(before)
            self._version = view.version
            self._shown = self._till = self._rests = None
        shown = view.shows(now)
        if self._turned is now:
            self._catch_up(shown)
        due = node.next_due(shown)
        if due is not self._shown:  # the node gives the same one until something happens to it
            self._shown, self._till = due, None if due is None else view.when(due)
        return self._till

    def acts_at(self, now: datetime, pulse: int | None) -> datetime | None:
        """When anything happens to the member by itself.

        The node need not be asked again where nothing has happened since the member came to rest, and no
        time that passed can tell it anything.
        """
        node, view = self.node, self.view
        if (
            self._news == pulse
            and node.settled
            and (view is None or view.version == self._version)
            and (self._rests is now or node.stager.awaited is None)
        ):
            due = self._till
        else:
            due = self.next_due(now)
        ends = self.executor.next_due()
        return due if ends is None or (due is not None and due <= ends) else ends

    def turn(self, now: datetime, store: LocalStore, pulse: int | None) -> bool:
        """Let the node and its runs do what they have to do, if they have; whether that may matter to
        anybody now.

        ``pulse`` is None where ``store.news`` does not tell all.
        """
        node, view, executor = self.node, self.view, self.executor
        if not (self.session.inbox or executor.pending):
            same = node.settled and (view is None or view.version == self._version)
            if same and self._rests is now:
                return executor.turn(now)  # only what is asked of it makes it due again now
            if (
                same
                and self._news == store.news
                and pulse is not None
                and node.stager.awaited is None
            ):
                due = self._till  # as in ``acts_at``
            else:
                due = self.next_due(now)
                self._news = store.news
            if due is None or due > now:
                self._rests = self._turned = now
                return executor.turn(now)
        return self._step(now, store) | executor.turn(now)

    def _step(self, now: datetime, store: LocalStore) -> bool:
        """Let the node do what it has to do; whether that may matter to anybody now."""
        news, view = store.news, self.view
        shown = now if view is None else view.shows(now)
        if self._turned is now:
            self._catch_up(shown)
        self.node.step(shown)
        if store.news != news or self.session.inbox or self.executor.pending:
            return True
        due = self.next_due(now)
        if due is not None and due <= now:
            return True
        self._rests, self._news = now, news
        return False

    def _catch_up(self, shown: datetime) -> None:
        """The node is about to be asked: let it know of the turn that it has had at this instant."""
        self.node.stager.turn, self._turned = shown, None

    def leave(self, now: datetime) -> None:
        """From ``now`` on the node misses its turns."""
        shown = self.now(now)
        if self._turned is now:
            self._catch_up(shown)
        self.node.doubt(shown)

    def stir(self) -> None:
        """What is around the node has changed, and it has not seen that."""
        self._rests, self._news = None, -1


Program = Generator[Member, None, None]
"""Yields members whose executor wants the loop."""


class Flow:
    """Nodes on one virtual clock."""

    def __init__(self, store: LocalStore, clock: VirtualClock) -> None:
        self.store, self.clock = store, clock
        self._members: list[Member] = []

    @property
    def members(self) -> list[Member]:
        """Who is there, in the order in which they act. Those who are left out of a new list miss turns."""
        return self._members

    @members.setter
    def members(self, members: list[Member]) -> None:
        if members != self._members:
            for member in self._members:
                if member not in members:
                    member.leave(self.clock.now())
            self._members = members

    def quiet(self) -> Program:
        """Everything that happens at this instant."""
        store, pulse = self.store, self.store.pulse()
        before, idle = None, 0
        for _ in range(STEPS_AT_ONE_INSTANT):
            now, members = self.clock.now(), self._members
            count = len(members)
            if now != before:  # a worker may move a frozen clock
                before, idle = now, 0
            for member in members:
                active = member.turn(now, store, pulse)
                while member.executor.wants_loop:
                    yield member
                    active = True
                idle = 0 if active else idle + 1
                if idle == count:  # nobody has had anything to do since its last turn
                    return
            if not count:
                return
        raise LivelockError(
            f"{STEPS_AT_ONE_INSTANT} steps at {self.clock.now().isoformat()} did not come to rest: "
            "jobs insert or snooze one another without any delay"
        )

    def next_due(self) -> datetime | None:
        """The earliest instant at which anything will happen by itself."""
        now, pulse, first = self.clock.now(), self.store.pulse(), None
        for member in self._members:
            due = member.acts_at(now, pulse)
            if due is not None and (first is None or due < first):
                first = due
        return first

    def stir(self) -> None:
        """What is around the nodes has changed, and they have not seen that."""
        for member in self._members:
            member.stir()

    def until(self, target: datetime) -> Program:
        """Everything up to and at ``target``, where the clock then stands: later if a worker moved it."""
        yield from self.quiet()
        instants = 0
        while (due := self.next_due()) is not None and due <= target:
            if (instants := instants + 1) > INSTANTS_OF_ONE_ADVANCE:
                raise ConfigurationError(
                    f"something happened at {INSTANTS_OF_ONE_ADVANCE} instants, and the clock has come "
                    f"to {self.clock.now().isoformat()} of {target.isoformat()} only: advance by less, "
                    "give the test fewer recurring duties (plugins=), or move the clock alone (run=False)"
                )
            self.clock.set(max(due, self.clock.now()))
            yield from self.quiet()
        self.clock.set(max(target, self.clock.now()))
        for member in self._members:
            member.node.stager.turn = member.now(self.clock.now())


def drive(program: Program, run: Callable[[Coroutine[Any, Any, None]], object]) -> None:
    """Run a flow to its end; ``run`` runs a coroutine on a loop of its own."""
    for member in program:
        run(member.executor.turn_async())


async def drive_async(program: Program) -> None:
    """Run a flow to its end on the running loop."""
    for member in program:
        await member.executor.turn_async()
