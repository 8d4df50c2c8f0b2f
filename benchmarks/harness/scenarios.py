"""What is measured of a queue, and how: one function a scenario, each of which gives metrics by name.

A scenario runs in the environment of its queue and begins on a database that is fresh, or a copy of
one that was filled before. Nodes work in a process of their own (see ``hits``). A batch counts as
processed when the last of its outcomes can be read in the table, not when the last job has run.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable

from benchmarks.harness.base import Asked, Base
from benchmarks.harness.child import Child
from benchmarks.harness.hits import mono
from benchmarks.harness.psql import Psql, database_exists, fresh_database, psql

Metrics = dict[str, float]
Scenario = Callable[[Base, Asked], Awaitable[Metrics]]

FINISHED, FUTURE = 1_000_000, 500_000
"""Rows of the backlog."""
SETTLED_TIMEOUT_S = 60
WARM_UP = 50
LATENCY_INTERVAL_S = 0.02


async def bulk(bench: Base, asked: Asked) -> Metrics:
    """``n`` jobs inserted by one caller."""
    await _open_fresh(bench)
    await bench.bulk(100)
    psql("CHECKPOINT")
    started = mono()
    await bench.bulk(asked.n)
    took = mono() - started
    await bench.close()
    return {"jobs_per_s": asked.n / took, "seconds": took}


async def single(bench: Base, asked: Asked) -> Metrics:
    """``n`` jobs inserted one by one, each awaited."""
    await _open_fresh(bench)
    for _ in range(WARM_UP):
        await bench.single(-1.0)
    psql("CHECKPOINT")
    started = mono()
    for _ in range(asked.n):
        await bench.single(-1.0)
    took = mono() - started
    await bench.close()
    return {"jobs_per_s": asked.n / took, "seconds": took}


async def process(bench: Base, asked: Asked) -> Metrics:
    """``n`` no-op jobs that are there, processed by one node."""
    template = f"t_{bench.peer}_{asked.n}"
    if not database_exists(template):
        await _open_fresh(bench, template)
        await bench.bulk(asked.n)
        await bench.close()
        psql("VACUUM ANALYZE", template)
    return _processed(bench, asked, template, 0)


async def backlog(bench: Base, asked: Asked) -> Metrics:
    """``n`` jobs processed beside FINISHED rows of the past and FUTURE ones of the future."""
    template = f"t_{bench.peer}_backlog_{asked.n}_{asked.sched_order}"
    if not database_exists(template):
        finished, future = bench.backlog_sql(FINISHED, FUTURE)
        await _open_fresh(bench, template)
        _filled(template, finished)
        if asked.sched_order == "before":
            _filled(template, future)
        await bench.bulk(asked.n)
        if asked.sched_order == "after":
            _filled(template, future)
        await bench.close()
        psql("VACUUM ANALYZE", template)
    return _processed(bench, asked, template, bench.backlog_lo(FINISHED, FUTURE))


async def latency(bench: Base, asked: Asked) -> Metrics:
    """From before an insert to its job's first line, for ``n`` jobs one after another.

    The node runs in a process of its own, idle but for these; inserts are made here.
    """
    database = await _open_fresh(bench)
    try:
        with Child(asked, database, "latency", asked.n + 10) as child:
            child.read("T0")
            await asyncio.sleep(2.5)  # until it listens, whatever it does first
            for _ in range(10):
                await bench.single(-1.0)
                await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            started = mono()
            for number in range(asked.n):
                await asyncio.sleep(max(0.0, started + number * LATENCY_INTERVAL_S - mono()))
                await bench.single(mono())
            if child.read("DONE", SETTLED_TIMEOUT_S) is None:
                raise RuntimeError(f"jobs were not run within {SETTLED_TIMEOUT_S} s")
            child.end()
            found = sorted(json.loads(child.read("LAT") or "[]"))
    finally:
        await bench.close()
    metrics = {f"p{q}_ms": found[int(len(found) * q / 100)] * 1e3 for q in (50, 95, 99)}
    return {**metrics, "max_ms": found[-1] * 1e3, "samples": len(found)}


async def imported(bench: Base, asked: Asked) -> Metrics:
    """The import, in ``n`` new interpreters after one that is not counted."""
    code = (
        f"import time; t = time.perf_counter(); {bench.import_stmt}; "
        "print((time.perf_counter() - t) * 1e3)"
    )

    def once() -> float:
        return float(subprocess.check_output([sys.executable, "-c", code]))

    once()
    return {"import_ms": statistics.median(once() for _ in range(asked.n))}


async def testing(bench: Base, asked: Asked) -> Metrics:
    """One test: insert, assert, drain, reset."""
    await _open_fresh(bench)
    took_ms = await bench.testing(asked.n)
    await bench.close()
    return {"test_ms": took_ms}


SCENARIOS: dict[str, tuple[Scenario, int]] = {
    "bulk": (bulk, 100_000),
    "single": (single, 3_000),
    "process": (process, 50_000),
    "backlog": (backlog, 10_000),
    "latency": (latency, 300),
    "import": (imported, 10),
    "testing": (testing, 200),
}
"""By name; with the ``n`` where none is asked for."""


async def _open_fresh(bench: Base, database: str = "") -> str:
    database = database or f"b_{bench.peer}"
    fresh_database(database)
    await bench.open(database)
    await bench.install()
    return database


def _filled(database: str, statement: str) -> None:
    """Triggers are left out: they would notify a million times."""
    psql(f"SET session_replication_role = replica; {statement}", database)


def _processed(bench: Base, asked: Asked, template: str, lo: int) -> Metrics:
    database = f"b_{bench.peer}"
    fresh_database(database, template)
    with Psql(database) as server, Child(asked, database, "count", asked.n) as child:
        server.ask("CHECKPOINT")
        server.ask(f"SET statement_timeout = '{SETTLED_TIMEOUT_S}s'")
        started = float(child.read("T0") or 0)
        executed = child.read("DONE", asked.cap)
        if executed is None:  # too slow: told by what it finished
            took = mono() - started
            done = int(server.ask(bench.done_count_sql(lo)))
            rate = {"jobs_per_s": done / took, "seconds": took, "finished": done}
        else:
            waiting = f"WHILE ({bench.pending_sql(lo)}) LOOP PERFORM pg_sleep(0.004); END LOOP"
            server.ask(f"DO $$ BEGIN {waiting}; END $$")
            took = mono() - started
            rate = {"jobs_per_s": asked.n / took, "seconds": took}
        return {**rate, "rss_mb": child.peak_rss_mb(), "cpu_s": child.cpu_s()}


def tell(peer: str, version: str, asked: Asked, metrics: Metrics) -> None:
    """One line of JSON on standard output."""
    settings = {"concurrency": asked.concurrency, "batch": asked.batch, "loop": asked.loop}
    told = {
        "peer": peer,
        "version": version,
        "python": sys.version.split()[0],
        "scenario": asked.scenario,
        "n": asked.n,
        "settings": settings | dict(each.split("=", 1) for each in asked.opt),
        "metrics": {name: round(value, 3) for name, value in metrics.items()},
        "load": os.getloadavg()[0],
    }
    print(json.dumps(told), flush=True)
