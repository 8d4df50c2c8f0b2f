"""How several statements share one round trip: libpq's pipeline mode, carried on by whoever waits.

The server carries them out one after the other, each with a snapshot of its own. Where the database is 5 ms
away, a transaction of five statements holds its locks for 5 ms, then, and not for 25; and ten queues claim
in the time of one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cache

import psycopg
from psycopg import OperationalError, pq

from pgjobs.adapters.postgres.waiting import READ, WRITE
from pgjobs.rules.swift import swift

_OK = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


@swift
@dataclass(frozen=True, slots=True)
class Sent:
    """A statement as it is sent; under ``name`` it was prepared, or is so now where it ``prepares``."""

    sql: bytes
    parameters: Sequence[bytes | None]
    name: bytes | None = None
    prepares: bool = False

    def send(self, pgconn: pq.abc.PGconn) -> None:
        """Send it; its result comes in binary."""
        if self.name is None:
            pgconn.send_query_params(self.sql, self.parameters, result_format=1)
        elif self.prepares:
            pgconn.send_prepare(self.name, self.sql)
        else:
            pgconn.send_query_prepared(self.name, self.parameters, result_format=1)


@cache
def supported() -> bool:
    """Whether this libpq has a pipeline mode: from PostgreSQL 14 on."""
    return psycopg.Pipeline.is_supported()


def together(
    pgconn: pq.abc.PGconn, flight: Sequence[Sent], behind: Callable[[], Sent] | None = None
) -> Generator[int, int, list[pq.abc.PGresult]]:
    """Send all of these, and receive the result of each.

    Where one fails its error is the last: those behind it were not carried out. ``behind`` makes one more
    when these are on their way: the server works meanwhile. Where it raises, they were carried out.
    """
    pgconn.enter_pipeline_mode()
    for sent in flight:
        sent.send(pgconn)
    if behind is not None:
        yield from _flushed(pgconn)
        try:
            behind().send(pgconn)
        except Exception:
            pgconn.pipeline_sync()
            yield from _flushed(pgconn)
            yield from _received(pgconn)
            _leave(pgconn)
            raise
    pgconn.pipeline_sync()
    yield from _flushed(pgconn)
    results = yield from _received(pgconn)
    _leave(pgconn)
    return results


def side_by_side(
    pgconn: pq.abc.PGconn, flight: Sequence[Sent], ended: Callable[[int, pq.abc.PGresult], None]
) -> Generator[int, int, None]:
    """Send all of these on an idle connection in autocommit, each a transaction of its own.

    ``ended`` is told of the result of each, which may be an error, when it arrives.
    """
    pgconn.enter_pipeline_mode()
    for sent in flight:
        sent.send(pgconn)
        pgconn.pipeline_sync()
    yield from _flushed(pgconn)
    for n in range(len(flight)):
        results = yield from _received(pgconn)
        ended(n, results[-1])
    _leave(pgconn)


def failed(result: pq.abc.PGresult) -> bool:
    """Whether a result is an error."""
    return result.status not in _OK


def _flushed(pgconn: pq.abc.PGconn) -> Generator[int, int, None]:
    while pgconn.flush():
        if (yield READ | WRITE) & READ:  # the server may have to speak before it can listen
            pgconn.consume_input()


def _received(pgconn: pq.abc.PGconn) -> Generator[int, int, list[pq.abc.PGresult]]:
    """The results up to the next mark: an error is the last."""
    results: list[pq.abc.PGresult] = []
    while True:
        while pgconn.is_busy():
            yield READ
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:  # the end of one statement's results
            if pgconn.status != pq.ConnStatus.OK:
                raise OperationalError("the connection was lost")
        elif result.status == pq.ExecStatus.PIPELINE_SYNC:
            return results
        elif result.status != pq.ExecStatus.PIPELINE_ABORTED:
            results.append(result)


def _leave(pgconn: pq.abc.PGconn) -> None:
    pgconn.exit_pipeline_mode()
    while pgconn.notifies() is not None:
        pass  # a pooler may have given us a connection on which somebody listens
