"""Which statements are prepared, for how long, and when that is given up.

The statements of a node's daily work are the same text each time; prepared, a claim or a settlement
of ten jobs takes the server two thirds of the time. Two dangers are kept away:

- A plan outlives what it was made for: after five uses the server may keep one plan for all, made
  when the table was nearly empty, until the next ANALYZE. So each is made anew after ``USES``; but for
  those that last (``Statement.lasts``): to prepare one again takes four times what its own work does.
- Behind a transaction pooler a connection does not know what another one prepared. A name is a
  digest of its SQL, so it never means another statement; and where the server says that a name is
  missing, or taken, everything is sent unnamed from then on. Nothing was done yet when it says so.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from functools import lru_cache

import psycopg
from psycopg import pq

from pgjobs.adapters.postgres.pipelining import Sent, failed
from pgjobs.adapters.postgres.preparing import Preparing
from pgjobs.adapters.postgres.statement import Statement

USES = 200
"""Uses of a prepared statement before it is prepared anew."""

OUTDATED = sys.maxsize
"""Uses of one that is prepared anew when it is used next."""

STATEMENTS = 64
"""Different statements prepared on one connection; further ones are sent unnamed."""

_POOLED = frozenset({"26000", "42P05"})
_CHANGED = "0A000"


class Prepared:
    """The statements of one connection."""

    def __init__(self, preparing: Preparing) -> None:
        self._preparing = preparing
        self._uses: dict[str, int] = {}

    def uses(self, sql: str) -> int | None:
        """How often the statement was used since it was prepared; None to send it unnamed.

        It is sent unnamed the first time, since some are used once.
        """
        uses = self._uses.get(sql)
        if uses is None and len(self._uses) < STATEMENTS:
            self._uses[sql] = 0
            uses = 0 if self._preparing.every else None
        return None if self._preparing.given_up else uses

    def sent(
        self, statement: Statement, parameters: Sequence[bytes | None], coming: set[str]
    ) -> list[Sent]:
        """How a statement is sent: under its name, behind what prepares it where it is not or was long ago.

        ``coming`` are those that the same flight prepares before.
        """
        sql = statement.sql
        uses = self.uses(sql) if statement.often or self._preparing.every else None
        if uses is None:
            return [Sent(sql.encode(), parameters)]
        text, name = _encoded(sql)
        under = Sent(text, parameters, name)
        if 0 < uses < (OUTDATED if statement.lasts else USES) or sql in coming:
            return [under]
        coming.add(sql)
        anew = [Sent(text, (), name, prepares=True), under]
        return anew if uses == 0 else [Sent(b"DEALLOCATE " + name, ()), *anew]

    def ended(self, sql: str, sent: Sequence[Sent], results: Sequence[pq.abc.PGresult]) -> None:
        """What was sent for a statement has come so far."""
        if sent[-1].name is None:
            return
        for each, result in zip(sent, results, strict=False):
            if failed(result):
                return
            self._uses[sql] = self._uses[sql] + 1 if each is sent[-1] else 0

    def forgives(self, sql: str, error: psycopg.Error) -> bool:
        """Whether ``error`` comes of preparing alone, so that the SQL may be sent unnamed instead."""
        if error.sqlstate in _POOLED:
            self._preparing.given_up = True
            return True
        if error.sqlstate == _CHANGED:
            self._uses[sql] = OUTDATED
            return True
        return False


@lru_cache(maxsize=4 * STATEMENTS)
def _encoded(sql: str) -> tuple[bytes, bytes]:
    """A statement and its name as they are sent."""
    return sql.encode(), name_of(sql).encode()


def name_of(sql: str) -> str:
    """The name that a statement is prepared under."""
    return "pgjobs_" + hashlib.blake2b(sql.encode(), digest_size=16).hexdigest()
