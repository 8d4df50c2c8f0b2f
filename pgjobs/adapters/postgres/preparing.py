"""Which statements are prepared, for how long, and when that is given up.

The statements of a node's daily work are the same text each time; prepared, a claim or a settlement
of ten jobs takes the server two thirds of the time. Two dangers are kept away:

- A plan outlives what it was made for: after five uses the server may keep one plan for all, made
  when the table was nearly empty, until the next ANALYZE. So each is made anew after ``USES``.
- Behind a transaction pooler a connection does not know what another one prepared. A name is a
  digest of its SQL, so it never means another statement; and where the server says that a name is
  missing, or taken, everything is sent unnamed from then on. Nothing was done yet when it says so.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

USES = 200
"""Uses of a prepared statement before it is prepared anew."""

STATEMENTS = 64
"""Different statements prepared on one connection; further ones are sent unnamed."""

_POOLED = frozenset({"26000", "42P05"})
_CHANGED = "0A000"


class Preparing:
    """What the connections of one store share: whether preparing works at all, and whether ``every``
    statement is to be prepared at its first use, not only those of daily work at their second."""

    def __init__(self, *, given_up: bool = False) -> None:
        self.given_up, self.every = given_up, False


class Prepared:
    """The statements of one connection."""

    def __init__(self, preparing: Preparing) -> None:
        self._preparing = preparing
        self._uses: dict[str, int] = {}

    @property
    def every(self) -> bool:
        """Whether statements are prepared that say of themselves that they are used once."""
        return self._preparing.every

    def uses(self, sql: str) -> int | None:
        """How often the statement was used since it was prepared; None to send it unnamed.

        It is sent unnamed the first time, since some are used once.
        """
        uses = self._uses.get(sql)
        if uses is None and len(self._uses) < STATEMENTS:
            self._uses[sql] = 0
            uses = 0 if self._preparing.every else None
        return None if self._preparing.given_up else uses

    def used(self, sql: str, uses: int) -> None:
        """Remember how often it was used; 0 when it is not prepared now."""
        self._uses[sql] = uses

    def forgives(self, sql: str, error: psycopg.Error) -> bool:
        """Whether ``error`` comes of preparing alone, so that the SQL may be sent unnamed instead."""
        if error.sqlstate in _POOLED:
            self._preparing.given_up = True
            return True
        if error.sqlstate == _CHANGED:
            self._uses[sql] = USES
            return True
        return False


@lru_cache(maxsize=4 * STATEMENTS)
def name_of(sql: str) -> str:
    """The name that a statement is prepared under."""
    return "pgjobs_" + hashlib.blake2b(sql.encode(), digest_size=16).hexdigest()
