"""What every measurement is given: a server, databases on it, how much to measure, and where to say so."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psycopg

from benchmarks.server import Server
from pgjobs import PostgresStore

Connection = psycopg.Connection[tuple[object, ...]]

SETTINGS = {"max_connections": "500"}
"""What the server needs beside its defaults: a hundred idle nodes have three connections each."""


@dataclass(frozen=True, slots=True)
class Database:
    """One migrated database. ``connection`` is in autocommit."""

    name: str
    dsn: str
    connection: Connection

    @property
    def backend(self) -> int:
        """A process of the server."""
        return self.connection.info.backend_pid

    def run(self, sql: str, *parameters: object) -> None:
        self.connection.execute(sql.encode(), parameters or None)


@dataclass(frozen=True, slots=True)
class Bench:
    """``quick`` measures less and smaller, to see that everything runs; its figures mean little.

    Everything is measured ``rounds`` times, and the median counts. ``load`` is the machine's load before.
    """

    server: Server
    quick: bool
    rounds: int = 3
    load: float = 0.0

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @contextlib.contextmanager
    def database(self, name: str) -> Iterator[Database]:
        """A new, empty database, dropped at the end."""
        dsn = self.server.create(name)
        store = PostgresStore(dsn)
        store.migrate()
        store.close()
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                yield Database(name, dsn, connection)
        finally:
            self.server.drop(name)

    @property
    def machine(self) -> str:
        """What it was measured on, in a line; it does not hide that others used the machine, too."""
        shared = f", shared with other work (load {self.load:.0f})" if self.load > 1 else ""
        times = "measured once" if self.rounds == 1 else f"median of {self.rounds}"
        return (
            f"{os.cpu_count()} cores{shared}, {platform.system()}, PostgreSQL {self.server.version} with "
            f"its default durability, Python {platform.python_version()}; {times}"
        )


def median(measure: Callable[[], float], rounds: int) -> float:
    return statistics.median(measure() for _ in range(rounds))


def medians(measure: Callable[[], Sequence[float]], rounds: int) -> list[float]:
    """The median of each of the figures that one round gives."""
    return [
        statistics.median(figures)
        for figures in zip(*(measure() for _ in range(rounds)), strict=True)
    ]


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which ``part`` (0 to 1) of the values lie."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)
