"""What is measured, and against what: the rows of the table, with their goals.

A part is a list of runs that are made in turn, round after round; a row reads one metric of a part's
runs. Goals are ratios to another run of the same part, or bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

LIMITS = "limits.py"
OURS = "bench_pgjobs.py"
SLOW_S = "6"
"""After so many seconds a run is ended, and told by the jobs that it finished."""


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a bench file: ``name`` is what the table calls it."""

    name: str
    file: str
    arguments: tuple[str, ...]

    @property
    def system(self) -> str:
        """The queue that is measured, or "limits"."""
        return self.file.removesuffix(".py").removeprefix("bench_")


@dataclass(frozen=True, slots=True)
class Metric:
    """What is read of a run, by the name that the harness gives it."""

    name: str
    unit: str
    least_is_best: bool = True


@dataclass(frozen=True, slots=True)
class Goal:
    """At least ``factor`` times what ``of`` reaches; where that is None, at most ``factor`` units."""

    factor: float
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """``ours`` is the run that the goals are about; of ``peers`` and ``limits`` the best is shown."""

    title: str
    part: str
    metric: Metric
    ours: str
    goals: tuple[Goal, ...]
    peers: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    beside: str = ""
    """What a run's name ends in whose figure each is compared with, besides: its own empty table."""


def _ours(name: str, *arguments: str) -> Run:
    return Run(name, OURS, arguments)


def _peers(names: tuple[str, ...], *arguments: str) -> tuple[Run, ...]:
    return tuple(Run(name, f"bench_{name}.py", arguments) for name in names)


def _limit(name: str, *arguments: str) -> Run:
    return Run(name, LIMITS, arguments)


RATE = Metric("jobs_per_s", "/s", least_is_best=False)
P50, P99 = Metric("p50_ms", "ms"), Metric("p99_ms", "ms")
PEAK_RSS = Metric("rss_mb", "MB")
IMPORT = Metric("import_ms", "ms")
TEST = Metric("test_ms", "ms")

PEERS = ("pgqueuer", "awa", "oban", "procrastinate", "chancy")
WITH_BACKLOG = ("pgqueuer", "oban")
"""awa's rows cannot be written from outside; the other two are far behind on an empty table."""
IN_MEMORY = ("procrastinate", "pgqueuer")
EMPTY = ", empty table"
PROCESS_10_000 = ("process", "--n", "10000")

PARTS: dict[str, tuple[Run, ...]] = {
    "process": (
        _ours("pgjobs", "process"),
        _ours("pgjobs, sync", "process", "--opt", "worker=sync"),
        *_peers(PEERS, "process", "--cap", SLOW_S),
        _limit("bare loop", "loop"),
        _limit("pgbench", "cycle"),
    ),
    "bulk": (
        _ours("pgjobs", "bulk"),
        _ours("pgjobs, unique", "bulk", "--opt", "worker=unique"),
        *_peers(PEERS, "bulk"),
        _limit("COPY, ids reserved", "copy"),
    ),
    "single": (
        _ours("pgjobs", "single"),
        *_peers(PEERS, "single"),
        _limit("pgbench", "insert"),
    ),
    "latency": (_ours("pgjobs", "latency"), *_peers(PEERS, "latency")),
    "backlog": (
        _ours("pgjobs", "backlog"),
        _ours(f"pgjobs{EMPTY}", *PROCESS_10_000),
        *_peers(WITH_BACKLOG, "backlog", "--cap", SLOW_S),
        *(
            Run(f"{each.name}{EMPTY}", each.file, each.arguments)
            for each in _peers(WITH_BACKLOG, *PROCESS_10_000, "--cap", SLOW_S)
        ),
        _limit("pgbench", "backlog"),
        _limit(f"pgbench{EMPTY}", "cycle", "--n", "10000"),
    ),
    "import": (_ours("pgjobs", "import"), *_peers(PEERS, "import")),
    "tests": (
        _ours("pgjobs", "testing"),
        _ours("pgjobs, postgres", "testing", "--opt", "mode=postgres"),
        *_peers((*IN_MEMORY, "oban"), "testing"),
    ),
}
"""By name, in the order in which they are run."""

ROWS: tuple[Row, ...] = (
    Row(
        "process 50,000 no-op async jobs, one process",
        part="process",
        metric=RATE,
        ours="pgjobs",
        goals=(Goal(1.5, "pgqueuer"), Goal(0.6, "bare loop")),
        peers=PEERS,
        limits=("bare loop", "pgbench"),
    ),
    Row(
        "the same, sync jobs in threads",
        part="process",
        metric=RATE,
        ours="pgjobs, sync",
        goals=(Goal(0.5, "pgjobs"),),
    ),
    Row(
        "bulk insert 100,000, with ids, uniqueness off",
        part="bulk",
        metric=RATE,
        ours="pgjobs",
        goals=(Goal(1.3, "awa"),),
        peers=PEERS,
        limits=("COPY, ids reserved",),
    ),
    Row(
        "the same, uniqueness on",
        part="bulk",
        metric=RATE,
        ours="pgjobs, unique",
        goals=(Goal(0.65, "awa"),),
        peers=PEERS,
        limits=("COPY, ids reserved",),
    ),
    Row(
        "single insert, awaited",
        part="single",
        metric=RATE,
        ours="pgjobs",
        goals=(Goal(1.3, "pgqueuer"),),
        peers=PEERS,
        limits=("pgbench",),
    ),
    Row(
        "pickup latency, p50",
        part="latency",
        metric=P50,
        ours="pgjobs",
        goals=(Goal(1.5),),
        peers=PEERS,
    ),
    Row(
        "pickup latency, p99",
        part="latency",
        metric=P99,
        ours="pgjobs",
        goals=(Goal(3.5),),
        peers=PEERS,
    ),
    Row(
        "10,000 jobs behind 1M finished and 500k future rows",
        part="backlog",
        metric=RATE,
        ours="pgjobs",
        goals=(Goal(0.95, f"pgjobs{EMPTY}"),),
        peers=WITH_BACKLOG,
        limits=("pgbench",),
        beside=EMPTY,
    ),
    Row(
        "peak RSS of a node that processes 50,000",
        part="process",
        metric=PEAK_RSS,
        ours="pgjobs",
        goals=(Goal(50),),
        peers=PEERS,
    ),
    Row(
        "import",
        part="import",
        metric=IMPORT,
        ours="pgjobs",
        goals=(Goal(80),),
        peers=PEERS,
    ),
    Row(
        "one test, memory",
        part="tests",
        metric=TEST,
        ours="pgjobs",
        goals=(Goal(0.1),),
        peers=IN_MEMORY,
    ),
    Row(
        "one test, Postgres",
        part="tests",
        metric=TEST,
        ours="pgjobs, postgres",
        goals=(Goal(3),),
        peers=("oban",),
    ),
)
