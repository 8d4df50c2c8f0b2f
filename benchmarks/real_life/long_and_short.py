"""What short jobs feel of long ones: how long they wait where long jobs hold most of the slots.

A queue of twenty slots. Some of them are held by jobs that run for as long as the measurement does, and
short ones come in, one each ten milliseconds.
"""

from __future__ import annotations

import time

from benchmarks.curves import nodes
from benchmarks.curves.bench import Bench, Database, quantile, say
from benchmarks.curves.chart import Chart, Line
from benchmarks.curves.client import client, measured
from benchmarks.curves.node import Spec

SLOTS = 20
SPACING_S = 0.01
SHORT_S = 0.005
SAMPLES = 300


def charts(bench: Bench) -> list[Chart]:
    held = [0, 10, 19] if bench.quick else [0, 10, 15, 18, 19]
    found: list[tuple[float, float]] = []
    with bench.database("long_and_short") as database:
        for count in held:
            found.append(_waits(bench, database, count))
            say(f"{count} of {SLOTS} slots held: {found[-1]}")
    return [
        Chart(
            "long-and-short",
            "Short jobs of 5 ms, one each 10 ms, among long ones",
            "of twenty slots are held by long jobs",
            tuple(map(str, held)),
            "ms from insert to start",
            (
                Line("p50", tuple(each[0] for each in found)),
                Line("p99", tuple(each[1] for each in found)),
            ),
        )
    ]


def _waits(bench: Bench, database: Database, held: int) -> tuple[float, float]:
    samples = bench.size(SAMPLES, 60)
    spec = Spec(database.dsn, {"default": SLOTS})
    with client(database.dsn) as jobs, nodes.running([spec]) as (process,):
        jobs.insert_all(
            measured.new({"sleep_s": 3600, "at": time.monotonic()}) for _ in range(held)
        )
        time.sleep(1)
        begin = time.monotonic()
        for n in range(samples):
            time.sleep(max(0.0, begin + n * SPACING_S - time.monotonic()))
            args = {"kind": "short", "sleep_s": SHORT_S, "at": time.monotonic()}
            jobs.insert(measured.new(args))
        while jobs.count_jobs(state=["available", "executing"]) > held:
            time.sleep(SPACING_S)
        waits = process.stop()
    assert held == len(waits.get("", ())), "the long jobs did not hold their slots"
    database.run("DELETE FROM oban_jobs")
    short = waits["short"]
    return quantile(short, 0.5) * 1e3, quantile(short, 0.99) * 1e3
