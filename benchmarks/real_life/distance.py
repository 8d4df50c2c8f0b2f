"""What a node does when its database is 1, 5 or 20 ms away, there and back.

- How many jobs it runs. A slot that is free waits for its claim to go there and back, so that no more than
  concurrency / round trip jobs can start in a second: that is drawn beside.
- How long a job waits that is inserted into an idle queue. The insert, which commits half a round trip
  later; the notification; the claim, and its answer: two round trips at the least.
- Ten queues, whose claims travel together; and one with a limit over all nodes, whose claims are
  transactions of several statements: two round trips.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.curves import nodes, rows
from benchmarks.curves.bench import Bench, Database, median, quantile, say
from benchmarks.curves.chart import Chart, Line
from benchmarks.curves.client import client, measured
from benchmarks.curves.node import Spec
from benchmarks.real_life.proxy import far

DISTANCES_MS = (0.0, 1.0, 5.0, 20.0)
TEN = {f"q{n}": 10 for n in range(10)}
SAMPLES = 100
SPACING_S = 0.02
SERVED: Mapping[str, Mapping[str, Any]] = {
    "10 at a time": {"q0": 10},
    "100 at a time": {"q0": 100},
    "10 at a time in each of ten": TEN,
    "100, limited over all nodes": {"q0": {"concurrency": 100, "global_concurrency": 100}},
}
"""The queues of a node, by the name of their line."""


def charts(bench: Bench) -> list[Chart]:
    rates: dict[str, list[float]] = {name: [] for name in SERVED}
    waits: list[dict[str, float]] = []
    for distance_ms in DISTANCES_MS:
        with bench.database("distance") as database, far(database.dsn, distance_ms / 1e3) as dsn:
            for name, queues in SERVED.items():
                rates[name].append(_rate(bench, database, dsn, queues))
            waits.append(_waits(bench, dsn))
        say(f"{distance_ms} ms away: {[found[-1] for found in rates.values()]} {waits[-1]}")
    return [_of_rates(rates), _of_waits(waits)]


def _of_rates(rates: dict[str, list[float]]) -> Chart:
    lines = [Line(name, tuple(found)) for name, found in rates.items()]
    lines += [_at_most(concurrency) for concurrency in (10, 100)]
    return Chart(
        "distance",
        "One node, and a database that is far away",
        "milliseconds to the database and back",
        tuple(f"{distance_ms:g}" for distance_ms in DISTANCES_MS),
        "jobs a second",
        tuple(lines),
        log=True,
    )


def _at_most(concurrency: int) -> Line:
    values = tuple(concurrency / ms * 1e3 if ms else None for ms in DISTANCES_MS)
    return Line(f"{concurrency} a round trip", values, bound=True)


def _of_waits(waits: list[dict[str, float]]) -> Chart:
    names = {"p50": "from insert to start, p50", "p99": "p99", "insert": "an awaited insert, p50"}
    lines = [Line(name, tuple(each[key] for each in waits)) for key, name in names.items()]
    bound = tuple(2 * ms if ms else None for ms in DISTANCES_MS)
    return Chart(
        "distance-wait",
        "How long a job waits in an idle queue",
        "milliseconds to the database and back",
        tuple(f"{distance_ms:g}" for distance_ms in DISTANCES_MS),
        "ms",
        (*lines, Line("two round trips", bound, bound=True)),
    )


def _rate(bench: Bench, database: Database, dsn: str, queues: Mapping[str, Any]) -> float:
    slots = sum(each if isinstance(each, int) else each["concurrency"] for each in queues.values())
    count, warm = bench.size(40, 10) * slots, 4 * slots
    names = f"'q' || n % {len(queues)}"

    def rate() -> float:
        database.run("DELETE FROM oban_jobs")
        rows.available(database, warm + count + 6 * slots, queue=names)
        rows.settle_down(database)
        with nodes.running([Spec(dsn, queues, every=slots)]) as (process,):
            found = nodes.measure([process], warm, count, database.backend).rate
            process.stop()
        return found

    return median(rate, bench.rounds)


def _waits(bench: Bench, dsn: str) -> dict[str, float]:
    """Milliseconds: from before the insert to the start, and of the insert itself."""
    samples = bench.size(SAMPLES, 20)
    inserts: list[float] = []
    with client(dsn) as jobs, nodes.running([Spec(dsn, every=1)]) as (process,):

        def insert(args: Callable[[], dict[str, object]], number: int) -> None:
            for _ in range(number):
                before = time.monotonic()
                jobs.insert(measured.new(args()))
                inserts.append(time.monotonic() - before)
                process.wait_for("ended")
                time.sleep(SPACING_S)

        insert(dict, 10)
        inserts.clear()
        insert(lambda: {"at": time.monotonic()}, samples)
        waits = process.stop()[""]
    return {
        "p50": quantile(waits, 0.5) * 1e3,
        "p99": quantile(waits, 0.99) * 1e3,
        "insert": quantile(inserts, 0.5) * 1e3,
    }
