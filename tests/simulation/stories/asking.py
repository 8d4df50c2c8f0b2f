"""Polls that do not tell the truth, and orders that are not obeyed."""

from __future__ import annotations

from dataclasses import replace

from pgjobs.effects import Delete, Transition
from pgjobs.rules import lifecycle
from pgjobs.rules.job import NewJob
from pgjobs.rules.selection import OneOf, Selection
from pgjobs_testing.invariants.sight import CLIENT
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


def told_to(event: str, found: tuple[int, ...], count: int) -> None:
    """Two jobs of the queue ``default`` wait, and one runs; an order for all of it reaches ``found``."""
    story = Story()
    jobs = [running(story), *story.insert(), *story.insert()]
    story.seen.ordered(event, {"queue": ["default"], "attempt": [0, 1]})
    ids = tuple(jobs[n].id for n in found)
    chosen = Selection((OneOf("id", ids),))
    if event == "delete":
        story.do(CLIENT, Delete(chosen, 10))
    else:
        story.do(CLIENT, Transition(chosen, lifecycle.cancel(story.now), 10))
    story.seen.carried_out(count, story.now)


@breaks("obeyed")
def a_cancel_of_many_passes_by_what_runs() -> None:
    told_to("cancel", (1, 2), 2)


@breaks("obeyed")
def a_delete_of_many_tells_of_fewer_than_it_removed() -> None:
    told_to("delete", (0, 1, 2), 2)


@breaks("obeyed")
def a_cancel_of_many_takes_one_that_no_filter_means() -> None:
    story = Story()
    jobs = [*story.insert(args={"n": 1}), *story.insert(args={"n": True})]
    story.seen.ordered("cancel", {"args": {"n": 1.0}, "tags": []})
    story.order(lifecycle.cancel, *jobs)
    story.seen.carried_out(2, story.now)


@breaks("obeyed")
def jobs_are_deleted_in_another_order_than_they_fell_due() -> None:
    story = Story()
    story.insert(schedule_in=SECOND)
    story.insert()
    story.do(CLIENT, Delete(Selection(), 10), lie=lambda found: found[::-1])


def sound_orders_for_many() -> None:
    told_to("cancel", (0, 1, 2), 3)
    told_to("delete", (0, 1, 2), 3)


def sound_order_for_many_whose_event_leaves_some_as_they_are() -> None:
    story = Story()
    job = running(story)
    done = story.insert(tags=("big", "red"))
    story.seen.ordered("retry", {"tags": ["red"], "state": ["available", "executing"]})
    story.seen.carried_out(0, story.now)
    story.order(lifecycle.cancel, *done)
    story.seen.ordered("retry", {"id": [job.id, done[0].id]})
    story.order(lifecycle.retry, *done)
    story.seen.carried_out(1, story.now)


@breaks("obeyed")
def a_cancel_by_hand_reaches_nothing() -> None:
    story = Story()
    story.order(lifecycle.cancel, running(story), lie=lambda _: [])
