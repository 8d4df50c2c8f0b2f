"""What jobs do that insert other jobs, fifty at a time, through a pool of 1 to 50 connections.

The database is 5 ms away, so that it is the connections that they wait for. A connection carries one
insert a round trip: what so many can do at most is drawn beside. The node's own claims and settlements go
through connections of their own and wait for nobody.
"""

from __future__ import annotations

from functools import partial

from benchmarks.curves import nodes, rows
from benchmarks.curves.bench import Bench, Database, median, say
from benchmarks.curves.chart import Chart, Line
from benchmarks.curves.node import Spec
from benchmarks.real_life.proxy import far

CONCURRENCY = 50
DISTANCE_S = 0.005
WARM, COUNT = 100, 1_000


def charts(bench: Bench) -> list[Chart]:
    sizes = [1, 10, 50] if bench.quick else [1, 2, 5, 10, 20, 50]
    found: list[float] = []
    with bench.database("small_pool") as database, far(database.dsn, DISTANCE_S) as dsn:
        for size in sizes:
            found.append(median(partial(_rate, bench, database, dsn, size), bench.rounds))
            say(f"a pool of {size}: {found[-1]}")
    return [
        Chart(
            "small-pool",
            "Fifty jobs at a time that insert one job each",
            "connections in the pool, 5 ms from the database",
            tuple(map(str, sizes)),
            "jobs a second",
            (
                Line("measured", tuple(found)),
                Line("one insert a round trip", tuple(n / DISTANCE_S for n in sizes), bound=True),
            ),
        )
    ]


def _rate(bench: Bench, database: Database, dsn: str, size: int) -> float:
    count = min(COUNT, bench.size(200, 60) * size)
    database.run("DELETE FROM oban_jobs")
    rows.available(database, WARM + count + 2 * CONCURRENCY, args="""'{"insert": true}'""")
    rows.settle_down(database)
    spec = Spec(dsn, {"default": CONCURRENCY}, pool_size=size, every=20)
    with nodes.running([spec]) as processes:
        found = nodes.measure(processes, WARM, count, database.backend).rate
        processes[0].stop()
    return found
