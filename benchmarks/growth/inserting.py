"""What inserting costs: a job that may have duplicates, one that is a duplicate, and one of neither kind.

CPU of the client and of the server together, in microseconds a job. How long the caller waits depends
mostly on how long the disk takes to make a commit durable.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from benchmarks.curves.bench import Bench, Database, medians
from benchmarks.curves.client import client
from benchmarks.curves.costs import server_cpu_s
from pgjobs import Job, NewJob, PgJobs, Unique, worker

ONE, MANY = 500, 5_000
_numbers = itertools.count()


@worker(name="plain")
def plain(job: Job) -> None: ...


@worker(name="single", unique=Unique(period=None))
def single(job: Job) -> None: ...


def one_by_one(bench: Bench, database: Database) -> list[float]:
    """Not unique, unique, duplicate; one call each."""

    def call(jobs: PgJobs, count: int, make: Callable[[], NewJob]) -> None:
        for _ in range(count):
            jobs.insert(make())

    return _measured(bench, database, bench.size(ONE, 100), call)


def at_once(bench: Bench, database: Database) -> list[float]:
    """The same, all in one call."""

    def call(jobs: PgJobs, count: int, make: Callable[[], NewJob]) -> None:
        jobs.insert_all(make() for _ in range(count))

    return _measured(bench, database, bench.size(MANY, 1_000), call)


def _measured(
    bench: Bench,
    database: Database,
    count: int,
    call: Callable[[PgJobs, int, Callable[[], NewJob]], None],
) -> list[float]:
    number = itertools.count()
    kinds: list[Callable[[], NewJob]] = [
        lambda: plain.new({"n": next(_numbers)}, queue="inserted"),
        lambda: single.new({"n": next(_numbers)}, queue="inserted"),
        lambda: single.new({"again": next(number) % count}, queue="inserted"),
    ]
    with client(database.dsn) as jobs:
        for make in kinds:
            call(jobs, count, make)  # and so each one of the third kind has been inserted

        def figures() -> list[float]:
            found = []
            for make in kinds:
                before = time.process_time() + server_cpu_s(database.backend)
                call(jobs, count, make)
                after = time.process_time() + server_cpu_s(database.backend)
                found.append((after - before) / count * 1e6)
            return found

        return medians(figures, bench.rounds)
