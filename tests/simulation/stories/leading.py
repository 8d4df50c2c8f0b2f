"""Leaders without a lease, ticks that are fired twice or never, rescues and prunes of the wrong jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pgjobs.leading import Lease, Prune, Pruned, Rescue, Tick, Watermarks
from pgjobs.plugins import Cron
from pgjobs.rules import lifecycle
from pgjobs.rules.errors import LeaseLostError, StoreError
from pgjobs.rules.job import Discard, Job, JobState, NewJob
from tests.simulation.stories.told import (
    KEY,
    MINUTE,
    PLUGINS,
    breaks,
    rogue_insert,
    running,
)
from tests.simulation.story import SECOND, START, Story


@breaks("fence_held")
def a_leader_acts_after_its_lease() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.wait(30)
    story.do("a", Watermarks(story.fence(), ((KEY, START),)), lambda _: {KEY: START}, take=False)


@breaks("fence_held")
def a_leader_acts_under_an_older_token() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.wait(30)
    story.lead("b")
    effect = Prune(story.fence("b", 1), story.now - 300 * SECOND, 10)
    story.do("b", effect, lambda _: Pruned(0, None), take=False)


@breaks("fence_held")
def a_node_acts_under_the_fence_of_another() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.do("b", Watermarks(story.fence(), ((KEY, START),)))


@breaks("fence_refused")
def a_leader_that_holds_its_lease_is_refused() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    effect = Watermarks(story.fence(), ((KEY, START),))
    story.seen.failed("a", effect, LeaseLostError("lost"), story.now)


@breaks("one_holder")
def a_lease_is_taken_before_it_has_run_out() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.wait(29.9)
    story.lead("b", lie=lambda lease: Lease("b", 2, story.now + 30 * SECOND))


@breaks("one_holder")
def a_lease_changes_hands_under_the_same_token() -> None:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.wait(30)
    story.lead("b", lie=lambda lease: replace(lease, token=1))


def ticking() -> Story:
    """A leader whose entry has been seen."""
    story = Story(plugins=PLUGINS)
    story.up()
    story.lead()
    story.do("a", Watermarks(story.fence(), ((KEY, story.now),)))
    return story


def tick(story: Story, at: datetime, **lie: Any) -> None:
    story.do("a", Tick(story.fence(), KEY, at, (NewJob("task", {}),)), **lie)


@breaks("once_a_tick")
def a_tick_is_fired_twice() -> None:
    story = ticking()
    story.wait(59.998)
    story.lead()
    tick(story, START + MINUTE)
    (job,) = story.store.run(rogue_insert(story))
    tick(story, START + MINUTE, lie=lambda _: [job], take=False)


@breaks("once_a_tick")
def a_tick_is_lost() -> None:
    story = ticking()
    story.wait(59.998)
    story.lead()
    tick(story, START + MINUTE, lie=lambda _: None, take=False)


@breaks("once_a_tick")
def a_tick_is_fired_before_its_time() -> None:
    story = ticking()
    tick(story, START + MINUTE)


@breaks("once_a_tick")
def a_tick_is_made_up_for_that_is_too_far_back() -> None:
    story = ticking()
    story.wait(91)
    story.lead()
    tick(story, START + MINUTE)


LATE_TICKS = (Cron([("* * * * *", NewJob("task", {}))], catch_up=600),)


def catching_up() -> Story:
    """A new leader, two ticks after the last one that was fired."""
    story = Story(plugins=LATE_TICKS)
    story.up()
    story.lead()
    story.do("a", Watermarks(story.fence(), ((KEY, story.now),)))
    story.wait(150)
    story.lead()
    return story


@breaks("skipped")
def a_new_leader_leaves_out_a_tick_that_is_made_up_for() -> None:
    tick(catching_up(), START + 2 * MINUTE)


def leading_late(seconds: float) -> Story:
    """A leader that has read the watermarks so long after the tick of a minute, and fires the next."""
    story = Story(plugins=PLUGINS)
    story.up()
    story.lead()
    story.do("a", Watermarks(story.fence(), ((KEY, story.now),)))
    story.wait(59.998 + seconds)
    story.lead("b")
    story.do("b", Watermarks(story.fence("b", 2), ((KEY, story.now),)))
    story.wait(60 - seconds)
    story.lead("b")
    story.do("b", Tick(story.fence("b", 2), KEY, START + 2 * MINUTE, (NewJob("task", {}),)))
    return story


@breaks("made_up_for")
def a_new_leader_begins_after_a_tick_that_is_made_up_for() -> None:
    leading_late(29)


def sound_tick_that_fell_due_too_long_before_there_was_a_leader() -> None:
    leading_late(31)


@breaks("made_up_for")
def a_leader_that_went_on_in_time_leaves_out_the_tick_that_it_slept_over() -> None:
    story = ticking()
    story.wait(70)
    story.seen.resumed("a", story.now)
    story.wait(49.998)
    story.lead()
    tick(story, START + 2 * MINUTE)


def sound_tick_that_a_leader_slept_over_for_too_long() -> None:
    story = ticking()
    story.wait(91)
    story.seen.resumed("a", story.now)
    story.wait(28.998)
    story.lead()
    tick(story, START + 2 * MINUTE)


def sound_ticks_that_are_made_up_for_in_turn() -> None:
    story = catching_up()
    tick(story, START + MINUTE)
    tick(story, START + 2 * MINUTE)


def sound_tick_after_one_that_the_store_refused() -> None:
    story = catching_up()
    refused = Tick(story.fence(), KEY, START + MINUTE, (NewJob("task", {}),))
    story.seen.failed("a", refused, StoreError("refused"), story.now)
    tick(story, START + 2 * MINUTE)


def silent(seconds: float, **given: Any) -> tuple[Story, Job]:
    """A job of a node that has been silent for so long, and another node that leads."""
    story = Story(plugins=PLUGINS)
    job = running(story, **given)
    story.wait(seconds)
    story.up("b")
    story.lead("b")
    return story, job


def rescue(story: Story, after: timedelta = MINUTE, **lie: Any) -> None:
    again, last = lifecycle.rescue(story.now), lifecycle.rescue_last(story.now)
    story.do("b", Rescue(story.fence("b"), again, last, after, 100), **lie)


@breaks("rescues")
def a_job_of_a_node_that_beats_is_rescued() -> None:
    story, job = silent(59)
    available = replace(job, state=JobState.AVAILABLE)
    rescue(story, lie=lambda _: [available], take=False)


@breaks("rescues")
def a_job_of_a_silent_node_is_not_rescued() -> None:
    story, _ = silent(61)
    rescue(story, lie=lambda _: [], take=False)


@breaks("rescues")
def a_rescue_takes_less_than_the_silence_that_is_configured() -> None:
    story, _ = silent(40)
    rescue(story, after=30 * SECOND)


def finished(seconds: float) -> Story:
    """A job that was over so long ago, and a leader."""
    story = Story(plugins=PLUGINS)
    story.settle(running(story), Discard("useless"))
    story.wait(seconds)
    story.lead()
    return story


def prune(story: Story, age: timedelta = 300 * SECOND, **lie: Any) -> None:
    story.do("a", Prune(story.fence(), story.now - age, 100), **lie)


@breaks("aged")
def a_job_is_pruned_that_is_not_old_enough() -> None:
    prune(finished(299), lie=lambda _: Pruned(1, None), take=False)


@breaks("aged")
def an_old_job_is_not_pruned() -> None:
    prune(finished(301), lie=lambda _: Pruned(0, None), take=False)


@breaks("aged")
def a_prune_asks_for_less_than_the_age_that_is_configured() -> None:
    prune(finished(200), age=100 * SECOND)
