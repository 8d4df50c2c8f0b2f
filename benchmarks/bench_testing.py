"""What one test costs: insert, assert, drain, and a fresh state for the next.

    python benchmarks/bench_testing.py [TESTS]

prints milliseconds a test for the modes manual (memory) and postgres (the embedded server), the
median and the range of seven rounds. pytest's own cost is not part of it.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

from pgjobs import PgJobs, worker
from pgjobs_testing import harness
from pgjobs_testing.stores import MemorySource, PostgresSource, StoreSource

ROUNDS = 7


@worker(name="noop")
def noop(job: object) -> None:
    """Do nothing."""


app = PgJobs("postgresql://nowhere/bench")


def one_test(source: StoreSource) -> None:
    """What a small test does."""
    with harness(source=source) as jobs:
        app.insert(noop.new({"i": 1}))
        jobs.assert_enqueued(worker=noop, args={"i": 1})
        assert jobs.drain_queue("default") == {"completed": 1}


def milliseconds_a_test(mode: str, tests: int) -> float:
    """The mean of one round."""
    return statistics.median(rounds(mode, tests, 1))


def rounds(mode: str, tests: int, count: int) -> list[float]:
    """Milliseconds a test, for each of ``count`` rounds."""
    memory = MemorySource()
    postgres: PostgresSource | None = None
    if mode == "postgres":
        from pgjobs_testing.servers import choose
        from pgjobs_testing.servers.supply import OwnServer

        postgres = PostgresSource(OwnServer(lambda: choose("auto", None, os.environ)))
    try:
        for _ in range(20):
            one_test(postgres or memory)
        return [_round(postgres or memory, tests) for _ in range(count)]
    finally:
        if postgres is not None:
            postgres.close()


def _round(source: StoreSource, tests: int) -> float:
    started = time.perf_counter()
    for _ in range(tests):
        one_test(source)
    return (time.perf_counter() - started) / tests * 1e3


def main() -> None:
    tests = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    for mode in ("manual", "postgres"):
        found = rounds(mode, tests, ROUNDS)
        print(
            f"{mode:<9} {statistics.median(found):.3f} ms a test "
            f"({min(found):.3f} to {max(found):.3f}, {ROUNDS} rounds of {tests})"
        )


if __name__ == "__main__":
    main()
