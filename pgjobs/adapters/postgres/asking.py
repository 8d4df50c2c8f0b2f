"""What the server says of a statement that has had no answer for long: asked over another connection.

A line can stay open and carry nothing: a balancer or a pooler acknowledges every byte, and whoever stood
behind it has gone. No timeout of TCP ends that, and none of ours could tell it from a statement that waits
for a lock. The server can, for it knows each of its processes by an id that came with its greeting:

| the process | meaning |
|---|---|
| works, or waits for a lock | the statement is under way, however long that takes |
| waits for its client, or is gone | it has answered, or never heard of the statement: the line is dead |
| is not to be seen | nobody can say: another user's, nothing is tracked, or the ids are those of a pooler |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import psycopg

from pgjobs.adapters.postgres import waiting
from pgjobs.adapters.postgres.conversation import carry_out
from pgjobs.adapters.postgres.prepared import Prepared
from pgjobs.adapters.postgres.preparing import Preparing
from pgjobs.adapters.postgres.rows import Row
from pgjobs.adapters.postgres.statement import Plan, Statement

if TYPE_CHECKING:
    Connection = psycopg.Connection[Any]

ANSWER_S = 10.0
"""A question takes no lock and reads no table: one that is not answered within it never will be."""

_ASKED = """
SELECT pg_backend_pid(), asked.pid, a.pid IS NOT NULL, a.state, a.wait_event_type, a.wait_event,
    array_to_string(pg_blocking_pids(asked.pid), ', ')
FROM unnest($1::text::int[]) AS asked (pid)
LEFT JOIN pg_stat_activity AS a ON a.pid = asked.pid AND a.datname = current_database()
"""

_ENDED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = ANY ($1::text::int[]) AND datname = current_database() AND usename = current_user
    AND application_name = current_setting('application_name')
    AND (state NOT IN ('active', 'fastpath function call') OR wait_event_type = 'Client')
"""

_AT_WORK = ("active", "fastpath function call")
_UNPREPARED = Preparing(given_up=True)


class SilentLineError(psycopg.OperationalError):
    """A connection on which no answer will come: others of its age may be no better."""


class Verdict(Enum):
    """Whether a statement is under way."""

    WORKS = auto()
    DEAD = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Word:
    """What the server says of one of its processes, for machines and for people."""

    verdict: Verdict
    text: str


def asked(connection: Connection, sql: str, *parameters: str | None) -> list[Row]:
    """The rows of a question; ``OperationalError`` where no answer comes within ``ANSWER_S``.

    Such a connection is good for nothing more: close it.
    """

    def silent(_: float) -> float:
        raise psycopg.OperationalError(f"no answer within {ANSWER_S:g} s")

    question: Plan[Any] = Plan((Statement(sql, parameters),), lambda rows: rows)
    talk = carry_out(connection.pgconn, question, Prepared(_UNPREPARED))
    (rows,) = waiting.wait(talk, connection.pgconn.socket, silent, ANSWER_S)
    found: list[Row] = rows
    return found


def words(
    connect: Callable[[], Connection], processes: Sequence[int], dead: Sequence[int] = ()
) -> dict[int, Word]:
    """What the server says of each process; errors are psycopg's, or of the store.

    Those in ``dead``, which nobody can hear any more, are ended if they still wait for their clients: no
    statement on its way to them comes true later, and none keeps its locks.
    """
    connection = connect()
    try:
        rows = asked(connection, _ASKED, _array(processes))
        if any(mine != connection.pgconn.backend_pid for mine, *_ in rows):
            unknown = Word(Verdict.UNKNOWN, "a pooler stands before the server, so nobody can say")
            return dict.fromkeys(processes, unknown)
        if dead:
            with suppress(psycopg.Error):  # not ours to end: it ends with its line
                asked(connection, _ENDED, _array(dead))
        return {process: _word(process, *told) for _, process, *told in rows}
    finally:
        connection.close()


def _array(numbers: Sequence[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"


def _word(
    process: int,
    there: bool,
    state: str | None,
    waits: str | None,
    event: str | None,
    blockers: str | None,
) -> Word:
    if not there:
        return Word(Verdict.DEAD, f"its process {process} is gone")
    if state is None or state == "disabled":
        return Word(Verdict.UNKNOWN, f"what its process {process} does cannot be seen")
    if state not in _AT_WORK or waits == "Client":
        return Word(Verdict.DEAD, f"its process {process} is {state} and waits for its client")
    if blockers:
        return Word(Verdict.WORKS, f"process {process} waits for a lock held by process {blockers}")
    doing = "" if waits is None else f", at {waits} {event}"
    return Word(Verdict.WORKS, f"process {process} is at work{doing}")
