"""Starts that may not be: out of order, too early, in another's name, twice."""

from __future__ import annotations

from dataclasses import replace

from pgjobs.rules import lifecycle
from pgjobs.rules.errors import StoreUnavailableError
from pgjobs.rules.job import NewJob, Snooze
from pgjobs.rules.options import Queue
from pgjobs_testing.invariants.sight import CLIENT
from tests.simulation.stories.told import (
    breaks,
    claimed_instead,
    running,
    transition_of,
)
from tests.simulation.story import SECOND, Story


@breaks("in_order")
def a_job_overtakes_one_of_a_higher_priority() -> None:
    story = Story()
    story.up()
    story.insert(priority=1)
    (second,) = story.insert(priority=2)
    story.claim(lie=lambda jobs: [claimed_instead(second, jobs[0])])


@breaks("in_order")
def jobs_of_one_claim_start_out_of_order() -> None:
    story = Story()
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(demand=2, lie=lambda jobs: jobs[::-1])


@breaks("not_early")
def a_job_is_available_before_it_is_due() -> None:
    story = Story()
    job = running(story)
    story.settle(job, Snooze(60))
    change = replace(lifecycle.retry(story.now), scheduled_at=story.now + SECOND)
    story.do(CLIENT, transition_of(job, change))


@breaks("not_early")
def a_job_starts_before_it_is_due_by_every_clock() -> None:
    story = Story(skew=SECOND)
    story.up()
    (job,) = story.insert()
    later = replace(story.row(job), scheduled_at=story.now + 2 * SECOND)
    story.seen.planted([later], story.now)
    story.claim(lie=lambda jobs: [replace(jobs[0], scheduled_at=later.scheduled_at)])


@breaks("not_dated_ahead")
def an_insert_is_dated_ahead_of_every_clock() -> None:
    story = Story(skew=SECOND)
    story.insert(now=story.now + 2 * SECOND)


@breaks("not_dated_behind")
def a_claim_is_dated_behind_every_clock() -> None:
    story = Story(skew=SECOND)
    story.up()
    story.insert()
    effect = story.claiming()
    story.wait(1.5)
    story.do("a", effect)


def sound_claim_that_comes_true_late() -> None:
    story = Story(skew=SECOND)
    story.up()
    story.insert()
    effect = story.claiming()
    story.seen.failed("a", effect, StoreUnavailableError("the line is dead"), story.now)
    story.wait(1.5)
    story.do("a", effect)


@breaks("in_its_own_name")
def a_node_claims_in_the_name_of_another() -> None:
    story = Story()
    story.up()
    story.insert()
    story.claim(name="b")


@breaks("beats_first")
def a_node_claims_before_its_first_heartbeat() -> None:
    story = Story()
    story.poll()
    story.wait(1)
    story.insert()
    story.claim()


@breaks("beats_first")
def a_node_claims_when_its_heartbeat_is_old() -> None:
    story = Story()
    story.up()
    story.insert()
    story.wait(20)
    story.poll()
    story.claim()


@breaks("own_token")
def two_claims_have_one_token() -> None:
    story = Story()
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(token="x")
    story.claim(token="x")


@breaks("one_start")
def a_claim_is_started_twice() -> None:
    story = Story()
    job = running(story)
    story.start(job)
    story.start(job)


@breaks("one_start")
def a_job_starts_on_a_node_that_did_not_claim_it() -> None:
    story = Story()
    story.start(running(story), node="b")


@breaks("unpaused")
def a_node_claims_from_a_queue_that_it_knows_to_be_paused() -> None:
    story = Story()
    story.up()
    story.insert()
    story.control(paused=True)
    story.poll()
    story.wait(0.1)
    story.claim()


@breaks("unpaused")
def a_node_that_has_not_polled_goes_on_with_a_paused_queue() -> None:
    story = Story()
    story.up()
    story.insert()
    story.control(paused=True)
    story.wait(1.1)
    story.claim()


@breaks("unpaused")
def a_node_claims_before_it_has_read_the_controls() -> None:
    story = Story()
    story.beat()
    story.insert()
    story.claim()


@breaks("unpaused")
def a_queue_that_is_configured_as_paused_is_claimed_from() -> None:
    story = Story({"default": Queue(10, paused=True)})
    running(story)


@breaks("serves")
def a_node_claims_from_a_queue_that_others_serve() -> None:
    story = Story({"default": Queue(10), "other": Queue(10)})
    story.seen.joined("a", story.now, ["other"])
    story.up()
    story.insert()
    story.claim()


@breaks("serves")
def a_node_that_is_gone_claims_late_from_a_queue_that_it_did_not_serve() -> None:
    story = Story()
    story.seen.joined("a", story.now, [])
    story.up()
    story.insert()
    story.seen.gone("a")
    story.claim()


def sound_claims_of_nodes_that_serve_different_queues() -> None:
    story = Story({"default": Queue(10), "other": Queue(10)})
    story.seen.joined("a", story.now, ["other"])
    for node, queue in (("a", "other"), ("b", "default"), ("b", "other")):
        story.up(node)
        story.insert(queue=queue)
        story.claim(node, queue=queue)
