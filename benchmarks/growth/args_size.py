"""What a job costs whose args are 10 bytes to 100 kB of JSON: to insert it, and to run it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from benchmarks.curves import nodes, rows
from benchmarks.curves.bench import Bench, Database, medians, say
from benchmarks.curves.chart import Chart, Line
from benchmarks.curves.client import client, measured
from benchmarks.curves.costs import server_cpu_s
from benchmarks.curves.node import Spec

BYTES = 20_000_000
"""What the args of all jobs of one measurement hold together, at most."""
MOST = 8_000
CONCURRENCY = 100


def charts(bench: Bench) -> list[Chart]:
    sizes = [10, 1_000, 10_000] if bench.quick else [10, 100, 1_000, 10_000, 100_000]
    found: list[Sequence[float]] = []
    with bench.database("args_size") as database:
        for size in sizes:
            found.append(medians(partial(_sized, bench, database, size), bench.rounds))
            say(f"args of {size} bytes: {found[-1]}")
    names = ("insert, 500 at once", "run, the server", "run, the node")
    return [
        Chart(
            "args-size",
            "Jobs with large args",
            "bytes of args",
            tuple(f"{size:,}" for size in sizes),
            "µs of CPU a job",
            tuple(Line(name, tuple(each[n] for each in found)) for n, name in enumerate(names)),
            log=True,
        )
    ]


def _sized(bench: Bench, database: Database, size: int) -> tuple[float, float, float]:
    count = min(bench.size(MOST, MOST // 4), BYTES // size) // 2
    inserting = _inserted(database, size, 2 * count)
    rows.settle_down(database)
    every = max(1, min(500, count // 8))
    with nodes.running([Spec(database.dsn, {"default": CONCURRENCY}, every=every)]) as processes:
        cost = nodes.measure(processes, count // 2, count, database.backend)
        processes[0].stop()
    database.run("DELETE FROM oban_jobs")
    return inserting, cost.server_us, cost.node_us


def _inserted(database: Database, size: int, count: int) -> float:
    """Insert jobs; the microseconds of CPU of each, on both sides."""
    words = [f"{n:07}" for n in range(max(1, size // 10))]  # ten bytes each, with quotes and comma
    with client(database.dsn) as jobs:
        jobs.insert_all([measured.new({"w": words})])
        before = time.process_time() + server_cpu_s(database.backend)
        for first in range(0, count, 500):
            chunk = range(min(500, count - first))
            jobs.insert_all(measured.new({"w": words}) for _ in chunk)
        after = time.process_time() + server_cpu_s(database.backend)
    return (after - before) / count * 1e6
