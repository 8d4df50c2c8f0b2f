"""The command line of a bench file.

bench_NAME.py SCENARIO [--n N] [--concurrency C] [--batch B] [--loop asyncio|uvloop]
              [--cap SECONDS] [--sched-order before|after] [--opt NAME=VALUE ...]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.harness.base import Asked, Base
from benchmarks.harness.hits import Hits
from benchmarks.harness.scenarios import SCENARIOS, tell

WORKER = "_worker"


def main(bench: type[Base]) -> None:
    """Measure one scenario and print what was found; or be the node of a measurement."""
    asked = _asked(bench)
    run = _runner(asked.loop)
    if asked.scenario == WORKER:
        run(_work(bench, asked))
        sys.stdout.flush()
        os._exit(0)  # whatever threads are left
    scenario, _ = SCENARIOS[asked.scenario]

    async def measured() -> dict[str, float]:
        return await scenario(bench(asked), asked)

    tell(bench.peer, _version(bench.dist), asked, run(measured()))


def _asked(bench: type[Base]) -> Asked:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=[*SCENARIOS, WORKER])
    parser.add_argument("--n", type=int)
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default=bench.default_loop)
    parser.add_argument("--cap", type=float)
    parser.add_argument("--sched-order", choices=("before", "after"), default="before")
    parser.add_argument("--opt", action="append", default=[])
    parser.add_argument("--db", default="")
    parser.add_argument("--mode", choices=("count", "latency"), default="count")
    asked = parser.parse_args(namespace=Asked())
    asked.n = asked.n or SCENARIOS[asked.scenario][1]
    best = bench.lat if asked.scenario == "latency" else bench.best
    asked.concurrency = asked.concurrency or best.get("concurrency", 10)
    asked.batch = asked.batch or best.get("batch", 10)
    return asked


def _version(distribution: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(distribution)
    return "checkout"  # ours, not installed


async def _work(bench: type[Base], asked: Asked) -> None:
    Hits.target = asked.n
    queue = bench(asked)
    await queue.open(asked.db)
    await queue.worker()
    await queue.close()
    if asked.mode == "latency":
        print("LAT " + json.dumps(Hits.latencies_s), flush=True)


def _runner(loop: str) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    if loop == "uvloop":
        import uvloop

        return uvloop.run
    return asyncio.run
