"""What is told of a job that does not wait: it runs, it has ended, or it stands for another one.

These are reasons like those of ``reasons``, and none of them ends in a start of the job.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from pgjobs.rules.job import JobState
from pgjobs.rules.reasons import Reason
from pgjobs.rules.wording import first_line, shown_at, shown_span


@dataclass(frozen=True, slots=True)
class Conflict(Reason):
    """The insert stored nothing: this job was there before.

    ``frees_at`` is when the worker's ``unique`` stops counting it by age; None where ``for_ever``, or
    where the worker is not known here. ``counts`` says whether an equal job would still be a duplicate.
    """

    kind: ClassVar[str] = "conflict"
    blocks: ClassVar[bool | None] = False
    job_id: int
    state: JobState
    inserted_at: datetime
    counts: bool | None
    frees_at: datetime | None
    for_ever: bool

    def __str__(self) -> str:
        text = (
            f"the insert stored nothing: job {self.job_id}, inserted at {shown_at(self.inserted_at)} and "
            f"now {self.state}, has the same fingerprint"
        )
        if self.counts is None:
            return f"{text} (for how long is not known here: its worker is not, or is not unique)"
        if not self.counts:
            return f"{text}; it is in the way no more, and an equal job would be stored now"
        if self.for_ever:
            return f"{text}; it is in the way for as long as it is in such a state"
        assert self.frees_at is not None
        return f"{text}; by its age it is in the way until {shown_at(self.frees_at)}"


@dataclass(frozen=True, slots=True)
class Executing(Reason):
    """It is running."""

    kind: ClassVar[str] = "executing"
    node: str
    since: datetime | None
    attempt: int
    ran: timedelta | None

    def __str__(self) -> str:
        when = f" since {shown_at(self.since)}" if self.since is not None else ""
        ran = f", for {shown_span(self.ran)}" if self.ran else ""
        return f"attempt {self.attempt} runs on node {self.node or '?'}{when}{ran}"


@dataclass(frozen=True, slots=True)
class NodeSilent(Reason):
    """The node that runs it has stopped beating (``beat_at``), or never beat (None: a foreign one).

    From ``rescued_from`` on ``Stalled`` takes the job from it, at its next look: it looks every
    ``interval``. Both are None where the asking instance has no ``Stalled``.
    """

    kind: ClassVar[str] = "node_silent"
    node: str
    beat_at: datetime | None
    rescued_from: datetime | None
    interval: timedelta | None

    def __str__(self) -> str:
        if self.beat_at is not None:
            text = f"node {self.node} has not beaten since {shown_at(self.beat_at)}"
        else:
            text = (
                f"node {self.node or '?'} has no heartbeat (a drain, or a node of another program)"
            )
        if self.rescued_from is None:
            return f"{text}, and this instance has no Stalled, which would rescue the job: add one"
        assert self.interval is not None
        return (
            f"{text}: after {shown_at(self.rescued_from)} Stalled rescues the job, if a node leads "
            f"(it looks every {shown_span(self.interval)})"
        )


@dataclass(frozen=True, slots=True)
class Completed(Reason):
    """It has run, and is done."""

    kind: ClassVar[str] = "completed"
    blocks: ClassVar[bool | None] = False
    at: datetime | None
    attempt: int

    def __str__(self) -> str:
        return f"attempt {self.attempt} completed it{_when(self.at)}"


@dataclass(frozen=True, slots=True)
class Discarded(Reason):
    """It failed for good; ``error`` is its last."""

    kind: ClassVar[str] = "discarded"
    blocks: ClassVar[bool | None] = False
    at: datetime | None
    attempt: int
    max_attempts: int
    error: str | None

    def __str__(self) -> str:
        why = f": {first_line(self.error)}" if self.error else ""
        tried = f"attempt {self.attempt} of {self.max_attempts}"
        return f"it was discarded{_when(self.at)}, after {tried}{why}"


@dataclass(frozen=True, slots=True)
class Cancelled(Reason):
    """It was cancelled; ``error`` is the worker's reason, None where it was done from outside."""

    kind: ClassVar[str] = "cancelled"
    blocks: ClassVar[bool | None] = False
    at: datetime | None
    error: str | None

    def __str__(self) -> str:
        if self.error is None:
            return f"it was cancelled{_when(self.at)} from outside its worker"
        return f"its worker cancelled it{_when(self.at)}: {first_line(self.error)}"


def _when(at: datetime | None) -> str:
    return "" if at is None else f" at {shown_at(at)}"
