"""How several statements share one round trip: libpq's pipeline mode, carried on by whoever waits.

The server carries them out one after the other, each with a snapshot of its own, and stops at the first
that fails. Where the database is 5 ms away, a transaction of five statements holds its locks for 5 ms, then,
and not for 25.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg import pq

READ, WRITE = 1, 2

Sent = tuple[bytes, Sequence[bytes | None]]
"""A statement and its parameters, encoded."""


@cache
def supported() -> bool:
    """Whether this libpq has a pipeline mode: from PostgreSQL 14 on."""
    import psycopg

    return psycopg.Pipeline.is_supported()


def together(
    pgconn: pq.abc.PGconn, sent: Sequence[Sent]
) -> Generator[int, int, list[pq.abc.PGresult]]:
    """Send all of these on an idle connection, and receive the result of each, in binary.

    The error of the first that fails is raised; those behind it were not carried out.
    """
    from psycopg import errors, pq

    pgconn.enter_pipeline_mode()
    for sql, parameters in sent:
        pgconn.send_query_params(sql, parameters, result_format=1)
    pgconn.pipeline_sync()
    while pgconn.flush():
        if (yield READ | WRITE) & READ:  # the server may have to speak before it can listen
            pgconn.consume_input()
    results: list[pq.abc.PGresult] = []
    failed: pq.abc.PGresult | None = None
    while True:
        while pgconn.is_busy():
            yield READ
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:  # the end of one statement's results
            if pgconn.status != pq.ConnStatus.OK:
                raise errors.OperationalError("the connection was lost")
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            break
        if result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            results.append(result)
        elif result.status != pq.ExecStatus.PIPELINE_ABORTED:
            failed = failed or result
    pgconn.exit_pipeline_mode()
    while pgconn.notifies() is not None:
        pass  # a pooler may have given us a connection on which somebody listens
    if failed is not None:
        raise errors.error_from_result(failed)
    return results
