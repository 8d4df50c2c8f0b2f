"""What a job costs when jobs are spread over 1 to 1,000 queues that one node serves.

Claims are made for each queue, so that each takes fewer jobs at a time; ``all at once`` is a backlog that
fills every queue, ``one by one`` is a job that arrives now and then in one queue of many, of which the
others are empty.
"""

from __future__ import annotations

import time
from functools import partial

from benchmarks.curves import nodes, rows
from benchmarks.curves.bench import Bench, Database, medians, say
from benchmarks.curves.chart import Chart, Line
from benchmarks.curves.client import client, measured
from benchmarks.curves.costs import server_cpu_s
from benchmarks.curves.node import Spec

WARM, COUNT = 2_000, 16_000
SINGLE, WARM_UP = 200, 20
CONCURRENCY = 10
NAMES = "'q' || n % {queues}"


def charts(bench: Bench) -> list[Chart]:
    counts = [1, 10, 100, 1_000]
    full: list[list[float]] = []
    single: list[list[float]] = []
    for count in counts:
        with bench.database("queues") as database:
            full.append(medians(partial(_backlog, bench, database, count), bench.rounds))
            single.append(medians(partial(_arrivals, bench, database, count), bench.rounds))
        say(f"{count} queues: {full[-1]} {single[-1]}")
    return [
        Chart(
            "queues",
            "Jobs in many queues of one node",
            "queues, ten jobs at a time in each",
            tuple(f"{count:,}" for count in counts),
            "µs of CPU a job",
            (
                Line("server, backlog", tuple(found[0] for found in full)),
                Line("node, backlog", tuple(found[1] for found in full)),
                Line("server, one by one", tuple(found[0] for found in single)),
                Line("node, one by one", tuple(found[1] for found in single)),
            ),
            log=True,
        )
    ]


def _backlog(bench: Bench, database: Database, queues: int) -> tuple[float, float]:
    count = bench.size(COUNT, COUNT // 4)
    rows.available(database, WARM + count + 1_000 + 10 * queues, queue=NAMES.format(queues=queues))
    rows.settle_down(database)
    with nodes.running([_spec(database, queues)]) as processes:
        cost = nodes.measure(processes, WARM, count, database.backend)
        processes[0].stop()
    database.run("DELETE FROM oban_jobs")
    return cost.server_us, cost.node_us


def _arrivals(bench: Bench, database: Database, queues: int) -> tuple[float, float]:
    """What one job after the other costs, its insert included, less what an idle node costs meanwhile."""
    count = bench.size(SINGLE, SINGLE // 4)
    spec = _spec(database, queues, every=1)
    with client(database.dsn) as jobs, nodes.running([spec]) as (process,):

        def run(number: int) -> None:
            for n in range(number):
                jobs.insert(measured.new({}, queue=f"q{n % queues}"))
                process.wait_for("ended")

        def spent() -> tuple[float, float, float]:
            return time.monotonic(), process.ask_cpu_s(), server_cpu_s(database.backend)

        run(WARM_UP)
        begun = spent()
        time.sleep(1)
        idle = spent()
        run(count)
        done = spent()
        process.stop()
    (idle_s, *idly), (seconds, *busily) = _between(begun, idle), _between(idle, done)
    node, server = ((b - i * seconds / idle_s) for b, i in zip(busily, idly, strict=True))
    return server / count * 1e6, node / count * 1e6


def _between(before: tuple[float, ...], after: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(b - a for a, b in zip(before, after, strict=True))


def _spec(database: Database, queues: int, every: int = 500) -> Spec:
    return Spec(database.dsn, {f"q{n}": CONCURRENCY for n in range(queues)}, every=every)
