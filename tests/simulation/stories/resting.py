"""Worlds that are not at rest when they should be."""

from __future__ import annotations

from typing import Any

from pgjobs.plugins import Stalled
from pgjobs.rules.job import NewJob
from pgjobs_testing.invariants import settles_within
from tests.simulation.stories.leading import ticking
from tests.simulation.stories.told import (
    breaks,
    running,
)
from tests.simulation.story import Story


def rested(story: Story, **given: Any) -> None:
    """All faults are over, for as long as it takes; node a has gone on living."""
    since = story.now
    story.wait(settles_within(story.facts).total_seconds() + 60)
    story.beat()
    story.poll()
    if story.facts.led and given.pop("leads", True):
        story.lead()
    options = {"since": since, "living": ("a",), **given}
    story.seen.at_rest(story.rows(), story.now, **options)


@breaks("drains")
def a_stop_does_not_end() -> None:
    story = Story()
    story.up()
    rested(story, stopping=("a",))


@breaks("ends")
def an_available_job_is_left_where_nothing_holds_it() -> None:
    story = Story()
    story.up()
    story.insert()
    rested(story)


@breaks("ends")
def a_run_does_not_end() -> None:
    story = Story()
    story.start(running(story))
    story.wait(settles_within(story.facts).total_seconds())
    rested(story)


@breaks("no_orphan")
def a_job_executes_for_a_node_that_is_gone() -> None:
    story = Story(plugins=(Stalled(),))
    story.up("b")
    story.insert()
    story.claim("b")
    story.up()
    rested(story)


@breaks("no_orphan")
def a_job_executes_for_a_node_that_does_not_know_of_it() -> None:
    story = Story()
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    first, _ = story.claim(demand=2)
    story.start(first)
    story.settle(first)
    rested(story)


@breaks("one_leader")
def nobody_leads() -> None:
    story = Story(plugins=(Stalled(),))
    story.up()
    story.lead("b")
    rested(story, leads=False)


@breaks("fires")
def a_tick_is_not_fired() -> None:
    story = ticking()
    since = story.now
    story.wait(settles_within(story.facts).total_seconds() + 120)
    story.lead()
    story.seen.at_rest(story.rows(), story.now, since=since, living=("a",))


@breaks("ends")
def a_job_is_left_by_the_one_node_that_serves_its_queue() -> None:
    story = Story()
    story.seen.joined("b", story.now, [])
    story.up()
    story.insert()
    rested(story)


def sound_job_that_no_living_node_serves() -> None:
    story = Story()
    story.seen.joined("a", story.now, ["other"])
    story.up()
    story.insert()
    rested(story)
