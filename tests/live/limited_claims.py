"""One process of a race for a limited queue: two threads claim, each by a clock of its own, and settle.

Prints a JSON list of claims: [token, instant, demand, ids, running, when the window opens], instants in
microseconds after ``NOW``.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import datetime
from typing import Any

from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import ClaimWithin, Settle
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.job import Job
from pgjobs.rules.limits import Limits
from pgjobs.rules.options import RateLimit
from pgjobs_testing.clock import SeededRng
from pgjobs_testing.conformance.given import MICROSECOND, NOW, SECOND

QUEUE = "raced"
ALLOWED, PERIOD, MOST = 40, SECOND, 9
LIMITS = Limits(RateLimit(ALLOWED, PERIOD), MOST)
CLAIMERS = 2
CLAIMS = 30
"""A claimer goes on until so many of its claims took something, and its clock goes on with it."""

DEMAND = 3
TURNS = 10_000


def claimed_by(store: PostgresStore, seed: int, told: list[Any]) -> None:
    """Claim by a clock that begins up to a second ahead; settle now and then, and at the end."""
    rng = SeededRng(seed)
    now = NOW + rng.random("ahead") * SECOND
    held: list[Job] = []
    taken = 0
    for turn in range(TURNS):
        now += rng.random("step") * SECOND / 10
        token, demand = f"{seed}-{turn}", 1 + int(rng.random("demand") * DEMAND)
        change = lifecycle.claim("node", token, now)
        found = store.run(ClaimWithin(QUEUE, selection.claimable(QUEUE), demand, change, LIMITS))
        ids = [job.id for job in found.jobs]
        told.append([token, since(now), demand, ids, found.running, since(found.opens_at)])
        held += found.jobs
        taken += bool(ids)
        if not ids or taken == CLAIMS or rng.random("settle") < 1 / 2:
            store.run(Settle(tuple(lifecycle.settle(job, outcome.COMPLETED, now) for job in held)))
            held.clear()
        if taken == CLAIMS:
            return
    raise AssertionError(f"claimer {seed} took something {taken} times in {TURNS} turns")


def since(at: datetime | None) -> int | None:
    return None if at is None else (at - NOW) // MICROSECOND


def main() -> None:
    dsn, number = sys.argv[1], int(sys.argv[2])
    store = PostgresStore(dsn, pool_size=CLAIMERS)
    told: list[Any] = []
    threads = [
        threading.Thread(target=claimed_by, args=(store, CLAIMERS * number + k, told))
        for k in range(CLAIMERS)
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
