"""What 1 to 16 processes do that serve one queue: together, and for each job.

They are more than there are cores, so that they cannot be faster together than a few; what is to be seen
is whether they hinder one another.
"""

from __future__ import annotations

from functools import partial

from benchmarks.curves import nodes, rows
from benchmarks.curves.bench import Bench, Database, medians, say
from benchmarks.curves.chart import Chart, Line
from benchmarks.curves.node import Spec

EVERY = 100
WARM, COUNT, SPARE = 4_000, 20_000, 8_000
CONCURRENCY = 50


def charts(bench: Bench) -> list[Chart]:
    counts = [1, 2, 4] if bench.quick else [1, 2, 4, 8, 16]
    found: list[list[float]] = []
    with bench.database("crowd") as database:
        for count in counts:
            found.append(medians(partial(_together, bench, database, count), bench.rounds))
            say(f"{count} nodes: {found[-1]}")
    places = tuple(map(str, counts))
    return [
        Chart(
            "nodes",
            "Processes that serve one queue",
            "processes, each with 50 jobs at a time",
            places,
            "µs of CPU a job",
            (
                Line("the server", tuple(each[0] for each in found)),
                Line("the nodes", tuple(each[1] for each in found)),
            ),
        ),
        Chart(
            "nodes-rate",
            "What processes do together",
            "processes, each with 50 jobs at a time",
            places,
            "jobs a second",
            (Line("all nodes", tuple(each[2] for each in found)),),
        ),
    ]


def _together(bench: Bench, database: Database, count: int) -> tuple[float, float, float]:
    measured = bench.size(COUNT, COUNT // 4)
    rows.available(database, WARM + measured + SPARE)
    rows.settle_down(database)
    spec = Spec(database.dsn, {"default": CONCURRENCY}, every=EVERY)
    with nodes.running([spec] * count) as processes:
        cost = nodes.measure(processes, WARM, measured, database.backend)
        for process in processes:
            process.stop()
    database.run("DELETE FROM oban_jobs")
    return cost.server_us, cost.node_us, cost.rate
