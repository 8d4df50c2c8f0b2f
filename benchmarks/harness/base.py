"""What a job queue has to offer to be measured."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import ClassVar

from benchmarks.harness import psql


class Asked(argparse.Namespace):
    """One run, as the command line asks for it."""

    scenario: str
    n: int
    """Jobs."""
    concurrency: int
    batch: int
    loop: str
    """asyncio or uvloop."""
    cap: float | None
    """Seconds after which a run is ended, and counted by what was finished; None: none."""
    sched_order: str
    """Of a backlog: whether its future rows are there "before" the jobs that are run, or "after"."""
    opt: list[str]
    """``name=value``, each of them of the bench's own."""
    db: str
    mode: str
    """Of a worker's process: whether it is to "count" or to tell the "latency"."""


class Base:
    """One queue. A bench file defines ``class Bench(common.Base)``, and ends in ``common.main(Bench)``."""

    peer: ClassVar[str] = ""
    dist: ClassVar[str] = ""
    """The distribution whose version is told."""
    import_stmt: ClassVar[str] = ""
    default_loop: ClassVar[str] = "asyncio"
    best: ClassVar[Mapping[str, int]] = {}
    """Concurrency and batch where the command line gives none: those it does best with."""
    lat: ClassVar[Mapping[str, int]] = {}
    """The same for the latency."""

    def __init__(self, args: Asked) -> None:
        self.a = args
        self.opt = dict(each.split("=", 1) for each in args.opt)

    def url(self, db: str) -> str:
        """The DSN of a database."""
        return f"postgresql://postgres@/{db}?host={psql.HOST}&port={psql.PORT}"

    async def open(self, db: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    async def install(self) -> None:
        """Make the tables."""
        raise NotImplementedError

    async def bulk(self, n: int) -> None:
        """Insert ``n`` jobs by the fastest call there is."""
        raise NotImplementedError

    async def single(self, t: float) -> None:
        """Insert one job that carries ``t``, and wait until that is done."""
        raise NotImplementedError

    async def worker(self) -> None:
        """``mark_start()``, start a node, wait for ``stdin_event()``, stop it."""
        raise NotImplementedError

    def pending_sql(self, lo: int) -> str:
        """A boolean: of the jobs with ids above ``lo``, is one not finished?"""
        raise NotImplementedError

    def done_count_sql(self, lo: int) -> str:
        """How many of them are finished."""
        raise NotImplementedError

    def backlog_lo(self, completed: int, scheduled: int) -> int:
        """The id above which the jobs lie that are run, where so many rows were there."""
        raise NotImplementedError

    def backlog_sql(self, completed: int, scheduled: int) -> tuple[str, str]:
        """The statements that insert so many finished rows, and so many that are due in the future."""
        raise NotImplementedError

    async def testing(self, n: int) -> float:
        """Milliseconds of one test with its own testing facility, the mean of ``n``."""
        raise NotImplementedError
