"""Four processes with eight connections insert the same jobs at once: one of each is stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from pgjobs.adapters.postgres.migrations import migrate
from tests.live.racing import MODES

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.pgjobs(mode="live")]

PROCESSES = 4
FINGERPRINTS = 500
SERIALIZATION_FAILURE = "40001"


def test_one_job_of_each_fingerprint_is_stored_at_every_isolation_level(database: str) -> None:
    migrate(database)
    told = raced(database)
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT args ->> 'mode', (args ->> 'n')::int, id FROM oban_jobs"
        ).fetchall()
    stored = {(mode, n): job_id for mode, n, job_id in rows}
    assert len(stored) == len(rows)
    winners = {(mode, n): job_id for mode, n, what, job_id in told if what == "inserted"}
    assert stored == winners
    figures = {mode: Counter(what for m, _, what, _ in told if m == mode) for mode in MODES}
    for mode, counts in figures.items():
        sys.stdout.write(f"{mode:<16} {dict(sorted(counts.items()))}\n")
    committed = set(stored.values())
    ghosts = [each for each in told if each[2] == "conflict" and each[3] not in committed]
    assert ghosts == []
    errors = {
        mode: set(counts) - {"inserted", "conflict", "undone"} for mode, counts in figures.items()
    }
    assert errors["autocommit"] == errors["READ COMMITTED"] == set()
    assert errors["REPEATABLE READ"] | errors["SERIALIZABLE"] <= {SERIALIZATION_FAILURE}
    assert len({n for mode, n in stored if mode == "autocommit"}) == FINGERPRINTS
    assert all(counts["conflict"] and counts["inserted"] for counts in figures.values())
    assert all(figures[mode]["undone"] for mode in MODES[1:])


def raced(dsn: str) -> list[list[object]]:
    """What all connections met."""
    script = Path(__file__).with_name("racing.py")
    root = str(Path(__file__).parents[2])
    processes = [
        subprocess.Popen(
            (sys.executable, str(script), dsn, str(seed), str(FINGERPRINTS)),
            env=os.environ | {"PYTHONPATH": root},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        ended = [process.communicate(timeout=120)[0] for process in released(processes)]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    return [each for printed in ended for each in json.loads(printed)]


def released(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """Let all begin before the first is waited for."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes
