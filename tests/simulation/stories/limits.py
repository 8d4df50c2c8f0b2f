"""More jobs than slots, limits and windows allow, and claims that leave what they may take."""

from __future__ import annotations

from dataclasses import replace

from pgjobs.effects import Claimed
from pgjobs.rules.job import NewJob
from pgjobs.rules.limits import Limits
from pgjobs.rules.options import Queue, RateLimit
from tests.simulation.stories.told import (
    breaks,
    claimed_instead,
    running,
)
from tests.simulation.story import Story


@breaks("slots")
def more_jobs_start_than_there_are_slots() -> None:
    story = Story({"default": Queue(2)})
    story.up()
    story.insert(*[NewJob("task", {})] * 3)
    story.start(*story.claim(demand=2))
    story.claim()


@breaks("slots")
def more_jobs_start_than_a_scale_by_hand_allows() -> None:
    story = Story()
    story.up()
    story.insert(*[NewJob("task", {})] * 3)
    story.control(concurrency=2)
    story.poll()
    story.wait(0.1)
    story.claim(demand=3)


@breaks("within_demand")
def a_claim_takes_more_than_it_asks_for() -> None:
    story = Story()
    story.up()
    jobs = story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(lie=lambda found: [found[0], claimed_instead(jobs[1], found[0])])


@breaks("limited")
def a_limited_queue_is_claimed_from_without_its_limits() -> None:
    story = Story({"default": Queue(10, global_concurrency=2)})
    running(story)


@breaks("over_all_nodes")
def more_jobs_run_over_all_nodes_than_may() -> None:
    story = Story({"default": Queue(10, global_concurrency=1)})
    limits = Limits(concurrency=1)
    story.up()
    jobs = story.insert(NewJob("task", {}), NewJob("task", {}))
    (first,) = story.claim(limits=limits)
    story.claim(limits=limits, lie=lambda _: Claimed([claimed_instead(jobs[1], first)], None, 1))


@breaks("windows")
def more_jobs_start_in_a_window_than_may() -> None:
    rate = RateLimit(2, 60)
    story = Story({"default": Queue(10, rate_limit=rate)})
    story.up()
    jobs = story.insert(*[NewJob("task", {})] * 3)
    found = story.claim(demand=2, limits=Limits(rate))
    story.wait(59.9)
    story.beat()
    late = replace(claimed_instead(jobs[2], found[0]), attempted_at=story.now)
    story.claim(limits=Limits(rate), lie=lambda _: Claimed([late], None, 0))


@breaks("takes")
def a_claim_leaves_what_nothing_holds() -> None:
    story = Story()
    story.up()
    story.insert()
    story.claim(lie=lambda _: [])


@breaks("takes")
def a_limited_claim_leaves_what_its_window_allows() -> None:
    rate = RateLimit(1, 60)
    story = Story({"default": Queue(10, rate_limit=rate)})
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(limits=Limits(rate))
    story.wait(60)
    story.beat()
    story.claim(limits=Limits(rate), lie=lambda told: Claimed([], told.opens_at, 0))
