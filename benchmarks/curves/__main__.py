"""Measures every curve and draws it: ``make bench-curves``.

    python -m benchmarks.curves [--quick] [--rounds N] [--only NAME ...] [--into FOLDER]

Pictures and figures go to docs/performance, and tables into docs/performance.md. ``--quick`` measures small
sizes once, to see that everything runs; its figures mean little, and go to build/curves.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from pathlib import Path

from benchmarks.curves import page
from benchmarks.curves.bench import SETTINGS, Bench, say
from benchmarks.curves.chart import Chart
from benchmarks.server import Server

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"
MEASURED = (
    "growth.table_size",
    "growth.dead_rows",
    "growth.queues",
    "growth.crowd",
    "growth.args_size",
    "growth.idle",
    "real_life.distance",
    "real_life.small_pool",
    "real_life.long_and_short",
    "real_life.failing",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, once")
    parser.add_argument("--rounds", type=int, help="how often, of which the median counts (3)")
    parser.add_argument("--only", nargs="*", choices=MEASURED, default=MEASURED, metavar="NAME")
    parser.add_argument("--into", type=Path, help="a folder other than docs/performance")
    given = parser.parse_args()
    folder = given.into or (ROOT / "build" / "curves" if given.quick else PAGE.with_suffix(""))
    began, load = time.monotonic(), os.getloadavg()[0]
    with Server(SETTINGS) as server:
        bench = Bench(server, given.quick, given.rounds or (1 if given.quick else 3), load)
        for name in given.only:
            say(name)
            charts: list[Chart] = importlib.import_module(f"benchmarks.{name}").charts(bench)
            page.write(charts, bench.machine, folder)
            if folder == PAGE.with_suffix(""):
                text = page.filled(PAGE.read_text(encoding="utf-8"), charts, folder.name)
                PAGE.write_text(text, encoding="utf-8")
    say(f"{folder}, in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
