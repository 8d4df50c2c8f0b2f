"""What goes over the wire: statements and round trips, read from libpq's own trace of every connection.

Nothing of pgjobs is asked or changed, so whatever way it comes to talk to its server is counted.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

STATEMENTS = (b"Query", b"Execute")
"""The messages of a client that let a statement run, in the simple and in the extended protocol."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What clients sent. Whatever one sends before it waits for an answer is one round trip."""

    statements: int
    round_trips: int


class Wire:
    """The traces of the connections that were opened so far."""

    def __init__(self) -> None:
        self.traces: list[int] = []

    def sent(self, act: Callable[[], object]) -> Sent:
        """What was sent while ``act`` ran."""
        before = self._so_far()
        act()
        after = self._so_far()
        return Sent(after.statements - before.statements, after.round_trips - before.round_trips)

    def _so_far(self) -> Sent:
        statements = round_trips = 0
        for trace in self.traces:
            sends = False
            for line in os.pread(trace, os.fstat(trace).st_size, 0).splitlines():
                columns = line.split(b"\t")
                if len(columns) < 4 or columns[1] not in (b"F", b"B"):
                    continue
                before, sends = sends, columns[1] == b"F"
                if sends:
                    statements += columns[3].strip() in STATEMENTS
                    round_trips += not before
        return Sent(statements, round_trips)


@contextmanager
def tapped() -> Iterator[Wire]:
    """Trace every connection that is opened inside. On Linux alone, as libpq has it."""
    wire = Wire()
    connect = psycopg.Connection.connect
    with ExitStack() as files:

        def traced(*given: Any, **options: Any) -> psycopg.Connection[Any]:
            connection = connect(*given, **options)
            file = files.enter_context(tempfile.TemporaryFile())
            connection.pgconn.trace(file.fileno())
            files.callback(
                connection.pgconn.untrace
            )  # or whoever gets that number next is written to
            wire.traces.append(file.fileno())
            return connection

        psycopg.Connection.connect = traced  # type: ignore[method-assign]  # for a while
        try:
            yield wire
        finally:
            psycopg.Connection.connect = connect  # type: ignore[method-assign]  # as it was
