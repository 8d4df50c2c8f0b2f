"""Each mark is made by what its line in the list says, and a campaign is told which it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pgjobs.effects import Delete, Find, ResetControl, Settle
from pgjobs.leading import Tick, Watermarks
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.errors import JobTimeoutError, LeaseLostError, StoreUnavailableError
from pgjobs.rules.job import Cancel, Discard, JobState, NewJob, Retry, Snooze
from pgjobs.rules.limits import Limits
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.selection import HasAll, OneOf, Selection
from pgjobs.rules.unique import Unique
from pgjobs_testing.invariants import EXPECTED_MARKS, Marks
from pgjobs_testing.invariants.sight import CLIENT
from tests.simulation.stories import calling
from tests.simulation.stories.inserting import once
from tests.simulation.stories.leading import finished, prune, rescue, silent, tick, ticking
from tests.simulation.stories.rebooting import leading, rebooting
from tests.simulation.stories.resting import rested
from tests.simulation.stories.told import MINUTE, PLUGINS, running
from tests.simulation.story import SECOND, START, Story

MADE: dict[str, Callable[[], Story]] = {}
LOST = StoreUnavailableError("the line is dead")


def makes(name: str) -> Callable[[Callable[[], Story]], Callable[[], Story]]:
    def named(history: Callable[[], Story]) -> Callable[[], Story]:
        MADE[name] = history
        return history

    return named


def settled(answer: object, **given: int) -> Story:
    story = Story()
    story.settle(running(story, **given), answer)
    return story


MADE |= {
    "failed": lambda: settled(Retry("no")),
    "exhausted": lambda: settled(Retry("no"), max_attempts=1),
    "discarded": lambda: settled(Discard("useless")),
    "snoozed": lambda: settled(Snooze(5)),
    "cancelled by its worker": lambda: settled(Cancel("unwanted")),
    "timed out": lambda: settled(JobTimeoutError("too long")),
}


@makes("claimed")
def claimed() -> Story:
    story = Story()
    running(story)
    return story


@makes("left to some nodes")
def left_to_some_nodes() -> Story:
    story = Story()
    story.seen.joined("b", story.now, ["other"])
    running(story)
    return story


@makes("restarted with other queues")
@makes("served anew")
def served_anew() -> Story:
    story = Story()
    story.seen.joined("b", story.now, ["other"])
    story.seen.joined("a", story.now, ["default"], "b")
    running(story)
    return story


@makes("left by all nodes")
def left_by_all_nodes() -> Story:
    story = Story()
    story.up()
    story.insert()
    story.seen.joined("b", story.now, ["other"], "a")
    rested(story, living=("b",))
    return story


@makes("task called")
def task_called() -> Story:
    story, tick = calling.called()
    calling.told(story, "stop", tick)
    return story


@makes("task failed")
@makes("task outlived its lead")
def task_outlived() -> Story:
    story, tick = calling.called()
    story.wait(30)
    story.lead("b")
    calling.told(story, "exception", tick)
    return story


@makes("task skipped")
def task_skipped() -> Story:
    story, tick = calling.called()
    for _ in range(3):
        story.wait(20)
        story.lead()
    later = Tick(story.fence(), tick.key, tick.at + MINUTE, ())
    story.do("a", later)
    calling.told(story, "skip", later)
    return story


@makes("task not called")
def task_not_called() -> Story:
    story, tick = calling.claiming()
    story.do("a", tick)
    story.seen.suspended("a", story.now)
    story.wait(30)
    story.lead("b")
    calling.told(story, "skip", tick)
    return story


@makes("cancelled by hand")
def cancelled_by_hand() -> Story:
    story = Story()
    story.order(lifecycle.cancel, *story.insert())
    return story


@makes("cancelled in flight")
def cancelled_in_flight() -> Story:
    story = Story()
    story.order(lifecycle.cancel, running(story))
    return story


@makes("group cancelled")
def group_cancelled() -> Story:
    story = Story()
    story.up()
    story.insert(once(period=1))
    (job,) = story.claim()
    story.wait(1)
    story.insert(once(period=1))
    story.settle(job, Cancel("unwanted"))
    return story


@makes("conflict")
def conflict() -> Story:
    story = Story()
    story.insert(once(), once())
    return story


@makes("replaced")
def replaced() -> Story:
    story = Story()
    story.insert(once())
    story.insert(replace(once(), replace=((JobState.AVAILABLE, ("priority",)),)))
    return story


@makes("replaced in flight")
def replaced_in_flight() -> Story:
    story = Story()
    story.up()
    story.insert(once())
    story.claim()
    new = replace(once(), replace=((JobState.EXECUTING, ("priority",)),))
    story.insert(new)
    return story


@makes("replaced when over")
def replaced_when_over() -> Story:
    story = Story()
    story.up()
    story.insert(once())
    story.settle(*story.claim())
    story.insert(replace(once(), replace=((JobState.COMPLETED, ("tags",)),), tags=("new",)))
    return story


@makes("ran with new args")
def ran_with_new_args() -> Story:
    story = Story()
    story.up()
    rule = Unique(fields=("worker",)).rule("task", "default", {})
    story.insert(NewJob("task", {"n": 1}, unique=rule))
    new = NewJob("task", {"n": 2}, unique=rule, replace=((JobState.AVAILABLE, ("args",)),))
    story.insert(new)
    story.claim()
    return story


@makes("group ended late")
def group_ended_late() -> Story:
    story = Story()
    story.up()
    story.insert(once())
    (job,) = story.claim()
    late = Settle((lifecycle.settle(job, outcome.returned(Cancel("all")), story.now, 0.0),))
    story.seen.failed("a", late, LOST, story.now)
    story.wait(5)
    story.do("a", late)
    return story


@makes("deleted")
def deleted() -> Story:
    story = Story()
    (job,) = story.insert()
    story.do(CLIENT, Delete(selection.by_id(job.id), 1))
    return story


@makes("deleted in flight")
def deleted_in_flight() -> Story:
    story = Story()
    story.do(CLIENT, Delete(selection.by_id(running(story).id), 1))
    return story


@makes("many cancelled")
def many_cancelled() -> Story:
    story = Story()
    story.order(lifecycle.cancel, *story.insert(), *story.insert())
    return story


@makes("many retried")
def many_retried() -> Story:
    story = many_cancelled()
    story.order(lifecycle.retry, *story.rows())
    return story


@makes("many deleted")
def many_deleted() -> Story:
    story = Story()
    story.insert()
    story.insert()
    story.do(CLIENT, Delete(Selection(), 10))
    return story


@makes("released")
def released() -> Story:
    story = Story()
    story.do("a", Settle((lifecycle.release(running(story), story.now),)))
    return story


@makes("late outcome")
def late_outcome() -> Story:
    story = Story()
    job = running(story)
    story.order(lifecycle.cancel, job)
    story.settle(job)
    return story


@makes("outcome sent again")
def outcome_sent_again() -> Story:
    story = Story()
    job = running(story)
    story.settle(job)
    story.settle(job)
    return story


@makes("retried by hand")
def retried_by_hand() -> Story:
    story = Story()
    (job,) = story.insert()
    story.order(lifecycle.cancel, job)
    story.order(lifecycle.retry, job)
    return story


@makes("rescued")
def rescued() -> Story:
    story, _ = silent(61)
    rescue(story)
    return story


@makes("rescued at its last attempt")
def rescued_at_its_last_attempt() -> Story:
    story, _ = silent(61, max_attempts=1)
    rescue(story)
    return story


@makes("pruned")
def pruned() -> Story:
    story = finished(300)
    prune(story)
    return story


@makes("staged")
def staged() -> Story:
    story = Story()
    story.insert(schedule_in=SECOND)
    story.wait(1)
    story.poll()
    return story


@makes("claim found lost")
def claim_found_lost() -> Story:
    story = Story()
    job = running(story)
    story.order(lifecycle.cancel, job)
    story.poll(held=((job.id, job.token),))
    return story


@makes("lease taken over")
def lease_taken_over() -> Story:
    story = Story(plugins=PLUGINS)
    story.lead()
    story.wait(30)
    story.lead("b")
    return story


@makes("lease lost")
def lease_lost() -> Story:
    story = lease_taken_over()
    effect = Watermarks(story.fence(), ())
    with pytest.raises(LeaseLostError):
        story.store.run(effect)
    story.seen.failed("a", effect, LeaseLostError("lost"), story.now)
    return story


@makes("window full")
def window_full() -> Story:
    rate = RateLimit(1, 60)
    story = Story({"default": Queue(10, rate_limit=rate)})
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(demand=2, limits=Limits(rate))
    return story


@makes("global limit full")
def global_limit_full() -> Story:
    story = Story({"default": Queue(10, global_concurrency=1)})
    story.up()
    story.insert(NewJob("task", {}), NewJob("task", {}))
    story.claim(demand=2, limits=Limits(concurrency=1))
    return story


@makes("paused")
def paused() -> Story:
    story = Story()
    story.control(paused=True)
    return story


@makes("scaled")
def scaled() -> Story:
    story = Story()
    story.control(concurrency=3)
    return story


@makes("controls reset")
def controls_reset() -> Story:
    story = scaled()
    story.do(CLIENT, ResetControl("default", story.now))
    return story


@makes("failed before")
def failed_before() -> Story:
    story = Story()
    story.seen.failed("a", Find(Selection()), LOST, story.now)
    return story


@makes("failed after commit")
def failed_after_commit() -> Story:
    story = Story()
    effect = Find(Selection())
    story.do("a", effect)
    story.seen.failed("a", effect, LOST, story.now)
    return story


@makes("claim found")
def claim_found() -> Story:
    story = Story()
    story.up()
    story.insert()
    effect = story.claiming("a", "doubted")
    story.do("a", effect)
    story.seen.failed("a", effect, LOST, story.now)
    story.do("a", Find(selection.claimed_under("doubted", "default")))
    return story


@makes("stray claim found")
def stray_claim_found() -> Story:
    story = Story()
    story.up()
    story.insert()
    effect = story.claiming("a", "doubted")
    story.seen.failed("a", effect, LOST, story.now)
    story.do("a", Find(selection.claimed_under("doubted", "default")))
    story.do("a", effect)
    mine = (OneOf("state", (JobState.EXECUTING,)), HasAll("attempted_by", ("a",)))
    story.do("a", Find(Selection(mine)))
    return story


@makes("cron fired")
def cron_fired() -> Story:
    story = ticking()
    story.wait(59.998)
    story.lead()
    tick(story, START + MINUTE)
    return story


@makes("cron caught up")
def cron_caught_up() -> Story:
    story = ticking()
    story.wait(75)
    story.lead()
    tick(story, START + MINUTE)
    return story


@makes("rebooted")
def rebooted() -> Story:
    story = leading()
    rebooting(story)
    return story


@makes("rebooted again")
def rebooted_again() -> Story:
    story = rebooted()
    story.wait(60)
    leading(story, "b")
    rebooting(story, "b")
    return story


@makes("cron fired before")
def cron_fired_before() -> Story:
    story = cron_fired()
    tick(story, START + MINUTE)
    return story


@pytest.mark.parametrize("name", [*MADE])
def test_a_mark_is_made_by_what_its_line_says(name: str) -> None:
    story = MADE[name]()
    assert name in story.seen.marks.counts
    story.checked()


def test_every_mark_that_is_expected_can_be_made() -> None:
    assert sorted(EXPECTED_MARKS) == sorted(MADE)


def test_marks_are_counted_and_what_was_not_seen_is_named_in_order() -> None:
    marks = Marks()
    marks.saw("rescued")
    marks.saw("crashed", 3)
    marks.saw("rescued")
    assert marks.seen == (("crashed", 3), ("rescued", 2))
    assert ("pruned", "staged") == marks.missing(("pruned", "rescued", "staged"))
