"""What a job costs in a table of 10,000 to 10 million rows: to run it, and to insert it.

Of the rows, six tenths are completed, three tenths are due in years and carry fingerprints, and one tenth
waits for its turn in the very queue that is served, behind the jobs that are measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.curves import nodes, rows
from benchmarks.curves.bench import Bench, Database, medians, say
from benchmarks.curves.chart import Chart, Line
from benchmarks.curves.node import Spec
from benchmarks.growth import inserting

WARM, COUNT, SPARE = 2_000, 20_000, 5_000
CONCURRENCY = 100
LARGE = 500_000
"""From here on the indexes are made behind the rows."""


def charts(bench: Bench) -> list[Chart]:
    sizes = [10_000, 100_000] if bench.quick else [10_000, 100_000, 1_000_000, 10_000_000]
    places = tuple(f"{size:,}" for size in sizes)
    running: list[list[float]] = []
    one: list[list[float]] = []
    many: list[list[float]] = []
    with bench.database("table_size") as database:
        for size in grown(database, sizes):
            running.append(medians(partial(_run, bench, database), bench.rounds))
            one.append(inserting.one_by_one(bench, database))
            many.append(inserting.at_once(bench, database))
            say(f"{size:,} rows: run {running[-1]}, insert {one[-1]}, at once {many[-1]}")
    kinds = ("not unique", "unique", "a duplicate")
    return [
        Chart(
            "table-size",
            "Running a job in a growing table",
            "rows in the table",
            places,
            "µs of CPU a job",
            _lines(("the server", "the node"), running),
        ),
        Chart(
            "insert-one",
            "Inserting one job, awaited",
            "rows in the table",
            places,
            "µs of CPU a job, client and server",
            _lines(kinds, one),
        ),
        Chart(
            "insert-many",
            "Inserting 5,000 jobs at once",
            "rows in the table",
            places,
            "µs of CPU a job, client and server",
            _lines(kinds, many),
        ),
    ]


def grown(database: Database, sizes: list[int]) -> Iterator[int]:
    """Each size, when the table has it."""
    there = 0
    for size in sizes:
        more = size - there
        if more >= LARGE:
            with rows.without_indexes(database):
                _fill(database, more)
        else:
            _fill(database, more)
        there = size
        rows.settle_down(database)
        yield size


def _fill(database: Database, count: int) -> None:
    rows.finished(database, count * 6 // 10)
    rows.waiting(
        database, count * 3 // 10, meta="jsonb_build_object('pgjobs_unique', md5(n::text))"
    )
    rows.available(database, count // 10, priority=9)


def _run(bench: Bench, database: Database) -> tuple[float, float]:
    count = bench.size(COUNT, COUNT // 4)
    rows.available(database, WARM + count + SPARE)
    rows.settle_down(database)
    with nodes.running([Spec(database.dsn, {"default": CONCURRENCY})]) as processes:
        cost = nodes.measure(processes, WARM, count, database.backend)
        processes[0].stop()
    return cost.server_us, cost.node_us


def _lines(names: tuple[str, ...], figures: list[list[float]]) -> tuple[Line, ...]:
    """A line for each name, from a row of figures for each place."""
    return tuple(Line(name, tuple(figure[n] for figure in figures)) for n, name in enumerate(names))
