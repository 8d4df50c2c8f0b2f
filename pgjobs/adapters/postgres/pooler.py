"""Whether a connection keeps its server process, as LISTEN needs. Behind a transaction pooler it does not.

There LISTEN succeeds, on whichever process has its turn; the notifications then come to nobody, and the
process goes on listening for clients that never asked. So it is found out before.

- Without a pooler, the process that answers is the one whose id came with the server's greeting. A
  pooler's greeting has an id of its own.
- Behind a pooler, a second connection is asked in turn with the first. Two sessions never share a
  process, and none changes its own: what does is no session. A pooler in session mode passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pgjobs.adapters.postgres.asking import asked

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

TURNS = 5
"""How often both are asked. A pooler that is wrongly taken for one in session mode delays nothing that
polling does not find."""


def keeps_its_process(connection: Connection, another: Callable[[], Connection]) -> bool:
    """Whether ``connection`` is a session of its own; ``another`` opens a second one like it."""
    mine = _process(connection)
    if mine == connection.pgconn.backend_pid:
        return True
    with another() as other:
        theirs = _process(other)
        for _ in range(TURNS):
            if mine == theirs or mine != _process(connection) or theirs != _process(other):
                return False
    return True


def _process(connection: Connection) -> int:
    ((pid,),) = asked(connection, "SELECT pg_backend_pid()")
    return int(pid)
