"""Processes and threads over one database, with faults among them, and the history that they leave.

``python -m tests.live.histories --seconds 120 --processes 4 --seed N`` records one for so long, checks it and
says what it found; the suite records a short one. The oldest process leads, and is rarely killed: its lease
outlives it by half a minute, in which nobody rescues.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from pgjobs import PgJobs
from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.adapters.system import SystemClock
from pgjobs_testing.clock import SeededRng
from pgjobs_testing.servers import choose
from pgjobs_testing.simulation.histories import History, check, journal
from pgjobs_testing.simulation.histories.model import Limit
from pgjobs_testing.simulation.histories.recording import recorded
from tests.live.history_process import LIMITED
from tests.pooler.pgbouncer import MODES, Pooled

PATIENCE_S = 90.0
OWN = "histories"
"""The application name of connections that are not cut."""
ROOT = Path(__file__).resolve().parents[2]
SETTLED = """NOT EXISTS (
  SELECT FROM oban_jobs WHERE state IN ('available', 'scheduled', 'retryable', 'executing')
)"""


class Process:
    """A process of ``history_process``, and what it says."""

    def __init__(self, dsn: str, folder: Path, name: str, seed: int, calls: int) -> None:
        self.name = name
        self._process = subprocess.Popen(
            (
                *(sys.executable, "-m", "tests.live.history_process"),
                *(dsn, str(folder), name, str(seed), str(calls)),
            ),
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._early: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def wait_for(self, what: str) -> None:
        """Wait until it says this, now or earlier."""
        if what in self._early:
            self._early.remove(what)
            return
        while (said := self._said.get(timeout=PATIENCE_S)) != what:
            assert said, f"{self.name} ended and never said {what!r}"
            self._early.append(said)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self) -> int:
        return self._process.wait(PATIENCE_S)

    def end(self) -> None:
        """Whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line.strip())
        self._said.put("")


class Campaign:
    """What is done to the processes of one history."""

    def __init__(self, dsn: str, folder: Path, seed: int, calls: int) -> None:
        self._dsn, self._folder, self._seed, self._calls = dsn, folder, seed, calls
        self._rng = SeededRng(seed)
        self._born = 0
        self.processes: list[Process] = []
        self.faults: Counter[str] = Counter()
        migrate(dsn)
        self._own = make_conninfo(dsn, application_name=OWN)
        self._client = PgJobs(self._own, queues=False)
        with self._connected() as connection:
            journal.install(connection)

    def begin(self, count: int) -> None:
        """The first leads; then all begin at once."""
        self._add().wait_for("ready")
        self._wait_until("EXISTS (SELECT FROM pgjobs_leases)")
        for _ in range(count - 1):
            self._add()
        for process in self.processes[1:]:
            process.wait_for("ready")
        for process in self.processes:
            process.tell("go")

    def kill(self) -> None:
        """A process ends in the middle of its runs, and another takes its place."""
        self._kill(self._other())

    def behead(self) -> None:
        """The same of the oldest, which leads."""
        self._kill(self.processes[0])

    def _kill(self, victim: Process) -> None:
        self.faults["beheaded" if victim is self.processes[0] else "killed"] += 1
        self._hang(victim)
        victim.signal(signal.SIGKILL)
        victim.ended()
        self._replace(victim)
        self._wait_until(f"NOT {self._executing(victim)}")

    def leave(self) -> None:
        """A process stops, and gives back what it runs; another takes its place."""
        self.faults["left"] += 1
        victim = self._other()
        self._hang(victim, "hang tasks")
        victim.tell("leave")
        victim.wait_for("stopped")
        assert victim.ended() == 0
        self._replace(victim)

    def freeze(self) -> None:
        """A process stands still until what it runs was taken from it, and then goes on with that."""
        self.faults["frozen"] += 1
        victim = self._other()
        self._hang(victim)
        victim.signal(signal.SIGSTOP)
        try:
            self._wait_until(f"NOT {self._executing(victim)}")
        finally:
            victim.signal(signal.SIGCONT)
        victim.tell("go on")

    def cut(self) -> None:
        """The server ends a connection, whatever is under way on it."""
        self.faults["cut"] += 1
        with self._connected() as connection, connection.transaction():  # behind a pooler, too, one
            pids = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                "AND backend_type = 'client backend' AND application_name <> %s ORDER BY pid",
                (OWN,),
            ).fetchall()
            if pids:
                (pid,) = pids[int(self._rng.random("cut") * len(pids))]
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))

    def disturb(self, seconds: float) -> None:
        """Let one fault follow another for so long; then the clients make no more calls."""
        often = (self.cut, self.cut, self.cut, self.kill, self.freeze, self.leave)
        faults = (*often, *often, self.behead)
        clock, pause = SystemClock(), threading.Event()
        until = clock.monotonic() + seconds
        while clock.monotonic() < until:
            faults[int(self._rng.random("fault") * len(faults))]()
            pause.wait(self._rng.random("pause"))
        for process in self.processes:
            process.tell("quit")

    def end(self) -> History:
        """Let all calls and all jobs come to their ends, and the processes to theirs."""
        for process in self.processes:
            process.wait_for("called")
        self._client.resume_all_queues()
        self._wait_until(SETTLED)
        for process in self.processes:
            process.tell("stop")
        for process in self.processes:
            process.wait_for("stopped")
            assert process.ended() == 0
        assert LIMITED.rate_limit is not None
        period_us = round(LIMITED.rate_limit.period.total_seconds() * 1_000_000)
        limit = Limit(LIMITED.rate_limit.allowed, period_us, LIMITED.global_concurrency)
        with self._connected() as connection:
            return replace(
                recorded(self._folder),
                journal=journal.noted(connection),
                rows=journal.rows(connection),
                limits={"limited": limit},
            )

    def close(self) -> None:
        """End every process, whatever it does."""
        for process in self.processes:
            process.end()
        self._client.store.close()

    def _add(self) -> Process:
        name = f"p{self._born}"
        seed = self._seed * 1_000 + self._born
        self._born += 1
        process = Process(self._dsn, self._folder, name, seed, self._calls)
        self.processes.append(process)
        return process

    def _replace(self, process: Process) -> None:
        self.processes.remove(process)
        process.end()
        added = self._add()
        added.wait_for("ready")
        added.tell("go")

    def _other(self) -> Process:
        """Any but the oldest."""
        others = self.processes[1:]
        return others[int(self._rng.random("victim") * len(others))]

    def _hang(self, victim: Process, how: str = "hang") -> None:
        """Some of its runs are in mid-flight for sure; what a dead client paused is resumed for that."""
        self._client.resume_all_queues()
        victim.tell(how)
        victim.wait_for("hanging")

    @staticmethod
    def _executing(process: Process) -> str:
        return (
            "EXISTS (SELECT FROM oban_jobs WHERE state = 'executing' "
            f"AND attempted_by[1] = '{process.name}')"
        )

    def _wait_until(self, condition: str) -> None:
        """Wait, in the server, until a condition holds."""
        with self._connected() as connection:
            connection.execute(f"SET statement_timeout = '{PATIENCE_S:.0f}s'".encode())
            connection.execute(
                f"DO $$ BEGIN WHILE NOT ({condition}) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$".encode()
            )

    def _connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._own, autocommit=True)


@contextmanager
def campaign(dsn: str, folder: Path, seed: int, calls: int) -> Iterator[Campaign]:
    """A campaign whose processes end with the block."""
    made = Campaign(dsn, folder, seed, calls)
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True)
class Figures:
    """What a history holds, so that it can be said what was seen."""

    calls: Counter[str]
    told: Counter[str]
    moves: Counter[str]
    conflicts: int
    replaced: int
    executions: int
    unended: int


def figures(history: History) -> Figures:
    calls = Counter(f"insert {each.call.ended}" for each in history.inserts)
    calls.update(f"{each.what} {each.call.ended}" for each in history.orders)
    return Figures(
        calls,
        Counter(each.what for each in history.told),
        Counter(f"{each.before} -> {each.after}" for each in history.journal),
        sum(answer.conflict for each in history.inserts for answer in each.answers),
        sum(answer.replaced for each in history.inserts for answer in each.answers),
        len(history.executions),
        sum(each.ended is None for each in history.executions),
    )


def main() -> int:
    """Record and check one history; 1 where it has an anomaly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the records stay (default: nowhere)")
    parser.add_argument("--pooler", choices=MODES, help="the processes go through a PgBouncer")
    given = parser.parse_args()
    with (
        choose("embedded", None, {}).server() as behind,
        Pooled(behind, given.pooler) if given.pooler else nullcontext(behind) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        dsn = server.create_database("histories")
        with campaign(dsn, given.folder or Path(folder), given.seed, 0) as made:
            made.begin(given.processes)
            made.disturb(given.seconds)
            history = made.end()
            faults = dict(made.faults)
    found = check(history)
    shown = figures(history)
    sys.stdout.write(f"seed {given.seed}: {history.size:,} operations, faults {faults}\n")
    for name, value in vars(shown).items():
        told = dict(sorted(value.items())) if isinstance(value, Counter) else value
        sys.stdout.write(f"  {name}: {told}\n")
    for anomaly in found[:20]:
        sys.stdout.write(f"ANOMALY {anomaly}\n")
    sys.stdout.write(f"{len(found)} anomalies\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
