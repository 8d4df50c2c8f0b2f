"""Inserts that answer wrongly, and duplicates that are taken for new jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pgjobs.rules.job import JobState, NewJob
from pgjobs.rules.unique import Unique
from tests.simulation.stories.told import (
    breaks,
    rogue_insert,
)
from tests.simulation.story import Story


@breaks("answered")
def an_insert_answers_with_fewer_jobs() -> None:
    Story().insert(NewJob("task", {}), NewJob("task", {}), lie=lambda jobs: jobs[:1])


def once(n: object = 1, **given: Any) -> NewJob:
    """A job that is unique by its args."""
    how = Unique(**{"period": 60, **given})
    return NewJob("task", {"n": n}, unique=how.rule("task", "default", {"n": n}))


@breaks("unique")
def a_duplicate_is_inserted() -> None:
    story = Story()
    story.insert(once())
    story.wait(59.9)
    rogue = replace(once(), unique=None)
    (job,) = story.store.run(rogue_insert(story, rogue))
    story.insert(once(), lie=lambda _: [job])


@breaks("unique")
def an_insert_at_the_end_of_the_period_meets_a_conflict() -> None:
    story = Story()
    (job,) = story.insert(once())
    story.wait(60)
    story.insert(once(), lie=lambda _: [replace(job, conflict=True)])


@breaks("unique")
def an_insert_that_is_not_unique_meets_a_conflict() -> None:
    story = Story()
    (job,) = story.insert()
    story.insert(lie=lambda _: [replace(job, conflict=True)])


@breaks("unique")
def a_conflict_is_answered_with_a_newer_duplicate() -> None:
    story = Story()
    story.insert(once())
    story.wait(60)
    (newer,) = story.insert(once())
    story.insert(once(period=None), lie=lambda _: [replace(newer, conflict=True)])


@breaks("replaces")
def a_conflict_that_should_replace_does_not() -> None:
    story = Story()
    (job,) = story.insert(once())
    again = replace(once(), replace=((JobState.AVAILABLE, ("priority",)),))
    story.insert(again, lie=lambda _: [replace(job, conflict=True)])


@breaks("fingerprints")
def two_kinds_of_args_have_one_fingerprint() -> None:
    story = Story()
    story.insert(once(1))
    alike = once(1).unique
    assert alike is not None and alike.how is not None
    new = replace(once(True), unique=alike)
    object.__setattr__(new, "made", True)
    story.insert(new)
