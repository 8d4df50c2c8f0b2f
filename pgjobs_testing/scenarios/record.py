"""A scenario from production: a job and its neighbours, read, recalled, written, and played to be sure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import Find
from pgjobs.rules.job import Job
from pgjobs.rules.selection import Selection
from pgjobs_testing.scenarios.recalling import recalled, row_differences
from pgjobs_testing.scenarios.redacting import redacted
from pgjobs_testing.scenarios.replay import Replay
from pgjobs_testing.scenarios.rows import read_rows
from pgjobs_testing.scenarios.writing import written


def recorded(
    dsn: str, job_id: int, *, around: timedelta, schema: str = "public", redact: bool = False
) -> str:
    """The file; ``RecordError`` where the job cannot be read, ``ConfigurationError`` for no DSN."""
    jobs, cut = read_rows(dsn, schema, job_id, around)
    return recording(redacted(jobs) if redact else jobs, cut=cut)


def recording(jobs: Sequence[Job], *, cut: bool = False) -> str:
    """The file of these rows, of which the first was asked for; ``cut``: there were more."""
    happened = recalled(jobs, f"job {jobs[0].id} of {jobs[0].worker}", cut=cut)

    def compare(played: Replay, store: MemoryStore) -> list[str]:
        ids = {m.job.id: m.ordinal for m in played.trace.moments if m.ordinal and m.job}
        rows = store.run(Find(Selection(())))
        return row_differences(happened, {ids[row.id]: row for row in rows if row.id in ids})

    return written(happened, compare)
