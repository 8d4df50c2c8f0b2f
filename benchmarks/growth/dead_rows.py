"""What a job costs when many have run since the last vacuum.

Each job that was started leaves a dead entry in the index, at the very place where the next claim begins to
read. Autovacuum comes once a minute at most, and to a large table when 2 % of it are dead: by then a busy
queue has left a million.
"""

from __future__ import annotations

from functools import partial

from benchmarks.curves import nodes, rows
from benchmarks.curves.bench import Bench, Database, medians, say
from benchmarks.curves.chart import Chart, Line
from benchmarks.curves.node import Spec

CONCURRENCIES = (10, 100)
WARM, COUNT, SPARE = 1_000, 8_000, 2_000


def charts(bench: Bench) -> list[Chart]:
    sizes = [0, 10_000] if bench.quick else [0, 10_000, 100_000, 1_000_000]
    found: list[list[float]] = []
    with bench.database("dead_rows") as database:
        for size in sizes:
            database.run("ALTER TABLE oban_jobs SET (autovacuum_enabled = false)")
            rows.available(database, size)
            database.run("DELETE FROM oban_jobs")
            found.append(medians(partial(_run, bench, database), bench.rounds))
            database.run("VACUUM oban_jobs")
            say(f"{size} dead entries: {found[-1]}")
    lines = [
        Line(f"the server, {concurrency} at a time", tuple(each[n] for each in found))
        for n, concurrency in enumerate(CONCURRENCIES)
    ]
    return [
        Chart(
            "dead-rows",
            "Jobs that ran since the last vacuum",
            "dead entries at the head of the queue",
            tuple(f"{size:,}" for size in sizes),
            "µs of CPU a job",
            tuple(lines),
        )
    ]


def _run(bench: Bench, database: Database) -> list[float]:
    count = bench.size(COUNT, COUNT // 4)
    found = []
    for concurrency in CONCURRENCIES:
        rows.available(database, WARM + count + SPARE)
        database.run("CHECKPOINT")
        with nodes.running([Spec(database.dsn, {"default": concurrency})]) as processes:
            cost = nodes.measure(processes, WARM, count, database.backend)
            processes[0].stop()
        found.append(cost.server_us)
    return found
