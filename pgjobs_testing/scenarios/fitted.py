"""A row as a scenario can hold it: nothing before its insert, no end before its beginning.

Each instant of a row is by the clock of whoever wrote it: the client that inserted the job, the nodes
that claimed it. Their estimates of the server's clock differ by some milliseconds, and those of other
programs by more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pgjobs.rules.job import FINAL, Job, JobState


def fitted(job: Job) -> Job:
    """The row with its instants in order: each that is too early is put to the earliest it may have.

    A job's last attempt begins when it is due at the latest: its due instant is the one that gives way.
    """
    inserted = job.inserted_at
    began = None if job.attempted_at is None else max(job.attempted_at, inserted)
    at, errors = inserted, []
    for entry in job.errors:
        error = error_of(entry)
        if error is None:
            errors.append(entry)
            continue
        at = max(at, error[0])
        if began is not None:
            if error[1] < job.attempt:  # of an attempt before the last one
                began = max(began, at)
            else:
                at = max(at, began)
        errors.append({**entry, "at": at.isoformat()})
    given: dict[str, Any] = {"attempted_at": began, "errors": tuple(errors)}
    if job.state in FINAL:
        name = f"{job.state}_at"
        stamp: datetime | None = getattr(job, name)
        given[name] = max(each for each in (stamp, began, at) if each is not None)
        for n, entry in enumerate(job.errors):
            error = error_of(entry)
            if error is not None and error[0] == stamp:  # by which the job ended
                errors[n] = {**entry, "at": given[name].isoformat()}
        given["errors"] = tuple(errors)
    made = replace(job, **given)
    if began is not None and job.state in (*FINAL, JobState.EXECUTING) and _began_last(made):
        return replace(made, scheduled_at=min(job.scheduled_at, began))
    return made


def _began_last(job: Job) -> bool:
    """Whether the last attempt is known by its beginning, not by its failure."""
    failed = [error[1] for error in map(error_of, job.errors) if error is not None]
    own = job.state == JobState.CANCELLED and any(
        error is not None and error[0] == job.cancelled_at for error in map(error_of, job.errors)
    )
    return own or job.attempt > max(failed, default=0)


def error_of(entry: dict[str, Any]) -> tuple[datetime, int, str] | None:
    """Instant, attempt and text of an element of ``errors``; None where it is of another form."""
    try:
        at = datetime.fromisoformat(str(entry["at"]))
        attempt = int(entry["attempt"])
    except (KeyError, ValueError, TypeError):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return at, attempt, str(entry.get("error", ""))
