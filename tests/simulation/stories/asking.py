"""Polls that do not tell the truth, and orders that are not obeyed."""

from __future__ import annotations

from dataclasses import replace

from pgjobs.rules import lifecycle
from pgjobs.rules.job import NewJob
from tests.simulation.stories.told import (
    breaks,
    running,
)
from tests.simulation.story import SECOND, Story


@breaks("staged_when_due")
def a_poll_stages_a_job_that_is_not_due() -> None:
    story = Story()
    story.up()
    (job,) = story.insert(schedule_in=SECOND)
    story.poll(lie=lambda polled: replace(polled, staged=((job.id, job.queue),)))


@breaks("staged_when_due")
def a_poll_stages_a_job_before_one_that_has_waited_longer() -> None:
    story = Story()
    story.up()
    story.insert(NewJob("task", {}, schedule_in=SECOND), NewJob("task", {}, schedule_in=2 * SECOND))
    story.wait(2)
    story.poll(lie=lambda polled: replace(polled, staged=polled.staged[::-1]))


@breaks("poll_is_true")
def a_poll_leaves_a_job_that_is_due() -> None:
    story = Story()
    story.up()
    story.insert(schedule_in=SECOND)
    story.wait(1)
    story.poll(lie=lambda polled: replace(polled, staged=()))


@breaks("poll_is_true")
def a_poll_does_not_tell_of_a_pause() -> None:
    story = Story()
    story.up()
    story.control(paused=True)
    story.poll(lie=lambda polled: replace(polled, controls={}))


@breaks("poll_is_true")
def a_poll_does_not_tell_of_a_lost_claim() -> None:
    story = Story()
    job = running(story)
    story.order(lifecycle.cancel, job)
    story.poll(held=((job.id, job.token),), lie=lambda polled: replace(polled, lost=()))


@breaks("told")
def a_run_goes_on_whose_node_heard_that_its_claim_is_lost() -> None:
    story = Story()
    job = running(story)
    story.order(lifecycle.cancel, job)
    story.poll(held=((job.id, job.token),))
    story.poll(held=((job.id, job.token),))


@breaks("poll_is_true")
def a_poll_does_not_tell_what_falls_due_next() -> None:
    story = Story()
    story.insert(schedule_in=SECOND)
    story.poll(lie=lambda polled: replace(polled, next_due=None))


@breaks("poll_is_true")
def a_poll_does_not_tell_of_available_jobs() -> None:
    story = Story()
    story.insert()
    story.poll(lie=lambda polled: replace(polled, ready=()))


@breaks("obeyed")
def a_cancel_by_hand_reaches_nothing() -> None:
    story = Story()
    story.order(lifecycle.cancel, running(story), lie=lambda _: [])
