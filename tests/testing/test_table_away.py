"""Tables that are gone for a while, on a real server: what ended meanwhile is saved as it ended."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from pgjobs import Job, worker

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="postgres")]


def renamed(jobs: Any, old: str, new: str) -> None:
    """Rename a table past the harness, whose own connections are in autocommit."""
    with psycopg.connect(jobs.store.postgres.dsn) as connection:
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}".encode())


@pytest.mark.parametrize("ends", ["ok", "fail"])
def test_outcomes_of_jobs_whose_table_was_away_are_saved_when_it_is_back(jobs: Any, ends: str):
    @worker(max_attempts=1)
    def hides_the_table(job: Job) -> None:
        renamed(jobs, "oban_jobs", "hidden_jobs")
        if ends == "fail":
            raise ValueError("its own")

    job = jobs.insert(hides_the_table.new({}))
    jobs.advance(30)
    renamed(jobs, "hidden_jobs", "oban_jobs")
    assert "executing" == jobs.get_job(job.id).state
    jobs.advance(60)
    found = jobs.get_job(job.id)
    assert {"ok": "completed", "fail": "discarded"}[ends] == found.state
    assert {"ok": "None", "fail": "ValueError: its own"}[ends] in str(found.last_error)
