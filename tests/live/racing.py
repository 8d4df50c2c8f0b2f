"""One process of a race: two connections insert jobs of the same fingerprints, in one way each round.

Prints a JSON list of [mode, fingerprint's number, what came of it, id]; what came of it is ``inserted``,
``conflict``, ``undone`` (rolled back on purpose) or the SQLSTATE of an error.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import psycopg

from pgjobs import Unique, worker
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.statements import plan
from pgjobs.effects import Insert
from pgjobs_testing.clock import SeededRng

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
MODES = ("autocommit", *LEVELS)


@worker(name="raced", unique=Unique(period=None))
def raced(job: object) -> None: ...


def raced_by(dsn: str, seed: int, fingerprints: int, told: list[Any]) -> None:
    """Insert a job of each fingerprint, in each mode, in an order of this connection's own."""
    rng = SeededRng(seed)
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        for mode in MODES:
            numbers = sorted(range(fingerprints), key=lambda _: rng.random(f"order {mode}"))
            for n in numbers:
                undone = mode != "autocommit" and rng.random(f"undone {mode}") < 1 / 3
                told.append([mode, n, *one(connection, mode, n, undone)])


def one(connection: Any, mode: str, n: int, undone: bool) -> tuple[str, int]:
    made = plan(Insert((raced.new({"mode": mode, "n": n}),), NOW), Names("public"))
    (statement,) = made.statements
    cursor = psycopg.RawCursor(connection)
    try:
        if mode != "autocommit":
            cursor.execute(f"BEGIN ISOLATION LEVEL {mode}")
        (job,) = made.answer([cursor.execute(statement.sql, statement.parameters).fetchall()])
        if mode != "autocommit":
            cursor.execute("ROLLBACK" if undone else "COMMIT")
    except psycopg.Error as error:
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            cursor.execute("ROLLBACK")
        return str(error.sqlstate), 0
    if undone and not job.conflict:
        return "undone", job.id
    return "conflict" if job.conflict else "inserted", job.id


def main() -> None:
    dsn, seed, fingerprints = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    told: list[Any] = []
    threads = [
        threading.Thread(target=raced_by, args=(dsn, 2 * seed + k, fingerprints, told))
        for k in range(2)
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
