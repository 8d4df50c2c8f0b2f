"""Runs past their time limit or the grace of a stop, and outcomes of what was told to stop."""

from __future__ import annotations

from datetime import timedelta

from pgjobs.effects import Settle
from pgjobs.rules import lifecycle
from pgjobs.rules.errors import JobTimeoutError, StoreError, StoreUnavailableError
from pgjobs.rules.job import Job
from tests.simulation.stories.told import breaks, running
from tests.simulation.story import SECOND, Story


def under_way(seconds: float | None = 10, **given: str) -> tuple[Story, Job]:
    """A run of a worker with a time limit."""
    story = Story(worker={"timeout": seconds, **given})
    job = running(story)
    story.start(job)
    return story, job


def told(story: Story, job: Job) -> None:
    story.seen.told("a", job, story.now)


def ended(story: Story, job: Job) -> None:
    story.seen.ended("a", job)


def stop(story: Story, grace_s: float = 15) -> None:
    story.seen.stopping("a", timedelta(seconds=grace_s), story.now)


def give_back(story: Story, job: Job) -> None:
    story.do("a", Settle((lifecycle.release(job, story.now),)))


@breaks("time_limit")
def a_run_past_its_time_limit_is_not_told() -> None:
    story, _ = under_way()
    story.wait(10)
    story.seen.look(story.now)


@breaks("time_limit")
def a_run_is_not_told_when_its_node_goes_on() -> None:
    story, _ = under_way()
    story.seen.suspended("a", story.now)
    story.wait(60)
    story.seen.look(story.now)
    story.seen.resumed("a", story.now)
    story.seen.look(story.now)


@breaks("time_limit")
def a_run_fails_for_a_time_limit_that_it_has_not_reached() -> None:
    story, job = under_way()
    story.wait(9.9)
    told(story, job)
    story.settle(job, JobTimeoutError("too long"))


@breaks("time_limit")
def a_run_past_its_time_limit_completes() -> None:
    story, job = under_way()
    story.wait(10)
    told(story, job)
    story.seen.look(story.now)
    story.wait(1)
    ended(story, job)
    story.settle(job)


@breaks("given_back")
def a_run_that_was_told_to_stop_fails() -> None:
    story, job = under_way(None)
    told(story, job)
    ended(story, job)
    story.settle(job, RuntimeError("the node stops"))


@breaks("given_back")
def a_run_is_given_back_while_it_goes_on() -> None:
    story, job = under_way(None)
    stop(story)
    told(story, job)
    give_back(story, job)


@breaks("given_back")
def a_node_that_has_stopped_leaves_a_job_executing() -> None:
    story, job = under_way(None)
    stop(story)
    told(story, job)
    ended(story, job)
    story.seen.stopped("a", story.now)


@breaks("stops")
def a_node_claims_that_was_told_to_stop() -> None:
    story = Story()
    story.up()
    story.insert()
    stop(story)
    story.claim()


@breaks("stops")
def a_run_goes_on_when_the_grace_is_over() -> None:
    story, _ = under_way(None)
    stop(story, grace_s=15)
    story.wait(15)
    story.seen.look(story.now)


@breaks("stops")
def a_run_that_begins_after_the_grace_is_not_told() -> None:
    story = Story()
    job = running(story)
    stop(story, grace_s=1)
    story.wait(2)
    story.start(job)
    story.seen.look(story.now)


def sound_run_that_is_told_at_its_time_limit() -> None:
    story, job = under_way()
    story.wait(10)
    told(story, job)
    ended(story, job)
    story.settle(job, JobTimeoutError("too long"))
    story.seen.look(story.now)


def sound_run_past_its_time_limit_by_one_clock_alone() -> None:
    story = Story(worker={"timeout": 10}, skew=SECOND)
    story.start(running(story))
    story.wait(11.9)
    story.seen.look(story.now)


def sound_run_past_its_time_limit_on_a_node_that_stands_still() -> None:
    story, _ = under_way()
    story.seen.suspended("a", story.now)
    story.wait(60)
    story.seen.look(story.now)


def sound_run_past_its_time_limit_whose_claim_is_lost() -> None:
    story, job = under_way()
    story.order(lifecycle.cancel, job)
    story.wait(10)
    story.seen.look(story.now)


def sound_run_that_is_given_back() -> None:
    story, job = under_way(None)
    stop(story)
    story.wait(15)
    told(story, job)
    ended(story, job)
    give_back(story, job)
    story.seen.look(story.now)
    story.seen.stopped("a", story.now)


def sound_run_that_is_given_back_when_its_limit_is_over() -> None:
    story, job = under_way(30)
    stop(story)
    story.wait(15)
    told(story, job)
    story.wait(15)
    story.seen.look(story.now)
    story.wait(5)
    ended(story, job)
    give_back(story, job)


def sound_thread_that_ends_well_after_the_grace() -> None:
    story, job = under_way(None, executor="thread")
    stop(story)
    story.wait(15)
    told(story, job)
    story.wait(1)
    ended(story, job)
    story.settle(job)


def sound_outcome_that_the_store_refuses_as_it_is() -> None:
    story, job = under_way(None)
    told(story, job)
    ended(story, job)
    refused = Settle((lifecycle.release(job, story.now),))
    story.seen.failed("a", refused, StoreError("no"), story.now)
    story.settle(job, StoreError("the outcome of this run could not be saved"))


def sound_stop_without_a_store() -> None:
    story, job = under_way(None)
    stop(story)
    told(story, job)
    ended(story, job)
    failed = Settle((lifecycle.release(job, story.now),))
    story.seen.failed("a", failed, StoreUnavailableError("the line is dead"), story.now)
    story.seen.stopped("a", story.now)
