"""What is near to an alarm, and right."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pgjobs.effects import Poll
from pgjobs.rules import lifecycle
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs.rules.job import JobState, NewJob
from pgjobs.rules.limits import Limits
from pgjobs.rules.options import Queue, RateLimit
from tests.simulation.stories.inserting import once
from tests.simulation.stories.resting import rested
from tests.simulation.stories.told import (
    rogue_insert,
    running,
)
from tests.simulation.story import SECOND, Story


def sound_pause_that_a_node_has_not_heard_of() -> None:
    story = Story()
    story.up()
    story.insert()
    story.control(paused=True)
    story.wait(0.9)
    story.claim()


def sound_pause_whose_poll_lost_its_answer() -> None:
    story = Story()
    story.up()
    story.insert()
    story.control(paused=True)
    effect = Poll(lifecycle.stage(story.now), 100, ("default",))
    story.do("a", effect)
    story.seen.failed("a", effect, StoreUnavailableError("the line is dead"), story.now)
    story.wait(5)
    story.claim()


def sound_run_whose_loss_was_told_by_an_answer_that_was_lost() -> None:
    story = Story()
    job = running(story)
    story.order(lifecycle.cancel, job)
    held = ((job.id, job.token),)
    effect = Poll(lifecycle.stage(story.now), 100, ("default",), held)
    story.do("a", effect)
    story.seen.failed("a", effect, StoreUnavailableError("the line is dead"), story.now)
    story.poll(held=held)
    story.poll()


def sound_pause_of_a_node_that_was_suspended() -> None:
    story = Story()
    story.up()
    story.insert()
    story.control(paused=True)
    story.wait(5)
    story.seen.resumed("a", story.now)
    story.claim()


def sound_pause_whose_answer_is_on_its_way() -> None:
    story = Story(delay=SECOND)
    story.up()
    story.insert()
    story.control(paused=True)
    story.poll()
    story.wait(1)
    story.claim()


def sound_claim_that_comes_true_when_its_slots_are_taken_and_its_queue_is_paused() -> None:
    story = Story({"default": Queue(1)})
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    late = story.claiming("a", "late")
    story.seen.failed("a", late, StoreUnavailableError("the line is dead"), story.now)
    story.start(*story.claim())
    story.control(paused=True)
    story.poll()
    story.wait(1)
    story.do("a", late)


def sound_pause_that_a_late_poll_tells_nobody_of() -> None:
    story = Story()
    story.up()
    story.insert()
    late = Poll(lifecycle.stage(story.now), 100, ("default",))
    story.seen.failed("a", late, StoreUnavailableError("the line is dead"), story.now)
    story.control(paused=True)
    story.do("a", late)
    story.wait(5)
    story.claim()


def sound_replacement_of_an_available_job_by_one_whose_clock_is_behind() -> None:
    story = Story(skew=SECOND)
    story.insert(once())
    again = replace(once(), priority=3, replace=((JobState.AVAILABLE, ("priority",)),))
    (job,) = story.insert(again, now=story.now - SECOND)
    assert job.replaced


def sound_scale_to_less_than_runs() -> None:
    story = Story()
    story.up()
    story.insert(*[NewJob("task", {})] * 3)
    jobs = story.claim(demand=3)
    story.start(*jobs)
    story.control(concurrency=1)
    story.poll()
    for job in jobs:
        story.settle(job)
        story.seen.ended("a", job)
    story.wait(0.1)
    story.claim()


def sound_slot_of_a_node_that_crashed() -> None:
    story = Story({"default": Queue(1)})
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.start(*story.claim())
    story.seen.gone("a")
    story.claim()


def sound_clock_that_is_ahead() -> None:
    story = Story(skew=SECOND)
    story.up()
    story.insert(schedule_in=SECOND)
    story.poll(at=story.now + SECOND)
    story.claim()


def sound_start_at_the_end_of_a_window() -> None:
    rate = RateLimit(1, 60)
    story = Story({"default": Queue(10, rate_limit=rate)})
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(limits=Limits(rate))
    story.wait(60)
    story.beat()
    story.claim(limits=Limits(rate))


def sound_claim_of_what_another_program_wrote() -> None:
    story = Story()
    story.up()
    (job,) = story.store.run(rogue_insert(story))
    story.seen.planted([job], story.now)
    story.claim()


def sound_rest_of_jobs_that_wait_rightly() -> None:
    rate = RateLimit(1, 86_400)
    queues = {
        "default": Queue(10),
        "paused": Queue(10, paused=True),
        "full": Queue(10, global_concurrency=1),
        "shut": Queue(10, rate_limit=rate),
    }
    story = Story(queues, longest_run=timedelta(hours=1))
    story.up()
    story.insert(*(NewJob("task", {}, queue=queue) for queue in ("paused", "nobody's")))
    story.insert(*(NewJob("task", {}, queue=queue) for queue in ("full", "full", "shut", "shut")))
    story.insert(schedule_in=86_400 * SECOND)
    story.start(*story.claim(queue="full", limits=Limits(concurrency=1)))
    (job,) = story.claim(queue="shut", limits=Limits(rate))
    story.settle(job)
    rested(story)
