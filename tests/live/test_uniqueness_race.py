"""Four processes with eight connections insert the same jobs at once: one of each is stored."""

from __future__ import annotations

import sys
from collections import Counter

import psycopg
import pytest

from pgjobs.adapters.postgres.migrations import migrate
from tests.live.gate import told_by
from tests.live.racing import MODES

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.pgjobs(mode="live")]

PROCESSES = 4
FINGERPRINTS = 500
SERIALIZATION_FAILURE = "40001"


def test_one_job_of_each_fingerprint_is_stored_at_every_isolation_level(database: str) -> None:
    migrate(database)
    runs = [(database, str(seed), str(FINGERPRINTS)) for seed in range(PROCESSES)]
    told = told_by("racing.py", *runs)
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
