"""The connections of a session: lanes, which carry effects one by one, and the listener."""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Protocol

import psycopg
from psycopg import pq

from pgjobs.adapters.postgres import pipelining
from pgjobs.adapters.postgres.asking import asked
from pgjobs.adapters.postgres.conversation import carry_out, carry_out_each
from pgjobs.adapters.postgres.failures import misplaced, translated
from pgjobs.adapters.postgres.names import Names, quoted
from pgjobs.adapters.postgres.pooler import keeps_its_process
from pgjobs.adapters.postgres.prepared import Prepared
from pgjobs.adapters.postgres.preparing import Preparing
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.signals import signal_of
from pgjobs.adapters.postgres.statement import Plan
from pgjobs.adapters.postgres.statements import plan
from pgjobs.adapters.postgres.waiting import READ, WRITE
from pgjobs.effects import Effect
from pgjobs.ports import Done, Signal
from pgjobs.rules.errors import PgJobsError, StoreError, StoreUnavailableError

Connection = psycopg.Connection[Any]

assert (READ, WRITE) == (selectors.EVENT_READ, selectors.EVENT_WRITE)

FLIGHT = 32
"""Effects that travel together at most; the others go when these have ended."""

LONGEST_PAUSE = 64
"""Polls answered between two attempts to listen, where the server refuses it."""


class Line(Protocol):
    """A connection that comes and goes."""

    def prepare(self, connection: Connection) -> None:
        """Make a new connection ready; it may block its own thread."""
        ...

    def arrived(self, connection: Connection) -> None:
        """The connection is there."""
        ...

    def failed(self, error: StoreError) -> None:
        """There is no connection to be had."""
        ...


class Lane:
    """A connection that carries out effects in the order of their submission.

    What waits when it is free goes in one round trip, but for transactions of several statements; so a
    node of many queues claims for all of them in the time of one. Each ends by itself, as it is answered.
    """

    def __init__(
        self,
        names: Names,
        preparing: Preparing,
        selector: selectors.BaseSelector,
        connect: Callable[[Line], None],
        end: Callable[[Done], None],
    ) -> None:
        self._names, self._selector, self._connect, self._end = names, selector, connect, end
        self._preparing = preparing
        self._prepared = Prepared(preparing)
        self._todo: deque[Effect[Any]] = deque()
        self._connection: Connection | None = None
        self._connecting = False
        self._fileno = -1
        self._wanted = READ
        self._under_way: dict[int, tuple[Effect[Any], Plan[Any]]] = {}
        self._talk: Generator[int, int, Any] | None = None
        self._misplaced = False
        self.stirred = 0

    @property
    def doing(self) -> str:
        """What waits for an answer, by name; empty where nothing does."""
        names = (type(effect).__name__ for effect, _ in self._under_way.values())
        return ", ".join(dict.fromkeys(names))

    @property
    def process(self) -> int:
        """The server's process, as its greeting named it; 0 without a connection."""
        return 0 if self._connection is None else self._connection.pgconn.backend_pid

    def give_up(self, why: str) -> None:
        """Drop a connection on which no answer will come: what waits for one may have happened."""
        lost, self._under_way = self._under_way, {}
        self.drop()
        for effect, _ in lost.values():
            self._end(Done(effect, error=StoreUnavailableError(why)))
        self._go_on()

    def add(self, effect: Effect[Any]) -> None:
        """Carry out ``effect`` after those that were added before."""
        self._todo.append(effect)
        self._go_on()

    def prepare(self, connection: Connection) -> None:
        """There is no session state: behind a pooler it would belong to somebody else."""

    def arrived(self, connection: Connection) -> None:
        self._connecting = False
        self._connection = connection
        self._prepared = Prepared(self._preparing)
        self._fileno = connection.pgconn.socket
        self._wanted = READ
        self._selector.register(self._fileno, READ, self._ready)
        self._go_on()

    def failed(self, error: StoreError) -> None:
        """What waits for this connection ends with its error; what comes later may try again."""
        self._connecting = False
        waiting, self._todo = self._todo, deque()
        for effect in waiting:
            self._end(Done(effect, error=error))

    def drop(self) -> None:
        """Close the connection, whatever it is doing."""
        if self._connection is not None:
            self._selector.unregister(self._fileno)
            self._connection.close()
            self._connection = None
        self._talk, self._misplaced = None, False
        self._under_way.clear()

    def _go_on(self) -> None:
        while self._todo and self._talk is None and not self._connecting:
            if self._connection is None:
                self._connecting = True
                self._connect(self)
                return
            self._begin(self._connection)

    def _begin(self, connection: Connection) -> None:
        """Carry out what waits: as many effects of one statement each as stand in a row, or one other."""
        flight = self._under_way
        while self._todo and len(flight) < FLIGHT:
            made = self._planned(self._todo[0])
            if made is not None:
                alone = len(made.statements) > 1 or made.then is not None
                if flight and (alone or not pipelining.supported()):
                    break
                flight[len(flight)] = (self._todo.popleft(), made)
                if alone:
                    break
        if not flight:
            return
        plans = [made for _, made in flight.values()]
        if len(plans) == 1:
            self._talk = carry_out(connection.pgconn, plans[0], self._prepared)
        else:
            self._talk = carry_out_each(connection.pgconn, plans, self._prepared, self._ended)
        self._move(None)

    def _planned(self, effect: Effect[Any]) -> Plan[Any] | None:
        """The plan of the first that waits; None where it has ended already."""
        try:
            made = plan(effect, self._names)
            if made.statements:
                return made
            done = Done(effect, made.answer(()))
        except PgJobsError as error:
            done = Done(effect, error=error)
        self._todo.popleft()
        self._end(done)
        return None

    def _ready(self, events: int) -> None:
        if self._talk is not None:
            self._move(events)
            self._go_on()
            return
        connection = self._connection
        assert connection is not None
        try:  # nothing was asked: the server says farewell, or a notice
            connection.pgconn.consume_input()
        except psycopg.Error:
            self.drop()

    def _move(self, events: int | None) -> None:
        """Let the conversation go on; at its end, hand answers or its error on."""
        talk = self._talk
        assert talk is not None
        self.stirred += 1
        try:
            wanted = next(talk) if events is None else talk.send(events)
        except StopIteration as end:
            self._talk = None
            for n in tuple(self._under_way):  # one alone: of several each has ended by itself
                self._ended(n, end.value)
            if self._misplaced:
                self.drop()
        except psycopg.Error as error:
            self._talk = None
            for n in tuple(self._under_way):
                self._ended(n, error)
            if self._misplaced or not self._idle():
                self.drop()
        else:
            if wanted != self._wanted:
                self._wanted = wanted
                self._selector.modify(self._fileno, wanted, self._ready)

    def _ended(self, n: int, found: list[list[Row]] | psycopg.Error) -> None:
        """The rows, or the error, of one of those that are under way."""
        effect, made = self._under_way.pop(n)
        if isinstance(found, list):
            self._end(answered(effect, made, found))
        else:
            self._misplaced = self._misplaced or misplaced(found)
            self._end(Done(effect, error=translated(found, self._names.schema)))

    def _idle(self) -> bool:
        connection = self._connection
        assert connection is not None
        return connection.pgconn.transaction_status == pq.TransactionStatus.IDLE


def answered(effect: Effect[Any], plan: Plan[Any], rows: Any) -> Done:
    """The end of an effect that was carried out; rows that cannot be read are an error of it."""
    try:
        return Done(effect, plan.answer(rows))
    except StoreError as error:  # a lease that was lost: nothing was changed
        return Done(effect, error=error)
    except Exception as error:  # committed all the same: the node looks a claim up by its token
        text = f"the answer to {type(effect).__name__} could not be read"
        return Done(effect, error=StoreError(f"{text}: {type(error).__name__}: {error}"))


class Listener:
    """A connection that hears notifications.

    It is opened with the session's first effect, and again when the server has answered a poll;
    where the server refuses it, or a pooler keeps no session, after twice as many polls each time,
    and polls find what notifications would have told. The node is told to look for
    itself when the connection is lost, and when it is there again: it may have missed something.
    """

    def __init__(
        self,
        names: Names,
        selector: selectors.BaseSelector,
        connect: Callable[[Line], None],
        tell: Callable[[Signal], None],
        another: Callable[[], Connection],
    ) -> None:
        self._names, self._selector, self._connect, self._tell = names, selector, connect, tell
        self._another = another
        self._connection: Connection | None = None
        self._begun = self._connecting = False
        self._fileno = -1
        self._pause = self._polls_left = 0
        self._asked = False
        self._looked: float | None = None

    def begin(self) -> None:
        """Listen, if that was never tried before."""
        if not self._begun:
            self._begun = self._connecting = True
            self._connect(self)

    def revive(self) -> None:
        """The server has answered a poll: listen again, where that was lost."""
        if self._connection is not None or self._connecting:
            return
        self._polls_left -= 1
        if self._polls_left <= 0:
            self._connecting = True
            self._connect(self)

    def prepare(self, connection: Connection) -> None:
        if not keeps_its_process(connection, self._another):
            raise StoreError("a transaction pooler stands before the server: nothing can listen")
        for channel in self._names.channels:
            asked(connection, f"LISTEN {quoted(channel)}")

    def arrived(self, connection: Connection) -> None:
        self._connecting = False
        self._pause = self._polls_left = 0
        self._connection = connection
        self._asked, self._looked = False, None
        self._fileno = connection.pgconn.socket
        self._selector.register(self._fileno, READ, self._ready)
        self._tell(Signal("control"))
        self._hear(connection)

    def failed(self, error: StoreError) -> None:
        self._connecting = False
        self._pause = self._polls_left = min(LONGEST_PAUSE, max(1, 2 * self._pause))

    def drop(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._selector.unregister(self._fileno)
            self._connection.close()
            self._connection = None

    def look(self, now: float, every_s: float) -> None:
        """Ask for a sign of life, and give up a connection on which none has come since the last time.

        It waits for nothing but the line: what is asked is the empty statement.
        """
        if self._connection is not None and self._looked is not None and self._asked:
            self._ready(READ)  # the node's thread may have stood still, and the answer be there
        connection = self._connection
        if connection is None or (self._looked is not None and now - self._looked < every_s):
            return
        first, self._looked = self._looked is None, now
        if self._asked:
            self._lose()
        elif not first:
            try:
                connection.pgconn.send_query(b"")
                connection.pgconn.flush()
                self._asked = True
            except psycopg.Error:
                self._lose()

    def _ready(self, _: int) -> None:
        connection = self._connection
        assert connection is not None
        try:
            connection.pgconn.consume_input()
            while self._asked and not connection.pgconn.is_busy():
                self._asked = connection.pgconn.get_result() is not None
        except psycopg.Error:
            self._lose()
        else:
            self._hear(connection)

    def _lose(self) -> None:
        self.drop()
        self._tell(Signal("control"))  # the node polls, and the answer revives the listener

    def _hear(self, connection: Connection) -> None:
        while (note := connection.pgconn.notifies()) is not None:
            signal = signal_of(note.relname.decode(), note.extra.decode(), self._names)
            if signal is not None:
                self._tell(signal)
