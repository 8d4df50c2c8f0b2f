"""What a load costs of which some jobs fail: none, 1 %, 10 %, all of them.

A failure costs its traceback, its entry in ``errors`` and a new row among those that are due again later.
"""

from __future__ import annotations

from functools import partial

from benchmarks.curves import nodes, rows
from benchmarks.curves.bench import Bench, Database, medians, say
from benchmarks.curves.chart import Chart, Line
from benchmarks.curves.node import Spec

SHARES = (0, 1, 10, 100)
CONCURRENCY = 100
WARM, COUNT, SPARE = 2_000, 16_000, 4_000


def charts(bench: Bench) -> list[Chart]:
    found: list[list[float]] = []
    with bench.database("failing") as database:
        for share in SHARES:
            found.append(medians(partial(_run, bench, database, share), bench.rounds))
            say(f"{share} % fail: {found[-1]}")
    return [
        Chart(
            "failing",
            "A load of which some jobs fail",
            "% of the jobs fail",
            tuple(map(str, SHARES)),
            "µs of CPU a job",
            (
                Line("the server", tuple(each[0] for each in found)),
                Line("the node", tuple(each[1] for each in found)),
            ),
        )
    ]


def _run(bench: Bench, database: Database, share: int) -> tuple[float, float]:
    count = bench.size(COUNT, COUNT // 4)
    args = f"CASE WHEN n % 100 < {share} THEN '{{\"fail\": true}}' ELSE '{{}}' END"
    rows.available(database, WARM + count + SPARE, args=f"({args})")
    rows.settle_down(database)
    with nodes.running([Spec(database.dsn, {"default": CONCURRENCY})]) as processes:
        cost = nodes.measure(processes, WARM, count, database.backend)
        processes[0].stop()
    database.run("DELETE FROM oban_jobs")
    return cost.server_us, cost.node_us
