"""How jobs are shown: as a table, one in full, or as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pgjobs.cli.common import compact, shortened, shown_instant, table
from pgjobs.rules import reasons
from pgjobs.rules.explaining import Explanation
from pgjobs.rules.job import COLUMNS, Job, JobState
from pgjobs.telemetry_log import first_line, printable

ARGS_WIDTH = 40
ERROR_WIDTH = 60

_WHEN = {
    JobState.EXECUTING: "attempted_at",
    JobState.COMPLETED: "completed_at",
    JobState.DISCARDED: "discarded_at",
    JobState.CANCELLED: "cancelled_at",
}
_TIMES = tuple(name for name in COLUMNS if name.endswith("_at"))


def listed(jobs: Sequence[Job]) -> str:
    """Jobs as a table. ``AT`` is when a job is due, was started, or reached its final state."""
    headers = ["ID", "STATE", "QUEUE", "WORKER", "ATTEMPT", "AT", "ARGS"]
    rows: list[list[object]] = [
        [
            job.id,
            job.state,
            job.queue,
            job.worker,
            f"{job.attempt}/{job.max_attempts}",
            shown_instant(getattr(job, _WHEN.get(job.state, "scheduled_at"))),
            shortened(compact(job.args), ARGS_WIDTH),
        ]
        for job in jobs
    ]
    if any(job.errors for job in jobs):
        headers.append("ERROR")
        for row, job in zip(rows, jobs, strict=True):
            error = job.last_error
            row.append(None if error is None else shortened(first_line(error), ERROR_WIDTH))
    return table(headers, rows, right=("ID",))


def whole(job: Job) -> str:
    """Every field of a job, one a line, then its errors, each with its trace."""
    fields: dict[str, str] = {
        "state": job.state,
        "queue": job.queue,
        "worker": job.worker,
        "attempt": f"{job.attempt} of {job.max_attempts}",
        "priority": str(job.priority),
        "args": compact(job.args),
        "meta": compact(job.meta),
        "tags": ", ".join(job.tags),
        "attempted_by": ", ".join(job.attempted_by),
    }
    fields |= {name: shown_instant(getattr(job, name)) or "" for name in _TIMES}
    lines = [f"job {job.id}"]
    lines += [f"  {name:12}  {printable(value)}" for name, value in fields.items() if value]
    for error in job.errors:
        at, attempt = error.get("at", "?"), error.get("attempt", "?")
        lines.append(f"error of attempt {printable(str(attempt))}, {printable(str(at))}")
        text = str(error.get("error", ""))
        lines += [f"  {printable(line)}".rstrip() for line in text.splitlines()]
    return "\n".join(lines)


def values(job: Job) -> dict[str, Any]:
    """The stored fields of a job, as they are put into JSON."""
    return {name: getattr(job, name) for name in COLUMNS}


def told(explanation: Explanation) -> dict[str, Any]:
    """An explanation, as it is put into JSON."""
    return {
        "id": explanation.job.id,
        "state": explanation.job.state,
        "now": explanation.now,
        "ready": explanation.ready,
        "blocked": explanation.blocked,
        "earliest": explanation.earliest,
        "reasons": [reasons.values(reason) for reason in explanation.reasons],
    }
