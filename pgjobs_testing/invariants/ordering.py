"""Whether an order for all of some jobs reaches those that its filters mean, every one, and no other.

Which these are is told from the filters as they were given and from the ledger, apart from the engine's own
selections: what those leave out, or take in, would be in each of its effects, and none would show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pgjobs.rules.job import Job
from pgjobs_testing.invariants.ledger import Ledger
from pgjobs_testing.invariants.passages import Passage
from pgjobs_testing.invariants.passing import LAWFUL
from pgjobs_testing.invariants.sight import CLIENT, Sight, few
from pgjobs_testing.nodes.watching import Alarm, AlarmError


class Orders:
    """Orders for many, one at a time: nobody acts between their effects (section 2 of the contract)."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._event: str | None = None
        self._meant: list[int] = []
        self._reached: list[int] = []

    def given(self, event: str, filters: Mapping[str, Any]) -> None:
        """An order begins. A retry and a cancel pass by what their event does not leave."""
        law = LAWFUL.get(event)
        rows = self._ledger.rows
        self._meant = [
            job_id
            for job_id in sorted(rows)
            if (law is None or rows[job_id].state in law[0]) and means(filters, rows[job_id])
        ]
        self._event, self._reached = event, []

    def passed(self, sight: Sight, passage: Passage) -> None:
        """A row goes the way of an order."""
        if self._event == passage.event and sight.node == CLIENT:
            self._reached.append(passage.id)

    def carried_out(self, count: int, now: datetime) -> None:
        """An order has ended, and its client is told that ``count`` were changed. ``AlarmError``."""
        event, reached, meant = self._event, sorted(self._reached), self._meant
        self._event = None
        if reached == meant and count == len(meant):
            return
        odd = [job_id for job_id in reached if job_id not in meant]
        odd += [job_id for job_id in meant if job_id not in reached]
        seen = f"a {event} of many reached {few(reached)}, and its filters mean {few(meant)}"
        if not odd:
            seen = f"a {event} of many reached {few(reached)}, and tells of {count}"
        raise AlarmError(Alarm("obeyed", seen, now, tuple(odd)))


def means(filters: Mapping[str, Any], row: Job) -> bool:
    """Whether filters mean a row: all of them, as the contract has them."""
    return all(_meets(name, getattr(row, name), wanted) for name, wanted in filters.items())


def _meets(name: str, value: Any, wanted: Any) -> bool:
    if name in ("args", "meta"):
        return _within(wanted, value)
    if name == "tags":
        return all(each in value for each in wanted)
    return value in wanted


def _within(part: Any, whole: Any) -> bool:
    """Whether a JSON value is contained in another, as jsonb has it below the top: 1 is 1.0 and not true."""
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(
            key in whole and _within(each, whole[key]) for key, each in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(_within(each, other) for other in whole) for each in part
        )
    return isinstance(part, bool) is isinstance(whole, bool) and bool(part == whole)
