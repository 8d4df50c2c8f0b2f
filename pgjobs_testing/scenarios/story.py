"""What became of each job, so that two traces can be held against each other, job by job.

The story of a job is the sequence of what happened to it: the instant, the node, the event, the
attempt, the state, when it is due, and the first line of its error. Beside that counts the order in
which jobs started. Names of workers do not count: a scripted worker may have another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from pgjobs.rules.job import JobState
from pgjobs_testing.trace import Moment, Trace, elapsed

SAID = 5
"""Differences that are named; the rest is counted."""

WITH_ERROR = ("retryable", "discarded", "cancelled", "rescue", "late")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a job, ``after`` the start."""

    after: timedelta
    node: str
    event: str
    attempt: int | None
    state: str | None
    due: timedelta | None
    error: str | None

    def __str__(self) -> str:
        parts = [elapsed(self.after), self.event, f"on {self.node}"]
        parts += [] if self.attempt is None else [f"attempt {self.attempt}"]
        parts += [] if self.due is None else [f"due {elapsed(self.due)}"]
        parts += [] if self.error is None else [repr(self.error)]
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Story:
    """The events of each job by its ordinal, and the ordinals in the order of their starts."""

    jobs: dict[int, tuple[Event, ...]]
    starts: tuple[int, ...]


def story(trace: Trace) -> Story:
    """The story that a trace tells."""
    jobs: dict[int, list[Event]] = {}
    for moment in trace.moments:
        if moment.ordinal:
            jobs.setdefault(moment.ordinal, []).append(_event(moment, trace))
    starts = tuple(m.ordinal for m in trace.moments if m.event == "start" and m.ordinal)
    return Story({ordinal: tuple(events) for ordinal, events in jobs.items()}, starts)


def differences(one: Story, other: Story) -> list[str]:
    """Where ``other`` tells another story, a line for each job; at most ``SAID`` of them."""
    found = list(_differences(one, other))
    if len(found) > SAID:
        found[SAID:] = [f"and {len(found) - SAID} more"]
    return found


def _differences(one: Story, other: Story) -> Iterator[str]:
    for ordinal in sorted({**one.jobs, **other.jobs}):
        mine, theirs = one.jobs.get(ordinal, ()), other.jobs.get(ordinal, ())
        for n in range(max(len(mine), len(theirs))):
            left = str(mine[n]) if n < len(mine) else "nothing"
            right = str(theirs[n]) if n < len(theirs) else "nothing"
            if left != right or mine[n] != theirs[n]:
                yield f"#{ordinal}: {left}; in the replay: {right}"
                break
    if one.starts != other.starts:
        yield "jobs start in another order in the replay"


def _event(moment: Moment, trace: Trace) -> Event:
    job = moment.job
    after = moment.at - trace.start
    if job is None:
        return Event(after, moment.node, moment.event, None, None, None, None)
    waits = job.state in (JobState.SCHEDULED, JobState.RETRYABLE)
    if moment.event == "late":
        error: str | None = moment.detail
    else:
        said = job.last_error if moment.event in WITH_ERROR else None
        error = None if said is None else said.split("\n", 1)[0]
    return Event(
        after,
        moment.node,
        moment.event,
        job.attempt,
        str(job.state),
        job.scheduled_at - trace.start if waits else None,
        error,
    )
