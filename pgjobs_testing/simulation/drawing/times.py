"""Durations as scenario files write them."""

from __future__ import annotations

from datetime import timedelta

from pgjobs_testing.trace import elapsed


def duration(seconds: float) -> str:
    """``1m30s`` for 90; to a tenth of a second, as everything is drawn."""
    return elapsed(timedelta(milliseconds=round(seconds * 10) * 100))
