"""How jobs are written in a failure: where one stands, all of a few in a table, many by their counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence

from pgjobs.rules.job import FINAL, Job, JobState
from pgjobs_testing.asserting.times import Times
from pgjobs_testing.telling import counted, cut

SMALL = 10
"""So many jobs are all shown."""
KINDS = 6
"""So many kinds of jobs are counted where there are too many to show."""
_ROW_ARGS = 44


def standing(job: Job, times: Times) -> str:
    """Where a job stands: ``scheduled, due +5m``; ``completed at +3s, attempt 1``."""
    tried = f", attempt {job.attempt}" if job.attempt else ""
    if job.state is JobState.SCHEDULED:
        snoozed = f", snoozed {counted(job.snoozed, 'time')}" if job.snoozed else ""
        return f"scheduled, due {times.short(job.scheduled_at)}{snoozed}"
    if job.state is JobState.RETRYABLE:
        return f"retryable, due {times.short(job.scheduled_at)}, after attempt {job.attempt}"
    if job.state is JobState.EXECUTING:
        since = f" since {times.short(job.attempted_at)}" if job.attempted_at else ""
        return f"executing{since}{tried}"
    if job.state in FINAL:
        at = {
            JobState.COMPLETED: job.completed_at,
            JobState.DISCARDED: job.discarded_at,
            JobState.CANCELLED: job.cancelled_at,
        }[job.state]
        when = f" at {times.short(at)}" if at else ""
        error = f": {cut(job.last_error.splitlines()[0])}" if job.last_error else ""
        return f"{job.state}{when}{tried}{error if job.state is JobState.DISCARDED else ''}"
    return f"{job.state}{tried}"


def title(job: Job, times: Times, called: Callable[[Job], str]) -> str:
    """One job on a line of its own."""
    return f"{called(job)} {cut(job.worker, plain=True)}, {standing(job, times)}"


def overview(
    jobs: Sequence[Job], matched: Sequence[Job], times: Times, called: Callable[[Job], str]
) -> list[tuple[str, list[str]]]:
    """The whole set, with its title: each job of a few, or the counts of many."""
    if not jobs:
        return []
    if len(jobs) > SMALL:
        return [(f"{counted(len(jobs), 'job')} in all", crowd(jobs))]
    heading = "the only job" if len(jobs) == 1 else f"all {len(jobs)} jobs"
    return [(heading, table(jobs, times, called, {job.id for job in matched}))]


def table(
    jobs: Sequence[Job], times: Times, called: Callable[[Job], str], marked: Container[int] = ()
) -> list[str]:
    """All of a few jobs, a line each; a ✓ before those whose ids are ``marked``."""
    rows = [
        (
            "✓" if job.id in marked else " ",
            called(job),
            str(job.state),
            cut(job.worker, plain=True, longest=48),
            cut(job.queue, plain=True, longest=24),
            times.short(job.scheduled_at),
            cut(job.args, longest=_ROW_ARGS),
        )
        for job in jobs
    ]
    return aligned([(" ", "job", "state", "worker", "queue", "due", "args"), *rows])


def crowd(jobs: Iterable[Job]) -> list[str]:
    """Many jobs, counted by worker, queue and state."""
    counts = Counter((job.worker, job.queue, str(job.state)) for job in jobs)
    kinds = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    rows = [
        (f"{count:,}", f"{cut(w, plain=True)} in {cut(q, plain=True)}", state)
        for (w, q, state), count in kinds
    ]
    lines = aligned(rows[:KINDS], right=(0,))
    return [*lines, *more(len(rows) - KINDS, "kind")]


def aligned(rows: Sequence[tuple[str, ...]], right: Container[int] = ()) -> list[str]:
    """Rows in columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def more(count: int, noun: str = "") -> list[str]:
    """``... and 3 more jobs``, where there are more."""
    what = f" {noun}{'' if count == 1 else 's'}" if noun else ""
    return [f"... and {count:,} more{what}"] if count > 0 else []


def listed(names: Sequence[str], most: int = 5) -> str:
    """``#1``, ``#1 and #2``, ``#1, #2, #3 and 9 more``."""
    if len(names) == 1:
        return names[0]
    if len(names) <= most:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1:,} more"
