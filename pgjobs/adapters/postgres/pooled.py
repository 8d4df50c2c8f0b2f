"""A connection of a pool: whether it can be used, what is said on it, and how it is closed."""

from __future__ import annotations

import select
from collections.abc import Callable, Generator
from typing import Any

import psycopg
from psycopg import pq

from pgjobs.adapters.postgres import waiting
from pgjobs.adapters.postgres.conversation import carry_out
from pgjobs.adapters.postgres.prepared import Prepared
from pgjobs.adapters.postgres.preparing import Preparing
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.silence import Doubt, Patience
from pgjobs.adapters.postgres.statement import Plan

Connection = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]


class Line:
    """One connection. ``age`` is the number of closings that its pool had seen."""

    __slots__ = (
        "_closed",
        "_doubt",
        "_patience",
        "_poll",
        "_prepared",
        "_watch",
        "age",
        "connection",
        "pgconn",
    )

    def __init__(
        self, connection: Connection, age: int, preparing: Preparing, patience: Patience
    ) -> None:
        self._patience = patience
        self._doubt: Doubt | None = None
        self.connection, self.pgconn, self.age = connection, connection.pgconn, age
        self._prepared = Prepared(preparing)
        self._watch = waiting.Watch(self.pgconn.socket)
        self._closed = False
        self._poll = select.poll()
        self._poll.register(self.pgconn.socket, select.POLLIN)

    def rows(
        self, plan: Plan[Any], another: Callable[[], psycopg.Connection[Any]]
    ) -> list[list[Row]]:
        """Carry out ``plan``, blocking this thread; psycopg's errors come out of here.

        Where no answer comes, the server is asked for the reason over ``another`` connection.
        """

        def silent(silent_s: float) -> float:
            if self._doubt is None:
                self._doubt = Doubt(self.pgconn.backend_pid, another, self._patience)
            return self._doubt(silent_s)

        found: list[list[Row]] = waiting.wait(
            self._carry_out(plan), self.pgconn.socket, silent, self._patience.asked_after_s
        )
        return found

    async def rows_async(self, plan: Plan[Any]) -> list[list[Row]]:
        """The same, on the running event loop."""
        found: list[list[Row]] = await self._watch.wait(self._carry_out(plan))
        return found

    def _carry_out(self, plan: Plan[Any]) -> Generator[int, int, list[list[Row]]]:
        return carry_out(self.pgconn, plan, self._prepared)

    @property
    def idle(self) -> bool:
        """Whether it is in the middle of nothing, not lost, and not about to be closed."""
        return not self._closed and self.pgconn.transaction_status == pq.TransactionStatus.IDLE

    def alive(self) -> bool:
        """Whether an idle connection still has a server; one that has not is closed."""
        try:
            while self._poll.poll(0):  # a notice or a farewell; the end of the stream raises
                self.pgconn.consume_input()
                if self.pgconn.is_busy():
                    break
            else:
                if self.pgconn.status == pq.ConnStatus.OK:
                    return True
        except psycopg.Error:
            pass
        self.close()
        return False

    def close(self) -> None:
        """Hang up: at once, or as soon as the loop can that watches it in another thread."""
        self._closed = True
        self._watch.close(self._finish)

    def _finish(self) -> None:
        self.pgconn.finish()  # by a method of ours, so that the connection outlives the wait for it
