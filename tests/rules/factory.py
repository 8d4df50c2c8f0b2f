"""Frozen values for the tests of the rules: jobs as they would be read from a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pgjobs.rules.job import Job, JobState

NOW = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
TOKEN = "token-1"
FINAL_STAMPS = {
    JobState.COMPLETED: "completed_at",
    JobState.DISCARDED: "discarded_at",
    JobState.CANCELLED: "cancelled_at",
}


def job(state: JobState = JobState.EXECUTING, **fields: Any) -> Job:
    """A job in ``state``, attempt 1 of 20, inserted a minute before ``NOW``."""
    made = Job(
        id=7,
        state=state,
        queue="default",
        worker="shop.ship",
        args={},
        meta={},
        tags=(),
        errors=(),
        attempt=1,
        max_attempts=20,
        priority=0,
        attempted_by=("node-a", TOKEN),
        inserted_at=NOW - timedelta(minutes=1),
        scheduled_at=NOW - timedelta(minutes=1),
    )
    return replace(made, **fields)
