"""What a conflict makes of the job that was there first: ``replace``, as a rule for each state.

The fields named for its state take the new job's values. The state follows ``scheduled_at`` while
the job waits (``available``, ``scheduled``, ``retryable``). A job that is executing, suspended or
finished keeps its state whatever is replaced: nothing is revived, and no run is taken back, by an
insert. The fingerprint stays, because it is the one that matched, and so does what the engine counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pgjobs.rules.errors import ConfigurationError, reject_unknown, shown
from pgjobs.rules.job import MAX_ATTEMPTS, WAITING, Job, JobState, NewJob, revised
from pgjobs.rules.jsonb import copied
from pgjobs.rules.schedule import due_at, first_state

FIELDS: Final = ("args", "meta", "max_attempts", "priority", "queue", "scheduled_at", "tags")
"""What may be replaced, and what True stands for."""

COUNTERS: Final = ("snoozed", "released")
"""What the engine itself counts in ``meta`` of a job: new meta leave it as it is."""

Replace = tuple[tuple[JobState, tuple[str, ...]], ...]
"""For each state, the fields that are replaced in it."""


def replace(value: object) -> Replace:
    """The option ``replace``: a mapping of states to fields, or to True; None or False for none."""
    if value is None or value is False:
        return ()
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            'replace takes a mapping of states to fields such as {"scheduled": ("args", "scheduled_at"), '
            f'"available": True}}, not {shown(value)}'
        )
    reject_unknown(value, [str(state) for state in JobState], "state of replace")
    chosen = [(state, _fields(state, value[state])) for state in JobState if state in value]
    return tuple((state, fields) for state, fields in chosen if fields)


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a job in one state becomes: its new state, the fields, and the attempts that it keeps.

    ``spare`` attempts are left at the least, so that ``max_attempts`` never falls below what the job
    has used, and a job that waits can still run: so can one that executes, if its run fails, for the run
    ends by the ``max_attempts`` that its claim had.
    """

    fields: tuple[str, ...]
    state: JobState
    spare: int


def replacements(new: NewJob, now: datetime) -> dict[JobState, Replacement]:
    """What a conflict with ``new`` makes of the job that was there, by the state that it has."""
    return {state: _replacement(state, fields, new, now) for state, fields in new.replace}


def replaced(job: Job, new: NewJob, now: datetime) -> Job | None:
    """The job after a conflict with ``new``; None where nothing of it is replaced."""
    found = replacements(new, now).get(job.state)
    if found is None:
        return None
    values: dict[str, Any] = {
        "args": copied(dict(new.args)),
        "meta": copied({**new.meta, **{key: job.meta[key] for key in COUNTERS if key in job.meta}}),
        "max_attempts": min(MAX_ATTEMPTS, max(new.max_attempts, job.attempt + found.spare)),
        "priority": new.priority,
        "queue": new.queue,
        "scheduled_at": due_at(new, now),
        "tags": new.tags,
    }
    chosen = {name: values[name] for name in found.fields}
    return revised(job, {**chosen, "state": found.state})


def _replacement(
    state: JobState, fields: tuple[str, ...], new: NewJob, now: datetime
) -> Replacement:
    waits = state in WAITING
    follows = state
    if waits and "scheduled_at" in fields:
        follows = first_state(due_at(new, now), now)
        if follows is JobState.SCHEDULED and state is JobState.RETRYABLE:
            follows = state
    return Replacement(fields, follows, 1 if waits or state is JobState.EXECUTING else 0)


def _fields(state: JobState, value: Any) -> tuple[str, ...]:
    if value is True:
        return FIELDS
    if value is False:
        return ()
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigurationError(
            f'replace takes for {str(state)!r} a list of fields such as ["args"], or True, not {shown(value)}'
        )
    found = tuple(value)
    reject_unknown(found, FIELDS, "field of replace")
    return tuple(name for name in FIELDS if name in found)
