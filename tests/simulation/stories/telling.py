"""Telemetry that tells of outcomes what is not so, or not at all."""

from __future__ import annotations

from dataclasses import replace

from pgjobs.rules import lifecycle
from pgjobs.rules.job import Job, JobState
from tests.simulation.stories.told import breaks, running
from tests.simulation.story import SECOND, Story


def tell(story: Story, job: Job, event: str = "stop", error: str | None = None) -> None:
    story.seen.heard(f"pgjobs.job.{event}", {"job": job, "error": error}, story.now)


def completed() -> tuple[Story, Job]:
    """A job whose run was saved as completed, as it stands then."""
    story = Story()
    job = running(story)
    story.start(job)
    story.seen.ended("a", job)
    story.settle(job)
    return story, story.row(job)


@breaks("outcome_told")
def an_outcome_is_told_twice() -> None:
    story, job = completed()
    tell(story, job)
    tell(story, job)


@breaks("outcome_told")
def an_outcome_is_told_that_was_not_saved() -> None:
    story = Story()
    tell(story, replace(running(story), state=JobState.COMPLETED))


@breaks("outcome_told")
def an_outcome_is_told_with_another_state() -> None:
    story, job = completed()
    tell(story, replace(job, state=JobState.DISCARDED), "exception")


@breaks("outcome_told")
def an_outcome_that_counts_is_told_as_late() -> None:
    story, job = completed()
    tell(story, job, "late")


@breaks("outcome_told")
def an_outcome_is_told_to_nobody() -> None:
    story, job = completed()
    tell(story, job)
    story.insert()
    (silent,) = story.claim()
    story.start(silent)
    story.seen.ended("a", silent)
    story.settle(silent)
    story.seen.look(story.now)


def sound_outcome_of_a_run_that_ends_a_second_time() -> None:
    story, job = completed()
    tell(story, job, "late", "CancelledError")
    tell(story, job)


def sound_outcome_that_the_row_no_longer_shows() -> None:
    story, job = completed()
    story.order(lifecycle.retry, job)
    story.claim()
    tell(story, job, "late")


def sound_outcome_whose_answer_is_on_its_way() -> None:
    story = Story(delay=SECOND)
    job = running(story)
    story.settle(job)
    tell(story, story.row(job))
    story.insert()
    (silent,) = story.claim()
    story.settle(silent)
    story.wait(1.9)
    story.seen.look(story.now)


def sound_outcome_of_a_node_that_died_before_it_told() -> None:
    story, job = completed()
    tell(story, job)
    story.insert()
    (silent,) = story.claim()
    story.settle(silent)
    story.seen.gone("a")
    story.seen.look(story.now)
