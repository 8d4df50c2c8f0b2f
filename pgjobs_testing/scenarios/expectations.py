"""What a scenario file may expect of a job, of a count, of an order."""

from __future__ import annotations

from pydantic import Field

from pgjobs_testing.scenarios.accepting import Maybe
from pgjobs_testing.scenarios.parts import Part
from pgjobs_testing.scenarios.times import InstantOrEnd, InstantOrNothing
from pgjobs_testing.scenarios.values import (
    Args,
    Flag,
    Meta,
    Name,
    NameOrNothing,
    Names,
    State,
    States,
    TextOrNothing,
    Whole,
    Wholes,
)

SUBJECTS = ("job", "count", "jobs")
"""What an expectation may be about."""


class FilterSpec(Part):
    """Which jobs are meant; a list means "one of", args and meta are contained, tags all there."""

    state: Maybe[States] = None
    queue: Maybe[Names] = None
    worker: Maybe[Names] = None
    tags: Maybe[Names] = None
    args: Maybe[Args] = None
    meta: Maybe[Meta] = None
    priority: Maybe[Wholes] = None
    attempt: Maybe[Wholes] = None
    max_attempts: Maybe[Wholes] = None


class ExpectationSpec(Part):
    """What must be true at an instant, after all that is due then: of a job, a count or an order.

    Of a job: ``error`` is contained in its last error, ``args`` and ``meta`` are contained in its
    own, the rest is equal; null means empty. ``conflict`` and ``replaced`` tell what its insert came to:
    which job was there before, and whether it was changed. An order is that of first starts, and
    leaves out what has not started.
    """

    at: InstantOrEnd
    job: Maybe[Name] = None
    state: Maybe[State] = None
    queue: Maybe[Name] = None
    worker: Maybe[Name] = None
    node: TextOrNothing | None = None
    attempt: Maybe[Whole] = None
    max_attempts: Maybe[Whole] = None
    priority: Maybe[Whole] = None
    snoozed: Maybe[Whole] = None
    tags: Maybe[list[Name]] = None
    args: Maybe[Args] = None
    meta: Maybe[Meta] = None
    error: TextOrNothing | None = None
    conflict: NameOrNothing | None = None
    replaced: Maybe[Flag] = None
    inserted_at: InstantOrNothing | None = None
    scheduled_at: InstantOrNothing | None = None
    attempted_at: InstantOrNothing | None = None
    completed_at: InstantOrNothing | None = None
    discarded_at: InstantOrNothing | None = None
    cancelled_at: InstantOrNothing | None = None
    count: Maybe[FilterSpec] = None
    is_: Maybe[Whole] = Field(None, alias="is")
    jobs: Maybe[FilterSpec] = None
    order: Maybe[list[Name]] = None


EXPECTED_OF_A_JOB = tuple(
    name for name in ExpectationSpec.model_fields if name not in ("at", *SUBJECTS, "is_", "order")
)
"""What an expectation can say of a job."""
