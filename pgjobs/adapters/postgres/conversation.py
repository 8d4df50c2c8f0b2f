"""How a plan is carried out over one connection: a generator that every driver moves on.

It yields what the socket must be ready for (READ, or READ and WRITE) and takes what it is ready for;
it returns the rows of each statement. A blocking call and an event loop (``waiting``) and a session's
selector wait in their own ways, and the conversation with the server is written once, over libpq's
non-blocking calls.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import DataError, OperationalError, errors, pq

from pgjobs.adapters.postgres import pipelining
from pgjobs.adapters.postgres.pipelining import Sent, failed
from pgjobs.adapters.postgres.prepared import Prepared
from pgjobs.adapters.postgres.results import rows_of
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, Statement
from pgjobs.adapters.postgres.waiting import READ, WRITE

Conversation = Generator[int, int, list[list[Row]]]
Exchange = Generator[int, int, pq.abc.PGresult]


def carry_out(pgconn: pq.abc.PGconn, plan: Plan[Any], prepared: Prepared) -> Conversation:
    """Carry out ``plan`` on an idle connection in autocommit; psycopg's errors come out of here.

    After an error the connection is idle again, unless it was lost.
    """
    if len(plan.statements) == 1 and plan.then is None:
        result = yield from _single(pgconn, plan.statements[0], prepared)
        return [rows_of(result)]
    try:
        return (yield from _transaction(pgconn, plan, prepared))
    except _NotPreparedError:
        return (yield from _transaction(pgconn, plan, None))


def carry_out_each(
    pgconn: pq.abc.PGconn,
    plans: Sequence[Plan[Any]],
    prepared: Prepared,
    ended: Callable[[int, list[list[Row]] | psycopg.Error], None],
) -> Generator[int, int, None]:
    """Carry out plans of one statement each, side by side, each a transaction of its own.

    ``ended`` is told the rows of each or its error, when it ends. What comes out of here is that the
    connection was lost, and concerns all that have not ended.
    """
    flight: list[tuple[int, Sent]] = []
    coming: set[str] = set()
    again: list[int] = []
    for n, plan in enumerate(plans):
        (statement,) = plan.statements
        try:
            flight.append((n, (yield from _prepared(pgconn, statement, prepared, coming))))
        except psycopg.Error as error:
            if pgconn.status != pq.ConnStatus.OK:
                raise
            ended(n, error)

    def received(place: int, result: pq.abc.PGresult) -> None:
        n, sent = flight[place]
        sql = plans[n].statements[0].sql
        prepared.ended(sql, [sent], [result])
        if not failed(result):
            ended(n, [rows_of(result)])
            return
        error = errors.error_from_result(result)
        if sent.name is not None and prepared.forgives(sql, error):
            again.append(n)
        else:
            ended(n, error)

    yield from pipelining.side_by_side(pgconn, [sent for _, sent in flight], received)
    for n in again:
        try:
            result = yield from _unnamed(pgconn, plans[n].statements[0])
        except psycopg.Error as error:
            if pgconn.status != pq.ConnStatus.OK:
                raise
            ended(n, error)
        else:
            ended(n, [rows_of(result)])


def _prepared(
    pgconn: pq.abc.PGconn, statement: Statement, prepared: Prepared, coming: set[str]
) -> Generator[int, int, Sent]:
    """How a statement is sent, prepared before: what fails beside others and is sent again ends last."""
    parameters = _encoded(statement)
    *before, sent = prepared.sent(statement, parameters, coming)
    if before:
        results = yield from _all(pgconn, before)
        prepared.ended(statement.sql, [*before, sent], results)
        if failed(results[-1]):
            error = errors.error_from_result(results[-1])
            if not prepared.forgives(statement.sql, error):
                raise error
            return Sent(sent.sql, parameters)
    return sent


FLIGHT_CHARACTERS = 1 << 18
"""What the parameters of statements that travel together hold at most; more is sent when that has arrived."""

_BEGIN = Statement("BEGIN ISOLATION LEVEL READ COMMITTED")
_COMMIT = Statement("COMMIT")


class _NotPreparedError(Exception):
    """A statement of a transaction failed because of preparing alone: nothing was done."""


def _transaction(pgconn: pq.abc.PGconn, plan: Plan[Any], prepared: Prepared | None) -> Conversation:
    """Each statement sees what was committed before it, whatever the database's default says.

    What waits for no rows of earlier statements travels with them.
    """
    found: list[list[Row]] = []
    waiting = [_BEGIN, *plan.statements]
    behind = plan.behind
    if plan.then is None:
        waiting.append(_COMMIT)
    try:
        while True:
            flight, waiting = _flight(waiting)
            last, behind = (None, behind) if waiting else (behind, None)
            results = yield from _flown(pgconn, flight, prepared, last)
            rows = [rows_of(result) for result in results]
            found += rows[flight[0] is _BEGIN : -1 if flight[-1] is _COMMIT else None]
            if flight[-1] is _COMMIT:
                return found
            if not waiting:
                assert plan.then is not None
                following = plan.then(found)
                waiting = [_COMMIT] if following is None else [following]
                if following is not None and following.ends:
                    waiting.append(_COMMIT)
    except Exception:
        if pgconn.status == psycopg.pq.ConnStatus.OK:
            yield from _unnamed(pgconn, Statement("ROLLBACK"))
        raise


def _flight(waiting: Sequence[Statement]) -> tuple[list[Statement], list[Statement]]:
    """What travels together now, and what is left. A COPY travels alone."""
    room, count = FLIGHT_CHARACTERS, 0
    for statement in waiting:
        if statement.data is not None:
            count = max(1, count)
            break
        room -= sum(len(text) for text in statement.parameters if text is not None)
        if count and room < 0:
            break
        count += 1
    return [*waiting[:count]], [*waiting[count:]]


def _flown(
    pgconn: pq.abc.PGconn,
    flight: Sequence[Statement],
    prepared: Prepared | None,
    behind: Callable[[], Statement] | None,
) -> Generator[int, int, list[pq.abc.PGresult]]:
    """The result of each statement of a transaction: in one round trip, where libpq can do that."""
    if flight[0].data is not None:
        (copying,) = flight
        assert copying.data is not None
        return [(yield from _copied(pgconn, copying.sql, copying.data()))]
    parts: list[list[Sent]] = []
    coming: set[str] = set()
    for statement in flight:
        if prepared is None or statement in (_BEGIN, _COMMIT):
            parts.append([_sent(statement)])
        else:
            parts.append(prepared.sent(statement, _encoded(statement), coming))
    last = None if behind is None else (lambda: _sent(behind()))
    found = yield from _all(pgconn, [sent for part in parts for sent in part], last)
    results: list[pq.abc.PGresult] = []
    for statement, part in zip(flight, parts, strict=True):
        here, found = found[: len(part)], found[len(part) :]
        if prepared is not None:
            prepared.ended(statement.sql, part, here)
        if failed(here[-1]):
            error = errors.error_from_result(here[-1])
            named = part[-1].name is not None
            if named and prepared is not None and prepared.forgives(statement.sql, error):
                raise _NotPreparedError from error
            raise error
        results.append(here[-1])
    if found and failed(found[-1]):
        raise errors.error_from_result(found[-1])
    return [*results, *found]


def _sent(statement: Statement) -> Sent:
    return Sent(statement.sql.encode(), _encoded(statement))


def _all(
    pgconn: pq.abc.PGconn, flight: Sequence[Sent], behind: Callable[[], Sent] | None = None
) -> Generator[int, int, list[pq.abc.PGresult]]:
    """The results of all of these up to the first that is an error: in one round trip, if that can be had."""
    if (behind is not None or len(flight) > 1) and pipelining.supported():
        return pipelining.together(pgconn, flight, behind)
    return _one_by_one(pgconn, flight, behind)


def _one_by_one(
    pgconn: pq.abc.PGconn, flight: Iterable[Sent], behind: Callable[[], Sent] | None
) -> Generator[int, int, list[pq.abc.PGresult]]:
    """The results up to the first that is an error."""
    results: list[pq.abc.PGresult] = []
    for sent in flight:
        sent.send(pgconn)
        results.append((yield from _received(pgconn)))
        if failed(results[-1]):
            return results
    if behind is not None:
        behind().send(pgconn)
        results.append((yield from _received(pgconn)))
    return results


def _single(pgconn: pq.abc.PGconn, statement: Statement, prepared: Prepared) -> Exchange:
    flight = prepared.sent(statement, _encoded(statement), set())
    if len(flight) == 1:
        flight[0].send(pgconn)
        results = [(yield from _received(pgconn))]
    else:
        results = yield from _all(pgconn, flight)
    prepared.ended(statement.sql, flight, results)
    if not failed(results[-1]):
        return results[-1]
    error = errors.error_from_result(results[-1])
    if flight[-1].name is None or not prepared.forgives(statement.sql, error):
        raise error
    return (yield from _unnamed(pgconn, statement))


def _unnamed(pgconn: pq.abc.PGconn, statement: Statement) -> Exchange:
    pgconn.send_query_params(statement.sql.encode(), _encoded(statement), result_format=1)
    return (yield from _result(pgconn))


def _copied(pgconn: pq.abc.PGconn, sql: str, pieces: Iterable[bytes]) -> Exchange:
    """Stream ``pieces`` into a COPY: the next one is made while the server takes in the last."""
    pgconn.send_query_params(sql.encode(), [])
    yield from _flushed(pgconn)
    while pgconn.is_busy():
        yield READ
        pgconn.consume_input()
    begun = pgconn.get_result()
    if begun is not None and begun.status == pq.ExecStatus.COPY_IN:
        try:
            for piece in pieces:
                pgconn.put_copy_data(piece)
                yield from _flushed(pgconn)
        except Exception as error:
            pgconn.put_copy_end(f"{type(error).__name__} in the client".encode())
            with suppress(errors.QueryCanceled):  # the server's word for it
                yield from _result(pgconn)
            raise
        pgconn.put_copy_end()
    elif begun is not None:
        with suppress(OperationalError):
            yield from _result(pgconn)
        raise errors.error_from_result(begun)
    return (yield from _result(pgconn))


def _flushed(pgconn: pq.abc.PGconn) -> Generator[int, int, None]:
    """Send what is waiting to be sent."""
    while pgconn.flush():
        if (yield READ | WRITE) & READ:  # the server may have to speak before it can listen
            pgconn.consume_input()


def _encoded(statement: Statement) -> list[bytes | None]:
    try:
        return [None if text is None else text.encode() for text in statement.parameters]
    except UnicodeEncodeError as error:
        raise DataError(f"a text that UTF-8 cannot hold: {error}") from None


def _result(pgconn: pq.abc.PGconn) -> Exchange:
    """What ``_received`` says; an error is raised."""
    result = yield from _received(pgconn)
    if failed(result):
        raise errors.error_from_result(result)
    return result


def _received(pgconn: pq.abc.PGconn) -> Exchange:
    """Send what is waiting to be sent, and receive one result, which may be an error."""
    if pgconn.flush():
        yield from _flushed(pgconn)
    results = []
    while True:
        while pgconn.is_busy():
            yield READ
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            break
        results.append(result)
    while pgconn.notifies() is not None:
        pass  # a pooler may have given us a connection on which somebody listens
    if not results:
        raise OperationalError("the connection was lost")
    return next(filter(failed, results), results[-1])
