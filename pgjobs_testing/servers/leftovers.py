"""Which databases a killed test run left behind on a server that goes on, and how they go.

Each database is marked, by a comment, with the process that made it. A later run drops those whose
process is gone. Process ids mean something within one boot of one machine (and one container of it)
only, so the mark names these too, and what others made stays; so does what anybody is connected to.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

MARK = "pgjobs test run"
BOOT = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")

FIND = """
SELECT datname, shobj_description(oid, 'pg_database') AS mark
FROM pg_database
WHERE datname ~ '^pgjobs_test_[0-9a-f]{8}_' AND pg_has_role(datdba, 'MEMBER')
ORDER BY datname
"""


def mark() -> str:
    """The comment on a database that this process makes."""
    return f"{MARK}: process {os.getpid()} of {_place()}"


def sweep(connection: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    """Drop what processes that are gone left behind; return the names."""
    import psycopg
    from psycopg import sql

    dropped: list[str] = []
    for name, comment in connection.execute(FIND).fetchall():
        if _left_behind(str(comment or "")):
            with contextlib.suppress(psycopg.Error):  # in use, or dropped by another run meanwhile
                connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(str(name))))
                dropped.append(str(name))
    return dropped


def _left_behind(comment: str) -> bool:
    begun, _, rest = comment.partition(": process ")
    pid, _, where = rest.partition(" of ")
    if begun != MARK or where != _place() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _place() -> str:
    """Where a process id names one process: a boot and a namespace, or a host where these are unknown."""
    try:
        return f"{BOOT.read_text().strip()} {NAMESPACE.readlink()}"
    except OSError:
        return socket.gethostname()
