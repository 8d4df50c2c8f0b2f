"""How a job goes to another process and its outcome comes back: as values that need no class of
the application, so that neither side has to unpickle what the other one defined.
"""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any

from pgjobs.rules.errors import RemoteError
from pgjobs.rules.job import COLUMNS, Job, JobState
from pgjobs.rules.lifecycle import Event, Outcome
from pgjobs.rules.outcome import bounded, stacktrace, summary

_columns = attrgetter(*COLUMNS)


def job_values(job: Job) -> tuple[Any, ...]:
    """The stored fields of a job, as built-in types."""
    number, state, *rest = _columns(job)
    return (number, str(state), *rest)


def job_of(values: tuple[Any, ...]) -> Job:
    """The job of ``job_values``, with a flag of its own."""
    number, state, *rest = values
    return Job(number, JobState(state), *rest)


def outcome_text(ended: Outcome) -> bytes:
    """An outcome as JSON. Of its exception the type's name, the message and the traceback go along."""
    error = ended.exception
    told = (
        None
        if error is None
        else (type(error).__qualname__, bounded(summary(error)), bounded(stacktrace(error)))
    )
    return json.dumps([ended.event, ended.error, ended.snooze_s, ended.raised, told]).encode()


def outcome_of(text: bytes) -> Outcome:
    """The outcome of ``outcome_text``; a ``RemoteError`` stands for the exception."""
    event, error, snooze_s, raised, told = json.loads(text)
    exception = None if told is None else RemoteError(*told)
    return Outcome(Event(event), error, snooze_s, exception, raised)
