"""Which nodes are gone, so that what they execute may be taken from them.

A node of ours is gone when its heartbeat is older than ``rescue_after``, and than three of the
intervals that it promised to beat at. No job is taken from a node that beats, however long it runs.

A foreign node (of an Oban) has no heartbeat. It is gone when the row of its producer in
``oban_producers`` was not refreshed for ``FOREIGN_STALE``; where it has none, when the job's attempt
began ``FOREIGN_UNKNOWN`` ago.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pgjobs.rules.job import Job

RESCUE_AFTER: Final = timedelta(seconds=60)
"""The default of ``rescue_after``."""

MISSED_BEATS: Final = 3
FOREIGN_STALE: Final = timedelta(seconds=60)
FOREIGN_UNKNOWN: Final = timedelta(minutes=60)
FORGOTTEN_AFTER: Final = timedelta(days=1)
"""A heartbeat so old, that no executing job names, is forgotten."""


def gone(beat_at: datetime, every: timedelta, now: datetime, rescue_after: timedelta) -> bool:
    """Whether a node that was last heard of at ``beat_at`` is gone."""
    return now - beat_at > max(rescue_after, MISSED_BEATS * every)


def foreign_gone(job: Job, refreshed_at: datetime | None, now: datetime) -> bool:
    """Whether the foreign node that executes ``job`` is gone; ``refreshed_at`` is its producer's."""
    if refreshed_at is not None:
        return now - refreshed_at > FOREIGN_STALE
    return job.attempted_at is None or now - job.attempted_at > FOREIGN_UNKNOWN
