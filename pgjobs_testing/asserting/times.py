"""How instants are written in a failure: counted from the start of the test, as the timeline does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pgjobs.rules.swift import swift
from pgjobs_testing.trace import elapsed


@swift
@dataclass(frozen=True, slots=True)
class Times:
    """The start of the test, and the present instant of its clock."""

    start: datetime
    now: datetime

    def shown(self, at: datetime) -> str:
        """``+1m30s``; with the date where that is a day or more away."""
        off = at - self.start
        text = elapsed(off) if off < timedelta(0) else f"+{elapsed(off)}"
        return text if abs(off) < timedelta(days=1) else f"{text} ({absolute(at)})"

    def short(self, at: datetime) -> str:
        """``+1m30s``."""
        off = at - self.start
        return elapsed(off) if off < timedelta(0) else f"+{elapsed(off)}"

    def legend(self) -> str:
        """What the instants of a failure count from."""
        return (
            f"times count from the start of the test, {absolute(self.start)}; "
            f"it is {self.shown(self.now)} now"
        )


def absolute(at: datetime) -> str:
    """``2025-01-01 06:30:00 UTC``, with microseconds where there are any."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ')} UTC"
