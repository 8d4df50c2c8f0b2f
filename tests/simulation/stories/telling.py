"""Telemetry that tells of outcomes, and of what is given back, what is not so, or not at all."""

from __future__ import annotations

from dataclasses import replace

from pgjobs.effects import Settle
from pgjobs.rules import lifecycle, outcome
from pgjobs.rules.errors import StoreError, StoreUnavailableError
from pgjobs.rules.job import Cancel, Job, JobState, NewJob
from pgjobs.rules.unique import META_KEY
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


def group_of_two(words: str) -> tuple[Story, Job]:
    """A group that the run of one job has ended; the other, which ran as well, as if in these words."""
    story = Story()
    story.up()
    alike = NewJob("task", {}, meta={META_KEY: "alike"})
    story.insert(alike, alike)
    first, other = story.claim(demand=2)
    for job in (first, other):
        story.start(job)
        story.seen.ended("a", job)
    story.settle(first, Cancel("all"))
    tell(story, story.row(first))
    (entry,) = story.row(other).errors
    return story, replace(story.row(other), errors=({**entry, "error": words},))


@breaks("outcome_told")
def a_cancel_is_told_in_other_words_than_the_group_was_ended_in() -> None:
    tell(*group_of_two("mine"))


@breaks("outcome_told")
def an_end_with_its_group_is_told_twice() -> None:
    story, job = group_of_two("all")
    tell(story, job)
    tell(story, job)


def sound_cancel_that_no_row_tells_apart_from_that_of_the_group() -> None:
    tell(*group_of_two("all"))


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


def told_as_late_with_another_error(*, refused: bool) -> None:
    """An outcome comes true after it was given up, and what was sent in its place comes too late."""
    story, before = completed()
    tell(story, before)
    story.insert()
    (job,) = story.claim()
    story.start(job)
    story.seen.ended("a", job)
    first = Settle((lifecycle.settle(job, outcome.returned(None), story.now, 16.0),))
    story.seen.failed("a", first, StoreUnavailableError("no answer came"), story.now)
    failure = outcome.raised(StoreError("the outcome could not be saved"))
    second = Settle((lifecycle.settle(job, failure, story.now, 16.0),))
    if refused:
        story.seen.failed("a", second, StoreError("refused"), story.now)
    story.wait(1)
    story.do("a", first)
    story.order(lifecycle.retry, job)
    story.claim()
    story.do("a", Settle(second.settlements))
    tell(story, job, "late", second.settlements[0].change.error)
    story.seen.look(story.now)


@breaks("outcome_told")
def an_outcome_that_came_true_late_is_told_with_another_error() -> None:
    told_as_late_with_another_error(refused=False)


def sound_outcome_that_came_true_late_after_one_in_its_place_was_refused() -> None:
    told_as_late_with_another_error(refused=True)


def given_back(seconds: float = 0.0) -> tuple[Story, Job]:
    """A run that its stopping node gave back, as its job stands then; another's outcome was told before."""
    story, before = completed()
    tell(story, before)
    story.insert()
    (job,) = story.claim()
    story.start(job)
    story.wait(seconds)
    story.seen.ended("a", job)
    story.do("a", Settle((lifecycle.release(job, story.now),)))
    return story, story.row(job)


def asked_again() -> tuple[Story, Job, Settle]:
    """A run that was given back, and the answer was lost; and what its node asks for again."""
    story, before = completed()
    tell(story, before)
    story.insert()
    (job,) = story.claim()
    story.start(job)
    story.seen.ended("a", job)
    release = Settle((lifecycle.release(job, story.now),))
    story.do("a", release)
    story.seen.failed("a", release, StoreUnavailableError("no answer came"), story.now)
    story.wait(1)
    return story, story.row(job), Settle(release.settlements)


@breaks("outcome_told")
def what_is_given_back_is_told_to_nobody() -> None:
    story, _ = given_back()
    story.seen.look(story.now)


@breaks("outcome_told")
def what_is_given_back_is_told_twice() -> None:
    story, job = given_back()
    tell(story, job, "release")
    tell(story, job, "release")


@breaks("outcome_told")
def what_somebody_took_is_told_as_given_back() -> None:
    story = Story()
    job = running(story)
    story.start(job)
    story.order(lifecycle.cancel, job)
    release = lifecycle.release(job, story.now)
    story.do("a", Settle((release,)))
    tell(story, lifecycle.apply(release.change, job), "release")


@breaks("outcome_told")
def what_is_given_back_is_told_as_it_ran() -> None:
    story, job = given_back()
    tell(story, replace(job, state=JobState.EXECUTING), "release")


@breaks("outcome_told")
def what_is_given_back_is_told_to_nobody_though_its_row_shows_it() -> None:
    story, _, release = asked_again()
    story.do("a", release)
    story.seen.look(story.now)


def sound_release_that_is_told() -> None:
    story, job = given_back(15)
    tell(story, job, "release")
    story.seen.look(story.now)


def sound_release_that_no_row_shows_any_more() -> None:
    story, job, release = asked_again()
    story.up("b")
    assert [job.id] == [each.id for each in story.claim("b")]
    story.do("a", release)
    story.seen.look(story.now)


def sound_release_of_a_run_whose_end_is_told_as_late_before() -> None:
    story, job = given_back()
    tell(story, job, "late")
    tell(story, job, "release")
    story.seen.look(story.now)
