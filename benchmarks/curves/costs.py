"""What work cost: CPU of processes, by Linux's own counters, and what a server says that it did.

Wall time depends on who else uses the machine. CPU time, transactions, pages and WAL depend much less.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psycopg

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Work:
    """What a server has done for one database so far, or between two looks at it.

    ``transactions`` is the number of statements where each is a transaction of its own, as those of
    unlimited queues are. ``pages`` were looked at, in memory or not. ``cpu_s`` is that of the whole server.
    """

    transactions: int
    pages: int
    wal_bytes: int
    cpu_s: float

    def since(self, before: Work) -> Work:
        return Work(
            self.transactions - before.transactions,
            self.pages - before.pages,
            self.wal_bytes - before.wal_bytes,
            self.cpu_s - before.cpu_s,
        )


def work(connection: psycopg.Connection[tuple[object, ...]]) -> Work:
    """What the server has done for the database of ``connection`` (in autocommit).

    A backend hands its counts in when it ends, and once a second while it is busy; so stop the nodes first,
    or look over many seconds.
    """
    connection.execute("SELECT pg_stat_clear_snapshot()")
    row = connection.execute(
        "SELECT xact_commit + xact_rollback, blks_hit + blks_read, "
        "pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint "
        "FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    transactions, pages, wal_bytes = map(int, map(str, row))
    return Work(transactions, pages, wal_bytes, server_cpu_s(connection.info.backend_pid))


def server_cpu_s(backend: int) -> float:
    """CPU seconds of a whole server, one of whose processes is ``backend``: those that ended, too."""
    postmaster = int(_stat(backend)[1])
    of_ended = sum(int(ticks) for ticks in _stat(postmaster)[13:15]) * TICK_S
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii")
    return of_ended + sum(map(_cpu_s, (postmaster, *map(int, children.split()))))


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process of one thread; 0 for one that has just ended, and counts with the ended."""
    try:
        nanoseconds = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(nanoseconds) / 1e9


def _stat(pid: int) -> list[str]:
    """Those fields of /proc/PID/stat that come behind the program's name, which may hold anything."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return stat.rpartition(")")[2].split()
