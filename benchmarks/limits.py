"""What can be done at best here: by Python, and by the server itself, on a table like Oban's.

    limits.py loop    claim, run no-op jobs as tasks, settle, in bare psycopg; without retries, fences,
                      telemetry or limits. Settles run on a second connection beside the next claim
    limits.py cycle   the same two statements by pgbench, prepared
    limits.py backlog the same beside as many finished and future rows as the queues are given
    limits.py copy    COPY of rows whose ids were reserved before, so that they are known
    limits.py insert  one row at a time by pgbench, each in a transaction of its own

Prints a line of JSON, as a bench file does; several batches are tried, and the best is told.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import psycopg
import uvloop

from benchmarks.harness.base import Asked
from benchmarks.harness.hits import mono
from benchmarks.harness.psql import HOST, PORT, database_exists, fresh_database, program, psql
from benchmarks.harness.scenarios import FINISHED, FUTURE, tell

TABLE = """
CREATE TYPE job_state AS ENUM ('available', 'scheduled', 'executing', 'retryable', 'completed',
  'discarded', 'cancelled');
CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  state job_state NOT NULL DEFAULT 'available', queue text NOT NULL DEFAULT 'default',
  worker text NOT NULL, priority smallint NOT NULL DEFAULT 0, attempt smallint NOT NULL DEFAULT 0,
  max_attempts smallint NOT NULL DEFAULT 20, args jsonb NOT NULL DEFAULT '{}',
  attempted_by text[] NOT NULL DEFAULT '{}', inserted_at timestamptz NOT NULL DEFAULT now(),
  scheduled_at timestamptz NOT NULL DEFAULT now(), attempted_at timestamptz,
  completed_at timestamptz) WITH (fillfactor = 85);
CREATE INDEX jobs_fetch ON jobs (state, queue, priority, scheduled_at, id);
"""
ROWS = """INSERT INTO jobs(state, worker, args, scheduled_at)
  SELECT '{state}', 'app.Noop', jsonb_build_object('i', g),
    now() + interval '{begin}' + g * interval '1 ms' FROM generate_series(1, {n}) g"""
LOCKED = """l AS (SELECT id FROM jobs WHERE state = 'available' AND queue = 'default'
  ORDER BY priority, scheduled_at, id LIMIT {n} FOR UPDATE SKIP LOCKED)"""
STARTED = """UPDATE jobs j SET state = 'executing', attempt = j.attempt + 1, attempted_at = now(),
  attempted_by = ARRAY['node', 'uuid'] FROM l WHERE j.id = l.id
  RETURNING j.id, j.worker, j.args, j.attempt, j.max_attempts, j.priority, j.scheduled_at"""
CLAIM = f"WITH {LOCKED} {STARTED}"
SETTLE = "UPDATE jobs SET state = 'completed', completed_at = now() WHERE id = ANY({ids}::bigint[])"
DATABASE = "b_limit"
LOOP_BATCHES = (200, 1000)
CYCLE_BATCHES = ((200, 1), (200, 2))
"""Rows of a batch, and clients."""
COPY_ROWS = 10_000


def loop(n: int) -> float:
    """Jobs a second of the bare loop."""
    return max(_looped(n, batch) for batch in LOOP_BATCHES)


def _looped(n: int, batch: int) -> float:
    _fresh_rows(n)
    rate = uvloop.run(_claim_run_settle(n, batch))
    done = psql("SELECT count(*) FROM jobs WHERE state = 'completed'", DATABASE)
    assert done == str(n), f"{done} of {n} jobs were completed"
    return rate


async def _claim_run_settle(n: int, batch: int) -> float:
    async def job(row: tuple[Any, ...]) -> int:
        return int(row[0])

    claiming, settling = await _connect(), await _connect()
    settle, claim = SETTLE.format(ids="%s"), CLAIM.format(n=batch).encode()
    started, pending = mono(), None
    while rows := await (await claiming.execute(claim, prepare=True)).fetchall():
        ids = list(await asyncio.gather(*[asyncio.create_task(job(row)) for row in rows]))
        if pending is not None:
            await pending
        pending = asyncio.ensure_future(settling.execute(settle.encode(), (ids,), prepare=True))
    if pending is not None:
        await pending
    took = mono() - started
    await claiming.close()
    await settling.close()
    return n / took


def cycle(n: int) -> float:
    """Jobs a second of pgbench, claiming and settling in two transactions a batch."""
    return _cycled(n)


def backlog(n: int) -> float:
    """The same among FINISHED rows of the past and FUTURE ones of the future."""
    return _cycled(n, beside=True)


def copy(n: int) -> float:
    """Rows a second of COPY in text, a statement before it reserving the ids."""
    _fresh_table()
    reserve = b"SELECT nextval('jobs_id_seq') FROM generate_series(1, %s)"
    with psycopg.connect(_dsn(), autocommit=True) as connection:
        started = mono()
        for first in range(0, n, COPY_ROWS):
            count = min(COPY_ROWS, n - first)
            ids = [row[0] for row in connection.execute(reserve, (count,))]
            with connection.cursor().copy("COPY jobs(id, worker, args) FROM STDIN") as copying:
                copying.write("".join(f'{new}\tapp.Noop\t{{"i": {new}}}\n' for new in ids))
        return n / (mono() - started)


def insert(n: int) -> float:
    """Rows a second of one client of pgbench."""
    _fresh_table()
    line = "INSERT INTO jobs(worker, args) VALUES ('app.Noop', '{\"i\": 1}') RETURNING id;"
    return _pgbench([line], n, 1)


LIMITS: dict[str, tuple[Callable[[int], float], int]] = {
    "loop": (loop, 50_000),
    "cycle": (cycle, 50_000),
    "backlog": (backlog, 10_000),
    "copy": (copy, 100_000),
    "insert": (insert, 10_000),
}
"""By name, with the number of jobs."""


def _cycled(n: int, *, beside: bool = False) -> float:
    claim = f"WITH {LOCKED}, u AS ({STARTED})"
    claim += " SELECT coalesce(array_agg(id), '{}') AS ids, count(args) AS k FROM u \\gset"
    rates = []
    for batch, clients in CYCLE_BATCHES:
        _fresh_rows(n, beside=beside)
        lines = [claim.replace("{n}", str(batch)), SETTLE.format(ids=":ids") + ";"]
        rates.append(batch * _pgbench(lines, n // batch // clients, clients))
    return max(rates)


def _dsn() -> str:
    return f"postgresql://postgres@/{DATABASE}?host={HOST}&port={PORT}"


async def _connect() -> psycopg.AsyncConnection[tuple[Any, ...]]:
    return await psycopg.AsyncConnection.connect(_dsn(), autocommit=True)


def _fresh_table() -> None:
    fresh_database(DATABASE)
    psql(TABLE, DATABASE)
    psql("CHECKPOINT")


def _fresh_rows(n: int, *, beside: bool = False) -> None:
    template = f"t_limit_{n}_{beside}"
    if not database_exists(template):
        fresh_database(template)
        psql(TABLE, template)
        if beside:
            psql(ROWS.format(state="completed", begin="-2 days", n=FINISHED), template)
            psql(ROWS.format(state="scheduled", begin="1 day", n=FUTURE), template)
        psql(ROWS.format(state="available", begin="-1 hour", n=n), template)
        psql("VACUUM ANALYZE", template)
    fresh_database(DATABASE, template)
    psql("CHECKPOINT")


def _pgbench(statements: list[str], transactions: int, clients: int) -> float:
    """Transactions a second, without connecting; each client makes ``transactions``."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write("".join(" ".join(each.split()) + "\n" for each in statements))
        script.flush()
        command = [program("pgbench"), "-h", HOST, "-p", PORT, "-U", "postgres", "-n"]
        command += ["-M", "prepared", "-f", script.name, "-t", str(transactions)]
        command += ["-c", str(clients), "-j", str(clients), DATABASE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([\d.]+) \(without", done.stdout)
    if done.returncode or found is None:
        raise RuntimeError(f"pgbench: {done.stderr.strip()}")
    return float(found.group(1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=LIMITS)
    parser.add_argument("--n", type=int)
    asked = parser.parse_args(namespace=Asked(concurrency=1, batch=0, loop="uvloop", opt=[]))
    measured, usual = LIMITS[asked.scenario]
    asked.n = asked.n or usual
    tell("limit", version("psycopg"), asked, {"jobs_per_s": measured(asked.n)})


if __name__ == "__main__":
    main()
