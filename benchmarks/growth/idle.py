"""What nodes cost that have nothing to do: statements a second, and CPU.

Every node has the three connections, the heartbeats and the polls of a process of its own; a process
holds up to ten of them, so that a hundred fit into a small machine.
"""

from __future__ import annotations

import time

from benchmarks.curves import nodes
from benchmarks.curves.bench import Bench, Database, say
from benchmarks.curves.chart import Chart, Line
from benchmarks.curves.costs import work
from benchmarks.curves.node import Spec

PER_PROCESS = 10
SETTLE_DOWN_S = 12.0
"""A backend that is idle hands in what it counted within ten seconds: that of the start, too."""


def charts(bench: Bench) -> list[Chart]:
    counts = [1, 10] if bench.quick else [1, 10, 100]
    found: list[tuple[float, float, float]] = []
    for count in counts:
        with bench.database("idle") as database:
            found.append(_idle(bench, database, count))
            say(f"{count} idle nodes: {found[-1]}")
    places = tuple(map(str, counts))
    return [
        Chart(
            "idle-statements",
            "Statements of idle nodes",
            "idle nodes",
            places,
            "statements a second",
            (Line("all nodes", tuple(each[0] for each in found)),),
            log=True,
        ),
        Chart(
            "idle-cpu",
            "CPU of idle nodes",
            "idle nodes",
            places,
            "% of one core",
            (
                Line("the server", tuple(each[1] for each in found)),
                Line("all nodes", tuple(each[2] for each in found)),
            ),
            log=True,
        ),
    ]


def _idle(bench: Bench, database: Database, count: int) -> tuple[float, float, float]:
    """Statements a second, and per cent of a core, of the server and of the nodes."""
    whole, rest = divmod(count, PER_PROCESS)
    shares = [PER_PROCESS] * whole + [rest] * bool(rest)
    specs = [Spec(database.dsn, nodes=share, pool_size=1) for share in shares]
    with nodes.running(specs) as processes:
        time.sleep(SETTLE_DOWN_S)
        before, cpu_s = work(database.connection), sum(each.ask_cpu_s() for each in processes)
        begin = time.monotonic()
        time.sleep(bench.size(15, 5))
        done, used_s = work(database.connection), sum(each.ask_cpu_s() for each in processes)
        seconds = time.monotonic() - begin
        for process in processes:
            process.stop()
    spent = done.since(before)
    return (
        spent.transactions / seconds,
        100 * spent.cpu_s / seconds,
        100 * (used_s - cpu_s) / seconds,
    )
