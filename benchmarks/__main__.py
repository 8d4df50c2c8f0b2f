"""Measures pgjobs, its peers and the limits in turn on one server, and prints the table.

    python -m benchmarks [--rounds 3] [--parts process,bulk,...] [--peers pgqueuer,...] [--results DIRECTORY]

`make bench` calls it with ROUNDS, PARTS, PEERS and RESULTS. Each part is measured in all of its rounds
before the next, every second round in the opposite order; its databases are dropped then. An
interrupted run (Ctrl-C) tells what it has so far.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import psycopg

from benchmarks.environments import Environments
from benchmarks.measuring import HERE, OUR_REQUIREMENTS, Measuring, NotMeasuredError
from benchmarks.rows import LIMITS, OURS, PARTS, PEERS, ROWS, Run
from benchmarks.server import Server
from benchmarks.table import details, summary


class Bench:
    """One run of the whole; what it found so far."""

    def __init__(self, measuring: Measuring, log: Path) -> None:
        self._measuring, self._log = measuring, log
        self.figures: dict[tuple[str, str], list[dict[str, float]]] = {}
        self.versions: dict[str, str] = {}
        self.refusals: dict[str, str] = {}
        self.load = os.getloadavg()[0]

    def rounds(self, part: str, runs: Sequence[Run], count: int) -> None:
        """Measure the part's runs in turn, ``count`` times."""
        for number in range(count):
            for run in runs if number % 2 == 0 else reversed(runs):
                self._measure(part, run, f"{part} {number + 1}/{count}: {run.name}")

    def remarks(self) -> list[str]:
        """What the reader of the figures should know: what is not there, and why."""
        told = [f"- {run}: not measured: {why}" for run, why in self.refusals.items()]
        why = self._measuring.unavailable.get(OUR_REQUIREMENTS)
        if why:
            told.append(f"- pgjobs and the limits ran on Python {platform.python_version()}: {why}")
        return told

    def _measure(self, part: str, run: Run, title: str) -> None:
        started = time.monotonic()
        try:
            told = self._measuring.measured(run)
        except NotMeasuredError as error:
            self.refusals[f"{part}: {run.name}"] = str(error)
            _say(f"{title}: not measured: {error}")
            return
        self.figures.setdefault((part, run.name), []).append(told["metrics"])
        self.load = max(self.load, told["load"])
        if run.file not in (OURS, LIMITS):
            self.versions[run.system] = told["version"]
        with self._log.open("a") as log:
            log.write(json.dumps({"part": part, "run": run.name, **told}) + "\n")
        metrics = ", ".join(f"{name} {value:g}" for name, value in told["metrics"].items())
        _say(f"{title}: {metrics} ({time.monotonic() - started:.0f} s)")


def main() -> None:
    asked = _asked()
    signal.signal(signal.SIGTERM, _interrupted)
    results: Path = asked.results
    results.mkdir(parents=True, exist_ok=True)
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    environments = Environments()
    with Server() as server:
        bench = Bench(Measuring(server, environments), results / f"{name}.jsonl")
        started = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt):
            for part in asked.parts:
                bench.rounds(part, list(_chosen(part, asked.peers)), asked.rounds)
                _drop_databases(server)
    took_min = (time.monotonic() - started) / 60
    rounds = "1 round" if asked.rounds == 1 else f"{asked.rounds} rounds"
    surroundings = (
        f"pgjobs {_commit()}, Python {environments.version}, PostgreSQL {server.version} at default "
        f"durability, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; "
        f"{rounds} in {took_min:.0f} min, load at most {bench.load:.1f}."
    )
    report = _report(bench, asked.parts, surroundings)
    (results / f"{name}.md").write_text(report)
    print(report)


def _report(bench: Bench, parts: Sequence[str], surroundings: str) -> str:
    rows = [row for row in ROWS if row.part in parts]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(bench.versions.items()))
    told = [surroundings, f"Peers: {versions or 'none'}.", *bench.remarks(), ""]
    tables = [summary(rows, bench.figures), "", details(rows, bench.figures), ""]
    return "\n".join(told + tables)


def _commit() -> str:
    """What is measured, as git calls it."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
    return "of an unknown commit"


def _chosen(part: str, peers: Sequence[str]) -> Iterator[Run]:
    return (run for run in PARTS[part] if run.file in (OURS, LIMITS) or run.system in peers)


def _drop_databases(server: Server) -> None:
    """Those of a part, which take gigabytes."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        left = connection.execute(r"SELECT datname FROM pg_database WHERE datname ~ '^[bt]_'")
        for (database,) in left.fetchall():
            server.drop(database)


def _asked() -> Any:
    def names(known: Sequence[str]) -> Any:
        def read(text: str) -> list[str]:
            given = [each for each in text.replace(",", " ").split() if each]
            if unknown := [each for each in given if each not in known]:
                raise argparse.ArgumentTypeError(
                    f"unknown: {', '.join(unknown)}; there are {', '.join(known)}"
                )
            return [each for each in known if each in given]

        return read

    def rounds(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"expected a number from 1 up, not {text!r}")
        return int(text)

    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rounds", type=rounds, default=3)
    parser.add_argument("--parts", type=names(list(PARTS)), default=list(PARTS))
    parser.add_argument("--peers", type=names(PEERS), default=list(PEERS))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
