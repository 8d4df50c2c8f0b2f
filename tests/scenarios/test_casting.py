"""Which scripted worker plays which job."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pgjobs import Cron, Retry, backoff, worker

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


@worker(name="Nightly", max_attempts=3, backoff=backoff.constant(60))
def nightly(job):
    return Retry(f"attempt {job.attempt}")


@pytest.mark.pgjobs(start=START, plugins=[Cron([("*/2 * * * *", nightly)])])
def test_a_tick_that_ran_longer_than_the_last_one_lends_it_its_runs(jobs):
    jobs.advance(300)
    text = jobs.timeline.to_scenario()
    assert "Not told exactly" not in text, text
    assert ["attempt 1", "attempt 2", "attempt 3"] == [
        line.split("error: ")[1].rstrip("}") for line in text.splitlines() if "{error: " in line
    ]
